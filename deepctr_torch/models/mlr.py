"""Gai K, et al. Learning Piece-wise Linear Models from Large Scale Data for Ad Click Prediction. arXiv:1704.05194."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from .._checks import check_at_least
from ..embedding import EmbeddingCollection, EmbeddingSlice, LookupSpec, embedding_configs
from ..embedding.collection import TableDict
from ..features import Batch, DenseFeat, FeatureColumn
from ..layers.core import PredictionLayer
from .basemodel import BaseModel, Fields, register_model

__all__ = ["MLR", "Region", "RegionLinear"]


class Region(nn.Module):
    """The parameters of one linear model of several: `weight [D, C]` of its numbers (or None), and its tables."""

    def __init__(self) -> None:
        super().__init__()
        self.weight: nn.Parameter | None = None
        self.embedding_dict = TableDict()


class RegionLinear(EmbeddingCollection):
    """R linear models side by side, an id having one row of R * C weights, `fields -> [B, R, C]`.

    Its modules are R `Region`s: `<r>.weight [D, C]` if there are dense columns, and `<r>.embedding_dict.<name>.weight
    [rows, C]`.

    Args:
        columns: what the models read.
        part: under which name `Fields` knows the tables.
        regions: R.
        init_std: standard deviation of the initial weights.
        outputs: C.

    >>> from deepctr_torch.features import SparseFeat
    >>> list(RegionLinear([SparseFeat("user", 3)], "region", regions=2).state_dict())
    ['0.embedding_dict.user.weight', '1.embedding_dict.user.weight']
    """

    def __init__(
        self, columns: Sequence[FeatureColumn], part: str, regions: int, init_std: float = 0.0001, outputs: int = 1
    ) -> None:
        wide = embedding_configs(columns, init_std, regions * outputs)
        super().__init__([config._replace(slices=_by_region(config.name, regions, outputs)) for config in wide])
        self.columns = list(columns)
        self.part_name = part
        self.regions = regions
        self.outputs = outputs
        width = sum(c.dimension for c in columns if isinstance(c, DenseFeat))
        weights = torch.empty(regions, width, outputs).normal_(0.0, init_std)
        for r in range(regions):
            region: Any = self._modules.setdefault(str(r), Region())
            region.weight = nn.Parameter(weights[r].clone()) if width else None

    def container(self, path: tuple[str, ...]) -> nn.Module:
        return Region() if len(path) == 1 else super().container(path)

    def order(self, paths: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
        return sorted(paths, key=lambda path: int(path[0]))  # region by region

    def __getitem__(self, key: int | str) -> nn.Module:
        """The region of a number, as in a list of modules."""
        return super().__getitem__(str(key))

    @property
    def part(self) -> LookupSpec:
        """Columns and tables, for the lookup."""
        return LookupSpec.of(self.columns, self)

    def forward(self, fields: Fields) -> Tensor:
        numbers = fields.numbers(self.columns)  # [B, D]
        logits = numbers.new_zeros(numbers.shape[0], self.regions, self.outputs)
        terms = fields.stack(self.part_name)  # [B, F, R * C]
        if self.configs:
            logits = logits + terms.sum(dim=1).reshape(-1, self.regions, self.outputs)
        weights: list[Tensor | None] = [cast(Region, region).weight for region in self.values()]
        if weights[0] is not None:
            logits = logits + torch.einsum("bd,rdc->brc", numbers, torch.stack(cast(list[Tensor], weights), dim=0))
        return logits


def _by_region(name: str, regions: int, outputs: int) -> tuple[EmbeddingSlice, ...]:
    """The columns of each region in the wide rows of a table."""
    path = ("embedding_dict", name)
    return tuple(EmbeddingSlice((str(r), *path), r * outputs, (r + 1) * outputs) for r in range(regions))


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
        self, region_feature_columns: Sequence[FeatureColumn],
        base_feature_columns: Sequence[FeatureColumn] | None = None,
        bias_feature_columns: Sequence[FeatureColumn] | None = None, region_num: int = 4, l2_reg_linear: float = 1e-5,
        init_std: float = 0.0001, seed: int = 1024, task: str = "binary", device: str | torch.device = "cpu",
        gpus: Sequence[Any] | None = None, num_classes: int | None = None,
    ) -> None:  # fmt: skip
        # NOTE[DIFF] W24: the original does not pass its seed on.
        super().__init__(
            [], region_feature_columns, l2_reg_linear=0, l2_reg_embedding=0,
            init_std=init_std, seed=seed, task=task, device=device, gpus=gpus, num_classes=num_classes,
        )  # fmt: skip
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
