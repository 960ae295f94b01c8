"""The page of each model in the documentation: its sections, and its table of arguments."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from deepctr_torch.models import model_traits
from tests.support.all_models import CASES, every_model
from tests.support.cases import Case

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "models"
SECTIONS = ["API", "Example", "Formula", "Paper", "Parameters", "When to choose it"]
SHARED = """
linear_feature_columns dnn_feature_columns l2_reg_linear l2_reg_embedding init_std seed task device gpus num_classes
"""


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


def rows() -> dict[str, tuple[str, str]]:
    """Name -> section and row of the list of models."""
    found: dict[str, tuple[str, str]] = {}
    for section in (FOLDER / "index.md").read_text(encoding="utf-8").split("\n## ")[1:]:
        for name, rest in re.findall(r"^\| \[(\w+)\]\(\w+\.md\)(.*)$", section, re.MULTILINE):
            found[name] = (section.partition("\n")[0], rest)
    return found


def test_the_list_of_models_has_all_of_the_registry() -> None:
    assert sorted(rows()) == sorted(CASES)
    navigation = re.findall(r"- models/(\w+)\.md", (FOLDER.parents[1] / "mkdocs.yml").read_text(encoding="utf-8"))
    assert set(navigation) - {"index", "basemodel"} == {name.lower() for name in CASES}


def test_the_readme_lists_the_models_of_the_registry() -> None:
    text = (FOLDER.parents[1] / "README.md").read_text(encoding="utf-8")
    one, several = (
        re.findall(rf"^\| {labels} \| (.*) \|$", text, re.MULTILINE) for labels in ("one label", "several labels")
    )
    assert [one[0].split(", "), several[0].split(", ")] == [
        sorted((n for n, c in CASES.items() if ("task_names" in c.parameters) == many), key=str.lower)
        for many in (False, True)
    ]


@every_model
def test_the_list_of_models_says_what_a_model_needs(case: Case) -> None:
    section, row = rows()[case.name]
    assert section == ("Several tasks" if "task_names" in case.parameters else "One task")
    assert ("one `embedding_dim`" in row) == case.stacks
    assert ("no numbers on the deep side" in row) == (not model_traits(case.cls).dense_deep)
    assert ("`hist_<target>`" in row) == case.sequential


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
