"""Argument errors: what was expected, then what came."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from deepctr_torch import _checks as checks


@pytest.mark.parametrize(
    ("check", "value"),
    [
        (lambda v: checks.check_at_least("n", v, 2), 2),
        (lambda v: checks.check_at_least("n", v, 2), np.int64(7)),
        (lambda v: checks.check_non_negative("x", v), 0),
        (lambda v: checks.check_non_negative("x", v), 1e9),
        (lambda v: checks.check_fraction("x", v), 0.0),
        (lambda v: checks.check_fraction("x", v), 0.999),
        (lambda v: checks.check_choice("x", v, ["a", "b"]), "b"),
        (lambda v: checks.check_type("x", v, (int, str), "a number or a name"), "b"),
        (lambda v: checks.check_positive_units("x", v), ()),
        (lambda v: checks.check_positive_units("x", v), [3, np.int32(1)]),
    ],
)
def test_good_values_pass(check: Callable[[Any], None], value: Any) -> None:
    refusal = None
    try:
        check(value)
    except (TypeError, ValueError) as error:
        refusal = error
    assert refusal is None


@pytest.mark.parametrize(
    ("check", "value", "error", "message"),
    [
        (lambda v: checks.check_at_least("n", v, 2), 1, ValueError, "n must be an integer of at least 2, got 1"),
        (lambda v: checks.check_at_least("n", v, 2), 2.0, ValueError, "n must be an integer of at least 2, got 2.0"),
        (lambda v: checks.check_at_least("n", v, 0), True, ValueError, "n must be an integer of at least 0, got True"),
        (lambda v: checks.check_at_least("n", v, 2), "3", ValueError, "n must be an integer of at least 2, got '3'"),
        (lambda v: checks.check_at_least("n", v, 2), None, ValueError, "n must be an integer of at least 2, got None"),
        (lambda v: checks.check_non_negative("x", v), -0.1, ValueError, "x must be a number >= 0, got -0.1"),
        (lambda v: checks.check_non_negative("x", v), float("nan"), ValueError, "x must be a number >= 0, got nan"),
        (lambda v: checks.check_non_negative("x", v), float("inf"), ValueError, "x must be a number >= 0, got inf"),
        (lambda v: checks.check_non_negative("x", v), "1", ValueError, "x must be a number >= 0, got '1'"),
        (lambda v: checks.check_fraction("x", v), 1, ValueError, "x must be in [0, 1), got 1"),
        (lambda v: checks.check_fraction("x", v), None, ValueError, "x must be in [0, 1), got None"),
        (
            lambda v: checks.check_choice("task", v, ["binary", "regression"]),
            "binry",
            ValueError,
            "unknown task 'binry': did you mean 'binary'? Known: binary, regression",
        ),
        (lambda v: checks.check_choice("x", v, iter(["a"])), None, ValueError, "unknown x None: Known: a"),
        (lambda v: checks.check_type("x", v, str, "a string"), 3, TypeError, "x must be a string, got int"),
        (
            lambda v: checks.check_positive_units("h", v),
            4,
            TypeError,
            "h must be a list or tuple of layer sizes, got int",
        ),
        (
            lambda v: checks.check_positive_units("h", v),
            [4, 0],
            ValueError,
            "h[1] must be an integer of at least 1, got 0",
        ),
    ],
)
def test_bad_values(check: Callable[[Any], None], value: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        check(value)
    assert str(caught.value) == message


def test_refused_names() -> None:
    renamed = {"use_bn": "dnn_use_bn", "reduce_sum": ""}
    checks.refuse_names("ONN", ["device"], renamed)
    with pytest.raises(TypeError, match=r"^ONN has no argument 'use_bn': did you mean 'dnn_use_bn'\?$"):
        checks.refuse_names("ONN", ["device", "use_bn"], renamed)
    with pytest.raises(TypeError, match=r"^ONN has no argument 'reduce_sum': leave it out$"):
        checks.refuse_names("ONN", ["reduce_sum"], renamed)
