"""Write `THIRD_PARTY.md`: what the package needs to be installed, with versions and licences of this environment.

python tools/licences.py
"""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
EXTRAS = ("", "tables", "demo", "tensorboard")


def name_of(requirement: str) -> str:
    return re.split(r"[^\w.-]", requirement, maxsplit=1)[0]


def needed(extra: str) -> list[str]:
    """The names of what the package itself asks for, without or with an extra."""
    found = []
    for requirement in metadata.requires("deepctr-torch") or []:
        condition = re.search(r"""extra == ['"]([\w-]+)['"]""", requirement)
        wanted = condition[1] == extra if condition else not extra
        if wanted and "python_version" not in requirement and name_of(requirement) != "deepctr-torch":
            found.append(name_of(requirement))
    return found


def licence_of(about: metadata.PackageMetadata) -> str:
    """The licence that a distribution names: as an expression, by its classifiers, or in a line."""
    if about.get("License-Expression"):
        return about["License-Expression"]
    classified = [c.rpartition(" :: ")[2] for c in about.get_all("Classifier") or [] if c.startswith("License :: ")]
    named = [c for c in classified if c != "OSI Approved"]
    return " or ".join(named) or (about.get("License") or "not named").splitlines()[0]


def page() -> str:
    lines = [
        "# What this package is installed with",
        "",
        "Written by `tools/licences.py` from the metadata of the packages. None of their code is in this repository.",
    ]
    for extra in EXTRAS:
        lines += ["", f"## {f'Extra `{extra}`' if extra else 'Always'}", "", "| package | licence |", "| --- | --- |"]
        for name in sorted(needed(extra), key=str.lower):
            lines.append(f"| {name} | {licence_of(metadata.metadata(name))} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    (ROOT / "THIRD_PARTY.md").write_text(page(), encoding="utf-8")
