"""Checkpoints of a training: all of its state as folders of plain data, each of them whole or not there."""

from __future__ import annotations

import contextlib
import os
import random
import re
import shutil
import time
import warnings
from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from .._checks import check_at_least
from .._json_files import read_json, write_json
from .._lock import file_lock
from .._memory import on_large_pages
from .._tensor_files import read_tensors, write_tensors
from .._whole_files import CHECKSUMS, check_files, flush, write_checksums
from ..data.batch import DataSource, LabeledBatch
from ..data.file_source import FileSource

__all__ = ["Checkpoints", "DataPass", "files_of", "rng_state", "set_rng_state"]

FORMAT = 1
ABOUT, STATE, TENSORS = "about.json", "state.json", "tensors.safetensors"
NAME = re.compile(r"step-(\d+)")
SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*(s|min|h|d)")
SECONDS = {"s": 1, "min": 60, "h": 3_600, "d": 86_400}


class Checkpoints:
    """The checkpoints of one training: when they are written, which of them stay, which one is gone on from.

    Args:
        directory: the folder, made where it is missing. One training at a time has it.
        every: steps between two checkpoints, or time such as "30s", "10min", "2h".
        keep: how many of the last ones stay. The best one stays too: that whose last evaluation has the lowest loss.
        resume: go on from the last whole checkpoint, if there is one.
        about: what the training was asked for; a checkpoint of another one is refused.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        every: int | str = "10min",
        keep: int = 3,
        resume: bool = False,
        about: Mapping[str, Any] | None = None,
    ) -> None:
        self.directory = Path(directory)
        self.steps, self.seconds = _interval(every)
        check_at_least("keep", keep, 1)
        self.keep = keep
        self.resume = resume
        self.about: dict[str, Any] = {}
        self.tell(about or {})
        self._held = False
        self._last = time.monotonic()

    @classmethod
    def of(
        cls,
        directory: str | os.PathLike[str] | Checkpoints | None,
        every: int | str,
        keep: int,
        resume: bool,
        about: Mapping[str, Any] | None,
    ) -> Checkpoints | None:
        """The checkpoints that `fit` asks for: None without a `directory`; those of a caller who holds the folder."""
        if isinstance(directory, Checkpoints):
            directory.tell(about or {})
            return directory
        if directory is not None:
            return cls(directory, every, keep, resume, about)
        if resume:
            raise ValueError("resume=True needs checkpoint_dir, the folder of the checkpoints to go on from, got None")
        return None

    def tell(self, about: Mapping[str, Any]) -> None:
        """Add to what the training was asked for, as far as it is plain data."""
        self.about |= {name: value for name, value in about.items() if _is_plain(value)}

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Have the folder inside the block.

        Raises:
            BlockingIOError: another training has it.
            ValueError: it holds checkpoints, and nobody asked to go on from them.
        """
        if self._held:
            yield
            return
        made = not self.directory.exists()
        self.directory.mkdir(parents=True, exist_ok=True)
        try:
            with file_lock(self.directory / ".lock"):
                for left in self.directory.glob(".*.part"):  # by a process that was killed
                    shutil.rmtree(left)
                if self.begun and not self.resume:
                    raise ValueError(
                        f"checkpoint_dir must hold no checkpoints, got some in {self.directory}: go on from them with "
                        "resume=True, or name another folder"
                    )
                self._last = time.monotonic()
                self._held = True
                yield
        finally:
            self._held = False
            if made:
                with contextlib.suppress(OSError):
                    self.directory.rmdir()

    @property
    def begun(self) -> bool:
        """True if there is a checkpoint."""
        return bool(self._all())

    def _all(self) -> list[Path]:
        """Every checkpoint, the oldest first, whole or not."""
        found = [path for path in self.directory.iterdir() if NAME.fullmatch(path.name)]
        return sorted(found, key=_step_of)

    def is_due(self, step: int) -> bool:
        """Tell whether it is time for a checkpoint after step number `step`."""
        if self.steps is not None:
            return step % self.steps == 0
        return time.monotonic() - self._last >= self.seconds

    def write(self, step: int, state: Mapping[str, Any], loss: float | None) -> None:
        """Write the state after `step` steps, and take away what need not stay.

        Args:
            step: steps done.
            state: dicts, lists and tuples of plain values, tensors and arrays.
            loss: that of the last evaluation, by which the best checkpoint is known; None before the first.

        Raises:
            OSError: it cannot be written; the other checkpoints are as they were.
        """
        tensors: dict[str, Tensor] = {}
        plain = flatten({**state, "about": self.about}, tensors)
        target = self.directory / f"step-{step:010d}"
        part = target.with_name(f".{target.name}.part")
        try:
            part.mkdir()
            write_tensors(_separate(tensors), part / TENSORS)
            write_json(part / STATE, plain)
            write_json(part / ABOUT, {"format": FORMAT, "step": step, "loss": loss})
            write_checksums(part)
            for path in (*part.iterdir(), part):
                flush(path)
            if target.exists():
                _remove(target)
            part.replace(target)
            flush(self.directory)
        except OSError as error:
            problem = f"cannot be written, the checkpoints before it stay: {error.strerror or error}"
            raise OSError(error.errno, problem, str(target)) from error
        finally:
            shutil.rmtree(part, ignore_errors=True)
        self._prune(step)
        self._last = time.monotonic()

    def _prune(self, step: int) -> None:
        there = [path for path in self._all() if _step_of(path) <= step]
        scored = {path: loss for path in there if (loss := _loss_of(path)) is not None}
        stay = {*there[-self.keep :], *([min(scored, key=lambda path: scored[path])] if scored else [])}
        for path in self._all():
            if path not in stay:  # those of later steps are broken: the training went back before them
                _remove(path)

    def load(self) -> dict[str, Any] | None:
        """The state of the last whole checkpoint; None where there is none at all. Warns of each that is broken.

        Raises:
            ValueError: all are broken, or it is of a training that was asked for something else.
        """
        there = self._all() if self.resume else []
        broken: list[str] = []
        for path in reversed(there):
            try:
                state = _read(path)
            except (OSError, ValueError) as error:
                broken.append(str(error))
                continue
            for problem in broken:
                warnings.warn(f"{problem}; going on from {path.name}", UserWarning, stacklevel=5)
            _check_same(state.pop("about"), self.about, path)
            return state
        if broken:
            raise ValueError(
                f"{self.directory} must hold a whole checkpoint, got broken ones: {'; '.join(broken)}. To begin anew, "
                "take them away"
            )
        return None


