"""The plot of `speed.py`: it shows what depends on the size of the tables, and what does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

PLOTTED = {1e5: "train/1e5-4096-16", 1e6: "train/1e6-4096-16", 1e7: "train/1e7-4096-16"}


def plot(groups: dict[str, Any], path: Path) -> bool:
    """Samples a second against the rows in the tables; False if there is nothing to show."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    for side, colour in (("ours", "#1b7837"), ("deepctr-torch", "#762a83"), ("FuxiCTR", "#e08214")):
        found = [(rows, groups.get(name, {}).get("sides", {}).get(side, {})) for rows, name in PLOTTED.items()]
        points = [(rows, values) for rows, values in found if "rate" in values]
        if points:
            rates = [s["rate"] for _, s in points]
            spread = [[s["rate"] - s["low"] for _, s in points], [s["high"] - s["rate"] for _, s in points]]
            axes.errorbar([r for r, _ in points], rates, yerr=spread, marker="o", capsize=3, color=colour, label=side)
    empty = not axes.has_data()
    if not empty:
        axes.set(xscale="log", yscale="log", xlabel="rows in the tables", ylabel="samples a second, training")
        axes.set_title("DeepFM, batch 4,096, dimension 16, Adam")
        axes.grid(alpha=0.3, which="both")
        axes.legend()
        figure.savefig(path, dpi=150)
    plt.close(figure)
    return not empty
