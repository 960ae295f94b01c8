"""Whether CUDA gives the numbers of the CPU without waiting, and how fast it trains: `make gpu-check`.

    python benchmarks/gpu_check.py [--quick]

Needs a CUDA device. Checks every model: a step with dense and with sparse updates, predictions, bfloat16, a step that
never waits for the device, saving on one device and loading on the other; then optimizers, compiled code, data that
live on the device or come ahead. Measures DeepFM (26 ids, 13 numbers, MLP 256-128, Adam) in samples per second of
whole epochs. Writes `benchmarks/results/gpu.json` if every check holds, and prints those that do not.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import deepctr_torch  # noqa: E402
from deepctr_torch.callbacks import Callback  # noqa: E402
from deepctr_torch.data import device as placing  # noqa: E402
from deepctr_torch.data.batch import LabelSpec  # noqa: E402
from deepctr_torch.data.device import to_device  # noqa: E402
from deepctr_torch.data.loader import make_source  # noqa: E402
from deepctr_torch.features import DenseFeat, SparseFeat  # noqa: E402
from deepctr_torch.models import DeepFM  # noqa: E402
from tests.support.all_models import CASES  # noqa: E402
from tests.support.cases import Case, inputs, labels  # noqa: E402

RESULT = ROOT / "benchmarks" / "results" / "gpu.json"
ROWS = 64  # of a correctness check
CLOSE = {"rtol": 1e-3, "atol": 1e-5}  # of weights and predictions, float32 without TF32
BF16 = 0.1  # of the loss in bfloat16, relative
OPTIMIZERS = ("adagrad", "adam", "adamw", "rmsprop", "rowwise_adagrad", "sgd")
FIELDS, NUMBERS, DIM, LAYERS = 26, 13, 16, (256, 128)

Check = tuple[str, str, Callable[[], None]]


def compiled(case: Case, device: str, optimizer: str = "sgd", **options: Any) -> Any:
    model = case.make(device=device)
    losses = ["binary_crossentropy"] * len(model.tasks)
    model.compile(optimizer, losses if len(losses) > 1 else losses[0], metrics=["auc"], **options)
    return model


def trained(case: Case, device: str, epochs: int = 1, **options: Any) -> Any:
    """After one step an epoch."""
    model = compiled(case, device, **options)
    x, y = inputs(case.all_columns, ROWS), labels(model, ROWS)
    model.fit(x, y, batch_size=ROWS, epochs=epochs, shuffle=False, verbose=0)
    return model


def assert_close(one: Any, other: Any) -> None:
    mine, its = ({name: value.cpu() for name, value in model.state_dict().items()} for model in (one, other))
    torch.testing.assert_close(mine, its, **CLOSE)


def check_step(case: Case, device: str, update: str) -> None:
    assert_close(*(trained(case, d, embedding_update=update) for d in ("cpu", device)))


def check_predict(case: Case, device: str) -> None:
    x = inputs(case.all_columns, ROWS)
    np.testing.assert_allclose(compiled(case, device).predict(x), compiled(case, "cpu").predict(x), **CLOSE)


def check_bf16(case: Case, device: str, update: str) -> None:
    losses = [
        trained(case, device, 3, precision=precision, embedding_update=update).history.history["loss"][-1]
        for precision in ("fp32", "bf16")
    ]
    assert np.isfinite(losses).all(), losses
    np.testing.assert_allclose(losses[1], losses[0], rtol=BF16)


@contextmanager
def no_waiting() -> Iterator[None]:
    """Whatever waits for the device raises."""
    if not torch.cuda.is_available():
        yield
        return
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def check_no_wait(case: Case, device: str, update: str, optimizer: str = "adam") -> None:
    """A step, its batch included, data on the device and data that come ahead; the first ones may make buffers."""
    for passes in (1, 2):
        model = compiled(case, device, optimizer, embedding_update=update)
        how = LabelSpec(model.tasks)
        source = make_source(model.schema, inputs(case.all_columns, ROWS), labels(model, ROWS), how, np.ones(ROWS))
        mover, moves = model._update, model._compiled
        mover.resolve_mode(model, ROWS // 8)
        mover.prepare(moves, model, ROWS // 8)
        model.train()
        batches = placing.on_device(source, torch.device(device), passes).batches(ROWS // 8, [1])
        for _ in range(2):
            mover.step(model, moves, to_device(next(batches), torch.device(device)))
        with no_waiting():
            for _ in range(3):
                mover.step(model, moves, to_device(next(batches), torch.device(device)))


def check_saving(case: Case, device: str) -> None:
    x = inputs(case.all_columns, ROWS)
    for one, other in ((device, "cpu"), ("cpu", device)):
        model = trained(case, one)
        with tempfile.TemporaryDirectory() as folder:
            model.save(folder)
            loaded = deepctr_torch.load_model(folder, device=other)
        assert next(loaded.parameters()).device.type == torch.device(other).type
        np.testing.assert_allclose(loaded.predict(x), model.predict(x), **CLOSE)


def check_optimizer(device: str, name: str, update: str) -> None:
    """The loss of five steps: Adam divides a gradient by itself, so weights may differ where gradients are rounding."""
    options = {"optimizer": name, "embedding_update": update, "clip_norm": 1.0}
    losses = [trained(CASES["DeepFM"], d, 5, **options).history.history["loss"] for d in ("cpu", device)]
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-3)


def check_compiled(device: str) -> None:
    assert_close(*(trained(CASES["DeepFM"], device, torch_compile=flag) for flag in (False, True)))


def check_places(device: str) -> None:
    """Data on the device and data that come ahead: the same training as on the CPU, sequences and weights included."""
    case, made, share = CASES["DIN"], [], placing.SHARE
    for where, part in (("cpu", share), (device, share), (device, 10**15)):
        placing.SHARE = part
        try:
            model = compiled(case, where)
            x, y = inputs(case.all_columns, ROWS), labels(model, ROWS)
            weight = np.linspace(0.0, 1.0, ROWS)
            model.fit(x, y, batch_size=16, epochs=2, verbose=0, sample_weight=weight, validation_split=0.25)
        finally:
            placing.SHARE = share
        made.append(model)
    for other in made[1:]:
        assert_close(made[0], other)
        for name, values in made[0].history.history.items():
            np.testing.assert_allclose(other.history.history[name], values, rtol=1e-3, atol=1e-3)


def checks(device: str) -> Iterator[Check]:
    for name, case in CASES.items():
        for update in ("dense", "sparse"):
            yield f"one step, {update}", name, lambda c=case, u=update: check_step(c, device, u)  # type: ignore[misc]
            yield f"bf16, {update}", name, lambda c=case, u=update: check_bf16(c, device, u)  # type: ignore[misc]
            yield f"no wait, {update}", name, lambda c=case, u=update: check_no_wait(c, device, u)  # type: ignore[misc]
        yield "predict", name, lambda c=case: check_predict(c, device)  # type: ignore[misc]
        yield "save and load", name, lambda c=case: check_saving(c, device)  # type: ignore[misc]
    for optimizer in OPTIMIZERS:
        for update in ("dense", "sparse"):
            what = f"{optimizer}, {update}"
            yield what, "DeepFM", lambda o=optimizer, u=update: check_optimizer(device, o, u)  # type: ignore[misc]
            yield (
                f"no wait, {what}",
                "DeepFM",
                lambda o=optimizer, u=update: check_no_wait(CASES["DeepFM"], device, u, o),  # type: ignore[misc]
            )
    yield "compiled", "DeepFM", lambda: check_compiled(device)
    yield "places of data", "DIN", lambda: check_places(device)


def run_checks(device: str) -> list[dict[str, Any]]:
    done = []
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    for what, model, check in checks(device):
        row: dict[str, Any] = {"check": what, "model": model, "ok": True}
        try:
            check()
        except Exception as error:  # the other checks go on
            row |= {"ok": False, "error": "".join(traceback.format_exception(error)[-3:])}
            print(f"FAILED {model}: {what}\n{row['error']}", flush=True)
        done.append(row)
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = True
    return done


class Epochs(Callback):
    """Seconds of each epoch, from the first batch to the arrival of the loss."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []
        self._begin = 0.0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._begin = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.seconds.append(time.perf_counter() - self._begin)


