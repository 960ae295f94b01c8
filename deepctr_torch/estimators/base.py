"""What `CTRClassifier` and `CTRRegressor` share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from os import PathLike
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from .._checks import check_at_least
from .build import is_multitask, model_class
from .fit import fit
from .inputs import Data, open_data, open_inputs
from .labels import Targets
from .predict import evaluate, predictions

__all__ = ["CTREstimator"]

Array = npt.NDArray[Any]
E = TypeVar("E", bound="CTREstimator")


class CTREstimator(BaseEstimator):  # type: ignore[misc]
    """Raw tables in, predictions out: an encoder and a model in one, with the conventions of scikit-learn.

    Args:
        model: name of a model, such as "DeepFM"; of a multi-task model ("ESMM", "MMOE", "PLE", "SharedBottom") for
            several labels.
        features: "infer", a dict of feature -> kind (`deepctr_torch.encoding`), or a `FeatureEncoder`; one that is
            fitted is used as it is.
        history: column(s) with the behaviour that DIN and DIEN compare the target with: "hist_movie" or a list of such
            names, for the target `movie`; or a dict of target -> column.
        model_args: further arguments of the model, such as {"dnn_hidden_units": (128, 64)}.
        optimizer: name, or a dict of a name and options; see `compile`.
        learning_rate: None for the optimizer's own.
        embedding_lr: learning rate of the tables; None for three times the other one.
        loss: None for cross entropy or squared error; see `compile`.
        epochs: at most; early stopping ends sooner.
        batch_size: rows a step; "auto": by the number of rows, from 32 to 4096.
        embedding_dim: length of the vectors; "auto": by the rows of each table, at most 16 (models that compare
            vectors have one length for all).
        validation_fraction: share of the rows that is not trained on but tells when to stop; at most 1,000,000 rows.
        early_stopping: evaluations without improvement after which training stops (True: 3); the best weights are
            restored. False or 0: all epochs.
        eval_every: steps (int) or part of an epoch (float) between evaluations; "auto": a quarter of an epoch.
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
            evaluation whose weights the model has.
        feature_names_in_: names of the columns, where they have names. n_features_in_: how many there are.
    """

    _classifies = False

    def __init__(
        self,
        model: str = "DeepFM",
        *,
        features: Any = "infer",
        history: Any = None,
        model_args: Any = None,
        optimizer: Any = "adam",
        learning_rate: float | None = None,
        embedding_lr: float | None = None,
        loss: Any = None,
        epochs: int = 10,
        batch_size: int | str = "auto",
        embedding_dim: Any = "auto",
        validation_fraction: float = 0.1,
        early_stopping: bool | int = True,
        eval_every: int | float | str = "auto",
        embedding_update: str = "auto",
        precision: str = "fp32",
        random_state: Any = 0,
        verbose: int = 0,
        device: Any = None,
    ) -> None:
        self.model = model
        self.features = features
        self.history = history
        self.model_args = model_args
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.embedding_lr = embedding_lr
        self.loss = loss
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

    encoder_: Any
    model_: Any
    targets_: Targets
    labels_: list[str]
    history_: dict[str, list[float]]
    training_: dict[str, Any]
    n_features_in_: int
    feature_names_in_: Array

    def fit(
        self: E,
        X: Any,
        y: Any = None,
        *,
        sample_weight: Any = None,
        validation: Any = None,
        time: Any = None,
        init_from: Any = None,
        callbacks: Any = None,
    ) -> E:
        """Learn from raw rows: first rows to validate on are cut off, then the encoder learns, then the model.

        Args:
            X: a pandas or polars frame, an arrow table, a dict of columns, a matrix; or files: a path, a folder, a
                glob, a list of them, or `deepctr_torch.data.Files`, which are streamed.
            y: labels, one a row, or a table of several; or the name(s) of columns of `X`, with files always. With
                several labels, None or NaN where one was not observed.
            sample_weight: one number a row; or the name of a column.
            validation: (X, y) or (X, y, sample_weight), or files; instead of `validation_fraction` and `time`.
            time: column to split by: validation rows are the last `validation_fraction` in time. Or a dict with
                "column" and "valid_from", "gap" or "fraction", as `deepctr_torch.temporal.time_split` has them. A
                fraction of 0 cuts nothing off; the column is then only no feature by itself.
            init_from: a saved estimator's folder, or a fitted estimator, to go on from: its encoder learns the values
                that are new, whose vectors start as that of unseen values; weights and optimizer state stay.
            callbacks: of the training; see "Callbacks".

        Raises:
            TypeError, ValueError: wrong input, before training starts (of files: before the step that would use it);
                names column and row.
        """
        self._check_numbers()
        old = None if init_from is None else self._source(init_from)
        fit(self, X, y, sample_weight, validation, time, old, callbacks)
        return self

    def _check_numbers(self) -> None:
        check_at_least("epochs", self.epochs, 0)
        check_at_least("early_stopping", int(self.early_stopping), 0)
        if self.batch_size != "auto":
            check_at_least("batch_size", self.batch_size, 1)

    def _source(self, init_from: Any) -> Any:
        from .serialization import load_artefact

        old = init_from
        if isinstance(init_from, (str, PathLike)):
            old = load_artefact(init_from, training=True)
        if type(old) is not type(self):
            raise TypeError(f"init_from must be a {type(self).__name__} or the folder of one, got {type(old).__name__}")
        check_is_fitted(old)
        if getattr(old, "_stateless", False):
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

    def _keep_names(self, names: Sequence[str], named: bool) -> None:
        self.n_features_in_ = len(names)
        if named:
            self.feature_names_in_ = np.array(names, dtype=object)
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_

    def _opened(self, X: Any) -> Data:
        """Rows to predict, with the columns that the encoder needs."""
        check_is_fitted(self)
        data = open_inputs(X)
        known = list(getattr(self, "feature_names_in_", ()))
        if not known and data.named:
            raise ValueError(f"X must be a matrix of {self.n_features_in_} columns as in fit, got named columns")
        if not data.named and len(data.names) != self.n_features_in_:
            raise ValueError(
                f"X has {len(data.names)} features, but {type(self).__name__} is expecting {self.n_features_in_} "
                "features as input"
            )
        if not data.named and known:
            data = Data(dict(zip(known, data.table.values(), strict=True)), known, True)
        return data

    def predict_stream(self, X: Any) -> Iterator[Array]:
        """The model's predictions block by block, float64 [n, T], in the order of `X`.

        Of a classifier the probability of the second class, one column a label (of more than two classes: one column a
        class); of a regressor the numbers. Memory is that of a block of 65,536 rows.
        """
        data = self._opened(X)
        return (predicted for _, predicted in predictions(self, data))

    def _scores(self, X: Any) -> Array:
        """[N, T]: all of `predict_stream`."""
        parts = list(self.predict_stream(X))
        if not parts:
            raise ValueError("Found array with 0 sample(s): X must have at least one row")
        return np.concatenate(parts)

    def evaluate(
        self, X: Any, y: Any = None, metrics: Sequence[Any] | None = None, *, sample_weight: Any = None
    ) -> dict[str, float]:
        """Every metric over all rows.

        Args:
            X: as in `fit`.
            y: as in `fit`; None for the columns that the labels were in.
            metrics: names or functions (see "Metrics, defined"); "gauc:user" groups by the raw column `user`. None for
                the usual ones.
            sample_weight: as in `fit`.
        """
        return evaluate(self, self._opened_with(X, y, sample_weight), list(metrics or self._metrics()))

    def _opened_with(self, X: Any, y: Any, sample_weight: Any) -> Data:
        """Rows to predict with their labels and weights."""
        check_is_fitted(self)
        opened = open_data(X, self.labels_ if y is None else y, sample_weight)
        if len(opened.labels) != len(self.labels_):
            raise ValueError(f"y must be the labels {self.labels_}, got {list(opened.labels)}")
        inputs = self._opened(X)
        return Data(inputs.table, inputs.names, inputs.named, opened.labels, opened.y, opened.weight)

    def _metrics(self) -> list[str]:
        raise NotImplementedError

    def save(self, directory: str | PathLike[str]) -> None:
        """Write the artefact: all that `load` needs, and the optimizer's state, without pickle.

        Raises:
            TypeError: a parameter or class label that is no plain data.
        """
        from .serialization import save

        check_is_fitted(self)
        save(self, directory)

    @classmethod
    def load(cls: type[E], directory: str | PathLike[str], *, training: bool = False, device: Any = None) -> E:
        """The estimator that `save` wrote; executes nothing of what is in the folder.

        Args:
            directory: where it is.
            training: also read the optimizer's state, to go on from it (`init_from`).
            device: None for that of the saved parameters.

        Raises:
            FileNotFoundError, ValueError: the folder holds no artefact, or one that this version does not know.
        """
        from .serialization import load_artefact

        loaded: Any = load_artefact(directory, training=training, device=device)
        if not isinstance(loaded, cls):
            raise ValueError(f"{directory} must hold a {cls.__name__}, got a {type(loaded).__name__}")
        return loaded

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        tags.target_tags.multi_output = is_multitask(model_class(self.model))
        tags.target_tags.required = True
        return tags
