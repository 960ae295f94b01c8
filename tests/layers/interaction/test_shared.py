"""Helpers of the interaction layers: both forms of fields, refused names."""

from __future__ import annotations

import pytest
import torch

from deepctr_torch.layers import CrossNet
from deepctr_torch.layers.interaction._shared import as_fields


def test_fields_come_as_a_list_or_as_one_tensor() -> None:
    fields = torch.rand(3, 2, 4)
    assert as_fields(fields) is fields
    assert torch.equal(as_fields([fields[:, :1], fields[:, 1:]]), fields)
    with pytest.raises(ValueError, match="got an empty list"):
        as_fields([])
    with pytest.raises(ValueError, match=r"three dimensions \[B, F, E\], got shape \(2, 4\)"):
        as_fields(fields[0])


def test_names_of_the_documentation_are_refused_with_advice() -> None:
    with pytest.raises(TypeError, match="CrossNet has no argument 'input_feature_num': did you mean 'in_features'"):
        CrossNet(input_feature_num=3)
