"""Speed beside deepctr-torch 0.3.0 and FuxiCTR 2.3.10: one command, one run, one machine.

    python benchmarks/speed.py [--rounds 3] [--only train,models/DIN] [--quick] [--peer-python P] [--fuxictr-python P]

The peers live in environments of their own, which are made (under --environments) unless a Python is given. In each
group all sides are processes that stay alive: all start, then one after the other warms up and chooses the work of a
round (some seconds of it, by what a step takes), then the rounds go round the sides, so that what disturbs the machine
disturbs all of them. Medians count; the spread is in the results. Groups: train/*, models/*, predict, latency, memory,
import. `--only` takes the beginnings of their names; what it leaves out stays as it is in the results.
Writes `speed.json`, `speed.md` and `speed.png` to `benchmarks/results`.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import memory
from speed_processes import PEERS, Worker, busy, environment, machine, make_environment
from speed_report import write_report

from deepctr_torch.models import MODELS

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
COMPILED = {"torch_compile": True}
BF16 = {"torch_compile": True, "precision": "bf16"}
SPARSE = {"embedding_update": "sparse"}
IMPORTS = {
    "import deepctr_torch": "import deepctr_torch",
    "import deepctr_torch.models": "import deepctr_torch.models",
}


class Side(NamedTuple):
    """One process of a group: whose package, and what differs from the job of the group."""

    name: str
    package: str
    job: Mapping[str, Any] = MappingProxyType({})


class Group(NamedTuple):
    """Sides that are measured in the same rounds."""

    name: str
    job: dict[str, Any]
    sides: Sequence[Side]
    seconds: float = 4.0


def job(rows: int, batch: int, dim: int, optimizer: str = "adam", model: str = "DeepFM", **more: Any) -> dict[str, Any]:
    samples = max(batch, 400_000 // batch * batch)  # at most, in a round
    defaults = {"what": "fit", "samples": samples, "optimizer": optimizer, "model": model}
    return {"rows": rows, "batch": batch, "dim": dim, **defaults, **more}


OURS, DEEPCTR, FUXICTR = Side("ours", "ours"), Side("deepctr-torch", "deepctr"), Side("FuxiCTR", "fuxictr")


def compared_with_mlp(bf16: bool) -> list[Side]:
    """All sides of DeepFM with 1e5 rows, batch 4,096, dimension 16."""
    alone: dict[str, Any] = {"what": "mlp", "most_steps": 10_000}
    fast = [Side("ours, compiled, bf16", "ours", {"options": BF16})] if bf16 else []
    return [
        OURS,
        Side("ours, compiled", "ours", {"options": COMPILED}),
        *fast,
        DEEPCTR,
        FUXICTR,
        Side("MLP", "ours", alone),
        Side("MLP, leaf", "ours", {**alone, "leaf": True}),
        Side("MLP, compiled", "ours", {**alone, "compile": True}),
        Side("MLP, leaf, compiled", "ours", {**alone, "leaf": True, "compile": True}),
    ]


def latency_sides() -> list[Side]:
    sides = []
    for rows in (1, 500):
        more = {"batch": rows, "samples": rows, "most_steps": 5000}
        for name, what in (("predict", "latency"), ("model(X)", "call")):
            sides += [Side(f"{s.name}, {name}, {rows}", s.package, {**more, "what": what}) for s in (OURS, DEEPCTR)]
        sides.append(Side(f"ours, model(Batch), {rows}", "ours", {**more, "what": "call-batch"}))
    return sides


def groups(bf16: bool) -> list[Group]:
    """All that is measured by workers."""
    small = Side("ours, 1e5 rows", "ours", {"rows": 100_000, "options": SPARSE})
    out = [
        Group("train/1e5-4096-16", job(100_000, 4096, 16), compared_with_mlp(bf16)),
        Group("train/1e5-256-4-adagrad", job(100_000, 256, 4, "adagrad"), [OURS, DEEPCTR]),
        Group("train/1e6-256-16", job(1_000_000, 256, 16), [OURS, DEEPCTR, FUXICTR]),
        Group("train/1e6-4096-16", job(1_000_000, 4096, 16), [OURS, DEEPCTR, FUXICTR]),
        Group(
            "train/1e7-4096-16",
            job(10_000_000, 4096, 16),
            [Side("ours", "ours", {"options": SPARSE}), small, DEEPCTR, FUXICTR],
            5.0,
        ),
    ]
    for model in MODELS:
        fast = [Side("ours, bf16", "ours", {"options": {"precision": "bf16"}})] if bf16 and model == "xDeepFM" else []
        out.append(Group(f"models/{model}", job(100_000, 1024, 8, model=model), [OURS, *fast, DEEPCTR], 2.0))
    out.append(Group("predict", job(100_000, 4096, 16, what="predict"), [OURS, DEEPCTR], 3.0))
    out.append(Group("latency", job(100_000, 1, 16), latency_sides(), 1.0))
    return out


def quicker(group: Group) -> Group:
    """The same with tiny tables and short rounds, to see whether it runs."""
    shared = {**group.job, "rows": max(2600, group.job["rows"] // 100), "samples": 8 * group.job["batch"]}
    sides = [Side(s.name, s.package, {**s.job, "rows": 2600} if "rows" in s.job else s.job) for s in group.sides]
    return Group(group.name, shared, sides, 0.1)


def measure(group: Group, pythons: dict[str, str], rounds: int, threads: int) -> dict[str, Any]:
    """Start the sides of a group, let each warm up, and let the rounds go round."""
    workers: dict[str, Worker] = {}
    found: dict[str, dict[str, Any]] = {}
    try:
        for side in group.sides:
            if side.package in pythons:
                what = {"what": "fuxictr"} if side.package == "fuxictr" else {}
                full = {**group.job, **what, **side.job, "seconds": group.seconds, "threads": threads}
                workers[side.name] = Worker(full, pythons[side.package])
        for name, worker in workers.items():
            found[name] = {**(worker.answer() or {}), "rates": []}
            found[name].pop("ready", None)
        for name, worker in workers.items():
            found[name].update(worker.ask() or {})
        for turn in range(rounds):
            order = list(workers)
            random.Random(turn).shuffle(order)
            for name in order:
                if (answer := workers[name].ask()) is not None:
                    found[name]["rates"].append(answer["rate"])
                    found[name]["peak_mb"] = answer["peak_mb"]
    finally:
        for worker in workers.values():
            worker.end()
    for name, side_found in found.items():
        rates, error = side_found["rates"], workers[name].error
        side_found.update({"error": error} if error else {"rate": statistics.median(rates), "low": min(rates)})
        side_found.update({} if error else {"high": max(rates)})
    return {"job": group.job, "seconds": group.seconds, "sides": found}


def measure_import(pythons: dict[str, str], rounds: int) -> dict[str, Any]:
    """Seconds of the imports in a fresh process that has imported torch."""
    sides: dict[str, dict[str, Any]] = {}
    for turn in range(rounds + 1):  # the first one reads the files from the disk
        for package in ("ours", "deepctr"):
            for name, statement in IMPORTS.items():
                code = f"import time, torch; t = time.perf_counter; b = t(); {statement}; print('seconds', t() - b)"
                if package not in pythons:
                    continue
                python = pythons[package]
                done = subprocess.run([python, "-c", code], capture_output=True, text=True, env=environment(python))
                lines = [line for line in done.stdout.splitlines() if line.startswith("seconds ")]
                if turn and lines:
                    sides.setdefault(f"{package}, {name}", {"all": []})["all"].append(float(lines[0].split()[1]))
    for side in sides.values():
        side.update(seconds=statistics.median(side["all"]), low=min(side["all"]), high=max(side["all"]))
    return {"sides": sides}


def measure_memory(pythons: dict[str, str], rows: int, threads: int) -> dict[str, Any]:
    sides = {p: memory.measure(pythons[p], rows, threads, environment(pythons[p])) for p in pythons if p != "fuxictr"}
    return {"rows": rows, "sides": sides}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--only", default="", help="beginnings of the names of groups, separated by commas")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see whether it runs; the numbers are void")
    parser.add_argument("--peer-python", help="Python of an environment with deepctr-torch 0.3.0")
    parser.add_argument("--fuxictr-python", help="Python of an environment with FuxiCTR 2.3.10")
    parser.add_argument("--environments", type=Path, default=HERE / ".venv-peers", help="where they are made otherwise")
    parser.add_argument("--without", default="", help="sides to leave out: deepctr, fuxictr")
    parser.add_argument("--out", type=Path, help="folder of the results; with --quick not those of the repository")
    given = parser.parse_args()
    given.out = given.out or (Path(tempfile.gettempdir()) / "speed-quick" if given.quick else RESULTS)
    return given


def find_pythons(given: argparse.Namespace) -> dict[str, str]:
    pythons = {"ours": sys.executable}
    known = {"deepctr": given.peer_python, "fuxictr": given.fuxictr_python}
    for peer in PEERS:
        if peer not in given.without.split(","):
            pythons[peer] = known[peer] or make_environment(peer, given.environments)
    return pythons


def main() -> None:
    given = arguments()
    pythons, here = find_pythons(given), machine(given.threads)
    path = given.out / "speed.json"
    results: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"groups": {}}
    todo = [quicker(g) if given.quick else g for g in groups(here["bf16"])]
    tasks: dict[str, Any] = {g.name: lambda g=g: measure(g, pythons, given.rounds, given.threads) for g in todo}
    rows = 20_000 if given.quick else 2_000_000
    tasks["memory"] = lambda: measure_memory(pythons, rows, given.threads)
    tasks["import"] = lambda: measure_import(pythons, given.rounds)
    wanted = tuple(given.only.split(","))  # "" begins every name
    if unknown := [w for w in wanted if not any(name.startswith(w) for name in tasks)]:
        raise SystemExit(f"no group begins with {unknown}; there are {', '.join(tasks)}")
    given.out.mkdir(parents=True, exist_ok=True)
    begin = time.perf_counter()
    for name, task in tasks.items():
        if not name.startswith(wanted):
            continue
        started = time.perf_counter()
        found = {"machine": here, "rounds": given.rounds, "quick": given.quick, "busy_before": busy(), **task()}
        results["groups"][name] = {**found, "date": time.strftime("%Y-%m-%d %H:%M")}
        path.write_text(json.dumps(results, indent=1) + "\n")  # whatever comes next
        print(f"{name}: {time.perf_counter() - started:.0f} s", flush=True)
        for side, values in found["sides"].items():
            shown = {k: v for k, v in values.items() if k not in ("versions", "rates", "all")}
            print("   ", side, {k: round(v, 3) if isinstance(v, float) else v for k, v in shown.items()}, flush=True)
    write_report(results, given.out)
    print(f"{time.perf_counter() - begin:.0f} s in all; {given.out / 'speed.md'}")


if __name__ == "__main__":
    main()
