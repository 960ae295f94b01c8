"""Large batches: how rates, penalties and gradients follow the batch size (CowClip)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .._checks import check_at_least, check_non_negative
from ..embedding.sparse_grad import SparseGrad
from .regularizer import Regularizer

__all__ = ["CowClip"]


@dataclass(frozen=True)
class CowClip:
    """The scaling rule and the clipping of CowClip.

    (Zheng et al., "CowClip: Reducing CTR Prediction Model Training Time from 12 hours to 10 minutes on 1 GPU",
    AAAI 2023, algorithm 1 and section 4.) With a batch `s` times as large as the one the settings were made for: the
    tables keep their learning rate, everything else takes `sqrt(s)` times its own; the tables' penalty relative to the
    mean loss is `s` times as strong; and the gradient of a row that a batch reads `c` times is cut to the length
    `c * max(r * |w|, zeta)`, where the loss is the mean over the batch. The weights of the linear part are not cut.

    The penalty is made stronger where every step shrinks every row, since there are `s` times fewer steps. With sparse
    updates a step shrinks the rows that it reads: a rare row as often as before, so the penalty stays.

    Attributes:
        base: batch size for which learning rates and penalties were chosen.
        r, zeta: see above.
    """

    base: int
    r: float = 1.0
    zeta: float = 1e-5

    def __post_init__(self) -> None:
        check_at_least("large_batch", self.base, 1)
        check_non_negative("r of large_batch", self.r)
        check_non_negative("zeta of large_batch", self.zeta)

    @classmethod
    def of(cls, given: Any) -> CowClip | None:
        """From what `compile(large_batch=...)` was given: None, a batch size, or a dict of the attributes.

        >>> CowClip.of(1024)
        CowClip(base=1024, r=1.0, zeta=1e-05)
        """
        if given is None or isinstance(given, CowClip):
            return given
        if not isinstance(given, Mapping):
            return cls(given)
        if "base" not in given or not set(given) <= {"base", "r", "zeta"}:
            raise ValueError(
                "large_batch must be the batch size that the settings were made for, or a dict of it as 'base' with "
                f"'r' and 'zeta', got {dict(given)!r}"
            )
        return cls(**given)

    def rate(self, batch_size: int) -> float:
        """Factor of the learning rates of all that is no table."""
        return float((batch_size / self.base) ** 0.5)

    def strengthen(
        self, penalty: Regularizer, tables: Iterable[nn.Parameter], batch_size: int, reduction: str, sparse: bool
    ) -> Regularizer:
        """The penalty with that of the tables scaled; a summed loss grows with the batch itself."""
        factor = (batch_size / self.base) ** ((0 if sparse else 1) + (0 if reduction == "mean" else 1))
        return penalty.scaled(tables, factor)

    def clip(self, grads: Sequence[SparseGrad], batch_size: int, reduction: str) -> None:
        """Cut the gradient of each row of the tables, in place."""
        rows_of_loss = 1.0 if reduction == "mean" else float(batch_size)
        for each in grads:
            if each.weight.shape[1] == 1:  # numbers, not vectors: the linear part
                continue
            length = torch.linalg.vector_norm(each.gradient, dim=1)
            weights = torch.linalg.vector_norm(each.weight.detach().index_select(0, each.rows), dim=1)
            limit = each.coalesced.counts() * (self.r * weights).clamp_(min=self.zeta) * rows_of_loss
            scale: Tensor = (limit / length.clamp_(min=torch.finfo(length.dtype).tiny)).clamp_(max=1.0)
            each.gradient.mul_(scale.unsqueeze(1))
