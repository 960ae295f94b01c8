"""A model as plain data: class name, constructor arguments, weights, and how it was compiled and trained."""

from __future__ import annotations

import copy
import importlib
import inspect
import json
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from .. import __version__, _rebuild_model, layers
from .._json_files import parse_json, read_json, write_json
from .._tensor_files import read_tensors, write_tensors
from .._whole_files import check_files, replaced_files
from ..callbacks import History
from ..embedding import FusedTable
from ..features import DenseFeat, SparseFeat, VarLenSparseFeat
from ..optim.combined import is_combined
from ._registry import MODELS
from .trainable import heads_of, set_links, train_step_of

if TYPE_CHECKING:
    from .basemodel import BaseModel

FORMAT = 1
COLUMNS: dict[str, Any] = {"sparse": SparseFeat, "varlen": VarLenSparseFeat, "dense": DenseFeat}
log = logging.getLogger("deepctr_torch")
PACKAGE = __name__.split(".", maxsplit=1)[0]


class NotPlainError(TypeError):
    """A value that cannot be written as plain data."""


def encode_argument(value: Any, where: str) -> Any:
    """An argument as JSON: columns and tuples are tagged, everything else is itself.

    Raises:
        NotPlainError: a function, module or other object.
    """
    for tag, column in COLUMNS.items():
        if isinstance(value, column):
            return {tag: [encode_argument(v, where) for v in value]}
    if isinstance(value, (str, bool, int, float)) or value is None:
        return value
    if isinstance(value, torch.device):
        return str(value)
    if hasattr(value, "item") and not isinstance(value, Tensor) and getattr(value, "ndim", 1) == 0:
        return value.item()
    if isinstance(value, tuple):
        return {"tuple": [encode_argument(v, where) for v in value]}
    if isinstance(value, list):
        return [encode_argument(v, where) for v in value]
    if isinstance(value, Mapping):
        return {"dict": [[encode_argument(k, where), encode_argument(v, where)] for k, v in value.items()]}
    if isinstance(value, type) and _module_class(value.__name__) is value:
        return {"module": value.__name__}
    raise NotPlainError(
        f"{where}={value!r} is not plain data and cannot be saved; give it by name where that is possible"
    )


def _module_class(name: str) -> Any:
    """The layer class of torch or of this package that is called `name`; None if there is none."""
    found = getattr(nn, name, None) or getattr(layers, name, None)
    return found if isinstance(found, type) and issubclass(found, nn.Module) else None


def decode_argument(value: Any) -> Any:
    """The inverse of `encode_argument`."""
    if isinstance(value, list):
        return [decode_argument(v) for v in value]
    if not isinstance(value, dict):
        return value
    if len(value) != 1:
        raise TypeError(f"an argument must have one tag, got {list(value)}")
    ((tag, content),) = value.items()
    if tag == "tuple":
        return tuple(decode_argument(v) for v in content)
    if tag == "dict":
        return {decode_argument(k): decode_argument(v) for k, v in content}
    if tag == "module":
        return _module_class(content)
    return COLUMNS[tag](*[decode_argument(v) for v in content])


def config(model: BaseModel) -> dict[str, Any]:
    """Class and constructor arguments of a model, as JSON.

    Raises:
        NotPlainError: an argument is an object; the message names it.
    """
    arguments = model._arguments
    star = [p.name for p in inspect.signature(type(model).__init__).parameters.values() if p.kind is p.VAR_KEYWORD]
    flat = {k: v for k, v in arguments.items() if k not in star}
    for name in star:
        flat.update(arguments.get(name, {}))
    return {
        "format": FORMAT,
        "library": __version__,
        "class": type(model).__name__,
        "module": type(model).__module__,
        "arguments": {name: encode_argument(value, name) for name, value in flat.items()},
    }


def _registered(name: str, module: str) -> type | None:
    """The model that `register_model` knows by this name, if it is of this module."""
    cls = MODELS.get(name) if name in MODELS else None
    return cls if cls is not None and cls.__module__ == module else None


def build_from_config(
    description: Mapping[str, Any], custom_objects: Mapping[str, type] | None = None, device: Any = None
) -> BaseModel:
    """A fresh model from what `config` wrote."""
    cls, arguments = _class_and_arguments(description, custom_objects, device)
    model: BaseModel = cls(**arguments)
    return model


