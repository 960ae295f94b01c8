"""`BaseModel`: what all models share. A model adds its parts in `__init__` and its formula in `logits(fields)`."""

from __future__ import annotations

import inspect
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from .._checks import check_at_least, check_choice, refuse_names
from ..callbacks import History
from ..data.interop import to_numpy
from ..embedding import EmbeddingCollection, EmbeddingLookup, LookupSpec, embedding_configs
from ..features import Batch, DenseFeat, FeatureColumn, FeatureSchema
from ..layers.activation import ActivationLike
from ..layers.core import DNN, PredictionLayer
from ..registry import suggest
from ..training.evaluation import mean_of_members, predict_members
from ..training.losses import get_loss
from . import _compat as _upstream
from . import _serialization as _saving
from ._registry import register_model
from .fields import Fields
from .linear import Linear
from .trainable import TrainableModel

__all__ = ["BaseModel", "Fields", "Linear", "register_model"]

M = TypeVar("M", bound=nn.Module)


def add_members(model: BaseModel, members: Sequence[BaseModel]) -> None:
    """Make a model an ensemble of itself and others of its class, whose tables are looked up along with its own.

    Raises:
        ValueError: the model brings its own `forward` or penalty, which know nothing of members.
    """
    if model.overrides_forward or model.overrides_penalty:
        raise ValueError(f"ensemble needs a model that defines logits(fields), got {type(model).__name__}")
    model.further_members = nn.ModuleList(members)
    parts = dict(model.embedding.parts)
    for i, member in enumerate(members, 1):
        parts |= {f"{i}/{name}": part for name, part in member.embedding.parts.items()}
        model.regularization_weight += member.regularization_weight
    model.embedding = EmbeddingLookup(model.schema, parts)
    model.to(model.device)


class ModelMeta(type):
    """Builds a model: the global random generator is left as it was, and the constructor's arguments are remembered."""

    renamed_arguments: Mapping[str, str]

    def __call__(cls, *args: Any, ensemble: int = 1, **kwargs: Any) -> Any:
        refuse_names(cls.__name__, kwargs, cls.renamed_arguments)
        check_at_least("ensemble", ensemble, 1)
        # NOTE[DIFF] W24: the original reseeds the global generator whenever a model is built.
        with torch.random.fork_rng(devices=[]):
            model = super().__call__(*args, **kwargs)
        if isinstance(model.device, (str, torch.device)) and str(model.device) != "cpu":  # where parts are made
            model.to(model.device)
        bound = inspect.signature(cls.__init__).bind(model, *args, **kwargs)  # type: ignore[misc]
        given = list(bound.arguments.items())[1:]
        if ensemble > 1:
            members = []
            for seed in range(model.seed + 1, model.seed + ensemble):
                bound.arguments["seed"] = seed
                members.append(cls(*bound.args[1:], **bound.kwargs))
            add_members(model, members)
            given.append(("ensemble", ensemble))
        object.__setattr__(model, "_arguments", {k: list(v) if isinstance(v, list) else v for k, v in given})
        return model


