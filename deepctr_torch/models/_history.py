"""Target features paired with their histories, by name: what DIN and DIEN read."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from ..features import FeatureColumn, SparseFeat, VarLenSparseFeat
from ..registry import suggest
from .fields import Fields

__all__ = ["HistoryPairs", "negative_name"]


def negative_name(name: str) -> str:
    """Name of the column with negatives drawn for the history of `name`."""
    return f"neg_hist_{name}"


class HistoryPairs:
    """Which target features have a history, `name` with `hist_<name>`.

    Args:
        columns: the columns of the model.
        names: the target features.
        negatives: every history also has negatives, `neg_hist_<name>`.

    Attributes:
        targets: names of the target features, in column order; the histories follow them.
        width: E, the summed embedding dimensions of the targets.
        others: names of the sequences that are no history.

    Raises:
        ValueError: a target or its history is missing, or their dimensions differ.
    """

    def __init__(self, columns: Sequence[FeatureColumn], names: Sequence[str], negatives: bool = False) -> None:
        single = {c.name: c for c in columns if isinstance(c, SparseFeat)}
        sequences = {c.name: c for c in columns if isinstance(c, VarLenSparseFeat)}
        if isinstance(names, str) or not names:
            raise ValueError(f"history_feature_list must be a list of at least one feature name, got {names!r}")
        for name in names:
            if name not in single:
                raise ValueError(f"history_feature_list names no SparseFeat {name!r}: {suggest(name, single)}")
            for other in [f"hist_{name}"] + ([negative_name(name)] if negatives else []):
                if other not in sequences:
                    raise ValueError(
                        f"the history of {name!r} must be a VarLenSparseFeat {other!r}: {suggest(other, sequences)}"
                    )
                dims = single[name].embedding_dim, sequences[other].embedding_dim
                if dims[0] != dims[1]:
                    raise ValueError(f"{name!r} and {other!r} must have one embedding_dim, got {dims[0]} and {dims[1]}")
        # NOTE[DIFF] W4: the original pairs targets and histories by their places in the list of columns.
        self.targets = [n for n in single if n in names]
        used = {p + n for n in self.targets for p in ("hist_", "neg_hist_")}
        self.others = [n for n in sequences if n not in used]
        self.width = sum(single[n].embedding_dim for n in self.targets)

    def query(self, fields: Fields) -> Tensor:
        """[B, 1, E]: the target."""
        return fields.pick(self.targets).unsqueeze(1)

    def keys(self, fields: Fields, prefix: str = "hist_") -> tuple[Tensor, Tensor]:
        """[B, T, E] and bool [B, T]: the histories side by side, and which steps are valid in any of them."""
        # NOTE[DIFF] W5: the original reads the lengths of all histories from the first length column.
        vectors = [fields.sequence(prefix + n) for n in self.targets]
        masks = [fields.mask(prefix + n) for n in self.targets]
        if len(vectors) == 1:
            return vectors[0], masks[0]
        time = max(v.shape[1] for v in vectors)
        vectors = [
            F.pad(v * m.unsqueeze(-1), (0, 0, 0, time - v.shape[1])) for v, m in zip(vectors, masks, strict=True)
        ]
        masks = [F.pad(m, (0, time - m.shape[1])) for m in masks]
        return torch.cat(vectors, dim=-1), torch.stack(masks, dim=0).any(dim=0)
