"""The scripts of DeepCTR-Torch's documentation run as they stand there.

Transcribed from its sections 2.1.2, 2.3.1 to 2.3.4, 2.4.1 and 2.4.2, mended where the extraction from the PDF broke a
line or lost one; `pad_sequences` of TensorFlow is replaced by four lines of numpy. They read the documentation's sample
files where those lie beside the checkout, and files of the same format made here.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from deepctr_torch.callbacks import History

CRITEO, MOVIELENS, BYTEREC = "criteo_sample.txt", "movielens_sample.txt", "byterec_sample.txt"

GETTING_STARTED = """
import pandas as pd
import torch
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import LabelEncoder, MinMaxScaler

from deepctr_torch.inputs import SparseFeat, DenseFeat, get_feature_names

data = pd.read_csv('./criteo_sample.txt')

sparse_features = ['C' + str(i) for i in range(1, 27)]
dense_features = ['I' + str(i) for i in range(1, 14)]

data[sparse_features] = data[sparse_features].fillna('-1', )
data[dense_features] = data[dense_features].fillna(0, )
target = ['label']
"""

LABEL_ENCODING = """
for feat in sparse_features:
    lbe = LabelEncoder()
    data[feat] = lbe.fit_transform(data[feat])
"""

NORMALIZATION = """
mms = MinMaxScaler(feature_range=(0,1))
data[dense_features] = mms.fit_transform(data[dense_features])
"""

COLUMNS_OF_LABELS = """
sparse_feature_columns = [SparseFeat(feat, vocabulary_size=data[feat].max() + 1, embedding_dim=4)
                          for feat in sparse_features]
dense_feature_columns = [DenseFeat(feat, 1, )
                         for feat in dense_features]
"""

COLUMNS_OF_HASHES = """
sparse_feature_columns = [SparseFeat(feat, vocabulary_size=1e6,embedding_dim=4,
                                     use_hash=True, dtype='string')  # since the input is string
                          for feat in sparse_features]
dense_feature_columns = [DenseFeat(feat, 1, )
                         for feat in dense_features]
"""

TRAINING = """
dnn_feature_columns = sparse_feature_columns + dense_feature_columns
linear_feature_columns = sparse_feature_columns + dense_feature_columns
feature_names = get_feature_names(linear_feature_columns + dnn_feature_columns)

from deepctr_torch.models import DeepFM

train, test = train_test_split(data, test_size=0.2)

train_model_input = {name: train[name] for name in feature_names}
test_model_input = {name: test[name] for name in feature_names}

device = 'cpu'
use_cuda = True
if use_cuda and torch.cuda.is_available():
    print('cuda ready...')
    device = 'cuda:0'

model = DeepFM(linear_feature_columns, dnn_feature_columns, task='binary', device=device)
model.compile("adam", "binary_crossentropy",
              metrics=['binary_crossentropy'], )

history = model.fit(train_model_input, train[target].values, batch_size=256, epochs=10, verbose=2,
                    validation_split=0.2, )
pred_ans = model.predict(test_model_input, batch_size=256)
"""

CLASSIFICATION = """
import pandas as pd
import torch
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import LabelEncoder, MinMaxScaler
from deepctr_torch.inputs import SparseFeat, DenseFeat, get_feature_names
from deepctr_torch.models import *

