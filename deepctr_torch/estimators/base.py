"""`CTREstimator`: raw tables in, predictions out; its subclasses say what the labels are."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import Tags, check_random_state
from sklearn.utils.validation import check_is_fitted

from .._checks import check_at_least
from .._typing import Array
from ..encoding import FeatureEncoder
from ..encoding.encoder import Report
from ..metrics.task_metrics import TaskMetrics
from ..models import BaseModel
from ..tables import Chunk, ColumnLike
from ..training.checkpoint import Checkpoints
from .build import DimensionLike, LossLike, is_multitask, model_class
from .features import FeaturesLike, HistoryLike
from .fit import CallbacksLike, fit
from .importance import permutation_importances
from .inputs import LabelsLike, RawData, TableLike, WeightsLike, open_data, open_inputs, reading
from .labels import LabelEncoder
from .predict import DEFAULT_METRICS, LabeledPredictions, MetricLike, predict_batches, predict_chunks, predict_labeled
from .prepare import encode_batches
from .serialization import Fitted, load_estimator, save_estimator
from .split import TimeLike
from .vectors import embedding_frame

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

__all__ = ["CTREstimator", "load_artefact"]

E = TypeVar("E", bound="CTREstimator")
NOT_ASKED = ("device", "epochs", "random_state", "verbose")  # what a training may be gone on with differently
ESTIMATORS: dict[str, type[CTREstimator]] = {}  # name of a subclass -> the class


class CTREstimator(BaseEstimator):  # type: ignore[misc]
    """Raw tables in, predictions out: an encoder and a model in one, with the conventions of scikit-learn.

    Args:
        model: name of a model, such as "DeepFM"; of a multi-task model ("ESMM", "MMOE", "PLE", "SharedBottom") for
            several labels.
        features: "infer", a dict of feature -> kind (`deepctr_torch.encoding`), or a `FeatureEncoder`; one that is
            fitted is used as it is. A dict leaves other columns out, which `fit` logs; with "*": "infer" their kinds
            are inferred.
        skip: columns that are no features, such as those known only after the label.
        history: column(s) with the behaviour that DIN and DIEN compare the target with: "hist_movie" or a list of such
            names ("hist_movie", "hist_movie_long"), for the target `movie`; or a dict of target -> column(s).
        model_args: further arguments of the model, such as {"dnn_hidden_units": (128, 64)}.
        optimizer: name, or a dict of a name and options; see `compile`.
        learning_rate: None for the optimizer's own.
        embedding_lr: learning rate of the tables; None for three times the other one.
        loss: None for cross entropy or squared error; of a number also "huber", "poisson", "tweedie"; see `compile`.
        ensemble: number of models that learn side by side from the same batches, their mean the prediction; "auto": 4
            for 2,000 to 100,000 rows, where that costs seconds, else 1.
        epochs: at most; early stopping ends sooner.
        batch_size: rows a step; "auto": by the number of rows, from 32 to 4096.
        embedding_dim: length of the vectors; "auto": by the rows of each table, at most 16 (models that compare
            vectors have one length for all).
        validation_fraction: share of the rows that is not trained on but tells when to stop; at most 1,000,000 rows.
        early_stopping: evaluations without improvement after which training stops, and the best weights are restored;
            True: as many as are in 0.8 epochs and in 200 steps, 3 at least. False or 0: all epochs.
        eval_every: steps (int) or part of an epoch (float) between evaluations; "auto": a tenth of an epoch.
        embedding_update: "auto", "sparse" or "dense"; see `compile`.
        precision: "fp32" or "bf16"; see `compile`.
        random_state: seed of all that is drawn; None for another one at each fit.
        verbose: 0, 1 for a progress bar, 2 for a line an evaluation.
        device: None for the CPU.

    Attributes:
        encoder_: the `FeatureEncoder`.
        model_: the trained model, whose inputs are what `encoder_` makes.
        labels_: names of the labels.
        history_: name of a number -> its value at each evaluation.
        training_: how the fit went: rows, seconds, batch size, seed and so on; "best_evaluation" is the number of the
            evaluation whose weights the model has, "still_improving" says that `epochs` ended a training that early
            stopping would have gone on with.
        validation_metrics_: the `metrics` asked for in `fit`, of the rows to validate on; None without.
        feature_names_in_: names of the columns, where they have names. n_features_in_: how many there are.
    """

    label_encoder_class: ClassVar[type[LabelEncoder]]

    encoder_: FeatureEncoder
    model_: BaseModel
    label_encoder_: LabelEncoder
    labels_: list[str]
    history_: dict[str, list[float]]
    training_: dict[str, Any]
    validation_metrics_: dict[str, float] | None
    n_features_in_: int
    feature_names_in_: Array
    _stateless = False  # loaded without the state of the optimizer

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        ESTIMATORS[cls.__name__] = cls

    def __init__(
        self,
        model: str = "DeepFM",
        *,
        features: FeaturesLike = "infer",
        skip: str | Sequence[str] = (),
        history: HistoryLike = None,
        model_args: Mapping[str, Any] | None = None,
        optimizer: str | Mapping[str, Any] = "adam",
        learning_rate: float | None = None,
        embedding_lr: float | None = None,
        loss: LossLike = None,
        ensemble: int | str = "auto",
        epochs: int = 20,
        batch_size: int | str = "auto",
        embedding_dim: DimensionLike = "auto",
        validation_fraction: float = 0.1,
        early_stopping: bool | int = True,
        eval_every: int | float | str = "auto",
        embedding_update: str = "auto",
        precision: str = "fp32",
        random_state: int | np.random.RandomState | None = 0,
        verbose: int = 0,
        device: str | None = None,
    ) -> None:
        self.model = model
        self.features = features
        self.skip = skip
        self.history = history
        self.model_args = model_args
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.embedding_lr = embedding_lr
        self.loss = loss
        self.ensemble = ensemble
        self.epochs = epochs
        self.batch_size = batch_size
        self.embedding_dim = embedding_dim
        self.validation_fraction = validation_fraction
        self.early_stopping = early_stopping
        self.eval_every = eval_every
        self.embedding_update = embedding_update
        self.precision = precision
        self.random_state = random_state
        self.verbose = verbose
        self.device = device

    def fit(
        self: E,
        X: TableLike,
        y: LabelsLike = None,
        *,
        sample_weight: WeightsLike = None,
        validation: LabelsLike = None,
        time: TimeLike = None,
        init_from: str | PathLike[str] | CTREstimator | None = None,
        callbacks: CallbacksLike = None,
        metrics: str | Sequence[str] = (),
        checkpoint_dir: str | PathLike[str] | None = None,
        checkpoint_every: int | str = "10min",
        keep: int = 3,
        resume: bool = False,
        on_bad_rows: str = "raise",
    ) -> E:
        """Learn from raw rows: first rows to validate on are cut off, then the encoder learns, then the model.

        Args:
            X: a pandas or polars frame, an arrow table, a dict of columns, a list of dicts, a matrix; or files: a
                path, a folder, a glob, a list of them, or `deepctr_torch.data.Files`, which are streamed. Columns of
                tables are found by name, `str(name)` of names that are no strings (levels of a MultiIndex joined by
                "_"); those of a matrix by position.
            y: labels, one a row, or a table of several; or the name(s) of columns of `X`, with files always. With
                several labels, None or NaN where one was not observed.
            sample_weight: one number a row; or the name of a column.
            validation: (X, y) or (X, y, sample_weight), or files; instead of `validation_fraction` and `time`.
            time: column to split by: validation rows are the last `validation_fraction` in time. Or a dict with
                "column" and "valid_from", "gap" or "fraction", as `deepctr_torch.temporal.time_split` has them. A
                fraction of 0 cuts nothing off; the column is then only no feature by itself.
            init_from: a saved estimator's folder, or a fitted estimator, to go on from: its encoder learns the values
                that are new, whose vectors start as that of unseen values; weights and optimizer state stay, and so
                do its features: `features` is "infer" or names the same.
            callbacks: of the training; see "Callbacks".
            metrics: of the rows to validate on, to compute after training, for `validation_metrics_`: names, or
                "default" for `default_metrics`.
            checkpoint_dir: folder for checkpoints of the training, with the encoder; see "Reliability".
            checkpoint_every: steps (int) between two of them, or a time such as "30s", "10min", "2h".
            keep: how many of the last ones stay, beside the best one.
            resume: go on from the last whole checkpoint, with the same rows, to the same end as without a break.
            on_bad_rows: "skip" leaves lines of text files out that cannot be read, and warns of their number.

        Raises:
            TypeError, ValueError: wrong input, before training starts (of files: before the step that would use it);
                names column and row.
            BlockingIOError: another training writes into `checkpoint_dir`.
        """
        self._check_numbers()
        own = {name: value for name, value in self.get_params(deep=False).items() if name not in NOT_ASKED}
        checkpoints = Checkpoints.of(checkpoint_dir, checkpoint_every, keep, resume, own)
        with contextlib.nullcontext() if checkpoints is None else checkpoints.locked():
            fitted = fit(
                self,
                reading(X, on_bad_rows),
                y,
                sample_weight=sample_weight,
                validation=reading(validation, on_bad_rows),
                time=time,
                previous=None if init_from is None else self._previous(init_from),
                callbacks=callbacks,
                metrics=metrics,
                seed=self._draw_seed(),
                checkpoints=checkpoints,
            )
        self._set_fitted(fitted)
        return self

    def _set_fitted(self, fitted: Fitted) -> None:
        self.encoder_, self.model_, self.label_encoder_ = fitted.encoder, fitted.model, fitted.labels
        self.labels_, self.history_ = list(fitted.labels.names), fitted.model.history.history
        self.training_, self.validation_metrics_ = fitted.training, fitted.validation_metrics
        self._stateless = False
        self.n_features_in_ = len(fitted.names)
        if fitted.named:
            self.feature_names_in_ = np.array(fitted.names, dtype=object)
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_

    def _check_numbers(self) -> None:
        check_at_least("epochs", self.epochs, 0)
        check_at_least("early_stopping", int(self.early_stopping), 0)
        if self.batch_size != "auto":
            check_at_least("batch_size", self.batch_size, 1)

    def _previous(self, init_from: str | PathLike[str] | CTREstimator) -> CTREstimator:
        """The estimator to go on from."""
        old = load_artefact(init_from, training=True) if isinstance(init_from, (str, PathLike)) else init_from
        if type(old) is not type(self):
            raise TypeError(f"init_from must be a {type(self).__name__} or the folder of one, got {type(old).__name__}")
        check_is_fitted(old)
        if old._stateless:
            raise ValueError(
                "init_from must have the state of its optimizer, got an estimator loaded without: give the folder, or "
                "load(directory, training=True)"
            )
        if old.model != self.model:
            raise ValueError(f"init_from must be of the model {self.model!r}, got {old.model!r}")
        return old

    def _draw_seed(self) -> int:
        if isinstance(self.random_state, (int, np.integer)):
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(2**31 - 1))

    def _open(self, X: TableLike) -> RawData:
        """Rows to predict, with the columns that the encoder needs."""
        check_is_fitted(self)
        no_rows = isinstance(X, (list, tuple)) and not X
        data = open_inputs(np.empty((0, self.n_features_in_)) if no_rows else X)
        known = list(getattr(self, "feature_names_in_", ()))
        if not known and data.named:
            if data.names != [str(i) for i in range(self.n_features_in_)]:  # pandas' names of a matrix
                raise ValueError(f"X must be a matrix of {self.n_features_in_} columns as in fit, got named columns")
            names = [f"x{i}" for i in range(self.n_features_in_)]
            data = RawData(dict(zip(names, (data.table[name] for name in data.names), strict=True)), names, False)
        if not data.named and len(data.names) != self.n_features_in_:
            raise ValueError(
                f"X has {len(data.names)} features, but {type(self).__name__} is expecting {self.n_features_in_} "
                "features as input"
            )
        if not data.named and known:
            data = RawData(dict(zip(known, data.table.values(), strict=True)), known, True)
        return data

    def _open_labeled(self, X: TableLike, y: LabelsLike, sample_weight: WeightsLike) -> RawData:
        """Rows to predict with their labels and weights."""
        check_is_fitted(self)
        read = set(self.encoder_.inputs).intersection(self.labels_)
        if y is None and read:
            raise ValueError(f"y must be given: {min(read)!r} is a feature's column, too")
        opened = open_data(X, self.labels_ if y is None else y, sample_weight)
        if len(opened.labels) != len(self.labels_):
            raise ValueError(f"y must be the labels {self.labels_}, got {list(opened.labels)}")
        inputs = self._open(X)
        return RawData(inputs.table, inputs.names, inputs.named, opened.labels, opened.y, opened.weight)

    def predict_stream(self, X: TableLike, *, on_bad_rows: str = "raise") -> Iterator[Array]:
        """Yield the model's predictions block by block, float64 [n, T], in the order of `X`.

        Of a classifier the probability of the second class, one column a label (of more than two classes: one column a
        class); of a regressor the numbers. Memory is that of a block of 65,536 rows. `on_bad_rows` is that of `fit`.
        """
        data = self._open(reading(X, on_bad_rows))
        batches = encode_batches(self.encoder_, data, None)
        return (predicted for _, predicted in predict_batches(self.model_, self.label_encoder_, batches, self.encoder_))

    def predict_chunks(
        self, chunks: Iterable[Chunk], keep: Callable[[Chunk], pa.Table]
    ) -> Iterator[tuple[pa.Table, Array]]:
        """Yield raw rows that the caller reads, with their predictions, as `predict_stream` has them.

        Args:
            chunks: of `deepctr_torch.tables.read_chunks`, with the columns that the encoder needs.
            keep: what to yield of a chunk: an arrow table of as many rows, of one schema for all.
        """
        check_is_fitted(self)
        return predict_chunks(self.model_, self.label_encoder_, self.encoder_, chunks, keep)

    def _predict_all(self, X: TableLike, on_bad_rows: str) -> Array:
        """[N, T]: all of `predict_stream`."""
        blocks = list(self.predict_stream(X, on_bad_rows=on_bad_rows))
        return np.concatenate(blocks) if blocks else np.empty((0, self.model_.num_classes or len(self.labels_)))

    def predict_labeled(
        self,
        X: TableLike,
        y: LabelsLike = None,
        *,
        sample_weight: WeightsLike = None,
        keep: Sequence[str] = (),
        progress: Callable[[int], object] | None = None,
    ) -> LabeledPredictions:
        """Predict all rows and keep their labels, from which metrics follow: of all, or by values of a column.

        Args:
            X, y, sample_weight: as in `evaluate`.
            keep: raw columns to keep.
            progress: called with the number of rows of each block.
        """
        data = self._open_labeled(X, y, sample_weight)
        batches = encode_batches(self.encoder_, data, self.label_encoder_.renamed(data.labels), keep=keep)
        return predict_labeled(self.model_, self.label_encoder_, batches, progress, self.encoder_)

    def evaluate(
        self,
        X: TableLike,
        y: LabelsLike = None,
        metrics: Sequence[MetricLike] | None = None,
        *,
        sample_weight: WeightsLike = None,
        on_bad_rows: str = "raise",
    ) -> dict[str, float]:
        """Compute metrics over all rows.

        Args:
            X: as in `fit`.
            y: as in `fit`; None for the columns that the labels were in.
            metrics: names or functions (see "Metrics, defined"); "gauc:user" groups by the raw column `user`. None for
                `default_metrics`.
            sample_weight, on_bad_rows: as in `fit`.
        """
        check_is_fitted(self)
        names = list(metrics or self.default_metrics)
        groups = TaskMetrics(self.model_.tasks, names).group_columns
        return self.predict_labeled(reading(X, on_bad_rows), y, sample_weight=sample_weight, keep=groups).metrics(names)

    def feature_importances(
        self,
        X: TableLike,
        y: LabelsLike = None,
        metric: MetricLike | None = None,
        *,
        repeats: int = 5,
        seed: int = 0,
        sample_weight: WeightsLike = None,
    ) -> Report:
        """Say how much worse a metric gets when the values of a raw column are shuffled over the rows.

        All features of a column move together. A column that others can stand in for looks unimportant.

        Args:
            X, y, sample_weight: as in `evaluate`: best rows that were not trained on; they are held in memory.
            metric: name or function; None for the first of `default_metrics`.
            repeats: shuffles of each column, each with a prediction of all rows.
            seed: of the shuffles.

        Returns:
            One dict for each column, the most important first: "column" (several names where they only make sense
            together), "importance", the mean over the shuffles, and "std", their standard deviation; printed as a
            table.

        Raises:
            ValueError: a metric that is best neither high nor low, such as "calibration".
        """
        check_is_fitted(self)
        check_at_least("repeats", repeats, 1)
        metric = self.default_metrics[0] if metric is None else metric
        groups = TaskMetrics(self.model_.tasks, [metric]).group_columns
        rows = self.predict_labeled(X, y, sample_weight=sample_weight, keep=groups)
        return permutation_importances(
            self.model_, self.encoder_, self.label_encoder_, self._open(X), rows, metric, repeats, seed
        )

    @property
    def feature_importances_(self) -> Array:
        raise AttributeError("importances need rows and labels: call feature_importances(X, y)")

    def embeddings(self, feature: str, ids: ColumnLike = None) -> pl.DataFrame:
        """Return the learned vectors of a feature, by raw value.

        Args:
            feature: one that looks values up. A history has the vectors of its target.
            ids: raw values to look up, in this order; None for all that have a row of their own.

        Returns:
            A polars frame with the columns "value"; "kind": "known", "unseen" or "missing"; and "embedding", an array
            of float32. Values that are missing, and those unseen or rare in training, have one vector each. Without
            `ids` it begins with these two, whose value is null.

        Raises:
            ValueError: a feature without vectors, or one that hashes its values, without `ids`.
        """
        check_is_fitted(self)
        return embedding_frame(self.model_, self.encoder_, feature, ids)

    @property
    def default_metrics(self) -> list[str]:
        """Names of the usual metrics of what the model predicts."""
        check_is_fitted(self)
        return list(DEFAULT_METRICS[self.label_encoder_.kind])

    def save(self, directory: str | PathLike[str]) -> None:
        """Write the artefact: all that `load` needs, and the optimizer's state, without pickle.

        Raises:
            TypeError: a parameter or class label that is no plain data.
        """
        check_is_fitted(self)
        named = hasattr(self, "feature_names_in_")
        fitted = Fitted(
            encoder=self.encoder_,
            model=self.model_,
            labels=self.label_encoder_,
            names=[str(name) for name in (self.feature_names_in_ if named else range(self.n_features_in_))],
            named=named,
            training=self.training_,
        )
        save_estimator(type(self).__name__, self.get_params(deep=False), fitted, directory)

    @classmethod
    def load(cls: type[E], directory: str | PathLike[str], *, training: bool = False, device: str | None = None) -> E:
        """Return the estimator of this class that `save` wrote; arguments and errors as `load_artefact` has them."""
        loaded, fitted = load_estimator(directory, ESTIMATORS, training=training, device=device)
        if not isinstance(loaded, cls):
            raise ValueError(f"{directory} must hold a {cls.__name__}, got a {type(loaded).__name__}")
        loaded._set_fitted(fitted)
        loaded._stateless = not training
        return loaded

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        tags.target_tags.multi_output = is_multitask(model_class(self.model))
        tags.target_tags.required = True
        return tags


def load_artefact(directory: str | PathLike[str], *, training: bool = False, device: str | None = None) -> CTREstimator:
    """Return the `CTRClassifier` or `CTRRegressor` that `save` wrote; execute nothing of what is in the folder.

    Args:
        directory: where it is.
        training: also read the optimizer's state, to go on from it (`init_from`).
        device: None for that of the saved parameters.

    Raises:
        FileNotFoundError: `directory` holds no artefact, or only a part of one.
        ValueError: it holds what this version does not know.
    """
    return CTREstimator.load(directory, training=training, device=device)
