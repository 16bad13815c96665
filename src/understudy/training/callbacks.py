"""Callbacks of a training: early stopping, exact checkpoints, and an error when the loss is not finite."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from understudy.data.batching import TokenBudgetSampler
from understudy.errors import TrainingDiverged
from understudy.training.checkpoints import mark_as_whole


def epochs_since_best(history: list[dict[str, Any]]) -> int:
    """How many validations followed the first one with the highest accuracy."""
    accuracies = [entry["eval_accuracy"] for entry in history if "eval_accuracy" in entry]
    return len(accuracies) - 1 - accuracies.index(max(accuracies)) if accuracies else 0


class EarlyStopping(TrainerCallback):
    """Counts in the log, which checkpoints keep; transformers' own callback loses its count when training resumes."""

    def __init__(self, patience: int) -> None:
        self._patience = patience

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if epochs_since_best(state.log_history) >= self._patience:
            control.should_training_stop = True


class Guard(TrainerCallback):
    """Makes checkpoints exact and marks them as whole, stops if the loss is not finite, and reports progress."""

    def __init__(self, advance: Callable[[int], None], sampler: TokenBudgetSampler, earlier_seconds: float) -> None:
        self._advance = advance
        self._sampler = sampler
        self._start = time.monotonic() - earlier_seconds
        self._save_after_validation = False

    def seconds(self) -> float:
        return time.monotonic() - self._start

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        # The path in the state is wrong once the run directory has been moved.
        best = Path(str(args.output_dir)) / f"checkpoint-{state.best_global_step}"
        state.best_model_checkpoint = str(best) if best.is_dir() else None
        # On several ranks Trainer does not reach the sampler when it resumes within an epoch.
        self._sampler.set_epoch(math.floor(state.epoch or 0))

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._advance(1)
        if control.should_save and float(state.epoch or 0).is_integer():
            # The validation after an epoch's last step draws random numbers: a checkpoint before it would not be exact.
            control.should_save, self._save_after_validation = False, True
        # A checkpoint does not hold the sum for the next logged loss, so the sum must be empty when one is written.
        control.should_log |= control.should_save

    def on_epoch_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        control.should_save |= self._save_after_validation
        self._save_after_validation = False
        control.should_log |= control.should_save

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: Any = None, **_: Any
    ) -> None:
        loss = (logs or {}).get("loss", 0.0)
        if not math.isfinite(loss):
            raise TrainingDiverged(
                f"The training loss is {loss} at step {state.global_step}. Lower the learning rate "
                f"(it was {args.learning_rate:g}), or train with precision fp32."
            )

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        checkpoint = Path(str(args.output_dir)) / f"checkpoint-{state.global_step}"
        mark_as_whole(checkpoint, self.seconds())