if __name__ == "__main__":
    data = pd.read_csv('./criteo_sample.txt')

    sparse_features = ['C' + str(i) for i in range(1, 27)]
    dense_features = ['I' + str(i) for i in range(1, 14)]

    data[sparse_features] = data[sparse_features].fillna('-1', )
    data[dense_features] = data[dense_features].fillna(0, )
    target = ['label']

    # 1.Label Encoding for sparse features, and do simple Transformation for dense features
    for feat in sparse_features:
        lbe = LabelEncoder()
        data[feat] = lbe.fit_transform(data[feat])
    mms = MinMaxScaler(feature_range=(0, 1))
    data[dense_features] = mms.fit_transform(data[dense_features])

    # 2.count #unique features for each sparse field, and record dense feature field name
    fixlen_feature_columns = [SparseFeat(feat, data[feat].nunique())
                              for feat in sparse_features] + [DenseFeat(feat, 1, )
                                                              for feat in dense_features]

    dnn_feature_columns = fixlen_feature_columns
    linear_feature_columns = fixlen_feature_columns

    feature_names = get_feature_names(
        linear_feature_columns + dnn_feature_columns)

    # 3.generate input data for model
    train, test = train_test_split(data, test_size=0.2)
    train_model_input = {name: train[name] for name in feature_names}
    test_model_input = {name: test[name] for name in feature_names}

    # 4.Define Model, train, predict and evaluate
    device = 'cpu'
    use_cuda = True
    if use_cuda and torch.cuda.is_available():
        print('cuda ready...')
        device = 'cuda:0'

    model = DeepFM(linear_feature_columns=linear_feature_columns, dnn_feature_columns=dnn_feature_columns,
                   task='binary',
                   l2_reg_embedding=1e-5, device=device)

    model.compile("adagrad", "binary_crossentropy",
                  metrics=["binary_crossentropy", "auc"], )
    model.fit(train_model_input,train[target].values,batch_size=32,epochs=10,verbose=2, validation_split=0.0)

    pred_ans = model.predict(test_model_input, 256)
    print("")
    print("test LogLoss", round(log_loss(test[target].values, pred_ans), 4))
    print("test AUC", round(roc_auc_score(test[target].values, pred_ans), 4))
"""

REGRESSION = """
import pandas as pd
import torch
from sklearn.metrics import mean_squared_error
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import LabelEncoder

from deepctr_torch.inputs import SparseFeat, get_feature_names
from deepctr_torch.models import DeepFM

if __name__ == "__main__":

    data = pd.read_csv("./movielens_sample.txt")
    sparse_features = ["movie_id", "user_id",
                       "gender", "age", "occupation", "zip"]
    target = ['rating']

    # 1.Label Encoding for sparse features, and do simple Transformation for dense features
    for feat in sparse_features:
        lbe = LabelEncoder()
        data[feat] = lbe.fit_transform(data[feat])
    # 2.count #unique features for each sparse field
    fixlen_feature_columns = [SparseFeat(feat, data[feat].nunique())
                              for feat in sparse_features]
    linear_feature_columns = fixlen_feature_columns
    dnn_feature_columns = fixlen_feature_columns
    feature_names = get_feature_names(linear_feature_columns + dnn_feature_columns)

    # 3.generate input data for model
    train, test = train_test_split(data, test_size=0.2)
    train_model_input = {name: train[name] for name in feature_names}
    test_model_input = {name: test[name] for name in feature_names}
    # 4.Define Model, train, predict and evaluate

    device = 'cpu'
    use_cuda = True
    if use_cuda and torch.cuda.is_available():
        print('cuda ready...')
        device = 'cuda:0'

    model = DeepFM(linear_feature_columns, dnn_feature_columns, task='regression', device=device)
    model.compile("adam", "mse", metrics=['mse'], )

    history = model.fit(train_model_input,train[target].values,batch_size=256,epochs=10,verbose=2,validation_split=0.2)
    pred_ans = model.predict(test_model_input, batch_size=256)
    print("test MSE", round(mean_squared_error(
        test[target].values, pred_ans), 4))
"""

MULTI_VALUE = """
import numpy as np
import pandas as pd
import torch
from sklearn.preprocessing import LabelEncoder

from deepctr_torch.inputs import SparseFeat, VarLenSparseFeat, get_feature_names
from deepctr_torch.models import DeepFM

def pad_sequences(sequences, maxlen, padding):
    padded = np.zeros((len(sequences), maxlen), dtype='int32')
    for row, sequence in zip(padded, sequences):
        row[:len(sequence)] = sequence
    return padded

def split(x):
    key_ans = x.split('|')
    for key in key_ans:
        if key not in key2index:
            # Notice : input value 0 is a special "padding",
            # so we do not use 0 to encode valid feature for sequence input
            key2index[key] = len(key2index) + 1
    return list(map(lambda x: key2index[x], key_ans))

