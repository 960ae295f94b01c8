"""Names that a star or a named import from a module brings along in DeepCTR-Torch, because user code counts on them.

`from deepctr_torch.models.deepfm import *` gives `BaseModel`, `DNN`, `nn` and `torch` there. Packages that the original
has too call `lend_names` at their end; a module of ours then finds such a name where it lives when it is asked for.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

ROOT = __name__.partition(".")[0]

MODELS = (
    "afm afn autoint basemodel ccpm dcn dcnmix deepfm dien difm din fibinet ifm mlr multitask nfm onn pnn wdl xdeepfm"
)
MULTITASK = "esmm mmoe ple sharedbottom"
# where a name is looked for, in this order: ours before those that take long to import
HOMES = (
    *("collections", "itertools", "__future__", "torch.nn.utils.rnn", "torch.utils.data"),
    *(f"{ROOT}.{room}" for room in ("features", "features.columns", "callbacks", "layers", "models.basemodel")),
    *("tqdm", "sklearn.metrics", f"{ROOT}.models._compat"),
)
# name -> the module that it is
MODULES = {
    **{name: name for name in ("copy", "itertools", "math", "os", "time", "torch")},
    **{"Data": "torch.utils.data", "F": "torch.nn.functional", "nn": "torch.nn", "np": "numpy"},
    **{name: f"{ROOT}.layers.{name}" for name in ("activation", "core", "interaction", "sequence", "utils")},
    **{name: f"{ROOT}.models.{name}" for name in MODELS.split()},
    **{name: f"{ROOT}.models.multitask.{name}" for name in MULTITASK.split()},
}

_LOOKUPS = (
    "DEFAULT_GROUP_NAME OrderedDict SequencePoolingLayer chain combined_dnn_input concat_fun create_embedding_matrix "
    "defaultdict embedding_lookup get_dense_input get_feature_names get_varlen_pooling_list maxlen_lookup namedtuple "
    "nn np torch varlen_embedding_lookup DenseFeat SparseFeat VarLenSparseFeat build_input_features"
)
_LAYERS = (
    "AFMLayer AGRUCell AUGRUCell AttentionSequencePoolingLayer BiInteractionPooling BilinearInteraction CIN Conv2dSame "
    "ConvLayer CrossNet CrossNetMix DNN DynamicGRU F FM InnerProductLayer InteractingLayer KMaxPooling "
    "LocalActivationUnit LogTransformLayer OutterProductLayer PackedSequence PredictionLayer SENETLayer "
    "SequencePoolingLayer activation activation_layer concat_fun core interaction itertools math nn sequence torch "
    "utils"
)
_BASEMODEL = (
    "BaseModel CallbackList Data DataLoader DenseFeat F History Linear PredictionLayer SparseFeat VarLenSparseFeat "
    "accuracy_score build_input_features create_embedding_matrix get_varlen_pooling_list log_loss mean_squared_error "
    "nn np print_function roc_auc_score slice_arrays time torch tqdm varlen_embedding_lookup"
)
_DEEP = "BaseModel DNN combined_dnn_input nn torch"
# module -> what it brings along beside what it defines
BORROWED = {
    "inputs": _LOOKUPS,
    "callbacks": "copy np os torch",
    "layers": _LAYERS,
    "layers.activation": "nn torch",
    "layers.core": "F activation_layer math nn torch",
    "layers.interaction": "Conv2dSame F KMaxPooling activation_layer itertools nn torch",
    "layers.sequence": "F LocalActivationUnit PackedSequence nn torch",
    "layers.utils": "np torch",
    "models": MODELS,
    "models.basemodel": _BASEMODEL,
    "models.afm": "AFMLayer BaseModel FM torch",
    "models.afn": "BaseModel DNN LogTransformLayer nn torch",
    "models.autoint": f"{_DEEP} InteractingLayer concat_fun",
    "models.ccpm": "BaseModel ConvLayer DNN concat_fun nn torch",
    "models.dcn": f"{_DEEP} CrossNet",
    "models.dcnmix": f"{_DEEP} CrossNetMix",
    "models.deepfm": f"{_DEEP} FM",
    "models.dien": f"{_LOOKUPS} {_LAYERS} BaseModel pack_padded_sequence pad_packed_sequence",
    "models.difm": f"{_DEEP} FM InteractingLayer SparseFeat VarLenSparseFeat concat_fun",
    "models.din": f"{_LOOKUPS} {_LAYERS} BaseModel",
    "models.fibinet": f"{_DEEP} BilinearInteraction DenseFeat SENETLayer SparseFeat VarLenSparseFeat",
    "models.ifm": f"{_DEEP} FM SparseFeat VarLenSparseFeat",
    "models.mlr": "BaseModel Linear PredictionLayer build_input_features nn torch",
    "models.nfm": f"{_DEEP} BiInteractionPooling",
    "models.onn": f"{_BASEMODEL} {_DEEP}",
    "models.pnn": f"{_DEEP} InnerProductLayer OutterProductLayer concat_fun",
    "models.wdl": _DEEP,
    "models.xdeepfm": f"{_DEEP} CIN",
    "models.multitask": MULTITASK,
    "models.multitask.esmm": _DEEP,
    "models.multitask.mmoe": f"{_DEEP} PredictionLayer",
    "models.multitask.ple": f"{_DEEP} PredictionLayer",
    "models.multitask.sharedbottom": f"{_DEEP} PredictionLayer",
}


def lend_names(package: str) -> None:
    """Let `package` and its modules bring along what the original's do, in `__all__` and through `__getattr__`."""
    for short, names in BORROWED.items():
        module: Any = sys.modules.get(f"{ROOT}.{short}")
        if module is None or not f"{module.__name__}.".startswith(f"{package}."):
            continue
        known = frozenset(names.split())
        module.__all__ = sorted({*module.__all__, *known}, key=_order)
        module.__getattr__ = _finder(module.__name__, known)


def _order(name: str) -> tuple[int, str]:
    """Constants, then classes, then the rest."""
    return (0 if name.isupper() and len(name) > 1 else 1 if name[:1].isupper() else 2), name


def _finder(module: str, known: frozenset[str]) -> Any:
    def find(name: str) -> Any:
        if name not in known:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        if name in MODULES:
            return importlib.import_module(MODULES[name])
        homes = (vars(importlib.import_module(home)) for home in HOMES)
        return next(home[name] for home in homes if name in home)

    return find
