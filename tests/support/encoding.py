"""One feature, learned from one column."""

from __future__ import annotations

from typing import Any

from deepctr_torch.encoding import FeatureEncoder, FeatureSpec


def encoded(spec: FeatureSpec, training: Any, later: Any = None, **kwargs: Any) -> dict[str, Any]:
    """Encode one column by what a feature `f` learned from another."""
    encoder = FeatureEncoder({"f": spec}).fit({"f": training})
    found = encoder.transform({"f": training if later is None else later}, **kwargs)
    return {name: values.tolist() for name, values in found.items()}
