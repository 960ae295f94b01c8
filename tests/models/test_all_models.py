"""Every model of the registry, under the promises that all of them make."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch

from deepctr_torch import load_model
from deepctr_torch.features import DenseFeat, SparseFeat, VarLenSparseFeat
from deepctr_torch.layers import DNN, ParallelDNN, PredictionLayer
from deepctr_torch.training import evaluation
from deepctr_torch.training.evaluation import predict_batch
from tests.support.all_models import CASES, every_model
from tests.support.cases import PLAIN, Case, inputs, labels, packed

LOSS = {"binary": "binary_crossentropy", "regression": "mse", "multiclass": "cross_entropy"}


def compiled(model: Any, optimizer: str = "adam", **options: Any) -> Any:
    losses = [LOSS[kind] for _, kind in model.tasks]
    model.compile(optimizer, losses if len(losses) > 1 else losses[0], **options)
    return model


def trained(model: Any, columns: list[Any], rows: int = 12, epochs: int = 1, **options: Any) -> Any:
    model = compiled(model, **options)
    model.fit(inputs(columns, rows), labels(model, rows), batch_size=6, epochs=epochs, verbose=0)
    return model


@every_model
@pytest.mark.parametrize("rows", [1, 2, 7])
def test_output_has_one_row_a_sample_and_one_column_a_task(case: Case, rows: int) -> None:
    model = case.make()
    prediction = model.predict(inputs(case.all_columns, rows))
    assert prediction.shape == (rows, len(model.tasks))
    assert prediction.dtype == np.float64
    assert ((prediction > 0) & (prediction < 1)).all()
    model.train()
    assert model(packed(model, case.all_columns, rows)).shape == (rows, len(model.tasks))


@every_model
def test_every_parameter_gets_a_gradient(case: Case) -> None:
    model = case.make()
    batch = model.schema.unpack(packed(model, case.all_columns, 64))
    prediction, extra = predict_batch(model.train(), batch)
    weights = torch.linspace(0.5, 1.5, prediction.numel()).reshape(prediction.shape)
    ((prediction * weights).sum() + (0.0 if extra is None else extra.sum())).backward()
    without = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert without == []


def fingerprint(case: Case, **arguments: Any) -> list[np.ndarray]:
    """What a constructor's arguments can change: shapes, predictions, the penalty, and where training leads."""
    model = case.make(**arguments)
    shapes = [np.array([hash(n) % 997, *p.shape]) for n, p in model.state_dict().items()]
    x = inputs([*case.all_columns, *arguments.get("base_feature_columns", [])], 16)
    before = model.predict(x)
    penalty = model.get_regularization_loss().detach().numpy()
    losses = [LOSS[kind] for _, kind in model.tasks]
    model.compile("sgd", losses if len(losses) > 1 else losses[0], metrics=["mse"], learning_rate=0.01)
    y = labels(model, 16)
    history = model.fit(x, y, batch_size=8, epochs=2, verbose=0, shuffle=False).history
    names = sorted(f"{n}" for n in history)
    return [
        *shapes,
        before,
        penalty,
        np.array(history["loss"]),
        np.array([hash(n) % 997 for n in names]),
        model.predict(x),
    ]


def differ(a: list[np.ndarray], b: list[np.ndarray]) -> bool:
    return len(a) != len(b) or any(x.shape != y.shape or not np.array_equal(x, y) for x, y in zip(a, b, strict=True))


@every_model
def test_a_fingerprint_is_the_same_twice(case: Case) -> None:
    assert not differ(fingerprint(case), fingerprint(case)), "otherwise every argument would seem to have an effect"


def arguments() -> list[Any]:
    out = []
    for case in CASES.values():
        for name in case.parameters:
            special = name in case.column_arguments or name in ("history_feature_list", "gpus", "device", "num_classes")
            if not special:
                out.append(pytest.param(case, name, id=f"{case.name}-{name}"))
    return out


@pytest.mark.parametrize(("case", "name"), arguments())
def test_every_argument_has_an_effect(case: Case, name: str) -> None:
    value = case.other_value(name)
    if name in case.refused:
        with pytest.raises(ValueError, match=case.name):
            case.make(**{name: value})
        return
    beside = dict(case.together.get(name, {}))
    changed = differ(fingerprint(case, **beside), fingerprint(case, **beside, **{name: value}))
    assert changed is (name not in case.unused), case.unused.get(name, f"{name} has no effect")


