"""`make_source`: the data source for whatever the user passed."""

from __future__ import annotations

from collections.abc import Mapping

from ..features import FeatureSchema
from ..tables import ColumnLike
from .arrays import array_source
from .batch import DataSource, LabelSpec
from .checks import check_samples
from .file_source import file_source
from .files import means_files
from .interop import InputsLike, LabelsLike
from .stream import StreamSource, is_labeled_batches, is_stream

__all__ = ["make_source"]


def make_source(
    schema: FeatureSchema,
    x: InputsLike,
    y: LabelsLike = None,
    labels: LabelSpec | None = None,
    weight: ColumnLike | str = None,
    groups: ColumnLike | Mapping[str, ColumnLike] = None,
    *,
    training: bool = False,
) -> DataSource:
    """The source for whatever the user passed; `labels=None` when only inputs are needed.

    With `training` the rows are trained on, rather than looked at. Errors are worded for the user.
    """
    if means_files(x):
        return file_source(schema, x, y, labels, weight, groups, training)
    if is_stream(x) or (labels is not None and y is None and is_labeled_batches(x)):
        if y is not None or weight is not None or groups is not None:
            raise ValueError(
                "a stream of batches carries its own labels, weights and group columns: "
                "pass y=None, sample_weight=None and groups=None"
            )
        return StreamSource(schema, x, labels)
    check_samples(x)
    if labels is not None and y is None:
        raise ValueError("labels are missing: pass y (only a stream of batches carries its own)")
    return array_source(schema, x, y, labels, weight, groups)