if __name__ == "__main__":
    data = pd.read_csv("./movielens_sample.txt")
    sparse_features = ["movie_id", "user_id",
                       "gender", "age", "occupation", "zip", ]
    target = ['rating']

    # 1.Label Encoding for sparse features, and process sequence features
    for feat in sparse_features:
        lbe = LabelEncoder()
        data[feat] = lbe.fit_transform(data[feat])
    # preprocess the sequence feature

    key2index = {}
    genres_list = list(map(split, data['genres'].values))
    genres_length = np.array(list(map(len, genres_list)))
    max_len = max(genres_length)
    # Notice : padding=`post`
    genres_list = pad_sequences(genres_list, maxlen=max_len, padding='post', )

    # 2.count #unique features for each sparse field and generate feature config for sequence feature

    fixlen_feature_columns = [SparseFeat(feat, data[feat].nunique(), embedding_dim=4)
                              for feat in sparse_features]

    varlen_feature_columns = [VarLenSparseFeat(SparseFeat('genres', vocabulary_size=len(
        key2index) + 1, embedding_dim=4), maxlen=max_len, combiner='mean')]
    # Notice : value 0 is for padding for sequence input feature

    linear_feature_columns = fixlen_feature_columns + varlen_feature_columns
    dnn_feature_columns = fixlen_feature_columns + varlen_feature_columns

    feature_names = get_feature_names(linear_feature_columns + dnn_feature_columns)

    # 3.generate input data for model
    model_input = {name: data[name] for name in sparse_features}  #
    model_input["genres"] = genres_list

    # 4.Define Model, compile and train
    device = 'cpu'
    use_cuda = True
    if use_cuda and torch.cuda.is_available():
        print('cuda ready...')
        device = 'cuda:0'

    model = DeepFM(linear_feature_columns, dnn_feature_columns, task='regression', device=device)

    model.compile("adam", "mse", metrics=['mse'], )
    history = model.fit(model_input,data[target].values,batch_size=256,epochs=10,verbose=2,validation_split=0.2)
"""

MULTI_TASK = """
import pandas as pd
import torch
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.preprocessing import LabelEncoder, MinMaxScaler
from deepctr_torch.inputs import SparseFeat, DenseFeat, get_feature_names
from deepctr_torch.models import *

if __name__ == "__main__":
    data = pd.read_csv('./byterec_sample.txt', sep='\\t',
                       names=["uid", "user_city", "item_id", "author_id", "item_city", "channel", "finish", "like",
                              "music_id", "device", "time", "duration_time"])

    sparse_features = ["uid", "user_city", "item_id", "author_id", "item_city", "channel", "music_id", "device"]
    dense_features = ["duration_time"]

    target = ['finish', 'like']

    # 1.Label Encoding for sparse features, and do simple Transformation for dense features
    for feat in sparse_features:
        lbe = LabelEncoder()
        data[feat] = lbe.fit_transform(data[feat])
    mms = MinMaxScaler(feature_range=(0, 1))
    data[dense_features] = mms.fit_transform(data[dense_features])

    # 2.count #unique features for each sparse field, and record dense feature field name
    fixlen_feature_columns = [SparseFeat(feat, vocabulary_size=data[feat].max() + 1, embedding_dim=4)
                              for feat in sparse_features] + [DenseFeat(feat, 1, )
                                                              for feat in dense_features]

    dnn_feature_columns = fixlen_feature_columns
    linear_feature_columns = fixlen_feature_columns

    feature_names = get_feature_names(
        linear_feature_columns + dnn_feature_columns)

    # 3.generate input data for model
    split_boundary = int(data.shape[0] * 0.8)
    train, test = data[:split_boundary], data[split_boundary:]
    train_model_input = {name: train[name] for name in feature_names}
    test_model_input = {name: test[name] for name in feature_names}

    # 4.Define Model, train, predict and evaluate
    device = 'cpu'
    use_cuda = True
    if use_cuda and torch.cuda.is_available():
        print('cuda ready...')
        device = 'cuda:0'

    model = MMOE(dnn_feature_columns, task_types=['binary', 'binary'],
                 l2_reg_embedding=1e-5, task_names=target, device=device)
    model.compile("adagrad", loss=["binary_crossentropy", "binary_crossentropy"],
                  metrics=['binary_crossentropy'], )

    history = model.fit(train_model_input, train[target].values, batch_size=32, epochs=10, verbose=2)
    pred_ans = model.predict(test_model_input, 256)
    print("")
    for i, target_name in enumerate(target):
        print("%s test LogLoss" % target_name, round(log_loss(test[target[i]].values, pred_ans[:, i]), 4))
        print("%s test AUC" % target_name, round(roc_auc_score(test[target[i]].values, pred_ans[:, i]), 4))
"""

SAVE_AND_LOAD_WEIGHTS = """
import torch