@every_model
def test_penalties_reach_the_loss_and_the_gradient(case: Case) -> None:
    names = [n for n in case.parameters if n.startswith("l2_reg") and n not in case.unused]
    plain = case.make(**{n: 0.0 for n in names})
    assert plain.get_regularization_loss().item() == 0.0
    for name in names:
        model = case.make(**{n: 0.0 for n in names if n != name} | {name: 0.5})
        penalized = [p for weights, _, l2 in model.regularization_weight if l2 for p in weights]
        expected = 0.5 * sum(float(p.detach().square().sum()) for p in set(penalized))
        assert model.get_regularization_loss().item() == pytest.approx(expected, rel=1e-5)
        assert expected > 0
        biases = [n for n, p in model.named_parameters() if any(p is q for q in penalized) and n.endswith("bias")]
        assert biases == []


def weights_of(model: Any) -> dict[str, torch.nn.Parameter]:
    """What a penalty or an initial scale may concern: no biases, no slopes, no normalisations."""
    return {n: p for n, p in model.named_parameters() if p.dim() > 1 and "bias" not in n and not n.endswith("alpha")}


@every_model
def test_the_penalties_together_reach_every_weight_that_is_not_free(case: Case) -> None:
    model = case.make(**{n: 0.5 for n in case.parameters if n.startswith("l2_reg") and n not in case.unused})
    penalized = [p for weights, _, l2 in model.regularization_weight if l2 for p in weights]
    without = [n for n, p in weights_of(model).items() if not any(p is q for q in penalized)]
    assert without == [n for n in weights_of(model) if n.startswith(case.free or "-")]
    assert len(penalized) == len(set(penalized)), "a weight has one penalty"


@every_model
def test_init_std_reaches_every_weight_without_a_scale_of_its_own(case: Case) -> None:
    small, large = weights_of(case.make(init_std=0.1)), weights_of(case.make(init_std=0.2))
    same = [n for n, p in small.items() if not torch.allclose(2 * p, large[n])]
    assert same == [n for n in small if n.startswith(case.start or "-") or PLAIN.fullmatch(n)]
    assert all(torch.equal(small[n], large[n]) for n in same)


@every_model
def test_every_dnn_takes_what_is_said_of_dnns(case: Case) -> None:
    known = case.parameters
    said = {"dnn_activation": "tanh", "dnn_dropout": 0.5, "dnn_use_bn": True, "use_bn": True}
    model = case.make(**{n: v for n, v in said.items() if n in known})
    for name, module in model.named_modules():
        if isinstance(module, (DNN, ParallelDNN)) and "local_att" not in name and "auxiliary_net" not in name:
            activations = list(module.activation_layers.modules())
            assert any(isinstance(a, torch.nn.Tanh) for a in activations) == ("dnn_activation" in known), name
            assert not any(isinstance(a, torch.nn.ReLU) for a in activations), name
            assert module.dropout.p == 0.5, name
            assert module.use_bn == bool({"dnn_use_bn", "use_bn"} & set(known) or case.name == "AFN"), name


@every_model
def test_a_seed_decides_the_weights_and_nothing_else(case: Case) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    a = case.make(seed=3)
    assert torch.equal(torch.rand(3), expected), "building a model must not draw from the global generator"
    b, c = case.make(seed=3), case.make(seed=4)
    assert all(torch.equal(v, b.state_dict()[k]) for k, v in a.state_dict().items())
    assert any(not torch.equal(v, c.state_dict()[k]) for k, v in a.state_dict().items())


@every_model
def test_rows_do_not_depend_on_each_other(case: Case) -> None:
    model = case.make()
    x = inputs(case.all_columns, 9)
    whole = model.predict(x)
    for rows in (slice(2, 3), slice(0, 1), slice(4, 9), slice(None, None, -1)):
        part = model.predict({k: v[rows] for k, v in x.items()})
        np.testing.assert_allclose(part, whole[rows], atol=1e-6)


