"""Links and paths that pages name lead somewhere; `mkdocs build --strict` checks links between pages of the site."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LINK = re.compile(r"\]\(([^)#\s:]+)(?:#[^)]*)?\)")
ROOMS = {path.name for path in (ROOT / "deepctr_torch").iterdir() if path.is_dir()}


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_links_to_files_lead_to_files(name: str) -> None:
    links = LINK.findall((ROOT / name).read_text(encoding="utf-8"))
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_readme_links_every_page_but_those_of_single_models_and_layers() -> None:
    links = set(LINK.findall((ROOT / "README.md").read_text(encoding="utf-8")))
    pages = {f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")}
    assert pages - links - {"docs/index.md", "docs/changelog.md"} == set()  # changelog.md shows CHANGELOG.md


def paths_named(page: Path) -> set[str]:
    """Paths in backticks that begin with a room of the package, or with a folder beside it."""
    text = re.sub(
        r"^\| `[^|]*`(?= \| `[^|]*` \|$)", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE
    )  # old paths
    found = re.findall(r"`((?:[\w.]+/)+(?:[\w-]+\.\w+)?)`", text)
    inside = {f"deepctr_torch/{path}" for path in found if path.partition("/")[0] in ROOMS}
    return inside | {path for path in found if path.startswith(("tests/", "docs/", "benchmarks/", "examples/"))}


@pytest.mark.parametrize("name", ["docs/architecture.md", "docs/design.md", "CONTRIBUTING.md"])
def test_paths_that_a_page_names_exist(name: str) -> None:
    named = paths_named(ROOT / name)
    assert named
    assert {path for path in named if "foo" not in path and not (ROOT / path).exists()} == set()