def measure(device: str, samples: int, rows: int, batch: int, options: dict[str, Any], epochs: int = 4) -> float:
    """Samples per second: the median of the epochs but the first."""
    rng = np.random.default_rng(0)
    size = rows // FIELDS
    x: dict[str, Any] = {
        f"C{i}": np.minimum(((size + 1) ** rng.random(samples)).astype(np.int32) - 1, size - 1) for i in range(FIELDS)
    }
    x |= {f"I{i}": rng.random(samples, dtype=np.float32) for i in range(NUMBERS)}
    columns = [SparseFeat(f"C{i}", size, DIM) for i in range(FIELDS)] + [DenseFeat(f"I{i}", 1) for i in range(NUMBERS)]
    model = DeepFM(columns, columns, dnn_hidden_units=LAYERS, device=device)
    model.compile("adam", "binary_crossentropy", **options)
    watch = Epochs()
    y = (rng.random(samples) < 0.25).astype(np.float32)
    model.fit(x, y, batch_size=batch, epochs=epochs, verbose=0, callbacks=[watch])
    return samples / statistics.median(watch.seconds[1:])


def run_speed(device: str, quick: bool) -> list[dict[str, Any]]:
    how: dict[str, dict[str, Any]] = {
        "fp32": {},
        "bf16": {"precision": "bf16"},
        "compiled": {"torch_compile": True},
        "compiled, bf16": {"torch_compile": True, "precision": "bf16"},
    }
    samples = 262_144 if quick else 2_097_152
    done = []
    for rows in (100_000, 1_000_000) if quick else (100_000, 1_000_000, 10_000_000):
        for batch in (4_096, 65_536):
            for name, options in how.items():
                rate = measure(device, samples, rows, batch, options)
                done.append({"rows": rows, "batch": batch, "how": name, "samples_per_second": round(rate)})
                print(f"{rows:>12,} rows  batch {batch:>6,}  {name:<15} {rate:>14,.0f} samples/s", flush=True)
    return done


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="less data in the measurements")
    args = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit(f"gpu-check needs a CUDA device, and torch {torch.__version__} sees none")
    device = "cuda:0"
    done = run_checks(device)
    failed = [row for row in done if not row["ok"]]
    print(f"{len(done) - len(failed)} of {len(done)} checks hold", flush=True)
    if failed:
        sys.exit(1)
    result = {
        "device": torch.cuda.get_device_name(0),
        "cuda": torch.version.cuda,
        "torch": torch.__version__.partition("+")[0],  # the CUDA build stands beside it
        "python": platform.python_version(),
        "deepctr_torch": deepctr_torch.__version__,
        "checks": [{"check": row["check"], "model": row["model"]} for row in done],
        "model": f"DeepFM, {FIELDS} ids of dimension {DIM}, {NUMBERS} numbers, MLP {LAYERS}, Adam",
        "speed": run_speed(device, args.quick),
    }
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    print(f"wrote {RESULT.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
