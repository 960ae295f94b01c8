"""ONNX by both exporters of torch: onnxruntime predicts what the model does, for batches of any size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

from deepctr_torch.features import DenseFeat, SparseFeat, VarLenSparseFeat, rows_packed
from deepctr_torch.hashing import hash_rows
from deepctr_torch.models import DIEN, DeepFM
from tests.support.all_models import every_model
from tests.support.cases import Case, packed
from tests.support.onnx_warnings import BY_EXPORT_WARNINGS, TRACING_WARNINGS

# the exporter by torch.export takes dynamic shapes from torch 2.6 on, as every release of onnxscript needs
BY_EXPORT = tuple(map(int, torch.__version__.split(".")[:2])) >= (2, 6)


def check(path: Path, model: Any, X: torch.Tensor) -> None:
    """Compare onnxruntime with the model on batches of one row, of the exported size and of all rows."""
    session = onnxruntime.InferenceSession(path)
    name = session.get_inputs()[0].name
    for rows in (1, 2, len(X)):
        (found,) = session.run(None, {name: X[:rows].numpy()})
        np.testing.assert_allclose(found, model(X[:rows]).detach().numpy(), rtol=0, atol=1e-6)


def check_traced(path: Path, model: Any, X: torch.Tensor) -> None:
    options: dict[str, Any] = {"input_names": ["X"], "dynamic_axes": {"X": {0: "batch"}}}
    options |= {"dynamo": False} if BY_EXPORT else {}
    torch.onnx.export(model, (X[:2],), path, **options)
    check(path, model, X)


@pytest.mark.filterwarnings(*TRACING_WARNINGS)
@every_model
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64], ids=str)
def test_by_tracing(case: Case, dtype: torch.dtype, tmp_path: Path) -> None:
    model = case.make().eval()
    check_traced(tmp_path / "m.onnx", model, packed(model, case.all_columns, 7).to(dtype))


@pytest.mark.filterwarnings(*TRACING_WARNINGS)
def test_gaps_in_histories_and_steps_of_several_ids_by_tracing(tmp_path: Path) -> None:
    tags = VarLenSparseFeat(SparseFeat("tags", 9, 4), 3)
    hist = VarLenSparseFeat(SparseFeat("hist_tags", 9, 4, embedding_name="tags"), 5, step_width=2)
    model = DIEN([tags, hist], ["tags"], init_std=0.3).eval()  # without lengths, valid steps may stand anywhere
    check_traced(tmp_path / "m.onnx", model, torch.randint(0, 3, (7, 13)))


@pytest.mark.filterwarnings(*TRACING_WARNINGS)
def test_hashed_ids_are_exported_as_rows(tmp_path: Path) -> None:
    columns = [SparseFeat("city", 20, 4, use_hash=True), DenseFeat("price")]
    model = DeepFM(columns, columns, dnn_hidden_units=(4,), init_std=0.5).eval()
    raw = torch.tensor([[5, 0.5], [7, 1.5], [2**40, 2.5]], dtype=torch.float64)
    path = tmp_path / "m.onnx"
    with pytest.raises(ValueError, match=r"cannot hash the ids of 'city': pass rows of hash_rows, inside rows_packed"):
        check_traced(path, model, raw)
    rows = torch.from_numpy(hash_rows(raw[:, 0].long().numpy(), 20))
    X = torch.stack([rows.double(), raw[:, 1]], dim=1)
    with rows_packed():
        check_traced(path, model, X)
    (found,) = onnxruntime.InferenceSession(path).run(None, {"X": X.numpy()})
    np.testing.assert_allclose(found, model(raw).detach().numpy(), rtol=0, atol=1e-6)


if BY_EXPORT:

    @pytest.mark.slow
    @pytest.mark.filterwarnings(*BY_EXPORT_WARNINGS)
    @every_model
    def test_by_export(case: Case, tmp_path: Path) -> None:
        model = case.make().eval()
        X = packed(model, case.all_columns, 7).float()
        path = tmp_path / "m.onnx"
        shapes = ({0: torch.export.Dim("batch")},)
        torch.onnx.export(model, (X[:2],), path, dynamo=True, dynamic_shapes=shapes, verbose=False)
        check(path, model, X)