class BaseModel(TrainableModel, metaclass=ModelMeta):
    """A CTR model: embedding tables, a linear side, a head, and the training loop.

    All models share these arguments, and those of the DNN below if they have one:

    Args:
        linear_feature_columns: list of columns of the linear side.
        dnn_feature_columns: list of columns of the deep side.
        l2_reg_linear: L2 penalty of the linear side: `l2 * sum(w ** 2)` is added to the loss of every step.
        l2_reg_embedding: L2 penalty of the embedding tables.
        init_std: standard deviation of the initial tables and linear weights.
        seed: seed of the initial weights, of dropout and of shuffling; the global generator is not touched.
        task: "binary", "regression" or "multiclass".
        device: device of the model, such as "cpu" or "cuda:0".
        gpus: None, or one device that is `device`.
        num_classes: number of classes of a multiclass task.

    Every model also takes `ensemble`, the number of models in one: each has tables and weights of its own, drawn with
    `seed`, `seed` + 1 and so on, and learns by its own loss from the same batches; predictions are the mean of theirs.
    The arguments of the DNN:

    - `dnn_hidden_units`: layer sizes; empty for the output layer alone, or for none (see the model's page)
    - `dnn_activation`: whatever `activation_layer` takes
    - `dnn_dropout`: share of the units set to zero in training
    - `dnn_use_bn`: batch normalisation
    - `l2_reg_dnn`: L2 penalty of the DNN and its output layer

    A subclass overrides `logits`:

    >>> class LogisticRegression(BaseModel):
    ...     def logits(self, fields):
    ...         return fields.linear
    >>> model = LogisticRegression([DenseFeat("price")], [])
    >>> model(torch.tensor([[0.5], [2.0]])).shape
    torch.Size([2, 1])
    """

    reads_deep_tables: ClassVar[bool] = True  # False: `embedding_dict` is empty
    obsolete_keys: ClassVar[tuple[str, ...]] = ()  # prefixes in old checkpoints of parts that were never used
    renamed_arguments: ClassVar[Mapping[str, str]] = {}  # documented names that never were -> ours, "" for none
    tasks = _upstream.Shadowable(lambda model: model.task_specs)  # (name, type) of each task
    outputs = _upstream.Shadowable(lambda model: model.num_classes or 1)  # logits of a model of one task
    feature_index: OrderedDict[str, tuple[int, int]]
    num_tasks: int
    task_names: Sequence[str]
    _arguments: dict[str, Any]

    def __init__(
        self,
        linear_feature_columns: Sequence[FeatureColumn],
        dnn_feature_columns: Sequence[FeatureColumn],
        l2_reg_linear: float = 1e-5,
        l2_reg_embedding: float = 1e-5,
        init_std: float = 0.0001,
        seed: int = 1024,
        task: str = "binary",
        device: str | torch.device = "cpu",
        gpus: Sequence[Any] | None = None,
        num_classes: int | None = None,
    ) -> None:
        super().__init__()
        check_choice("task", task, ["binary", "regression", "multiclass"])
        if task == "multiclass":
            check_at_least("num_classes of a multiclass task", num_classes, 2)
        elif num_classes is not None:
            raise ValueError(f"num_classes belongs to task='multiclass', got task={task!r}")
        torch.default_generator.manual_seed(seed)  # inside ModelMeta's fork; torch.manual_seed would seed GPUs, too
        self.seed = seed
        self.task = task
        self.num_classes = num_classes
        self.init_std = init_std
        self.device = device
        self.gpus = _upstream.check_gpus(gpus, device)
        self.regularization_weight: list[tuple[list[nn.Parameter], float, float]] = []
        self.linear_feature_columns = list(linear_feature_columns)
        self.dnn_feature_columns = list(dnn_feature_columns)
        deep = self.dnn_feature_columns if self.reads_deep_tables else []
        if without := [c.name for c in deep if not isinstance(c, DenseFeat) and not c.embedding_dim]:
            raise ValueError(f"columns of embedding_dim 0 belong to linear sides, got {without} on the deep side")
        self.embedding_dict = EmbeddingCollection(embedding_configs(deep, init_std))
        self.add_regularization_weight(self.embedding_dict.parameters(), l2=l2_reg_embedding)
        # NOTE[DIFF] W13: the original starts the linear side at 1e-4 whatever init_std says.
        self.linear_model = Linear(self.linear_feature_columns, None, init_std, outputs=num_classes or 1)
        self.add_regularization_weight(self.linear_model.parameters(), l2=l2_reg_linear)
        self.out: nn.Module = PredictionLayer(task, num_classes=num_classes)
        self.task_specs: tuple[tuple[str, str], ...] = (("", task),)
        self.build_lookup([*self.linear_feature_columns, *self.dnn_feature_columns], {})
        self.reg_loss = torch.zeros((1,), device=device)
        self.aux_loss = torch.zeros((1,), device=device)
        self._is_graph_network, self._ckpt_saved_epoch = True, False  # read by callbacks written for the original
        self.history = History()
        self.stop_training = False
        self.epochs_trained = 0
        self.to(device)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _upstream.STATE:
            _upstream.check_state(self, name, value)
        super().__setattr__(name, value)
        if isinstance(value, (nn.Module, nn.Parameter)) and (name in vars(BaseModel) or name in vars(TrainableModel)):
            _upstream.keep_layer(self, name, value)

    def build_lookup(self, columns: Sequence[FeatureColumn], parts: Mapping[str, LookupSpec]) -> None:
        """Lay out the inputs and the lookup: `columns` are all that is read, `parts` join the deep and linear side."""
        self.schema = FeatureSchema(columns)
        self.feature_index = self.schema.feature_index
        self.linear_model.feature_index = self.feature_index
        self.linear_model.relocate()
        own: dict[str, LookupSpec] = {}
        if self.reads_deep_tables:
            own["deep"] = LookupSpec.of(self.dnn_feature_columns, self.embedding_dict)
        if self.linear_feature_columns:
            own["linear"] = self.linear_model.part
        self.embedding = EmbeddingLookup(self.schema, {**own, **parts})

    def fields(self, batch: Batch, rows: list[Tensor]) -> Fields:
        """The inputs by name."""
        linear = self.linear_model if "linear" in self.embedding.parts else None
        return Fields(self.embedding, self.dnn_feature_columns, batch, rows, linear)

    def logits(self, fields: Fields) -> Tensor:
        """[B, 1] (or one column a task or class): the model's formula. Subclasses override it.

        Raises:
            NotImplementedError: the subclass overrides neither this nor `forward`.
        """
        raise NotImplementedError(f"{type(self).__name__} must define logits(fields) or forward(X)")

    def _activate(self, logits: Tensor) -> Tensor:
        """Logits -> predictions, with the model's biases; always in float32."""
        if isinstance(self.out, nn.ModuleList):
            return torch.cat([out(logits[:, t : t + 1]) for t, out in enumerate(self.out)], dim=1)
        prediction: Tensor = self.out(logits)
        return prediction

    def predict_rows(self, batch: Batch, rows: list[Tensor]) -> tuple[Tensor, Tensor | None]:
        """Predictions [B, T], and an auxiliary loss a sample [B] (or None): all that comes after the lookup.

        This is the part that is compiled and exported. Models whose predictions are more than a head over `logits`, or
        that have an auxiliary loss, override it.

        Args:
            batch: ids, numbers and sequence widths.
            rows: what `embedding.lookup(batch)` returned.
        """
        return self._activate(self.logits(self.fields(batch, rows))), None

    def forward(self, X: Tensor | Batch) -> Tensor:
        """Predictions [B, T] for a packed matrix [B, W] laid out by `feature_index`, or for a `Batch`."""
        batch = X if isinstance(X, Batch) else self.schema.unpack(X)
        return mean_of_members(predict_members(self, batch, self.embedding.lookup(batch)))[0]

    @property
    def overrides_forward(self) -> bool:
        """True if a subclass brings its own `forward(X)`, as user code for DeepCTR-Torch does."""
        return type(self).forward is not BaseModel.forward

    @property
    def overrides_penalty(self) -> bool:
        """True if a subclass computes its penalty itself."""
        return type(self).get_regularization_loss is not BaseModel.get_regularization_loss

    @property
    def embedding_size(self) -> int:
        """The one embedding dimension of the deep side.

        Raises:
            ValueError: the columns have several.
            IndexError: there is no sparse column.
        """
        dims = {c.name: c.embedding_dim for c in self.dnn_feature_columns if not isinstance(c, DenseFeat)}
        if len(set(dims.values())) > 1:
            raise ValueError(f"{type(self).__name__} needs one embedding_dim for all columns, got {dims}")
        if not dims:
            raise IndexError(f"{type(self).__name__} has no sparse column, hence no embedding_size")
        return next(iter(dims.values()))

    def penalized(self, module: M, l2: float, l1: float = 0.0) -> M:
        """Declare the penalty of a part where it is built: on its weights, not on biases, slopes or normalisations."""
        # NOTE[DIFF] W12: the original also penalises the slopes of PReLU, and leaves out parts not named "weight".
        tables = {t.weight for t in module.modules() if isinstance(t, nn.Embedding)}  # whatever a feature is called
        weights = [
            p
            for n, p in module.named_parameters()
            if p in tables or (p.dim() > 1 and "bias" not in n and not n.endswith("alpha"))
        ]
        self.add_regularization_weight(weights, l1=l1, l2=l2)
        return module

    def build_dnn(
        self,
        inputs_dim: int,
        hidden_units: Sequence[int],
        activation: ActivationLike,
        l2: float,
        *,
        dropout: float = 0,
        use_bn: bool = False,
    ) -> DNN:
        """Return a `DNN` that starts with the `init_std` of the model, and whose penalty `l2` is declared."""
        dnn = DNN(inputs_dim, hidden_units, activation, dropout_rate=dropout, use_bn=use_bn, init_std=self.init_std)
        return self.penalized(dnn, l2)

    def add_dnn(
        self,
        inputs_dim: int,
        hidden_units: Sequence[int],
        activation: ActivationLike,
        l2: float,
        *,
        dropout: float = 0,
        use_bn: bool = False,
    ) -> None:
        """Build the DNN `self.dnn`, as `build_dnn` does, and the output layer `self.dnn_linear` over it."""
        self.dnn = self.build_dnn(inputs_dim, hidden_units, activation, l2, dropout=dropout, use_bn=use_bn)
        self.dnn_linear = self.penalized(nn.Linear(self.dnn.output_dim, self.outputs, bias=False), l2)

    def add_regularization_weight(self, weight_list: Any, l1: float = 0.0, l2: float = 0.0) -> None:
        """Add `l1 * sum(|w|) + l2 * sum(w ** 2)` to the loss.

        Args:
            weight_list: a parameter, or an iterable of parameters or of (name, parameter) pairs.
            l1, l2: strength of the penalty.
        """
        many = [weight_list] if isinstance(weight_list, nn.Parameter) else list(weight_list)
        self.regularization_weight.append(([p[1] if isinstance(p, tuple) else p for p in many], l1, l2))

    def get_regularization_loss(self) -> Tensor:
        """[1]: the penalty of the current weights, with gradients."""
        total = torch.zeros((1,), device=next(self.parameters()).device)
        for weights, l1, l2 in self.regularization_weight:
            for w in weights:
                total = total + (l2 * w.square().sum() if l2 else 0.0) + (l1 * w.abs().sum() if l1 else 0.0)
        return total

    def set_embedding(self, feature: str, array: npt.ArrayLike | Tensor, trainable: bool = True) -> None:
        """Give the table of a feature pretrained vectors.

        Args:
            feature: name of a feature of the deep side, or of its table.
            array: vectors [vocabulary_size, embedding_dim].
            trainable: keep training them, or freeze them.

        Raises:
            ValueError: an unknown feature, another shape, or numbers that are not finite.
        """
        names = {c.name: c.embedding_name for c in self.dnn_feature_columns if not isinstance(c, DenseFeat)}
        tables = self.embedding_dict.keys() if self.reads_deep_tables else []
        table = names.get(feature, feature)
        if table not in tables:
            raise ValueError(f"no embedding of {feature!r}: {suggest(feature, {*names, *tables})}")
        values = torch.as_tensor(np.ascontiguousarray(to_numpy(array)), dtype=torch.float32)
        if len(wrong := (~values.isfinite()).nonzero()):
            raise ValueError(f"the vectors of {feature!r} must be finite, got a NaN or inf in row {int(wrong[0, 0])}")
        for member in (self, *getattr(self, "further_members", ())):
            member.embedding_dict.assign(table, values, trainable)

    def compute_input_dim(
        self,
        feature_columns: Iterable[FeatureColumn],
        include_sparse: bool = True,
        include_dense: bool = True,
        feature_group: bool = False,
    ) -> int:
        """Width of the deep input made of `feature_columns`; with `feature_group` each sparse feature counts 1."""
        total = 0
        for column in feature_columns:
            if isinstance(column, DenseFeat):
                total += column.dimension if include_dense else 0
            elif include_sparse:
                total += 1 if feature_group else column.embedding_dim
        return total

    def input_from_feature_columns(
        self, X: Tensor, feature_columns: Iterable[FeatureColumn], embedding_dict: Any, support_dense: bool = True
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Vectors ([B, 1, E] each) and numbers ([B, d] each) of a packed matrix."""
        return _upstream.input_from_feature_columns(self, X, feature_columns, embedding_dict, support_dense)

    def add_auxiliary_loss(self, aux_loss: Tensor, alpha: float) -> None:
        """From a `forward(X)` of one's own: add `alpha * aux_loss` to the loss of this step."""
        self.aux_loss = aux_loss * alpha

    _accuracy_score = staticmethod(_upstream.accuracy_score)
    _log_loss = staticmethod(_upstream.log_loss)
    _prepare_metric_inputs = staticmethod(_upstream.prepare_metric_inputs)
    _get_loss_func_single = staticmethod(get_loss)

    def upgrade_state(self, state: dict[str, Any], prefix: str) -> None:
        """Rename, add or drop entries of an older state_dict, in place. Models with a history override it."""

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        for key in [k for k in state_dict if k.startswith(tuple(prefix + p for p in self.obsolete_keys))]:
            del state_dict[key]
        if not prefix and "task_log_variances" in state_dict and not hasattr(self, "task_log_variances"):
            learned = torch.zeros_like(state_dict["task_log_variances"], device=next(self.parameters()).device)
            self.task_log_variances = nn.Parameter(learned)  # compile(task_weights="uncertainty") takes it over
        self.upgrade_state(state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def save(self, directory: Any) -> None:
        """Write `config.json`, `weights.safetensors`, `training.json`, without pickle; see `load_model`."""
        _saving.save(self, directory)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return _saving.reduce(self) or super().__reduce_ex__(protocol)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return _saving.deepcopy(self, memo)

    def named_tables(self) -> Iterator[tuple[str, EmbeddingCollection]]:
        """All tables of the model, with the names of their modules."""
        for name, module in self.named_modules():
            if isinstance(module, EmbeddingCollection):
                yield name, module
