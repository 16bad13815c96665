"""Callbacks of experiment trackers; a tracker that fails does not break the training that it watches."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from understudy.errors import UserError

log = logging.getLogger(__name__)

_BEGINNINGS = ("on_init_end", "on_train_begin")


class Reporters(TrainerCallback):
    """One callback that passes Trainer's events to the trackers' callbacks.

    A tracker that fails before the first step ends the training with an error that says what to do. A tracker that
    fails later is dropped, with one warning.
    """

    def __init__(self) -> None:
        self._callbacks: dict[str, TrainerCallback] = {}
        self._failed: set[str] = set()

    def add(self, tracker: str, callback: TrainerCallback) -> None:
        self._callbacks[tracker] = callback

    def enter(self, opened: ExitStack, tracker: str, context: AbstractContextManager[Any]) -> None:
        """Enters a tracker's run, which `opened` leaves at the end; an error on leaving is only a warning."""
        context.__enter__()

        def leave(*error: Any) -> None:
            with self._going_on(tracker):
                context.__exit__(*error)

        opened.push(leave)

    @contextmanager
    def beginning(self, tracker: str) -> Iterator[None]:
        """Turns what a tracker raises into a user's error."""
        try:
            yield
        except Exception as error:
            raise UserError(
                f"--report-to {tracker}: the tracker does not start: {_said(error)} Set it up as its manual says, or "
                "leave it out. Finished work is kept."
            ) from error

    @contextmanager
    def _going_on(self, tracker: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self._callbacks.pop(tracker, None)
            if tracker not in self._failed:
                log.warning(
                    "--report-to %s: the tracker failed, and gets no more of this training: %s The trained model does "
                    "not depend on it.",
                    *(tracker, _said(error)),
                )
            self._failed.add(tracker)

    def __getattribute__(self, name: str) -> Any:
        # The base class has a method for each event, which does nothing.
        return partial(self._event, name) if name.startswith("on_") else super().__getattribute__(name)

    def _event(
        self, event: str, args: TrainingArguments, state: TrainerState, control: TrainerControl, **rest: Any
    ) -> None:
        guarded = self.beginning if event in _BEGINNINGS else self._going_on
        for tracker, callback in list(self._callbacks.items()):
            with guarded(tracker):
                getattr(callback, event)(args, state, control, **rest)


def _said(error: Exception) -> str:
    """An error as one sentence on one line."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if text.endswith((".", "!", "?")) else f"{text}."