torch.save(model.state_dict(), 'DeepFM_weights.h5')
model.load_state_dict(torch.load('DeepFM_weights.h5'))
"""

SAVE_AND_LOAD_MODEL = """
import torch

torch.save(model, 'DeepFM.h5')
model = torch.load('DeepFM.h5')
"""

LEARNING_RATE_AND_EARLY_STOPPING = """
from torch.optim import Adagrad
from deepctr_torch.models import DeepFM
from deepctr_torch.callbacks import EarlyStopping, ModelCheckpoint

model = DeepFM(linear_feature_columns,dnn_feature_columns)
model.compile(Adagrad(model.parameters(),0.1024),'binary_crossentropy',metrics=['binary_crossentropy'])

es = EarlyStopping(monitor='val_binary_crossentropy', min_delta=0, verbose=1, patience=0, mode='min')
mdckpt = ModelCheckpoint(filepath='model.ckpt', monitor='val_binary_crossentropy', verbose=1,
                         save_best_only=True, mode='min')
history = model.fit(model_input,data[target].values,batch_size=256,epochs=10,verbose=2,
                    validation_split=0.2,callbacks=[es,mdckpt])
print(history)
"""

Script = Callable[..., dict[str, Any]]


def make_criteo() -> pd.DataFrame:
    rng, n = np.random.default_rng(0), 200
    columns: dict[str, Any] = {"label": rng.integers(0, 2, n)}
    for i in range(1, 14):
        columns[f"I{i}"] = pd.array(rng.integers(-1, 3_000, n), dtype="Int64")
        columns[f"I{i}"][rng.random(n) < (0.0 if i == 2 else 0.3)] = pd.NA
    for i in range(1, 27):
        words = np.array([f"{v:08x}" for v in rng.integers(0, 2**32, 60)], dtype=object)
        columns[f"C{i}"] = np.where(rng.random(n) < 0.2, None, words[rng.integers(0, 60, n)])
    return pd.DataFrame(columns)


def make_movielens() -> pd.DataFrame:
    rng, n = np.random.default_rng(1), 200
    kinds = ["Comedy|Drama", "Action|Thriller", "Drama", "Action|Adventure|Sci-Fi"]
    return pd.DataFrame(
        {
            "user_id": rng.integers(1, 6_041, n),
            "movie_id": rng.integers(1, 3_953, n),
            "rating": rng.integers(1, 6, n),
            "timestamp": rng.integers(956_703_932, 1_046_454_590, n),
            "title": [f"Film {i}, The (1995)" for i in range(n)],
            "genres": rng.choice(kinds, n),
            "gender": rng.choice(["F", "M"], n),
            "age": rng.choice([1, 18, 25, 35], n),
            "occupation": rng.integers(0, 21, n),
            "zip": rng.choice(["19119", "77005", "15701-1348"], n),
        }
    )


def make_byterec() -> pd.DataFrame:
    rng, n = np.random.default_rng(2), 200
    columns = [rng.integers(-1, 60_000, n) for _ in range(5)]
    columns += [rng.integers(0, high, n) for high in (2, 2, 2)]
    columns += [rng.integers(-1, 60_000, n) for _ in range(2)]
    return pd.DataFrame([*columns, rng.integers(53_085_000_000, 53_087_000_000, n), rng.integers(2, 60, n)]).T


def write_sample(name: str, folder: Path) -> None:
    """A file of the format of the documentation's sample."""
    if name == BYTEREC:
        make_byterec().to_csv(folder / name, sep="\t", header=False, index=False)
    else:
        (make_criteo() if name == CRITEO else make_movielens()).to_csv(folder / name, index=False)


@pytest.fixture(params=["samples of the documentation", "samples made here"])
def run(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Script:
    """Runs scripts one after the other in a folder that holds the sample files; returns their names."""
    # asked for by name, so that conftest does not leave these tests out where the samples are missing
    given = request.getfixturevalue("shared") / "data"
    for name in (CRITEO, MOVIELENS, BYTEREC):
        if request.param == "samples of the documentation" and (given / name).is_file():
            shutil.copyfile(given / name, tmp_path / name)
        else:
            write_sample(name, tmp_path)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "__main__"}

    def run_scripts(*scripts: str) -> dict[str, Any]:
        for number, script in enumerate(scripts):
            exec(compile(script, f"documented script {number}", "exec"), names)
        return names

    return run_scripts


