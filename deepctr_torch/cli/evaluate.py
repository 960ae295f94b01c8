"""`evaluate`: predictions against labels, over all rows, by value of a column, within groups."""

from __future__ import annotations
