"""What torch and onnxscript say of calls of their own during an export; of this package there must be no warning."""

from __future__ import annotations

TRACING_WARNINGS = [
    "ignore:You are using the legacy TorchScript-based ONNX export:DeprecationWarning",
    "ignore:The feature will be removed. Please remove usage of this function:DeprecationWarning",
    "ignore:Exporting a model to ONNX with a batch_size other than 1, with a variable length with GRU:UserWarning",
    "ignore:Constant folding - Only steps=1 can be constant folded:UserWarning",
]
BY_EXPORT_WARNINGS = [
    "ignore:`isinstance.treespec, LeafSpec.` is deprecated:FutureWarning",
    "ignore:_check_is_size will be removed:FutureWarning",
    "ignore:The .grad attribute of a Tensor that is not a leaf Tensor is being accessed:UserWarning",
]
