"""What `speed.py` found, as Markdown and as a plot.

`speed.md` has named sections. `docs/speed.md` includes those that tell users what they get; the project's goals stay
in `speed.md`.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from speed_plot import plot

DOCS = Path(__file__).resolve().parents[1] / "docs"
MAIN = "train/1e5-4096-16"
TRAINED = {  # group -> rows in tables, batch, dimension, optimizer
    MAIN: ("1e5", "4,096", "16", "adam"),
    "train/1e5-256-4-adagrad": ("1e5", "256", "4", "adagrad"),
    "train/1e6-256-16": ("1e6", "256", "16", "adam"),
    "train/1e6-4096-16": ("1e6", "4,096", "16", "adam"),
    "train/1e7-4096-16": ("1e7", "4,096", "16", "adam"),
}
BUSY = 0.2  # cores at work before a group began
FLOORS = {"ONN": 8.0, "FiBiNET": 2.5, "xDeepFM": 1.5}
EVERY_MODEL = 1.4


class Ratio(NamedTuple):
    """A quotient of medians, and the smallest and largest of the single rounds."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        digits = 1 if self.value >= 10 else 2
        return f"{self.value:.{digits}f} ({self.low:.{digits}f}..{self.high:.{digits}f})"


class Results:
    """The groups by name, with the look-ups that the tables need; nothing found is None."""

    def __init__(self, groups: dict[str, Any]) -> None:
        self.groups = groups

    def side(self, group: str, side: str) -> dict[str, Any] | None:
        found: dict[str, Any] | None = self.groups.get(group, {}).get("sides", {}).get(side)
        return found

    def ratio(self, group: str, over: str, under: str) -> Ratio | None:
        """Rate of one side over that of another."""
        a, b = self.side(group, over), self.side(group, under)
        if a is None or b is None or "rate" not in a or "rate" not in b:
            return None
        each = [x / y for x, y in zip(a["rates"], b["rates"], strict=True)]
        return Ratio(a["rate"] / b["rate"], min(each), max(each))

    def models(self) -> dict[str, Ratio | None]:
        names = [name.partition("/")[2] for name in self.groups if name.startswith("models/")]
        return {name: self.ratio(f"models/{name}", "ours", "deepctr-torch") for name in sorted(names, key=str.lower)}

    @property
    def bf16(self) -> bool:
        return any(g["machine"]["bf16"] for g in self.groups.values())


class Bar(NamedTuple):
    """One line of the table of bars."""

    what: str
    found: Ratio | float | None
    bar: float
    at_least: bool = True
    unit: str = "x"
    note: str = ""

    def line(self) -> str:
        sign = "≥" if self.at_least else "≤"
        goal = f"{sign} {self.bar:g}{self.unit}"
        if self.found is None:
            return f"| {self.what} | not measured | {goal} | | {self.note} |"
        value = self.found.value if isinstance(self.found, Ratio) else self.found
        shown = str(self.found) if isinstance(self.found, Ratio) else f"{self.found:.2f}"
        met = value >= self.bar if self.at_least else value <= self.bar
        return f"| {self.what} | {shown} | {goal} | {'yes' if met else '**no**'} | {self.note} |"


def fastest(results: Results) -> Bar:
    sides = [s for s in ("ours, compiled", "ours, compiled, bf16") if results.side(MAIN, s)]
    found = {s: r for s in sides if (r := results.ratio(MAIN, s, "deepctr-torch"))}
    best = max(found, key=lambda s: found[s].value, default="")
    note = {"ours, compiled": "`torch_compile=True`", "ours, compiled, bf16": "compiled, bf16"}.get(best, "")
    if not results.bf16:
        note += "; this CPU has no bf16 instructions"
    return Bar("the same with the fastest switches, against deepctr-torch", found.get(best), 3.5, note=note.strip("; "))


def model_bars(results: Results) -> list[Bar]:
    ratios = {name: r for name, r in results.models().items() if r}
    mean = math.exp(sum(math.log(r.value) for r in ratios.values()) / len(ratios)) if ratios else None
    least = min(ratios, key=lambda n: ratios[n].value, default="")
    count = f"{len(ratios)} of {len(results.models())} models"
    bars = [
        Bar("all models, 1e5 / 1,024 / dim 8: geometric mean", mean, 2.5, note=count),
        Bar("all models: the smallest", ratios.get(least), EVERY_MODEL, note=least),
        *(Bar(name, ratios.get(name), floor) for name, floor in FLOORS.items()),
    ]
    note = "" if results.bf16 else "this CPU has no bf16 instructions"
    bars.append(Bar("xDeepFM in bf16", results.ratio("models/xDeepFM", "ours, bf16", "deepctr-torch"), 2.5, note=note))
    return bars