def _check_same(saved: Mapping[str, Any], own: Mapping[str, Any], path: Path) -> None:
    """Refuse a checkpoint of a training that was asked for something else."""
    for name in saved.keys() | own.keys():
        if saved.get(name) != own.get(name):
            raise ValueError(
                f"{path} must be of a training with {name}={own.get(name)!r}, as this one, got "
                f"{saved.get(name)!r}: go on with what it was begun with, or name another checkpoint_dir"
            )


def _interval(every: int | str) -> tuple[int | None, float]:
    """(steps, seconds) between two checkpoints; steps None where time counts."""
    if isinstance(every, str):
        found = SPAN.fullmatch(every.strip())
        if found is None:
            raise ValueError(f"checkpoint_every must be steps, or a time such as '30s', '10min' or '2h', got {every!r}")
        return None, float(found[1]) * SECONDS[found[2]]
    check_at_least("checkpoint_every", every, 1)
    return every, 0.0


def _read(path: Path) -> dict[str, Any]:
    """The state in a checkpoint.

    Raises:
        OSError, ValueError: it is not whole, or of another format; names the file.
    """
    if not (path / CHECKSUMS).exists():
        raise FileNotFoundError(f"{path} must be whole, but lacks {CHECKSUMS}")
    check_files(path, ABOUT, STATE, TENSORS)
    about = read_json(path / ABOUT)
    if about.get("format") != FORMAT:
        raise ValueError(f"{path / ABOUT} must be of format {FORMAT}, got {about.get('format')!r} of another version")
    mapped = read_tensors(path / TENSORS)  # pages of the file, which may change or go
    tensors = {name: on_large_pages(torch.empty_like(tensor)).copy_(tensor) for name, tensor in mapped.items()}
    state: dict[str, Any] = unflatten(read_json(path / STATE), tensors)
    return state


def _step_of(path: Path) -> int:
    return int(path.name.removeprefix("step-"))


def _loss_of(path: Path) -> float | None:
    """The loss by which a checkpoint is known; None where it is missing, broken or no number."""
    try:
        loss = read_json(path / ABOUT).get("loss")
    except (OSError, ValueError):
        return None
    return loss if isinstance(loss, float) and np.isfinite(loss) else None


def _remove(folder: Path) -> None:
    """Take a folder away: at once under its name, whenever the process is killed."""
    gone = folder.with_name(f".{folder.name}.gone.part")
    shutil.rmtree(gone, ignore_errors=True)
    folder.replace(gone)
    shutil.rmtree(gone, ignore_errors=True)


# ------------------------------------------------------------------ states as plain data


def flatten(value: Any, tensors: dict[str, Tensor], path: str = "") -> Any:
    """A state as JSON, whose tensors are put into `tensors` under the path that leads to them.

    >>> found = {}
    >>> flatten({"step": 3, "best": {"w": torch.ones(2)}}, found)
    {'dict': [['step', 3], ['best', {'dict': [['w', {'tensor': 'best/w'}]]}]]}
    >>> unflatten(_, found)
    {'step': 3, 'best': {'w': tensor([1., 1.])}}

    Raises:
        TypeError: a value that is no plain data; names its path.
    """
    if isinstance(value, Tensor):
        while path in tensors:  # "a/b" as one name, and as two
            path += "+"
        tensors[path] = value.detach()
        return {"tensor": path}
    if isinstance(value, np.ndarray):
        if value.dtype.kind in "fiub":
            return {"array": flatten(torch.from_numpy(np.ascontiguousarray(value)), tensors, path)}
        return {"objects": _coded(value, tensors, path)}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        sub = f"{path}/" if path else ""
        return {"dict": [[flatten(k, tensors), flatten(v, tensors, f"{sub}{k}")] for k, v in value.items()]}
    if isinstance(value, (list, tuple)):
        items = [flatten(v, tensors, f"{path}/{i}") for i, v in enumerate(value)]
        return items if isinstance(value, list) else {"tuple": items}
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    raise TypeError(f"{path} of a checkpoint must be numbers, text, tensors or arrays, got {type(value).__name__}")


