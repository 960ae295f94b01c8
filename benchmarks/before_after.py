"""Speed of this checkout beside an older one, in the groups of `speed.py`: one command, one run, one machine.

    git worktree add ../before COMMIT && python benchmarks/before_after.py ../before [--rounds 5] [--only train,models]

In each group the two sides are processes that stay alive, each with the worker of its own checkout. After a warm-up, in
which each chooses the work of a round, the rounds go back and forth between them, so that what disturbs the machine
disturbs both. What counts is the median of the ratios now / before, one a round; the spread is in the results. A group
is slower if its median is below 0.97 and its largest ratio below 1. On a machine that others use too, `--clock
processor --threads 1` counts the seconds of the processor instead (a checkout whose worker does not tell them needs a
copy of this one). Writes `before_after.json` and `before_after.md` to `benchmarks/results`; `--only` takes the
beginnings of the names of groups, and keeps the others as they are there.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from speed import IMPORTS, RESULTS, Group, groups
from speed_processes import HERE, Worker, busy, environment, machine

LATENCY = ("predict, 1", "model(X), 1", "predict, 500", "model(X), 500")


def commit(checkout: Path) -> str:
    """The commit of a checkout; of one without git, its name."""
    command = ["git", "-C", str(checkout), "rev-parse", "--short", "HEAD"]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else checkout.name


def jobs(group: Group) -> dict[str, dict[str, Any]]:
    """Name -> job of this package in a group of `speed.py`; what is compiled or compared with it is left out."""
    ours = [s for s in group.sides if s.package == "ours" and s.job.get("what") != "mlp"]
    if group.name == "latency":
        ours = [s for s in ours if s.name.removeprefix("ours, ") in LATENCY]
    elif not group.name.startswith("train/1e7"):
        ours = ours[:1]
    named = {s.name.removeprefix("ours").removeprefix(", "): {**group.job, **s.job} for s in ours}
    return {f"{group.name}{', ' if name else ''}{name}": job for name, job in named.items()}


def measure(job: dict[str, Any], checkouts: dict[str, Path], rounds: int, rate: str) -> dict[str, Any]:
    """Rates of both sides, round by round; `rate` is the word of the worker's answer that counts."""
    workers = {name: Worker(job, sys.executable, path) for name, path in checkouts.items()}
    rates: dict[str, list[float]] = {name: [] for name in workers}
    try:
        for ask in (Worker.answer, Worker.ask):  # it is ready; it has warmed up
            for worker in workers.values():
                ask(worker)
        for turn in range(rounds):
            for name in list(workers)[:: 1 if turn % 2 else -1]:
                if (found := workers[name].ask()) is not None:
                    rates[name].append(found[rate])
    finally:
        for worker in workers.values():
            worker.end()
    errors = {name: worker.error for name, worker in workers.items() if worker.error}
    if errors:
        raise RuntimeError(f"a side died: {errors}")
    return compared(rates["now"], rates["before"])


def compared(now: list[float], before: list[float]) -> dict[str, Any]:
    """Both sides, and the ratios of their rounds."""
    ratios = [a / b for a, b in zip(now, before, strict=True)]
    return {
        "now": statistics.median(now),
        "before": statistics.median(before),
        "ratio": statistics.median(ratios),
        "low": min(ratios),
        "high": max(ratios),
    }


def measure_import(statement: str, checkouts: dict[str, Path], rounds: int) -> dict[str, Any]:
    """Imports a second in fresh processes that have imported torch."""
    code = f"import time, torch; b = time.perf_counter(); {statement}; print(time.perf_counter() - b)"
    rates: dict[str, list[float]] = {name: [] for name in checkouts}
    for turn in range(2 * rounds + 1):  # the first one reads the files from the disk
        for name, path in checkouts.items():
            command = [sys.executable, "-c", code]
            done = subprocess.run(command, capture_output=True, text=True, env=environment(sys.executable, path))
            if turn:
                rates[name].append(1.0 / float(done.stdout.split()[-1]))
    return compared(rates["now"], rates["before"])


def report(results: dict[str, Any]) -> str:
    lines = [
        "# This version beside an older one",
        "",
        "Samples (imports: imports) a second, medians; the ratio now / before of each round: median (smallest to "
        f"largest). Command: `{results['command']}`.",
        "Where the spread is wide, other programs had the machine in a part of the rounds (`busy_before` in the JSON "
        "file): such a group says nothing. Where the clock is `processor`, seconds are those of the processor for one "
        "thread (`--clock processor --threads 1`), so that other programs count little.",
        "",
        "| group | now | before | ratio | clock | date |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, f in results["groups"].items():
        ratio = f"{f['ratio']:.3f} ({f['low']:.3f} to {f['high']:.3f})"
        lines.append(
            f"| {name} | {f['now']:,.4g} | {f['before']:,.4g} | {ratio} | {f.get('clock', 'wall')} | {f['date']} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path, help="a checkout of the older version")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=2.0, help="of a round")
    parser.add_argument("--clock", choices=["wall", "processor"], default="wall")
    parser.add_argument("--only", default="", help="beginnings of the names of groups, separated by commas")
    given = parser.parse_args()
    checkouts = {"now": HERE.parent, "before": given.before.resolve()}
    path = RESULTS / "before_after.json"
    results: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"groups": {}}
    results["command"] = f"python benchmarks/before_after.py BEFORE --rounds {given.rounds} --seconds {given.seconds}"
    rate = "rate" if given.clock == "wall" else "processor_rate"
    tasks: dict[str, Any] = {}
    for group in groups(bf16=False):
        for name, job in jobs(group).items():
            full = {**job, "seconds": given.seconds, "threads": given.threads}
            tasks[name] = lambda full=full: measure(full, checkouts, given.rounds, rate)
    for name, statement in IMPORTS.items():
        tasks[name] = lambda statement=statement: measure_import(statement, checkouts, given.rounds)
    here = machine(given.threads)
    for name, task in tasks.items():
        if not name.startswith(tuple(given.only.split(","))):
            continue
        about = {
            "clock": given.clock,
            "machine": here,
            "busy_before": busy(),
            "commits": {n: commit(p) for n, p in checkouts.items()},
        }
        results["groups"][name] = {**task(), **about, "date": time.strftime("%Y-%m-%d %H:%M")}
        path.write_text(json.dumps(results, indent=1) + "\n")
        (RESULTS / "before_after.md").write_text(report(results))
        print(name, {k: round(v, 3) for k, v in results["groups"][name].items() if isinstance(v, float)}, flush=True)


if __name__ == "__main__":
    main()
