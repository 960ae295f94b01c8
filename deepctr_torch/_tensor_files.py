"""Files of tensors in the safetensors format: written with the usual mode, read with errors that name the cause."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from ._json_files import check_plain_file


def write_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write tensors in the place of the file that may be there.

    safetensors writes files that only their owner may read; these get the mode of any other file of the process.

    Raises:
        OSError: the file cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    part = path.with_name(f"{path.name}.part")
    part.unlink(missing_ok=True)
    part.touch()
    mode = part.stat().st_mode
    try:
        save_file(dict(tensors), str(part))
    except SafetensorError as error:  # such as a full disk
        part.unlink()
        raise OSError(f"{path} cannot be written: {error}") from error
    part.chmod(mode)
    os.replace(part, path)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a file by name.

    Raises:
        PermissionError: the file may not be read; safetensors would say that it is not there.
        ValueError: it is no safetensors file, or a symbolic link.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    check_plain_file(path)
    with path.open("rb"):
        pass
    try:
        return dict(load_file(str(path)))
    except SafetensorError as error:
        raise ValueError(f"{path} must be a safetensors file, got: {error}") from error
