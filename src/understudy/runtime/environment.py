"""Environment variables for a while: what other libraries can be told in no other way."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager


@contextmanager
def variables(wanted: Mapping[str, str], keep: bool = False) -> Iterator[None]:
    """Sets variables within the block, and leaves them as they were.

    Args:
        wanted: Their values.
        keep: Whether one that is set already stays as it is.
    """
    told = {name: value for name, value in wanted.items() if not (keep and name in os.environ)}
    before = {name: os.environ.get(name) for name in told}
    os.environ.update(told)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
