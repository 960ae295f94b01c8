"""NFM against He and Chua, SIGIR 2017, equations 2 and 3."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from deepctr_torch._checks import refuse_names
from deepctr_torch.models import NFM
from tests.support.cases import FIELDS, PRICE, STATS, USER, inputs
from tests.support.reference import Row, assert_follows, randomized


def deep_input(row: Row) -> np.ndarray:
    pooled = sum((a * b for a, b in row.pairs()), np.zeros(4))
    return np.concatenate([pooled, row.numbers])


def deep(row: Row) -> float:
    return float(row.w["dnn_linear.weight"][0] @ row.dnn(deep_input(row)))


def test_logit_is_linear_plus_a_dnn_over_pooled_products() -> None:
    model = randomized(NFM(FIELDS, FIELDS, dnn_hidden_units=(6, 5), bi_dropout=0.5, dnn_dropout=0.5))
    assert_follows(model, inputs(FIELDS, 6), lambda r: r.linear + deep(r))


def test_without_hidden_units_the_output_layer_reads_the_products() -> None:
    """C13 in `docs/differences.md`."""
    model = randomized(NFM(FIELDS, FIELDS, dnn_hidden_units=()))
    assert_follows(model, inputs(FIELDS, 6), lambda r: r.linear + float(r.w["dnn_linear.weight"][0] @ deep_input(r)))


def test_numbers_alone_are_enough() -> None:
    """C14 in `docs/differences.md`."""
    columns = [PRICE, STATS]
    model = randomized(NFM(columns, columns, dnn_hidden_units=(4,), bi_dropout=0.5))
    assert_follows(
        model, inputs(columns, 6), lambda r: r.linear + float(r.w["dnn_linear.weight"][0] @ r.dnn(r.numbers))
    )


def test_one_field_has_no_product_and_no_column_no_deep_side() -> None:
    assert_follows(randomized(NFM([], [USER, PRICE], dnn_hidden_units=(4,))), inputs([USER, PRICE], 6), deep)
    assert_follows(randomized(NFM(FIELDS, [])), inputs(FIELDS, 6), lambda r: r.linear)


def test_bi_dropout_drops_pooled_products_in_training_only() -> None:
    model = randomized(NFM([], FIELDS[:5], dnn_hidden_units=(), bi_dropout=0.5, task="regression")).train()
    seen = []
    model.dnn_linear.register_forward_pre_hook(lambda _, args: seen.append(args[0].detach()))
    x = {k: np.repeat(v[-1:], 500, axis=0) for k, v in inputs(FIELDS, 2).items()}
    whole = torch.from_numpy(np.concatenate([np.reshape(x[n], (500, -1)) for n in model.feature_index], axis=1))
    model(whole)
    model.eval()(whole)
    dropped, kept = seen
    share = (dropped == 0).float().mean().item()
    assert 0.4 < share < 0.6
    assert not (kept == 0).any()
    torch.testing.assert_close(dropped[dropped != 0], (2 * kept)[dropped != 0])


def test_the_documented_name_of_bi_dropout_is_refused_with_a_suggestion() -> None:
    with pytest.raises(TypeError, match=r"^NFM has no argument 'biout_dropout': did you mean 'bi_dropout'\?$"):
        NFM(FIELDS, FIELDS, biout_dropout=0.1)
    with pytest.raises(ValueError, match=r"bi_dropout must be in \[0, 1\), got 1.5"):
        NFM(FIELDS, FIELDS, bi_dropout=1.5)
    with pytest.raises(TypeError, match=r"^F has no argument 'old': leave it out$"):
        refuse_names("F", ["new", "old"], {"old": ""})
    refuse_names("F", ["new"], {"old": "new"})
