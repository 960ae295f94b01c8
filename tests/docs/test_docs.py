"""Every Python block of the README and the documentation runs: a page is one module, its blocks run in order.

A block after the comment `<!-- no-run -->` is left out.
"""

from __future__ import annotations

import re
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.onnx_warnings import BY_EXPORT_WARNINGS, TRACING_WARNINGS

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^(?P<before>[^\n]*)\n(?:[ \t]*\n)*```python[^\n]*\n(?P<code>.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(page: Path) -> Iterator[str]:
    """The blocks to run, each moved down to its own line of the page, so that a traceback points into the page."""
    text = "\n\n" + page.read_text(encoding="utf-8")
    for match in BLOCK.finditer(text):
        if match["before"].strip() != "<!-- no-run -->":
            yield "\n" * (text.count("\n", 0, match.start("code")) - 2) + match["code"]


PAGES = [page for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))) if any(blocks(page))]


@pytest.mark.slow
@pytest.mark.filterwarnings(*TRACING_WARNINGS, *BY_EXPORT_WARNINGS)
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_python_blocks_of_a_page_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("documentation_page")
    monkeypatch.setitem(sys.modules, module.__name__, module)  # classes defined on a page can be pickled there
    monkeypatch.chdir(tmp_path)
    done = 0
    for code in blocks(page):
        exec(compile(code, str(page), "exec"), module.__dict__)
        done += 1
    assert done > 0


def test_blocks_are_found_left_out_and_numbered_by_line(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "```python\na = 1\n```\n\n<!-- no-run -->\n```python\nb = 2\n```\n\ntext\n\n"
        '```python title="c.py"\nc = 3\n```\n\n```bash\nd\n```\n'
    )
    found = list(blocks(page))
    assert [code.strip() for code in found] == ["a = 1", "c = 3"]
    assert [code.index(code.strip()) + 1 for code in found] == [2, 13]


def test_the_readme_is_among_the_pages() -> None:
    assert ROOT / "README.md" in PAGES
