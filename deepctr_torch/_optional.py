"""Packages that only an extra installs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def needs(extra: str) -> Iterator[None]:
    """Imports inside the block that fail say which extra to install.

    >>> with needs("demo"):
    ...     import no_such_package
    Traceback (most recent call last):
        ...
    ModuleNotFoundError: no_such_package is not installed; it comes with: pip install "deepctr-torch[demo]"
    """
    try:
        yield
    except ModuleNotFoundError as error:
        message = f'{error.name} is not installed; it comes with: pip install "deepctr-torch[{extra}]"'
        raise ModuleNotFoundError(message, name=error.name) from error
