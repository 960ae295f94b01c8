"""The page of each model in the documentation: its sections, and its table of arguments."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.support.cases import CASES, Case

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "models"
SECTIONS = ["API", "Example", "Formula", "Paper", "Parameters", "When to choose it"]
SHARED = """
linear_feature_columns dnn_feature_columns l2_reg_linear l2_reg_embedding init_std seed task device gpus num_classes
"""

every_model = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())


def table(case: Case) -> dict[str, str]:
    """Argument -> what the page says of its default (the defaults of a row have the order of its names)."""
    text = (FOLDER / f"{case.name.lower()}.md").read_text(encoding="utf-8")
    rows = re.search(
        r"^\| argument \| default \| meaning \|\n\| --- \| --- \| --- \|\n((?:\|.*\n)+)", text, re.MULTILINE
    )
    assert rows is not None
    found: dict[str, str] = {}
    for row in rows[1].splitlines():
        names, defaults = (re.findall(r"`([^`]*)`", cell) for cell in row.split(" | ")[:2])
        found |= dict(zip(names, defaults if len(defaults) == len(names) else [""] * len(names), strict=True))
    return found


@every_model
def test_a_page_has_every_section_once(case: Case) -> None:
    text = (FOLDER / f"{case.name.lower()}.md").read_text(encoding="utf-8")
    assert text.startswith(f"# {case.name}\n")
    assert sorted(re.findall(r"^## (.*)$", text, re.MULTILINE)) == SECTIONS


@every_model
def test_a_page_names_every_argument_of_its_own_with_its_default(case: Case) -> None:
    said = table(case)
    assert sorted(set(case.parameters) - set(SHARED.split()) - set(said)) == []
    for name, default in said.items():
        if default:
            assert case.parameters[name].default == ast.literal_eval(default), name
