"""The outputs of a command: never in the place of what it reads, and by one process at a time."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from .._lock import file_lock
from .console import UsageError
from .run_config import FILE, Run, write_run

LOCK = ".lock"


def check_apart(out: Path, files: Iterable[Path]) -> None:
    """Check that `out` is none of the files that are read, nor a folder around one, however it is spelled or linked."""
    if not out.exists():
        return
    inputs = list(files)
    places = {place: file for file in inputs for place in (*file.absolute().parents, *file.resolve().parents)}
    for place, file in {**places, **{file: file for file in inputs}}.items():
        if os.path.samefile(place, out):
            raise UsageError(f"--out must not be the place of its own input, got {out}, where {file} is: name another")


@contextmanager
def output_folder(out: Path) -> Iterator[None]:
    """Make a folder and hold it against other processes that would write there; one that stays empty goes again."""
    made = not out.exists()
    out.mkdir(parents=True, exist_ok=True)
    try:
        with file_lock(out / LOCK):
            yield
    finally:
        if made:
            with suppress(OSError):
                out.rmdir()


class Target(NamedTuple):
    """Where a run goes."""

    out: Path  # the folder
    overwrite: bool = False  # it may hold an earlier run
    resume: bool = False  # it may hold the beginning of this run
    every: int | str = "10min"  # between two checkpoints

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoints, which is there while the run is not done."""
        return self.out / "checkpoints"

    @property
    def settings(self) -> Path | None:
        """The settings of the run to go on with; None where there is none."""
        file = self.checkpoints / FILE
        return file if self.resume and file.is_file() else None

    def is_done(self) -> bool:
        """Tell whether the run to go on with has come to its end."""
        return self.resume and not self.checkpoints.exists() and (self.out / FILE).is_file()

    def check(self, held: bool = False) -> None:
        """Check that `out` is new, empty, the beginning of this run, or an earlier one that may be replaced.

        It is `held` if no other process writes there.
        """
        out = self.out
        if self.resume and self.overwrite:
            raise UsageError("--resume goes on with the run in --out, --overwrite begins it anew: give one of them")
        if not out.exists():
            return
        if not out.is_dir():
            raise UsageError(f"--out must be a folder, got the file {out}")
        there = sorted(path.name for path in out.iterdir() if path.name != LOCK)
        if held and self.checkpoints.name in there and not (self.overwrite or self.resume):
            raise UsageError(f"--out {out} holds a run that was cut off: add --resume to go on, or --overwrite")
        if there and not self.overwrite and self.checkpoints.name not in there:
            raise UsageError(f"--out {out} is not empty: name a new folder, or add --overwrite")
        if there and not {"config.json", FILE, self.checkpoints.name} & set(there):
            raise UsageError(f"--overwrite replaces a run, but {out} holds something else: {', '.join(there[:5])}")

    @contextmanager
    def kept(self, run: Run) -> Iterator[None]:
        """Keep the settings beside the checkpoints inside the block, and take both away at its end.

        They stay where the block ends by an error or an interrupt behind a checkpoint.
        """
        if self.overwrite:
            shutil.rmtree(self.checkpoints, ignore_errors=True)
        self.checkpoints.mkdir(exist_ok=True)
        write_run(run, self.checkpoints)
        try:
            yield
        except BaseException:
            if not any(self.checkpoints.glob("step-*")):
                shutil.rmtree(self.checkpoints, ignore_errors=True)
            raise
        shutil.rmtree(self.checkpoints)