def unflatten(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    """The inverse of `flatten`."""
    if isinstance(value, list):
        return [unflatten(v, tensors) for v in value]
    if not isinstance(value, dict):
        return value
    ((tag, content),) = value.items()
    if tag == "tensor":
        return tensors[content]
    if tag == "array":
        return tensors[content["tensor"]].numpy()
    if tag == "objects":
        codes, values = (unflatten(v, tensors) for v in content)
        distinct = np.empty(len(values), object)
        distinct[:] = values
        return distinct[codes]
    if tag == "tuple":
        return tuple(unflatten(v, tensors) for v in content)
    return {unflatten(k, tensors): unflatten(v, tensors) for k, v in content}


def _coded(values: npt.NDArray[Any], tensors: dict[str, Tensor], path: str) -> list[Any]:
    """An array of objects [N] as numbers and the distinct objects that they stand for."""
    places: dict[Any, int] = {}
    codes = np.array([places.setdefault((type(v), v), len(places)) for v in values.tolist()], np.int64)
    return [flatten(codes, tensors, path), [flatten(v, tensors, path) for _, v in places]]


def _is_plain(value: Any) -> bool:
    """Tell whether a value can be written, and holds no tensors."""
    tensors: dict[str, Tensor] = {}
    with contextlib.suppress(TypeError):
        flatten(value, tensors)
        return not tensors
    return False


def _separate(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors on the host and contiguous, one that has several names once for each."""
    out: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in tensors.items():
        there = tensor.cpu().contiguous()
        out[name] = there.clone() if there.data_ptr() in seen else there
        seen.add(there.data_ptr())
    return out


# ------------------------------------------------------------------ random numbers, and the place in the data


def rng_state(device: torch.device) -> dict[str, Any]:
    """The state of the global generators of torch (of `device`, too), numpy and Python."""
    words = np.random.get_state(legacy=False)
    inner = words["state"]
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
        "numpy": {**words, "state": {**inner, "key": inner["key"].tolist()}},
        "python": random.getstate(),
    }


def set_rng_state(state: Mapping[str, Any], device: torch.device) -> None:
    """The inverse of `rng_state`."""
    torch.set_rng_state(state["torch"])
    if state["cuda"] is not None and device.type == "cuda":
        torch.cuda.set_rng_state(state["cuda"], device)
    words = state["numpy"]
    np.random.set_state({**words, "state": {**words["state"], "key": np.array(words["state"]["key"], np.uint32)}})
    random.setstate(state["python"])


class DataPass:
    """One pass over the data, and the place in it.

    A source of files goes back to its place by itself. Of others the batches before it are made again and left out.

    Args:
        source: what yields batches.
        batch_size: rows of a batch.
        seed: of the order, or None.
        device: where training draws random numbers.
    """

    def __init__(self, source: DataSource, batch_size: int, seed: Sequence[int] | None, device: torch.device) -> None:
        self.source = source
        self.seed = None if seed is None else list(seed)
        self.steps = 0
        self.rng = rng_state(device)  # the iterator of a DataLoader draws from it
        self._batches = source.batches(batch_size, seed)

    def __next__(self) -> LabeledBatch:
        batch = next(self._batches)
        self.steps += 1
        return batch

    def close(self) -> None:
        """Let go of open files and threads that read ahead."""
        if isinstance(self._batches, Generator):
            self._batches.close()

    def state_dict(self) -> dict[str, Any]:
        """The place behind the last batch."""
        files = files_of(self.source)
        place = None if files is None else files.state_dict()
        return {"seed": self.seed, "steps": self.steps, "rng": self.rng, "files": place}

    @classmethod
    def resumed(cls, source: DataSource, batch_size: int, state: Mapping[str, Any], device: torch.device) -> DataPass:
        """The rest of the pass that a state was taken from; leaves the global generators as they are.

        Raises:
            ValueError: the data have fewer batches now.
        """
        now = rng_state(device)
        set_rng_state(state["rng"], device)
        try:
            files = files_of(source)
            if files is not None:
                files.load_state_dict(state["files"])
            rest = cls(source, batch_size, state["seed"], device)
            if files is None:
                for done in range(state["steps"]):
                    if next(rest._batches, None) is None:
                        raise ValueError(f"the data must be those of the checkpoint, got {done} batches, not more")
            rest.steps = state["steps"]
            return rest
        finally:
            set_rng_state(now, device)


def files_of(source: DataSource) -> FileSource | None:
    """The source of files below those that copy its batches to a device."""
    inner = getattr(source, "source", source)
    return inner if isinstance(inner, FileSource) else None
