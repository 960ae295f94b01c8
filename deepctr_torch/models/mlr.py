"""Gai K, et al. Learning Piece-wise Linear Models from Large Scale Data for Ad Click Prediction. arXiv:1704.05194."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .._checks import check_at_least
from ..embedding import EmbeddingCollection, LookupSpec, embedding_configs
from ..features import Batch, DenseFeat, FeatureColumn, SparseFeat, VarLenSparseFeat
from ..layers.core import PredictionLayer
from ..layers.stacked import load_stack, save_stack
from ._registry import register_model
from .basemodel import BaseModel
from .fields import Fields

__all__ = ["MLR", "RegionLinear"]


class RegionLinear(EmbeddingCollection):
    """R linear models side by side, an id having one row of R * C weights, `fields -> [B, R, C]`.

    Saved as R modules `Linear`: `<r>.weight (D, C)` if there are dense columns, and
    `<r>.embedding_dict.<name>.weight (rows, C)`.

    Args:
        columns: what the models read.
        part: under which name `Fields` knows the tables.
        regions: R.
        init_std: standard deviation of the initial weights.
        outputs: C.

    >>> list(RegionLinear([SparseFeat("user", 3)], "region", regions=2).state_dict())
    ['0.embedding_dict.user.weight', '1.embedding_dict.user.weight']
    """

    def __init__(
        self,
        columns: Sequence[FeatureColumn],
        part: str,
        regions: int,
        init_std: float = 0.0001,
        outputs: int = 1,
    ) -> None:
        spans = [(f"{r}.embedding_dict", r * outputs, (r + 1) * outputs) for r in range(regions)]
        wide = embedding_configs(columns, init_std, regions * outputs)
        super().__init__([t._replace(keys=tuple((f"{k}.{t.name}.weight", a, b) for k, a, b in spans)) for t in wide])
        self.columns = list(columns)
        self.part_name = part
        self.regions = regions
        self.outputs = outputs
        width = sum(c.dimension for c in columns if isinstance(c, DenseFeat))
        self.dense_weight = nn.Parameter(torch.empty(regions, width, outputs).normal_(0.0, init_std)) if width else None

    @property
    def part(self) -> LookupSpec:
        """Columns and tables, for the lookup."""
        sparse = [c for c in self.columns if isinstance(c, SparseFeat)]
        return LookupSpec((*sparse, *(c for c in self.columns if isinstance(c, VarLenSparseFeat))), self)

    def forward(self, fields: Fields) -> Tensor:
        numbers = fields.numbers(self.columns)  # [B, D]
        logits = numbers.new_zeros(numbers.shape[0], self.regions, self.outputs)
        terms = fields.stack(self.part_name)  # [B, F, R * C]
        if terms.shape[1]:
            logits = logits + terms.sum(dim=1).reshape(-1, self.regions, self.outputs)
        if self.dense_weight is not None:
            logits = logits + torch.einsum("bd,rdc->brc", numbers, self.dense_weight)
        return logits

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        found: dict[str, Tensor] = {}
        if self.dense_weight is not None:
            save_stack(self.dense_weight, self._dense_keys(prefix), found, keep_vars)
        super()._save_to_state_dict(found, prefix, keep_vars)
        for r in range(self.regions):  # region by region, as a list of modules would
            destination.update({k: v for k, v in found.items() if k.startswith(f"{prefix}{r}.")})

    def _load_from_state_dict(
        self,
        state_dict: Any,
        prefix: str,
        local_metadata: Any,
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        if self.dense_weight is not None:
            keys = self._dense_keys(prefix)
            self.dense_weight = load_stack(self.dense_weight, keys, state_dict, missing_keys, error_msgs)
            for key in keys:
                state_dict.pop(key, None)
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )

    def _dense_keys(self, prefix: str) -> list[str]:
        return [f"{prefix}{r}.weight" for r in range(self.regions)]


@register_model()
class MLR(BaseModel):
    """Mixed logistic regression: a gate divides the samples softly into regions with a model each (equation 2).

    Args:
        region_feature_columns: list of columns of the gate.
        base_feature_columns: list of columns of the regions' models; those of the gate unless given.
        bias_feature_columns: list of columns, such as the position on the page; their logistic
            regression multiplies the result.
        region_num: number of regions, at least 2.
        l2_reg_linear: L2 penalty of all linear models.
    """

    reads_deep_tables = False
    obsolete_keys = ("embedding_dict.", "linear_model.", "out.")

    def __init__(
        self,
        region_feature_columns: Sequence[FeatureColumn],
        base_feature_columns: Sequence[FeatureColumn] | None = None,
        bias_feature_columns: Sequence[FeatureColumn] | None = None,
        region_num: int = 4,
        l2_reg_linear: float = 1e-5,
        init_std: float = 0.0001,
        seed: int = 1024,
        task: str = "binary",
        device: str | torch.device = "cpu",
        gpus: Sequence[Any] | None = None,
        num_classes: int | None = None,
    ) -> None:
        # NOTE[DIFF] W24: the original does not pass its seed on.
        super().__init__(
            [],
            region_feature_columns,
            l2_reg_linear=0,
            l2_reg_embedding=0,
            init_std=init_std,
            seed=seed,
            task=task,
            device=device,
            gpus=gpus,
            num_classes=num_classes,
        )
        check_at_least("region_num", region_num, 2)
        if bias_feature_columns and num_classes is not None:
            names = [c.name for c in bias_feature_columns]
            raise ValueError(f"bias_feature_columns must be None for task='multiclass', got {names}")
        self.region_num = region_num
        self.l2_reg_linear = l2_reg_linear
        self.region_feature_columns = list(region_feature_columns)
        self.base_feature_columns = list(base_feature_columns or region_feature_columns)
        self.bias_feature_columns = list(bias_feature_columns or [])
        # NOTE[DIFF] W12: the original puts no penalty on these models.
        self.region_linear_model = self._linear("region", self.region_feature_columns, region_num)
        self.base_linear_model = self._linear("base", self.base_feature_columns, region_num, self.outputs)
        parts = {"region": self.region_linear_model.part, "base": self.base_linear_model.part}
        if self.bias_feature_columns:
            self.bias_model = self._linear("bias", self.bias_feature_columns, 1)
            parts["bias"] = self.bias_model.part
        self.region_gate = PredictionLayer("multiclass", use_bias=False)
        self.bias_gate = PredictionLayer("binary", use_bias=False)
        self.out = self.prediction_layer = PredictionLayer(task, use_bias=False, num_classes=num_classes)
        self.build_lookup([*self.region_feature_columns, *self.base_feature_columns, *self.bias_feature_columns], parts)
        self.to(device)

    def _linear(self, part: str, columns: Sequence[FeatureColumn], regions: int, outputs: int = 1) -> RegionLinear:
        return self.penalized(RegionLinear(columns, part, regions, self.init_std, outputs), self.l2_reg_linear)

    def predict_rows(self, batch: Batch, rows: list[Tensor]) -> tuple[Tensor, Tensor | None]:
        """Predictions [B, 1] (classes: [B, C]): a mixture of the regions' predictions, hence not of one logit."""
        fields = self.fields(batch, rows)
        gate, learners = self._gate(fields, self.region_num), self._learners(fields)
        prediction = (gate.unsqueeze(-1) * learners).sum(dim=1)
        if self.bias_feature_columns:
            prediction = prediction * self.bias_gate(self.bias_model(fields).squeeze(1))
        return prediction, None

    def _gate(self, fields: Fields, regions: int) -> Tensor:  # [B, R]
        gate: Tensor = self.region_gate(self.region_linear_model(fields)[:, :regions, 0])
        return gate

    def _learners(self, fields: Fields) -> Tensor:  # [B, R, C]
        # NOTE[DIFF] W2: the original computes these from the gate's weights; the base models have no effect.
        learners: Tensor = self.prediction_layer(self.base_linear_model(fields))
        return learners

    def get_region_score(self, inputs: Tensor | Batch, region_number: int) -> Tensor:
        """[B, R]: how far each sample belongs to each region, 1 in sum.

        Args:
            inputs: packed matrix [B, W], or a `Batch`.
            region_number: R, to divide among the first R regions only; `region_num` for all.
        """
        return self._gate(self._fields_of(inputs), self._checked(region_number))

    def get_learner_score(self, inputs: Tensor | Batch, region_number: int) -> Tensor:
        """[B, R] (classes: [B, R, C]): what the model of each region predicts.

        Args:
            inputs: packed matrix [B, W], or a `Batch`.
            region_number: R, for the first R regions; `region_num` for all.
        """
        scores = self._learners(self._fields_of(inputs))[:, : self._checked(region_number)]
        return scores if self.num_classes else scores.squeeze(-1)

    def _fields_of(self, inputs: Tensor | Batch) -> Fields:
        batch = inputs if isinstance(inputs, Batch) else self.schema.unpack(inputs)
        return self.fields(batch, self.embedding.lookup(batch))

    def _checked(self, region_number: int) -> int:
        check_at_least("region_number", region_number, 1)
        if region_number > self.region_num:
            raise ValueError(f"region_number must be at most region_num = {self.region_num}, got {region_number}")
        return region_number