def bars(results: Results) -> list[Bar]:
    """The table of bars, in the order in which they were set."""
    big, deepctr = "train/1e7-4096-16", "deepctr-torch"
    held = (results.side("memory", "ours") or {}).get("times_data")
    peer = (results.side("memory", "deepctr") or {}).get("times_data")
    seconds = (results.side("import", "ours, import deepctr_torch.models") or {}).get("seconds")
    return [
        Bar("DeepFM 1e5 / 4,096 / dim 16 / adam, eager", results.ratio(MAIN, "ours", deepctr), 2.2),
        fastest(results),
        Bar("DeepFM 1e5 / 256 / dim 4 / adagrad", results.ratio("train/1e5-256-4-adagrad", "ours", deepctr), 3),
        Bar("DeepFM 1e6 / 256 / dim 16 / adam", results.ratio("train/1e6-256-16", "ours", deepctr), 20),
        Bar("DeepFM 1e7 / 4,096 / dim 16 / adam", results.ratio(big, "ours", deepctr), 55),
        Bar("step at 1e7 rows over step at 1e5 rows", results.ratio(big, "ours, 1e5 rows", "ours"), 1.3, False),
        Bar("DeepFM step over MLP alone, eager", results.ratio(MAIN, "MLP", "ours"), 1.6, False),
        Bar("the same, compiled", results.ratio(MAIN, "MLP, compiled", "ours, compiled"), 1.4, False),
        *model_bars(results),
        Bar("`predict`, DeepFM, 1e5 rows", results.ratio("predict", "ours", deepctr), 3),
        Bar(
            "memory that `fit` adds over the size of the data",
            held,
            1.4,
            False,
            note=f"deepctr-torch: {peer:.2f}x" if peer else "",
        ),
        Bar(
            "seconds of `import deepctr_torch.models` after `import torch`",
            seconds,
            0.3,
            False,
            unit=" s",
        ),
    ]


def ratio_section(results: Results) -> list[str]:
    """How many times as fast as deepctr-torch."""
    lines = ["| | times as fast as deepctr-torch (rounds) |", "| --- | ---: |"]
    for group, (rows, batch, dimension, optimizer) in TRAINED.items():
        if ratio := results.ratio(group, "ours", "deepctr-torch"):
            what = f"DeepFM, {rows} rows in the tables, batches of {batch}, dimension {dimension}, {optimizer}"
            lines.append(f"| {what} | {ratio} |")
    ratios = [ratio.value for ratio in results.models().values() if ratio]
    if ratios:
        mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
        lines.append(f"| all models, 1e5 rows, batches of 1,024: geometric mean | {mean:.2f} |")
        lines.append(f"| all models: smallest and largest | {min(ratios):.2f}, {max(ratios):.1f} |")
    if ratio := results.ratio("predict", "ours", "deepctr-torch"):
        lines.append(f"| `predict`, DeepFM, batches of 4,096 | {ratio} |")
    return lines


def bar_section(results: Results) -> list[str]:
    lines = ["| what | ratio (rounds) | bar | met | |", "| --- | ---: | --- | --- | --- |"]
    return lines + [bar.line() for bar in bars(results)]


def rate(side: dict[str, Any] | None) -> str:
    if side is None:
        return ""
    if "rate" not in side:
        return f"failed: {side.get('error', '')}".replace("|", "/")
    return f"{side['rate']:,.0f} ({side['low']:,.0f}..{side['high']:,.0f})"


def training_section(results: Results) -> list[str]:
    sides = ["ours", "ours, compiled", "ours, compiled, bf16", "deepctr-torch", "FuxiCTR"]
    sides = [s for s in sides if any(results.side(g, s) for g in TRAINED)] or sides[:1]
    lines = [
        "| rows in tables | batch | dim | optimizer | " + " | ".join(sides) + " |",
        "| --- | --- | --- | --- |" + " ---: |" * len(sides),
    ]
    for group, what in TRAINED.items():
        if group in results.groups:
            cells = [*what, *(rate(results.side(group, s)) for s in sides)]
            lines.append("| " + " | ".join(cells) + " |")
    return lines


def models_section(results: Results) -> list[str]:
    lines = ["| model | ours | deepctr-torch | ratio (rounds) |", "| --- | ---: | ---: | ---: |"]
    for name, ratio in results.models().items():
        group = f"models/{name}"
        cells = [rate(results.side(group, s)) for s in ("ours", "deepctr-torch")]
        lines.append(f"| {name} | {cells[0]} | {cells[1]} | {ratio or ''} |")
        if bf16 := results.side(group, "ours, bf16"):
            ratio = results.ratio(group, "ours, bf16", "deepctr-torch")
            lines.append(f"| {name}, bf16 | {rate(bf16)} | | {ratio or ''} |")
    return lines


