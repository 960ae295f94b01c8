"""`Case`: what the suites over all models need to know of one; and the columns, inputs and labels they run on.

A model's case is the `CASE` of its test file, or what follows from its traits and signature: see `all_models.py`.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from deepctr_torch.features import DenseFeat, SparseFeat, VarLenSparseFeat
from deepctr_torch.models import MODELS, model_traits

USER, ITEM, CITY = SparseFeat("user", 13, 4), SparseFeat("item", 11, 4), SparseFeat("city", 5, 4)
GENRES = VarLenSparseFeat(SparseFeat("genres", 7, 4), 4, "mean")
TAGS = VarLenSparseFeat(SparseFeat("tags", 9, 4), 5, "sum", length_name="tags_len")
PRICE, STATS = DenseFeat("price"), DenseFeat("stats", 3)
CATE = SparseFeat("cate", 6, 4)
HISTORIES = [
    VarLenSparseFeat(SparseFeat("hist_item", 11, 4, embedding_name="item"), 6, length_name="hist_len"),
    VarLenSparseFeat(SparseFeat("hist_cate", 6, 4, embedding_name="cate"), 6, length_name="hist_len"),
]
NEGATIVES = [
    VarLenSparseFeat(SparseFeat("neg_hist_item", 11, 4, embedding_name="item"), 6, length_name="hist_len"),
    VarLenSparseFeat(SparseFeat("neg_hist_cate", 6, 4, embedding_name="cate"), 6, length_name="hist_len"),
]
FIELDS = [USER, ITEM, CITY, GENRES, TAGS, PRICE, STATS]
SEQUENTIAL = [USER, ITEM, CATE, *HISTORIES, TAGS, PRICE]

SMALL = {
    "dnn_hidden_units": (6, 5),
    "expert_dnn_hidden_units": (6, 5),
    "gate_dnn_hidden_units": (4,),
    "tower_dnn_hidden_units": (5,),
    "bottom_dnn_hidden_units": (6,),
    "afn_dnn_hidden_units": (6, 5),
    "cin_layer_size": (6, 4),
    "ltl_hidden_size": 5,
    "low_rank": 3,
    "conv_kernel_width": (4, 3),
    "init_std": 0.3,
}
# another value for every argument, to see that it changes something
OTHER: dict[str, Any] = {
    "dnn_hidden_units": (3,), "l2_reg_linear": 0.3, "l2_reg_embedding": 0.3, "l2_reg_dnn": 0.3,
    "l2_reg_cross": 0.3, "l2_reg_cin": 0.3, "l2_reg_att": 0.3, "init_std": 0.05, "seed": 7, "dnn_dropout": 0.5,
    "bi_dropout": 0.5, "afm_dropout": 0.5, "dnn_activation": "tanh",
    "task": "regression", "device": "meta", "num_classes": 3, "cross_num": 1, "cross_parameterization": "matrix",
    "low_rank": 2, "num_experts": 2, "kernel_type": "vec",
    "bilinear_type": "all", "reduction_ratio": 2, "cin_layer_size": (4, 2),
    "cin_activation": "sigmoid", "attention_factor": 3, "att_layer_num": 1, "att_head_num": 1,
    "ltl_hidden_size": 3, "afn_dnn_hidden_units": (4,), "conv_kernel_width": (3, 3),
    "conv_filters": (2, 3), "region_num": 2, "att_hidden_size": (5, 3), "att_hidden_units": (5, 3),
    "att_activation": "sigmoid", "gru_type": "AUGRU",
    "alpha": 0.25, "expert_dnn_hidden_units": (4,), "gate_dnn_hidden_units": (3,), "tower_dnn_hidden_units": (3,),
    "bottom_dnn_hidden_units": (4,), "shared_expert_num": 2, "specific_expert_num": 2, "num_levels": 1,
    "task_types": ("binary", "regression"), "task_names": ("click", "buy"), "base_feature_columns": [USER, PRICE],
    "bias_feature_columns": [CITY],
}  # fmt: skip


NO_LINEAR = {"l2_reg_linear": "upstream's signature has it, but there is no linear side"}


@dataclass(frozen=True)
class Case:
    """One model in the suites over all models. What is not said follows from its traits and its signature.

    Attributes:
        columns: the columns of each column argument.
        kwargs: arguments that make it small.
        other: for arguments of its own: another value, to see that it changes something (see `other_value`).
        unused: arguments that upstream's signature forces and that have no effect, with the reason.
        refused: arguments that upstream's signature forces and that have one legal value, with the reason.
        together: for an argument that works only beside others: those others.
        free: beginnings of the names of weights that no `l2_reg_*` names, as in the original.
        start: beginnings of the names of weights that start from a scale of their own, whatever `init_std` says, as in
            the original; output layers, which start as `nn.Linear` does, are left out (`PLAIN`).
    """

    name: str
    columns: tuple[list[Any], ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    other: Mapping[str, Any] = field(default_factory=dict)
    unused: Mapping[str, str] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)
    together: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    free: tuple[str, ...] = ()
    start: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.columns:
            object.__setattr__(self, "columns", tuple(self._columns_of(name) for name in self.column_arguments))
        if not self.unused and "l2_reg_linear" in self.parameters and self.column_arguments == ["dnn_feature_columns"]:
            object.__setattr__(self, "unused", NO_LINEAR)

    def _columns_of(self, argument: str) -> list[Any]:
        columns = SEQUENTIAL if self.sequential else FIELDS
        linear = argument == "linear_feature_columns" or model_traits(self.cls).dense_deep
        return columns if linear else [c for c in columns if not isinstance(c, DenseFeat)]

    @property
    def cls(self) -> Any:
        return MODELS.get(self.name)

    @property
    def parameters(self) -> dict[str, inspect.Parameter]:
        return dict(list(inspect.signature(self.cls.__init__).parameters.items())[1:])

    @property
    def column_arguments(self) -> list[str]:
        return [
            n
            for n, p in self.parameters.items()
            if n.endswith("_feature_columns") and p.default is inspect.Parameter.empty
        ]

    @property
    def sequential(self) -> bool:
        """Pairs targets with histories."""
        return "history_feature_list" in self.parameters

    @property
    def stacks(self) -> bool:
        """Needs one embedding dimension."""
        return model_traits(self.cls).one_dimension

    @property
    def all_columns(self) -> list[Any]:
        return [c for group in self.columns for c in group]

    def other_value(self, name: str) -> Any:
        """Another value for an argument: the case's, the one in `OTHER`, or one made of the default."""
        given = {**OTHER, **self.other}
        if name in given:
            return given[name]
        default = self.kwargs.get(name, self.parameters[name].default)
        if isinstance(default, bool):
            return not default
        if isinstance(default, (int, float)):
            return default + (1 if isinstance(default, int) else 0.25)
        raise ValueError(f"give the CASE of {self.name} another value for {name!r}: other={{{name!r}: ...}}")

    def make(self, columns: tuple[list[Any], ...] | None = None, **changes: Any) -> Any:
        known = self.parameters
        arguments = {k: v for k, v in SMALL.items() if k in known} | dict(self.kwargs) | changes
        if self.sequential and "history_feature_list" not in arguments:
            arguments["history_feature_list"] = ["item", "cate"]
        return self.cls(*(columns or self.columns), **arguments)