@every_model
def test_neither_blocks_nor_threads_change_a_prediction(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    model = case.make()
    x = inputs(case.all_columns, 70)
    whole = model.predict(x)
    monkeypatch.setattr(evaluation, "PREDICT_ROWS", 1)
    for batch_size in (1, 6, 64):
        np.testing.assert_allclose(model.predict(x, batch_size), whole, atol=1e-6)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(threads + 1)
        np.testing.assert_allclose(model.predict(x, 70), whole, atol=1e-6)
    finally:
        torch.set_num_threads(threads)


@every_model
def test_eight_threads_predict_at_once(case: Case) -> None:
    model = case.make()
    parts = [inputs(case.all_columns, 20 + i, seed=i) for i in range(8)]
    alone = [model.predict(x) for x in parts]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(model.predict, [*parts, *parts]))
    assert all(np.array_equal(one, other) for one, other in zip(together, [*alone, *alone], strict=True))


@every_model
@pytest.mark.parametrize("bias", [-1e4, 1e4])
def test_extreme_logits_give_probabilities_and_a_finite_loss(case: Case, bias: float) -> None:
    model = compiled(case.make(), metrics=["logloss"])
    heads = [h.bias for h in model.modules() if isinstance(h, PredictionLayer) and hasattr(h, "bias")]  # MLR has none
    with torch.no_grad():
        for own in heads:
            own.fill_(bias)
    x, y = inputs(case.all_columns, 12), labels(model, 12)
    prediction = model.predict(x)
    assert ((prediction >= 0) & (prediction <= 1)).all()
    assert np.isfinite(list(model.evaluate(x, y).values())).all()
    history = model.fit(x, y, batch_size=6, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    assert all(torch.isfinite(value).all() for value in model.state_dict().values())


def with_longer_sequences(columns: list[Any], by: int) -> list[Any]:
    return [c._replace(maxlen=c.maxlen + by) if isinstance(c, VarLenSparseFeat) else c for c in columns]


@every_model
def test_padding_longer_than_the_sequences_changes_nothing(case: Case) -> None:
    model = case.make()
    longer = case.make(tuple(with_longer_sequences(c, 3) for c in case.columns))
    longer.load_state_dict(model.state_dict())
    x = inputs(case.all_columns, 8)
    sequences = {c.name for c in case.all_columns if isinstance(c, VarLenSparseFeat)}
    padded = {k: np.pad(v, ((0, 0), (0, 3))) if k in sequences else v for k, v in x.items()}
    np.testing.assert_allclose(longer.predict(padded), model.predict(x), atol=1e-6)
    matrix = packed(longer, with_longer_sequences(case.all_columns, 3), 8)  # the packed way is never trimmed
    for name, (start, stop) in longer.feature_index.items():
        matrix[:, start:stop] = torch.from_numpy(np.asarray(padded[name], dtype=np.float64).reshape(8, -1))
    np.testing.assert_allclose(longer.eval()(matrix).detach().numpy(), model.predict(x), atol=1e-6)


@every_model
def test_a_step_of_several_ids_counts_as_their_mean(case: Case) -> None:
    """With each id twice, and padded with 0, steps of three ids are those of one; so are the weights of the model."""

    def widened(columns: list[Any]) -> list[Any]:
        return [c._replace(step_width=3) if isinstance(c, VarLenSparseFeat) else c for c in columns]

    model, wide = case.make(), case.make(tuple(widened(c) for c in case.columns))
    wide.load_state_dict(model.state_dict())
    sequences = {c.name for c in case.all_columns if isinstance(c, VarLenSparseFeat)}
    x = inputs(case.all_columns, 8)
    x |= {k: np.where(v == 0, 1, v) if k + "_len" in x or k.startswith(("hist_", "neg_")) else v for k, v in x.items()}
    once = {k: np.stack([v, v, 0 * v], axis=2) if k in sequences else v for k, v in x.items()}  # [N, T, 3]
    np.testing.assert_allclose(wide.predict(once), model.predict(x), atol=1e-6)
    matrix = torch.from_numpy(np.concatenate([once[n].reshape(8, -1) for n in wide.feature_index], axis=1, dtype=float))
    np.testing.assert_allclose(wide.eval()(matrix).detach().numpy(), model.predict(x), atol=1e-6)


@every_model
def test_the_order_of_the_inputs_changes_nothing(case: Case) -> None:
    model = case.make()
    x = inputs(case.all_columns, 6)
    assert np.array_equal(model.predict(dict(reversed(x.items()))), model.predict(x))


@pytest.mark.parametrize("case", [c for c in CASES.values() if c.sequential], ids=lambda c: c.name)
def test_every_target_in_the_list_has_an_effect(case: Case) -> None:
    both, one = case.make(), case.make(history_feature_list=["item"])
    assert (both.pairs.width, one.pairs.width) == (8, 4)
    x = inputs(case.all_columns, 8)
    assert not np.array_equal(both.predict(x), one.predict(x))


@pytest.mark.parametrize("case", [c for c in CASES.values() if c.sequential], ids=lambda c: c.name)
def test_the_order_of_histories_and_targets_changes_nothing(case: Case) -> None:
    (columns,) = case.columns
    model = case.make()
    sequences = [c for c in columns if isinstance(c, VarLenSparseFeat)]
    others = [c for c in columns if not isinstance(c, VarLenSparseFeat)]
    for swapped in ([*sequences[1::-1], *sequences[2:], *others], [*others, *sequences[1::-1], *sequences[2:]]):
        other = case.make((swapped,))
        other.load_state_dict(model.state_dict())
        x = inputs(columns, 8)
        np.testing.assert_allclose(other.predict(x), model.predict(x), atol=1e-6)
    assert np.array_equal(case.make(history_feature_list=["cate", "item"]).predict(x), model.predict(x))


KINDS: dict[str, Callable[[Any], bool]] = {
    "dense": lambda c: isinstance(c, DenseFeat),
    "sparse": lambda c: isinstance(c, SparseFeat),
    "sequence": lambda c: isinstance(c, VarLenSparseFeat),
}


@every_model
@pytest.mark.parametrize("kind", KINDS)
def test_columns_of_one_kind_only(case: Case, kind: str) -> None:
    columns = tuple([c for c in group if KINDS[kind](c)] for group in case.columns)
    if case.sequential:
        with pytest.raises(ValueError, match="history"):
            case.make(columns)
        return
    model = trained(case.make(columns), columns[0], learning_rate=0.05)
    assert model.predict(inputs(columns[0], 5)).shape == (5, len(model.tasks))


@every_model
def test_one_field_only(case: Case) -> None:
    if case.sequential:
        columns: tuple[list[Any], ...] = (
            [c for c in case.columns[0] if "cate" not in c.name and c.name not in ("user", "tags")],
        )
        model = case.make(columns, history_feature_list=["item"])
    else:
        columns = tuple([c for c in group if c.name == "user"] for group in case.columns)
        model = case.make(columns)
    assert np.isfinite(trained(model, columns[0]).predict(inputs(columns[0], 5))).all()


@every_model
def test_empty_hidden_units(case: Case) -> None:
    empty = {n: () for n in case.parameters if n.endswith("hidden_units") and not n.startswith("att")}
    model = case.make(**empty)
    assert np.isfinite(trained(model, case.all_columns).predict(inputs(case.all_columns, 5))).all()


@every_model
def test_embedding_dimensions_may_differ_where_the_formula_allows_it(case: Case) -> None:
    def widened(columns: list[Any]) -> list[Any]:
        return [c._replace(embedding_dim=6) if c.name in ("user", "city") else c for c in columns]

    columns = tuple(widened(group) for group in case.columns)
    if case.stacks:
        with pytest.raises(ValueError, match=r"one embedding_dim.*'user': 6"):
            case.make(columns)
        return
    model = trained(case.make(columns), columns[0])
    assert model.predict(inputs(columns[0], 5)).shape == (5, len(model.tasks))


@every_model
def test_shared_tables(case: Case) -> None:
    shared = [SparseFeat("user", 13, 4), SparseFeat("friend", 13, 4, embedding_name="user"), SparseFeat("item", 11, 4)]
    extra = [c for c in case.columns[0] if c.name not in ("user", "item", "city")] if case.sequential else []
    columns = tuple(shared + extra for _ in case.columns)
    model = trained(case.make(columns), columns[0])
    assert model.predict(inputs(columns[0], 5)).shape == (5, len(model.tasks))


@every_model
def test_any_feature_name(case: Case) -> None:
    if case.sequential:
        names = {"user": "type", "tags": "a.b"}
    else:
        names = {"user": "type", "item": "keys", "city": "a.b", "genres": "forward", "tags": "pop"}

    def renamed(column: Any) -> Any:
        name = names.get(column.name)
        if name is None:
            return column
        if isinstance(column, VarLenSparseFeat):
            inner = column.sparsefeat._replace(name=name, embedding_name=name)
            return column._replace(sparsefeat=inner)
        return column._replace(name=name, embedding_name=name)

    columns = tuple([renamed(c) for c in group] for group in case.columns)
    model = trained(case.make(columns), columns[0])
    again = case.make(columns)
    again.load_state_dict(model.state_dict())
    x = inputs(columns[0], 5)
    assert np.array_equal(again.predict(x), model.predict(x))


@every_model
def test_building_on_the_meta_device(case: Case) -> None:
    model = case.make(device="meta")
    assert {p.device.type for p in model.parameters()} == {"meta"}
    assert {b.device.type for b in model.buffers()} <= {"meta"}
    matrix = packed(model, case.all_columns, 5).to("meta")  # a tensor made on another device would be an error
    assert model(matrix).shape == (5, len(model.tasks))
    assert model.eval()(matrix).device.type == "meta"


class Packed(torch.nn.Module):
    """Packed matrix -> prediction, with plain names in state_dict, where old exporters look parameters up."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        prediction: torch.Tensor = self.model(X)
        return prediction

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        return dict(self.named_parameters()) | dict(self.named_buffers())


@every_model
def test_export_equals_eager(case: Case) -> None:
    model = case.make().eval()
    matrix = packed(model, case.all_columns, 6)
    program = torch.export.export(Packed(model), (matrix,), dynamic_shapes={"X": {0: torch.export.Dim("rows", min=2)}})
    for rows in (6, 11):
        matrix = packed(model, case.all_columns, rows)
        torch.testing.assert_close(program.module()(matrix), model(matrix), atol=1e-6, rtol=1e-5)


@every_model
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
def test_trace_equals_eager(case: Case) -> None:
    model, memory = case.make().eval(), io.BytesIO()
    matrix = packed(model, case.all_columns, 6)
    torch.jit.save(torch.jit.trace(model, (matrix,)), memory)
    memory.seek(0)
    torch.testing.assert_close(torch.jit.load(memory)(matrix), model(matrix))


@every_model
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # inside torch, at the first jvp
def test_derivative_along_the_rows(case: Case) -> None:
    model = case.make(seed=3).double().eval()
    batch = model.schema.unpack(packed(model, case.all_columns, 6))
    rows = tuple(r.detach() for r in model.embedding.lookup(batch))
    along = tuple(torch.randn_like(r) for r in rows)
    _, change = torch.func.jvp(lambda *r: model.predict_rows(batch, list(r))[0], rows, along)
    ways = [
        model.predict_rows(batch, [r + step * a for r, a in zip(rows, along, strict=True)])[0] for step in (1e-6, -1e-6)
    ]
    torch.testing.assert_close(change, (ways[0] - ways[1]) / 2e-6, rtol=1e-3, atol=1e-5)


@every_model
def test_compile_takes_all_that_comes_after_the_lookup_in_one_graph(case: Case) -> None:
    torch._dynamo.reset()
    model = case.make().train()
    batch = model.schema.unpack(packed(model, case.all_columns, 6))
    rows = [r.detach().requires_grad_() for r in model.embedding.lookup(batch)]
    score = torch.compile(model.predict_rows, fullgraph=True, backend="eager")
    torch.manual_seed(0)
    prediction, extra = score(batch, rows)
    torch.manual_seed(0)
    expected, expected_extra = case.make().train().predict_rows(batch, rows)
    torch.testing.assert_close(prediction, expected)
    if extra is not None:
        torch.testing.assert_close(extra, expected_extra)


@every_model
def test_save_and_load(case: Case, tmp_path: Any) -> None:
    model = trained(case.make(), case.all_columns, metrics=["mse"])
    x = inputs(case.all_columns, 7)
    expected = model.predict(x)
    model.save(tmp_path / "model")
    assert not list((tmp_path / "model").glob("*.p*"))
    assert np.array_equal(load_model(tmp_path / "model").predict(x), expected)
    buffer = io.BytesIO()
    torch.save(model, buffer)
    buffer.seek(0)
    loaded = torch.load(buffer, weights_only=True)  # the default from torch 2.6 on: only allow-listed names
    assert np.array_equal(loaded.predict(x), expected)
    assert loaded.history.history == model.history.history
    more = {"batch_size": 6, "epochs": 1, "verbose": 0}
    y = labels(model, 7)
    model.fit(x, y, **more)
    loaded.fit(x, y, **more)
    assert np.array_equal(loaded.predict(x), model.predict(x)), "training goes on as if it had not been interrupted"


@every_model
def test_deepcopy_is_independent(case: Case) -> None:
    model = trained(case.make(), case.all_columns)
    x, y = inputs(case.all_columns, 7), labels(model, 7)
    expected = model.predict(x)
    twin = copy.deepcopy(model)
    assert np.array_equal(twin.predict(x), expected)
    twin.fit(x, y, batch_size=7, epochs=2, verbose=0)
    assert np.array_equal(model.predict(x), expected)
    assert not np.array_equal(twin.predict(x), expected)


@every_model
def test_bf16_stays_near_fp32(case: Case) -> None:
    half = trained(case.make(), case.all_columns, rows=24, precision="bf16", learning_rate=0.001)
    full = trained(case.make(), case.all_columns, rows=24, learning_rate=0.001)
    x = inputs(case.all_columns, 9)
    assert all(p.dtype == torch.float32 for p in half.parameters())
    np.testing.assert_allclose(half.predict(x), full.predict(x), atol=0.05)


@every_model
def test_sparse_updates_leave_the_other_rows_alone(case: Case) -> None:
    model = case.make()
    table = next(table.fused for _, tables in model.named_tables() for table in tables.fused)
    before = table.detach().clone()
    compiled(model, embedding_update="sparse")
    x = {
        k: np.zeros_like(v) if v.dtype.kind == "i" and not k.endswith("len") else v
        for k, v in inputs(case.all_columns, 6).items()
    }
    model.fit(x, labels(model, 6), batch_size=6, epochs=2, verbose=0)
    moved = (table.detach() != before).any(dim=1)
    assert moved.any()
    assert moved.sum() <= len(case.all_columns)
    assert not moved.all()


@every_model
def test_training_lowers_the_loss(case: Case) -> None:
    model = case.make(seed=1)
    rows = 64
    x, y = inputs(case.all_columns, rows), labels(model, rows)
    losses = compiled(model, learning_rate=0.02).fit(x, y, batch_size=16, epochs=12, verbose=0).history["loss"]
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("case", [c for c in CASES.values() if "num_classes" in c.parameters], ids=lambda c: c.name)
def test_multiclass(case: Case) -> None:
    model = trained(case.make(task="multiclass", num_classes=3), case.all_columns, metrics=["acc", "logloss"])
    prediction = model.predict(inputs(case.all_columns, 6))
    assert prediction.shape == (6, 3)
    np.testing.assert_allclose(prediction.sum(axis=1), 1.0, atol=1e-6)
    batch = model.schema.unpack(packed(model, case.all_columns, 64))
    out = predict_batch(model.train(), batch)[0]
    (out * torch.linspace(0.1, 2, out.numel()).reshape(out.shape)).sum().backward()
    assert [
        n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0 if "aux" not in n
    ] == []


@pytest.mark.parametrize("case", [c for c in CASES.values() if "task" in c.parameters], ids=lambda c: c.name)
def test_regression_is_not_confined_to_probabilities(case: Case) -> None:
    model = case.make(task="regression")
    rows = 32
    x = inputs(case.all_columns, rows)
    y = np.full(rows, 5.0)
    model.compile("adam", "mse", metrics=["rmse"], learning_rate=0.1)
    model.fit(x, y, batch_size=8, epochs=25, verbose=0)
    assert model.predict(x).mean() > 1.5


@every_model
def test_one_device_or_none(case: Case) -> None:
    with pytest.raises(ValueError, match="torchrun"):
        case.make(gpus=[0, 1], device="cuda:0")
    with pytest.raises(ValueError, match=r"gpus\[0\]"):
        case.make(gpus=[1], device="cpu")
