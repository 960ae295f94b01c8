"""Training on a share of the negative rows, and predictions as if all had been there."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from .._typing import Mask
from ..hashing import hash_values

__all__ = ["check_negative_rate", "correct_probability", "keep_rows"]


def check_negative_rate(rate: object) -> None:
    """Raise unless `rate` lies in (0, 1]."""
    if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0 < rate <= 1:
        raise ValueError(f"negative_rate must be a number in (0, 1], got {rate!r}")


def keep_rows(positive: Mask, file: str, first_row: int, rate: float, seed: int = 0) -> Mask:
    """True for each row of a part of a file to train on: every positive one, and the share `rate` of the others.

    A negative row is kept if a hash of its number in the file, of the file's name (without folders) and of `seed` says
    so: the same rows in every epoch, whatever the order, the parts that the file is read in, and who reads them.

    >>> keep_rows(np.array([True, False, False, False, False, False]), "a.parquet", 0, 0.5)
    array([ True,  True, False,  True,  True, False])

    Args:
        positive: [N], the rows from number `first_row` of the file on.
    """
    key = hash_values([f"{seed}/{file}"])[0]
    rows = np.arange(first_row, first_row + len(positive), dtype=np.int64).astype(np.uint64)
    share = (hash_values(rows ^ key) >> np.uint64(11)) * 2.0**-53  # uniform in [0, 1)
    kept: Mask = positive | (share < rate)
    return kept


def correct_probability(prediction: Tensor, rate: float) -> Tensor:
    """Probabilities of a model trained on sampled rows -> probabilities in all rows, [B, T] -> [B, T].

    With S for "the row was kept", a positive row always being, and a(x) = P(any task is positive | x, S), Bayes gives
    P(S | x) = r / (1 - a (1 - r)), and P(y_t = 1 | x) = P(y_t = 1 | x, S) P(S | x). `a` is the largest probability of
    the row: exact for one task, whose logit moves by log(r), and for tasks of which one contains the others (an order
    follows a click); for other tasks too small, and so are the results, by the share of rows positive in a lesser task
    alone.

    >>> import torch
    >>> correct_probability(torch.tensor([[0.5]]), 0.25)
    tensor([[0.2000]])
    """
    if rate == 1.0:
        return prediction
    prediction = prediction.float()
    return prediction * rate / (1.0 - prediction.amax(dim=1, keepdim=True) * (1.0 - rate))