def _class_and_arguments(
    description: Mapping[str, Any], custom_objects: Mapping[str, type] | None, device: Any
) -> tuple[Any, dict[str, Any]]:
    name, module = description["class"], description["module"]
    cls: Any = (custom_objects or {}).get(name) or _registered(name, module)
    if cls is None:
        if not module.startswith(PACKAGE + "."):
            raise ValueError(f"{name} is a class of your own: pass custom_objects={{{name!r}: {name}}}")
        cls = getattr(importlib.import_module(module), name, None)
        if not (isinstance(cls, type) and issubclass(cls, nn.Module)):
            raise ValueError(f"a saved model must be of a model class, got {module}.{name}")
    arguments = {k: decode_argument(v) for k, v in description["arguments"].items()}
    if device is not None:
        arguments["device"] = device
    elif "cuda" in str(arguments.get("device")) and not torch.cuda.is_available():
        arguments["device"] = "cpu"
    if not any(str(gpu) in str(arguments.get("device")) for gpu in arguments.get("gpus") or ()):
        arguments.pop("gpus", None)
    return cls, arguments


def _check_shapes(cls: type, arguments: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Check that a model has the weights of a file, before it is built: its numbers may be anybody's.

    Raises:
        ValueError: a size that no weight has; the model is not built.
        RuntimeError: weights of other names or shapes.
    """
    most = max(1 << 20, *(value.numel() for value in tensors.values())) if tensors else 1 << 20
    for name, size in _integers(arguments):
        if name != "seed" and abs(size) > most:
            raise ValueError(f"{name} must be at most {most:,}, as the weights are, got {size:,}")
    if cls.__module__.startswith(PACKAGE + "."):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*no-op", UserWarning)  # nothing is copied to this one
            cls(**{**arguments, "device": "meta", "gpus": None}).load_state_dict(tensors)


def _integers(value: Any, name: str = "") -> Iterator[tuple[str, int]]:
    """All integers of arguments, with the names of the arguments that they are in."""
    if isinstance(value, int):
        yield name, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _integers(inner, name or str(key))
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _integers(inner, name)


def _optimizer_state(model: BaseModel) -> dict[str, Any] | None:
    """Return how the model was compiled, and the state of its optimizer; None where that is not plain data."""
    given, step = model._compile_arguments, train_step_of(model)
    if given is None or step is None:
        return None
    optimizer: Any = step.optimizer
    try:
        plain = {k: encode_argument(v, k) for k, v in given.items() if k != "optimizer"}
        if isinstance(given["optimizer"], (str, Mapping)):
            plain["optimizer"] = encode_argument(given["optimizer"], "optimizer")
        else:
            plain["optimizer"], plain["learning_rate"] = _describe(optimizer, model), None
    except NotPlainError as problem:
        log.warning("the model is saved without what compile was given: %s", problem)
        return None
    return {"compile": plain, "mode": step.mode, "state": step.state_dict()}


def _describe(optimizer: Any, model: BaseModel) -> dict[str, Any]:
    """A torch optimizer: its class, and which parameters each of its groups has, by name."""
    if getattr(torch.optim, type(optimizer).__name__, None) is not type(optimizer):
        raise NotPlainError(f"optimizer={type(optimizer).__name__} is not one of torch.optim")
    names = {id(p): name for name, p in model.named_parameters()}
    groups = [[names.get(id(p), "") for p in group["params"]] for group in optimizer.param_groups]
    if any("" in group for group in groups):
        raise NotPlainError("the optimizer has parameters that are not the model's")
    return {"torch": type(optimizer).__name__, "groups": groups}


def _restore(model: BaseModel, saved: Mapping[str, Any] | None) -> None:
    if saved is None:
        return
    plain = dict(saved["compile"])
    optimizer = plain.pop("optimizer")
    arguments = {k: decode_argument(v) for k, v in plain.items()}
    if _is_torch(optimizer):
        groups = [{"params": [p for n in names for p in _parameters(model, n)]} for names in optimizer["groups"]]
        arguments |= {"embedding_update": "auto", "embedding_optimizer": None, "embedding_lr": None}
        made: Any = getattr(torch.optim, optimizer["torch"], None)
        if not (isinstance(made, type) and issubclass(made, torch.optim.Optimizer)):
            raise ValueError(f"a saved optimizer must be one of torch.optim, got {optimizer['torch']!r}")
        model.compile(made(groups, lr=0.001), **arguments)  # type: ignore[call-arg]
    else:
        model.compile(decode_argument(optimizer), **arguments)
    step = train_step_of(model)
    if step is not None:
        step.optimizer.load_state_dict(dict(_upgraded_state(model, saved["state"])))
        step.set_mode(saved["mode"])


def _upgraded_state(model: BaseModel, state: Mapping[str, Any]) -> Mapping[str, Any]:
    """The state of an optimizer; one of 1.0.0a1, with one parameter for all tables of a width, is cut into tables."""
    optimizer: Any = model.optim
    fused = {w: table for _, tables in model.named_tables() for table in tables.fused for w in table.weights}
    members = getattr(optimizer, "members", [optimizer])
    if not is_combined(state):
        return _cut(members[0], state, fused) if len(members) == 1 else state
    if len(state) != len(members):
        return state
    return {key: _cut(member, state[key], fused) for key, member in zip(sorted(state), members, strict=True)}


def _cut(optimizer: Any, state: Mapping[str, Any], fused: Mapping[nn.Parameter, FusedTable]) -> Mapping[str, Any]:
    """The state of one optimizer with an entry a table in the place of one a fused tensor, where it has those."""
    now = [group["params"] for group in optimizer.param_groups]
    before = [list(dict.fromkeys(fused.get(p, p) for p in parameters)) for parameters in now]
    counts = [len(group["params"]) for group in state["param_groups"]]
    if counts == [len(parameters) for parameters in now] or counts != [len(units) for units in before]:
        return state
    place = {p: i for i, p in enumerate(p for parameters in now for p in parameters)}
    out: dict[int, dict[str, Any]] = {}
    for number, unit in enumerate(unit for units in before for unit in units):
        values = state["state"].get(number)
        if values is None:
            continue
        if not isinstance(unit, FusedTable):
            out[place[unit]] = values
            continue
        for i, weight in enumerate(unit.weights):
            out[place[weight]] = {
                name: unit.slices(value)[i].clone() if isinstance(value, Tensor) and value.dim() else copy.copy(value)
                for name, value in values.items()
            }
    groups = [
        {**group, "params": [place[p] for p in parameters]}
        for group, parameters in zip(state["param_groups"], now, strict=True)
    ]
    return {"state": out, "param_groups": groups}


def _is_torch(optimizer: Any) -> bool:
    """Return whether this is what `_describe` made of an optimizer, rather than a name with or without options."""
    return isinstance(optimizer, dict) and "torch" in optimizer


def extras(model: BaseModel) -> dict[str, Any]:
    """Return what comes back beside the weights, as plain data: compilation, history, counters, frozen tables."""
    return {
        "training": _optimizer_state(model),
        "history": {
            "epoch": list(model.history.epoch),
            "history": {k: list(v) for k, v in model.history.history.items()},
        },
        "epochs_trained": model.epochs_trained,
        "negative_rate": model.negative_rate,
        "links": [head.link for head in heads_of(model)],
        "fixed": [name for name, p in model.named_parameters() if not p.requires_grad],
    }


def _put_extras(model: BaseModel, saved: Mapping[str, Any]) -> None:
    tables = dict(model.named_tables())
    for name, frozen in saved.get("frozen", {}).items():  # written by 1.0.0a1
        for table in frozen:
            for weight in tables[name].weights_of(table):
                weight.requires_grad_(False)
    for name in saved["fixed"]:
        for parameter in _parameters(model, name):
            parameter.requires_grad_(False)
    _restore(model, saved["training"])
    history = History()
    history.epoch, history.history = list(saved["history"]["epoch"]), dict(saved["history"]["history"])
    model.history = history
    model.epochs_trained = saved["epochs_trained"]
    model.negative_rate = saved.get("negative_rate", 1.0)
    set_links(model, saved.get("links", []))


def _parameters(model: BaseModel, name: str) -> list[nn.Parameter]:
    """The parameters of a name; 1.0.0a1 had one, called `width_<E>`, for all tables of a width."""
    path, _, last = name.rpartition(".")
    tables = dict(model.named_tables()).get(path)
    if tables is None or not last.startswith("width_"):
        return [dict(model.named_parameters(remove_duplicate=False))[name]]
    return next(table.weights for table in tables.fused if f"width_{table.embedding_dim}" == last)


def rebuild(description: str, state: dict[str, Tensor], saved: dict[str, Any], training: bool) -> BaseModel:
    """Build the model that `reduce` took apart, for `deepctr_torch._rebuild_model`."""
    where = next((str(t.device) for t in state.values()), None)  # torch.load's map_location has been there
    model = build_from_config(parse_json(description, "the pickled model"), device=where)
    model.load_state_dict(state)
    _put_extras(model, saved)
    return model.train(training)


def reduce(model: BaseModel) -> Any:
    """The pickle of a model that has a known name: one call with plain data; None where ordinary pickle has to do."""
    cls = type(model)
    if not cls.__module__.startswith(PACKAGE + ".") and _registered(cls.__name__, cls.__module__) is not cls:
        return None
    try:
        description = json.dumps(config(model))
    except NotPlainError:
        return None
    return _rebuild_model, (description, dict(model.state_dict()), extras(model), model.training)


def deepcopy(model: BaseModel, memo: dict[int, Any]) -> Any:
    """A copy of everything, the optimizer and its state included."""
    new = type(model).__new__(type(model))
    memo[id(model)] = new
    object.__setattr__(
        new,
        "__dict__",
        copy.deepcopy({k: v for k, v in model.__dict__.items() if k not in ("reg_loss", "aux_loss")}, memo),
    )
    device = next((p.device for p in new.parameters()), torch.device("cpu"))
    new.reg_loss, new.aux_loss = torch.zeros((1,), device=device), torch.zeros((1,), device=device)
    return new


def save(model: BaseModel, directory: Any) -> None:
    """Write `config.json`, `weights.safetensors`, `training.json` and their checksums, whole or not at all."""
    description = config(model)
    with replaced_files(Path(directory)) as part:
        write_weights(model, part)
        write_json(part / "config.json", description)
        write_json(part / "training.json", training_of(model))


def write_weights(model: BaseModel, folder: Path) -> None:
    """Write `weights.safetensors`."""
    state = {k: v.detach().cpu().contiguous().clone() for k, v in model.state_dict().items()}
    write_tensors(state, folder / "weights.safetensors")


def training_of(model: BaseModel) -> dict[str, Any]:
    """Return how a model was compiled and trained, as JSON, without the state of its optimizer."""
    saved = extras(model)
    training = saved.pop("training")
    if training is not None:
        saved["compile"], saved["mode"] = training["compile"], training["mode"]
    return saved


def load(directory: Any, device: Any = None, custom_objects: Mapping[str, type] | None = None) -> BaseModel:
    """The model that `model.save(directory)` wrote, in evaluation mode; compiled as it was, its optimizer fresh.

    Args:
        directory: where it was saved.
        device: None for the device it was saved on (the CPU where that is a GPU that is not there).
        custom_objects: class name -> class, for models of your own.

    Raises:
        FileNotFoundError: `directory` holds no model.
        ValueError: it holds what this version does not know, or a file that is not what was saved.
    """
    source = Path(directory)
    missing = [n for n in ("config.json", "weights.safetensors") if not (source / n).is_file()]
    if missing:
        raise FileNotFoundError(f"{source} must hold a saved model, but lacks {', '.join(missing)}")
    check_files(source, "config.json", "weights.safetensors", "training.json")
    description = read_json(source / "config.json")
    if description.get("format") != FORMAT:
        raise ValueError(
            f"{source} must be of format {FORMAT}, got {description.get('format')!r}, saved by deepctr-torch "
            f"{description.get('library')}: this is {__version__}"
        )
    tensors = read_tensors(source / "weights.safetensors")
    try:
        cls, arguments = _class_and_arguments(description, custom_objects, device)
        _check_shapes(cls, arguments, tensors)
        model: BaseModel = cls(**arguments)
        model.load_state_dict(tensors)
        if (source / "training.json").exists():
            _restore_training(model, read_json(source / "training.json"))
    except RuntimeError as error:
        raise ValueError(f"{source / 'weights.safetensors'} must fit config.json, got: {error}") from error
    except (AttributeError, KeyError, IndexError, TypeError) as error:
        raise ValueError(
            f"{source} must hold a model as it was saved, got a changed one: {type(error).__name__}: {error}"
        ) from error
    return model.eval()


def _restore_training(model: BaseModel, saved: dict[str, Any]) -> None:
    """Compile a model as the one was of which `training_of` is, with the same history and counters."""
    plain, mode = saved.pop("compile", None), saved.pop("mode", None)
    _put_extras(model, {**saved, "training": None})
    if plain is not None and not _is_torch(plain["optimizer"]):
        model.compile(**{k: decode_argument(v) for k, v in plain.items()})
        step = train_step_of(model)
        if step is not None and mode is not None:
            step.set_mode(mode)


def widen_columns(state: dict[str, Any], key: str, width: int, kept: Sequence[int]) -> None:
    """Give the weight `state[key]` [H, len(kept)] new columns of zeros, in place of the entry.

    Args:
        state: a state_dict.
        key: its entry; anything but a weight with `len(kept)` columns is left as it is.
        width: the new number of columns.
        kept: where each old column goes.

    >>> import torch
    >>> state = {"weight": torch.tensor([[1.0, 2.0]])}
    >>> widen_columns(state, "weight", 3, [0, 2])
    >>> state["weight"]
    tensor([[1., 0., 2.]])
    """
    old = state.get(key)
    if not isinstance(old, Tensor) or old.dim() != 2 or old.shape[1] != len(kept):
        return
    new = old.new_zeros(old.shape[0], width)
    new[:, list(kept)] = old.detach()
    state[key] = new
