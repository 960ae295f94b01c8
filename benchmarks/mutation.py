"""Mutation testing: change one operator or constant of a room at a time, and see whether the room's own tests notice.

    nice -n 19 python benchmarks/mutation.py --count 150 --out benchmarks/results/mutation.json

Each mutant runs in a process of its own, forked after the libraries are loaded. The test file of the module's name
comes first, the rest of the room's tests after it. A mutant is killed when a test fails, the process ends, or time is
up. Without a change all tests pass, which is seen first.
"""

from __future__ import annotations

import argparse
import ast
import copy
import importlib.machinery
import json
import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("features", "encoding", "optim")
ELSEWHERE = {  # modules whose tests stand in other rooms, as tests/README.md says
    "optim/sparse_step.py": ["training/test_step.py"],
    "optim/dense_step.py": ["training/test_step.py"],
    "optim/fused.py": ["training/test_step.py", "training/test_tables_during_fit.py"],
    "optim/fused_parameters.py": ["training/test_step.py", "training/test_tables_during_fit.py"],
    "optim/spec.py": ["optim/test_combined.py"],
}
COMPARE: dict[type, type] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
BINARY: dict[type, type] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult,
    ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.Pow: ast.Mult, ast.LShift: ast.RShift, ast.RShift: ast.LShift,
}  # fmt: skip


def mutated(node: ast.AST) -> ast.AST | None:
    """The node with one change; None where there is nothing to change."""
    new: Any = copy.deepcopy(node)
    if isinstance(new, ast.Compare) and type(new.ops[0]) in COMPARE:
        new.ops[0] = COMPARE[type(new.ops[0])]()
    elif isinstance(new, (ast.BinOp, ast.AugAssign)) and type(new.op) in BINARY:
        new.op = BINARY[type(new.op)]()
    elif isinstance(new, ast.BoolOp):
        new.op = ast.Or() if isinstance(new.op, ast.And) else ast.And()
    elif isinstance(new, ast.UnaryOp) and isinstance(new.op, (ast.Not, ast.USub)):
        new = new.operand
    elif isinstance(new, ast.Constant) and isinstance(new.value, bool):
        new.value = not new.value
    elif isinstance(new, ast.Constant) and isinstance(new.value, (int, float)):
        new.value = new.value + 1
    elif isinstance(new, ast.IfExp):
        new.body, new.orelse = new.orelse, new.body
    else:
        return None
    return new


def places(tree: ast.Module) -> Iterator[tuple[ast.AST, str, int | None]]:
    """Where a node can be changed: (parent, field, index); types and names of what is public are left out."""
    for parent in ast.walk(tree):
        for name, value in ast.iter_fields(parent):
            if name in ("annotation", "returns", "decorator_list", "type_params"):
                continue
            if isinstance(value, list):
                yield from ((parent, name, i) for i, each in enumerate(value) if isinstance(each, ast.AST))
            elif isinstance(value, ast.AST):
                yield parent, name, None


def sites(path: Path) -> list[int]:
    """Numbers of the places of a file that can be changed."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped = {id(n) for top in tree.body for n in ast.walk(top) if isinstance(top, (ast.Import, ast.ImportFrom))}
    skipped |= {id(n) for top in ast.walk(tree) if isinstance(top, ast.AnnAssign) for n in ast.walk(top.annotation)}
    skipped |= {id(n) for top in ast.walk(tree) if isinstance(top, ast.JoinedStr) for n in ast.walk(top)}  # messages
    found = []
    for number, (parent, name, index) in enumerate(places(tree)):
        node = getattr(parent, name) if index is None else getattr(parent, name)[index]
        if id(node) not in skipped and mutated(node) is not None:
            found.append(number)
    return found


def mutant(path: Path, number: int) -> tuple[ast.Module, str]:
    """The tree of a file with one place changed, and the change in words."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    parent, name, index = list(places(tree))[number]
    node = getattr(parent, name) if index is None else getattr(parent, name)[index]
    new: Any = ast.copy_location(mutated(node), node)
    if index is None:
        setattr(parent, name, new)
    else:
        getattr(parent, name)[index] = new
    line = getattr(node, "lineno", 0)
    return ast.fix_missing_locations(tree), f"line {line}: {ast.unparse(node)} -> {ast.unparse(new)}"


def tests_of(path: Path) -> list[str]:
    """The test files of a module, that of its name first."""
    inside = path.relative_to(ROOT / "deepctr_torch").as_posix()
    room, own = path.parent.name, ROOT / "tests" / path.parent.name / f"test_{path.stem}.py"
    first = [own] if own.is_file() else []
    first += [ROOT / "tests" / name for name in ELSEWHERE.get(inside, [])]
    rest = [p for p in sorted((ROOT / "tests" / room).glob("test_*.py")) if p not in first]
    return [str(p) for p in (*first, *rest)]


def run(path: Path | None, tree: ast.Module | None, tests: list[str], seconds: float) -> str:
    """How the tests end in a process of their own: "killed", "timeout" or "survived"."""
    child = os.fork()
    if child == 0:
        os.setsid()
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        if path is not None:
            replace_source(path, tree)
        import pytest

        options = ["-x", "-q", "-p", "no:cacheprovider", "--no-header", f"--rootdir={ROOT}"]
        os._exit(int(pytest.main([*options, *tests])))
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return "survived" if status == 0 else "killed"
        time.sleep(0.1)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "timeout"


def replace_source(path: Path, tree: ast.Module | None) -> None:
    """Let Python import `tree` in the place of the file."""
    original = importlib.machinery.SourceFileLoader.get_code

    def get_code(self: Any, name: str) -> Any:
        if Path(self.path) == path:
            return compile(tree, str(path), "exec")  # type: ignore[arg-type]
        return original(self, name)

    importlib.machinery.SourceFileLoader.get_code = get_code  # type: ignore[method-assign]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=150)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=180, help="of one mutant")
    parser.add_argument("--minutes", type=float, default=600, help="of all")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "mutation.json")
    given = parser.parse_args()
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    import numpy  # noqa: F401  # before the fork, what all tests import
    import pandas  # noqa: F401
    import polars  # noqa: F401
    import pyarrow  # noqa: F401
    import torch  # noqa: F401

    for room in ROOMS:
        tests = tests_of(ROOT / "deepctr_torch" / room / "__init__.py")
        if run(None, None, tests, given.seconds) != "survived":
            raise SystemExit(f"the tests of {room} must pass before anything is changed")
    files = [p for room in ROOMS for p in sorted((ROOT / "deepctr_torch" / room).glob("*.py"))]
    every = [(path, number) for path in files for number in sites(path)]
    chosen = random.Random(given.seed).sample(every, min(given.count, len(every)))
    results: list[dict[str, str]] = []
    begin = time.monotonic()
    for path, number in chosen:
        if time.monotonic() - begin > given.minutes * 60:
            break
        tree, change = mutant(path, number)
        how = run(path, tree, tests_of(path), given.seconds)
        name = path.relative_to(ROOT / "deepctr_torch").as_posix()
        results.append({"file": name, "change": change, "result": how})
        print(f"{len(results):4} {how:9} {name} {change}", flush=True)
        survived = sum(r["result"] == "survived" for r in results)
        about = {
            "command": " ".join(["python", "benchmarks/mutation.py", *sys.argv[1:]]),
            "date": time.strftime("%Y-%m-%d"),
            "sites": len(every),
            "mutants": len(results),
            "killed": len(results) - survived,
            "share": round(1 - survived / len(results), 3),
        }
        given.out.write_text(json.dumps({**about, "results": results}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
