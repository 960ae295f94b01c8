"""The conventions of scikit-learn: its own checks, clone, pipelines, searches."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import estimator_checks_generator

from deepctr_torch import CTRClassifier, CTRRegressor
from deepctr_torch.encoding import Categorical
from tests.support.estimators import classifier, frame, inputs, regressor

TABLE = frame(240)
SMALL: dict[str, Any] = {
    "epochs": 30,
    "batch_size": 16,
    "validation_fraction": 0.0,
    "learning_rate": 0.01,
    "model_args": {"dnn_hidden_units": (16,)},
}
NOT_OURS = {
    "check_sample_weight_equivalence_on_dense_data": "in shuffled batches a row twice is not a weight of two",
    "check_array_api_input": "takes tables, not arrays of other libraries",
}
QUICK = (
    "no_attributes_set_in_init",
    "dont_overwrite_attributes",
    "estimators_unfitted",
    "fit2d_1sample",
    "n_features_in",
    "estimators_dtypes",
    "classifiers_one_label",
    "dict_unchanged",
    "estimators_pickle",
    "all_zero_sample_weights_error",
    "parameters_default_constructible",
    "supervised_y_no_nan",
    "dataframe_column_names_consistency",
    "regressors_int",
    "estimator_sparse_array",
    "complex_data",
    "classifiers_regression_target",
    "sample_weights_pandas_series",
    "f_contiguous_array_estimator",
)


def checks(cls: type) -> list[Any]:
    out = []
    for estimator, check in estimator_checks_generator(cls(**SMALL)):
        name = getattr(check, "func", check).__name__
        marks = () if name.removeprefix("check_") in QUICK else (pytest.mark.slow,)
        if name not in NOT_OURS:
            out.append(pytest.param(estimator, check, id=f"{cls.__name__}-{name}", marks=marks))
    return out


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize(("estimator", "check"), [*checks(CTRClassifier), *checks(CTRRegressor)])
def test_what_scikit_learn_asks_of_an_estimator(estimator: Any, check: Any) -> None:
    check(estimator)


def test_parameters_are_kept_as_they_are() -> None:
    kinds = {"movie": Categorical()}
    model = CTRClassifier("DCN", features=kinds, epochs=3)
    assert model.features is kinds
    assert model.get_params()["epochs"] == 3
    assert clone(model).get_params() == model.get_params()
    assert model.set_params(model="WDL").model == "WDL"
    assert is_classifier(model)
    assert is_regressor(CTRRegressor())


def test_a_pipeline_and_a_search() -> None:
    frame_ = inputs(TABLE).to_pandas()
    double = FunctionTransformer(lambda X: X.assign(price=X["price"] * 2))
    pipeline = make_pipeline(double, classifier(epochs=1))
    search = GridSearchCV(pipeline, {"ctrclassifier__learning_rate": [1e-6, 0.02]}, cv=2, error_score="raise")
    search.fit(frame_, TABLE["click"].to_numpy())
    assert search.best_params_ == {"ctrclassifier__learning_rate": 0.02}
    assert search.predict(frame_).shape == (240,)
    scores = cross_val_score(regressor(epochs=1), frame_, TABLE["stars"].to_numpy(), cv=2)
    assert np.isfinite(scores).all()
