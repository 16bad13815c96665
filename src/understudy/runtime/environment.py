"""Temporary environment variables, for libraries that have no other settings."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager


@contextmanager
def variables(wanted: Mapping[str, str], keep: bool = False) -> Iterator[None]:
    """Sets environment variables within the block, and restores them after it.

    Args:
        wanted: Values by name.
        keep: Whether variables that are already set keep their values.
    """
    changed = {name: value for name, value in wanted.items() if not (keep and name in os.environ)}
    before = {name: os.environ.get(name) for name in changed}
    os.environ.update(changed)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
