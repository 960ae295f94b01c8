"""Moments of the powers that the logarithmic transformation normalises; gradients: see `test_autograd.py`."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from deepctr_torch.layers.kernels import afn


@pytest.mark.parametrize("how", ["by hand", "plain", "autocast"])
def test_moments_of_the_powers(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Tensor] = []

    def keeping(*parts: Tensor) -> Tensor:
        made.append(plain(*parts))
        return made[-1]

    plain = afn.powers_of
    monkeypatch.setattr(afn, "powers_of", keeping)
    if how == "plain":
        monkeypatch.setattr(afn, "wants_plain", lambda _: True)
    inputs = [torch.randn(s) for s in ((7, 3, 4), (4, 5), (5,), (3,), (3,))]
    for each in inputs:
        each.requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=how == "autocast"):
        out, mean, variance = afn.normalized_powers(*inputs, eps=1e-3)
        powers = made[0] if made else plain(*inputs[:3])
    assert len(made) == (how != "by hand")  # once
    torch.testing.assert_close((variance, mean), torch.var_mean(powers, dim=(0, 2), correction=0))
    assert out.dtype == mean.dtype == variance.dtype == powers.dtype == torch.float32
    assert not mean.requires_grad
    assert not variance.requires_grad