def inputs(columns: list[Any], rows: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Random inputs; the first sequence of the first row is empty, the last row's is full."""
    rng = np.random.default_rng(seed)
    x: dict[str, np.ndarray] = {}
    for column in columns:
        if isinstance(column, SparseFeat):
            x[column.name] = rng.integers(0, column.vocabulary_size, rows)
        elif isinstance(column, DenseFeat):
            x[column.name] = rng.normal(size=(rows, column.dimension)).astype(np.float32)
        else:
            lengths = x.get(column.length_name or "", rng.integers(0, column.maxlen + 1, rows))
            lengths[0], lengths[-1] = (0, column.maxlen) if rows > 1 else (2, 2)
            ids = rng.integers(1, column.vocabulary_size, (rows, column.maxlen))
            x[column.name] = np.where(np.arange(column.maxlen) < lengths[:, None], ids, 0)
            if column.length_name:
                x[column.length_name] = lengths
    return x


def labels(model: Any, rows: int, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if model.num_classes:
        return rng.integers(0, model.num_classes, (rows, 1)).astype(float)
    return rng.integers(0, 2, (rows, len(model.tasks))).astype(float)


def packed(model: Any, columns: list[Any], rows: int) -> torch.Tensor:
    """Random inputs as one matrix, laid out as the model's `forward` takes it."""
    x = inputs(columns, rows)
    parts = [np.asarray(x[name], dtype=np.float64).reshape(rows, -1) for name in model.feature_index]
    return torch.from_numpy(np.concatenate(parts, axis=1))


# output layers, which start as `nn.Linear` does; but for that of DIEN, `linear`, and the numbers of a linear side
PLAIN = re.compile(r".*(dnn_linear|cin_linear|final_layer(\.\d)?|transform_\w+|local_att\.dense)\.weight")
