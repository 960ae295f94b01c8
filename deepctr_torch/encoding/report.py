"""Tables of plain values that print as such."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .column_encoder import ColumnEncoder

__all__ = ["Report", "describe"]


class Report(list[dict[str, Any]]):
    """A list of dicts that is printed as a table, a column for each key.

    >>> print(Report([{"feature": "city", "rows": 3}, {"feature": "price", "missing": 0.25}]))
    feature  rows  missing
    city        3
    price             0.25
    """

    def __str__(self) -> str:
        names = list(dict.fromkeys(key for row in self for key in row))
        cells = [[_cell(row.get(name)) for name in names] for row in self]
        widths = [max(len(text) for text in column) for column in zip(names, *cells, strict=True)] if names else []
        numeric = [all(not isinstance(row.get(name), str) for row in self) for name in names]
        lines = [
            "  ".join(t.rjust(w) if n else t.ljust(w) for t, w, n in zip(line, widths, numeric, strict=True)).rstrip()
            for line in [names, *cells]
        ]
        return "\n".join(lines)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def describe(parts: Mapping[str, ColumnEncoder]) -> Report:
    """Kind, share of missing values and what the feature itself says."""
    rows = []
    for name, part in parts.items():
        state = part.state()
        share = {"rows": state["rows"], "missing": state["missing"] / max(state["rows"], 1)}
        rows.append({"feature": name, "kind": type(part.kind).__name__, **share, **part.describe()})
    return Report(rows)