def check_history(history: History, keys: list[str], epochs: int = 10) -> None:
    assert list(history.history) == keys
    assert all(len(values) == epochs and np.isfinite(values).all() for values in history.history.values())
    assert history.history["loss"][-1] < history.history["loss"][0]


def test_getting_started_with_label_encoding(run: Script) -> None:
    names = run(GETTING_STARTED, LABEL_ENCODING, NORMALIZATION, COLUMNS_OF_LABELS, TRAINING)
    check_history(names["history"], ["loss", "binary_crossentropy", "val_loss", "val_binary_crossentropy"])
    assert names["pred_ans"].shape == (40, 1)


@pytest.mark.slow
def test_getting_started_with_hashing_on_the_fly(run: Script) -> None:
    names = run(GETTING_STARTED, NORMALIZATION, COLUMNS_OF_HASHES, TRAINING)  # 26 million rows of tables
    check_history(names["history"], ["loss", "binary_crossentropy", "val_loss", "val_binary_crossentropy"])
    assert names["pred_ans"].shape == (40, 1)


def test_getting_started_with_hashing_in_a_small_space(run: Script) -> None:
    names = run(GETTING_STARTED, NORMALIZATION, COLUMNS_OF_HASHES.replace("1e6", "1e3"), TRAINING)
    assert names["feature_names"] == names["sparse_features"] + names["dense_features"]
    assert names["pred_ans"].shape == (40, 1)


def test_classification_of_criteo(run: Script, capsys: pytest.CaptureFixture[str]) -> None:
    names = run(CLASSIFICATION)
    check_history(names["model"].history, ["loss", "binary_crossentropy", "auc"])
    assert names["pred_ans"].shape == (40, 1)
    *_, loss, auc = capsys.readouterr().out.splitlines()
    assert loss.startswith("test LogLoss 0.")
    assert auc.startswith("test AUC 0.")


def test_regression_on_movielens(run: Script, capsys: pytest.CaptureFixture[str]) -> None:
    names = run(REGRESSION)
    check_history(names["history"], ["loss", "mse", "val_loss", "val_mse"])
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("test MSE ")
    assert 0 < float(last.split()[-1]) < 20


def test_several_values_on_movielens(run: Script) -> None:
    names = run(MULTI_VALUE)
    check_history(names["history"], ["loss", "mse", "val_loss", "val_mse"])
    assert names["feature_names"][-1] == "genres"


def test_several_tasks_on_byterec(run: Script, capsys: pytest.CaptureFixture[str]) -> None:
    names = run(MULTI_TASK)
    assert names["pred_ans"].shape == (40, 2)
    history = names["history"].history
    assert {"loss", "finish_binary_crossentropy", "like_binary_crossentropy", "binary_crossentropy"} <= set(history)
    mean = (history["finish_binary_crossentropy"][-1] + history["like_binary_crossentropy"][-1]) / 2
    assert math.isclose(history["binary_crossentropy"][-1], mean)
    shown = capsys.readouterr().out.splitlines()[-4:]
    assert [line.rpartition(" ")[0] for line in shown] == [
        "finish test LogLoss", "finish test AUC", "like test LogLoss", "like test AUC",
    ]  # fmt: skip


# torch 2.4 and 2.5 warn about the default of their own
@pytest.mark.filterwarnings("ignore:You are using .torch.load.:FutureWarning")
def test_saving_weights_and_model(run: Script) -> None:
    names = run(CLASSIFICATION, SAVE_AND_LOAD_WEIGHTS)
    np.testing.assert_array_equal(names["model"].predict(names["test_model_input"], 256), names["pred_ans"])
    saved = names["model"]
    names = run(SAVE_AND_LOAD_MODEL)
    assert names["model"] is not saved
    np.testing.assert_array_equal(names["model"].predict(names["test_model_input"], 256), names["pred_ans"])


def test_learning_rate_and_early_stopping(run: Script, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    names = run(CLASSIFICATION, "model_input = {name: data[name] for name in feature_names}")
    capsys.readouterr()
    names = run(LEARNING_RATE_AND_EARLY_STOPPING)
    stopped = names["es"].stopped_epoch
    assert 1 <= stopped <= 10
    assert len(names["history"].epoch) == stopped
    shown = capsys.readouterr().out
    assert "val_binary_crossentropy improved from inf to" in shown
    assert f"Epoch {stopped:05d}: early stopping" in shown
    assert (tmp_path / "model.ckpt").is_file()