def mlp_section(results: Results) -> list[str]:
    def step(side: str) -> str:
        found = results.side(MAIN, side)
        return f"{4096e3 / found['rate']:.1f}" if found and "rate" in found else ""

    lines = [
        "| | DeepFM, ms a step | MLP alone | ratio | MLP, gradient of its input too | ratio |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for how, end in (("eager", ""), ("compiled", ", compiled")):
        mine, plain, leaf = f"ours{end}", f"MLP{end}", f"MLP, leaf{end}"
        ratios = [str(results.ratio(MAIN, m, mine) or "") for m in (plain, leaf)]
        lines.append(f"| {how} | {step(mine)} | {step(plain)} | {ratios[0]} | {step(leaf)} | {ratios[1]} |")
    return lines


def predict_section(results: Results) -> list[str]:
    lines = ["| `predict`, batches of 4,096 | rows a second |", "| --- | ---: |"]
    lines += [f"| {s} | {rate(v)} |" for s, v in results.groups.get("predict", {}).get("sides", {}).items()]
    if ratio := results.ratio("predict", "ours", "deepctr-torch"):
        lines.append(f"| ratio | {ratio} |")
    lines += ["", "| one call | rows | ms (fastest..slowest round) |", "| --- | ---: | ---: |"]
    for name, side in results.groups.get("latency", {}).get("sides", {}).items():
        what, _, rows = name.rpartition(", ")
        ms = [1e3 * int(rows) / side[k] for k in ("rate", "high", "low")] if "rate" in side else None
        shown = f"{ms[0]:.3f} ({ms[1]:.3f}..{ms[2]:.3f})" if ms else rate(side)
        lines.append(f"| {what} | {rows} | {shown} |")
    return lines


def memory_section(results: Results) -> list[str]:
    lines = ["| | data, MB | `fit` adds, MB | over the size of the data |", "| --- | ---: | ---: | ---: |"]
    for name, side in results.groups.get("memory", {}).get("sides", {}).items():
        cells = (
            f"{side['data_mb']:.0f} | {side['added_mb']:.0f} | {side['times_data']:.2f}"
            if "added_mb" in side
            else f"failed: {side['error'].replace('|', '/')} | | "
        )
        lines.append(f"| {name} | {cells} |")
    lines += ["", "| after `import torch` | seconds (fastest..slowest) |", "| --- | ---: |"]
    for name, side in results.groups.get("import", {}).get("sides", {}).items():
        lines.append(f"| {name} | {side['seconds']:.2f} ({side['low']:.2f}..{side['high']:.2f}) |")
    return lines


def machine_section(results: Results) -> list[str]:
    if not results.groups:
        return ["Not measured yet: run `make bench`."]
    lines = []
    for text in dict.fromkeys(machine_line(g) for g in results.groups.values()):
        names = [n for n, g in results.groups.items() if machine_line(g) == text]
        all_of_them = len(names) == len(results.groups)
        lines.append(text if all_of_them else f"{text} ({', '.join(names)})")
    versions: dict[str, str] = {}
    for group in results.groups.values():
        for name, side in group["sides"].items():
            who = name.partition(",")[0]
            if "versions" in side:
                versions[who] = ", ".join(f"{k} {v}" for k, v in side["versions"].items())
    lines += [f"{who}: {found}." for who, found in versions.items()]
    busy = {n: g["busy_before"] for n, g in results.groups.items() if (g["busy_before"] or 0) > BUSY}
    if busy:
        at_work = ", ".join(f"{name} ({cores:.1f})" for name, cores in busy.items())
        lines.append(f"Cores that other work kept busy when these groups began: {at_work}.")
    return ["\n\n".join(lines)]


def machine_line(group: dict[str, Any]) -> str:
    m = group["machine"]
    bf16 = "bf16 instructions" if m["bf16"] else "no bf16 instructions"
    void = " Made with --quick: these numbers mean nothing." if group["quick"] else ""
    return (
        f"{m['processor']} ({', '.join(m['vectors']) or 'no vector instructions known'}; {bf16}), {m['cores']} cores, "
        f"{m['threads']} threads, {m['system']}; median of {group['rounds']} interleaved rounds.{void}"
    )


SECTIONS: dict[str, Callable[[Results], Sequence[str]]] = {
    "ratios": ratio_section,
    "training": training_section,
    "mlp": mlp_section,
    "models": models_section,
    "predict": predict_section,
    "memory": memory_section,
    "machine": machine_section,
    "bars": bar_section,
}
TITLES = {"ratios": "Beside deepctr-torch", "mlp": "MLP", "bars": "Goals of the project"}


def write_report(found: dict[str, Any], folder: Path) -> None:
    """Write `speed.md` and `speed.png`; the documentation has a copy of the plot."""
    results = Results(found["groups"])
    shown = plot(found["groups"], folder / "speed.png")
    parts = ["# Speed", ""]
    for name, section in SECTIONS.items():
        text = [f"<!-- --8<-- [start:{name}] -->", *section(results), f"<!-- --8<-- [end:{name}] -->", ""]
        parts += [f"## {TITLES.get(name, name.capitalize())}", "", *text]
    picture = ["![Samples a second against the rows in the tables](speed.png)"] if shown else ["No plot yet."]
    parts += ["## Plot", "", "<!-- --8<-- [start:plot] -->", *picture, "<!-- --8<-- [end:plot] -->", ""]
    (folder / "speed.md").write_text("\n".join(parts), encoding="utf-8")
    if shown and folder.resolve() == DOCS.parent / "benchmarks" / "results":
        shutil.copy(folder / "speed.png", DOCS / "speed.png")
