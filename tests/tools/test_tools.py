"""The licences that are listed, and the audit's words."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from types import ModuleType
from typing import Any

import pytest

from tests.conftest import ROOT


def tool(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_package_that_is_installed_with_this_one_is_listed_with_its_licence() -> None:
    licences, page = tool("licences"), (ROOT / "THIRD_PARTY.md").read_text()
    names = [name for extra in licences.EXTRAS for name in licences.needed(extra)]
    assert {"torch", "numpy", "scikit-learn", "tqdm", "safetensors"} == set(licences.needed(""))
    assert [name for name in names if f"| {name} | " not in page] == []
    assert page.count("| not named |") == 0


@pytest.mark.parametrize(
    ("found", "code", "words"),
    [
        ([], 2, "nothing was audited"),
        ([{"name": "a", "skip_reason": "not there"}], 2, "nothing was audited"),
        ([{"name": "a", "version": "1", "vulns": []}], 0, "1 packages audited: no known faults"),
        (
            [{"name": "a", "version": "1", "vulns": [{"id": "X-1"}]}, {"name": "b", "skip_reason": "not there"}],
            1,
            "1 packages audited, 1 not known to the database\na 1: X-1",
        ),
    ],
)
def test_the_audit_says_what_it_could_see(found: Any, code: int, words: str) -> None:
    result = tool("audit").verdict(found)
    assert result[0] == code
    assert words in result[1]


def test_the_audit_ends_with_words_where_it_cannot_look(monkeypatch: pytest.MonkeyPatch) -> None:
    audit = tool("audit")

    def run(stdout: str, stderr: str) -> Any:
        return lambda *_, **__: subprocess.CompletedProcess([], 1, stdout, stderr)

    monkeypatch.setattr(subprocess, "run", run("", f"{sys.executable}: No module named pip_audit"))
    assert audit.audit() == (2, "pip-audit is missing: install it into this environment with pip install pip-audit")
    monkeypatch.setattr(subprocess, "run", run("", "ERROR: Failed to resolve 'a.host'"))
    assert audit.audit()[0] == 2
    assert "cannot be reached: ERROR: Failed to resolve" in audit.audit()[1]
