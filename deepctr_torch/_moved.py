"""Modules that have moved: imports from where the documentation showed them work until the next release but one."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

ROOT = __name__.partition(".")[0]
MOVED = {
    f"{ROOT}.layers.embedding": f"{ROOT}.embedding",
    f"{ROOT}.models.training": f"{ROOT}.models.trainable",
    f"{ROOT}.training.metrics": f"{ROOT}.metrics.registry",
}
RENAMED = {"EmbeddingTables": "EmbeddingCollection", "tables_of": "embedding_configs"}


class _Finder:
    """Finds a module where it was, as a module of its own with the names of the one that it is now."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return ModuleSpec(fullname, self) if fullname in MOVED else None  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> None:
        """Leave it to Python to make the module."""

    def exec_module(self, module: ModuleType) -> None:
        now = vars(importlib.import_module(MOVED[module.__name__]))
        vars(module).update({name: value for name, value in now.items() if not name.startswith("__")})
        vars(module).update({old: now[new] for old, new in RENAMED.items() if new in now})


def install() -> None:
    """Look here for modules that are found nowhere else."""
    sys.meta_path.append(_Finder())
