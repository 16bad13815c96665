"""What the threads of a process share, and what a forked process must not take from its parent."""

from __future__ import annotations

import ctypes
import os
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast, overload

_Value = TypeVar("_Value")


class SharedLock:
    """A lock for the threads of a process; make it once per module.

    A forked process gets a new one: its only thread would wait forever for a thread of the parent.
    """

    def __init__(self) -> None:
        self._renew()
        _in_forked_processes(self._renew)

    def _renew(self) -> None:
        self._lock = threading.RLock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


@dataclass(frozen=True, eq=False)
class _Kept:
    """A value and the process that made it."""

    process: int
    value: Any


class per_process(Generic[_Value]):
    """A property that every process computes once, at its first use, even if several threads use it at once.

    A process that was forked computes it again: runtimes have threads, and these do not exist in a forked process.
    """

    def __init__(self, make: Callable[[Any], _Value]) -> None:
        self._make = make
        self.__doc__ = make.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._key = f"{name} of a process"

    @overload
    def __get__(self, instance: None, owner: type) -> per_process[_Value]: ...
    @overload
    def __get__(self, instance: object, owner: type) -> _Value: ...
    def __get__(self, instance: object | None, owner: type) -> per_process[_Value] | _Value:
        if instance is None:
            return self
        kept = instance.__dict__.get(self._key)
        if kept is None or kept.process != os.getpid():
            with _MAKING:
                kept = instance.__dict__.get(self._key)
                if kept is None or kept.process != os.getpid():
                    kept = _Kept(os.getpid(), self._make(instance))
                    _ALIVE.add(kept)
                    instance.__dict__[self._key] = kept
        return cast(_Value, kept.value)


def _in_forked_processes(act: Callable[[], None]) -> None:
    if hasattr(os, "register_at_fork"):  # Windows cannot fork
        os.register_at_fork(after_in_child=act)


def _keep_forever() -> None:
    """Takes care that nothing frees the parent's values: runtimes would wait for their threads, which are gone."""
    for kept in list(_ALIVE):
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(kept))


_MAKING = SharedLock()
_ALIVE: weakref.WeakSet[_Kept] = weakref.WeakSet()
_in_forked_processes(_keep_forever)
