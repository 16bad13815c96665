"""The only training loop: Hugging Face's Trainer, with a loss passed in and checkpoints that are whole or absent."""

from __future__ import annotations

import logging
import math
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset
from transformers import (
    PreTrainedModel,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from understudy.data.batching import TokenBudgetSampler
from understudy.data.tokens import Tokens, pad
from understudy.errors import TrainingDiverged
from understudy.models.attention import fast_dropout, supports_per_text
from understudy.recipe.training import TrainingOptions
from understudy.runtime.hardware import Hardware, fused_attention
from understudy.runtime.progress import progress
from understudy.storage.files import file_sha256, write_json
from understudy.storage.records import load_record
from understudy.training.objectives import Objective
from understudy.training.tracking import NO_TRACKING, PROJECT, Tracking

log = logging.getLogger(__name__)

_MARKER = "complete.json"
_STATE = "trainer_state.json"  # Trainer's name for it
_EVALUATION_BATCH = 64
_LOGS_PER_EPOCH = 20


@dataclass(frozen=True)
class Examples:
    """What a model is trained on, or validated with.

    Attributes:
        tokens: One entry a text.
        labels: int64 of shape (texts,); -100 where a text has none.
        teacher_logits: float32 of shape (texts, classes), or None.
    """

    tokens: Tokens
    labels: np.ndarray
    teacher_logits: np.ndarray | None = None


@dataclass(frozen=True)
class TrainingLog:
    """How a training went.

    Attributes:
        history: One entry per logged step and per validation, without what a clock decides.
        seconds: Time spent, that of interrupted tries included up to the checkpoint from which they went on.
    """

    history: list[dict[str, Any]]
    seconds: float


def train(
    model: PreTrainedModel,
    examples: Examples,
    validation: Examples | None,
    options: TrainingOptions,
    objective: Objective,
    *,
    pad_id: int,
    seed: int,
    hardware: Hardware,
    checkpoints: Path,
    description: str,
    tracking: Tracking = NO_TRACKING,
) -> TrainingLog:
    """Trains `model` in place, going on from the last whole checkpoint if there is one.

    Args:
        model: A sequence classifier.
        examples: The training texts.
        validation: Evaluated after every epoch; decides early stopping.
        options: Epochs, rates and the like.
        objective: Maps (logits, labels, teacher logits) to the loss.
        pad_id: The padding token.
        seed: Of batches and dropout.
        hardware: Where to train.
        checkpoints: Folder for unfinished state.
        description: Names the stage, in messages and for trackers.
        tracking: Where its curves go.

    Raises:
        TrainingDiverged: the loss is no longer finite.
    """
    dtype = hardware.dtype(options.precision)
    takes = supports_per_text(model.config)
    model.set_attn_implementation(hardware.attention(options.attention, dtype, training=True, per_text=takes))
    embeddings = model.get_input_embeddings()
    embeddings.requires_grad_(not options.freeze_embeddings)
    keep_best = options.early_stopping > 0 and validation is not None
    resume = last_whole_checkpoint(checkpoints)
    state = TrainerState.load_from_json(str(resume / _STATE)) if resume else TrainerState()
    stopped = keep_best and _epochs_since_best(state.log_history) >= options.early_stopping
    arguments = TrainingArguments(
        output_dir=str(checkpoints),
        # Trainer would go on where early stopping had already ended the interrupted try.
        num_train_epochs=round(state.epoch or 0) if stopped else options.epochs,
        per_device_train_batch_size=1,  # a row of the training set is a whole batch
        per_device_eval_batch_size=_EVALUATION_BATCH,
        learning_rate=options.learning_rate,
        lr_scheduler_type="constant_with_warmup" if options.schedule == "constant" else options.schedule,
        warmup_steps=options.warmup,  # below 1, a share of all steps
        weight_decay=options.weight_decay,
        max_grad_norm=options.max_grad_norm,
        bf16=dtype == "bf16",
        fp16=dtype == "fp16",
        use_cpu=hardware.kind == "cpu",
        seed=seed,
        logging_nan_inf_filter=False,
        eval_strategy="epoch" if validation is not None else "no",
        save_strategy="epoch" if keep_best else "steps",
        save_steps=options.checkpoint_steps,
        save_total_limit=2,
        load_best_model_at_end=keep_best,
        metric_for_best_model="accuracy" if keep_best else None,
        dataloader_pin_memory=hardware.kind == "cuda",
        remove_unused_columns=False,
        disable_tqdm=True,
        report_to="none",
        run_name=tracking.run_name(description),
        project=PROJECT,
    )
    sampler = TokenBudgetSampler(examples.tokens.lengths, options.batch_size, seed, arguments.world_size)
    per_epoch = len(sampler) // arguments.world_size
    steps = per_epoch * options.epochs
    arguments.logging_steps = max(1, per_epoch // _LOGS_PER_EPOCH)
    # Trainer would spread the rows of a batch over all GPUs that it sees; several take one process each.
    arguments._n_gpu = min(1, arguments.n_gpu)
    arguments.report_to = []  # in a Kubeflow job Trainer reports unasked
    log.info(
        "%s: %d steps of about %d texts, %s, %s attention",
        *(description, steps, round(sampler.mean_texts), dtype, model.config._attn_implementation),
    )
    main_process = arguments.process_index == 0
    with (
        progress(description, steps, "steps", already=state.global_step) as advance,
        tracking.stage(description, checkpoints, state.global_step, main_process) as reporters,
    ):
        guard = _Guard(advance, sampler, load_record(_Marker, resume / _MARKER).seconds if resume else 0.0)
        trainer = _Trainer(
            model=model,
            args=arguments,
            train_dataset=_Rows(examples),
            eval_dataset=_Rows(validation) if validation is not None else None,
            data_collator=_Collator(pad_id),
            compute_metrics=_accuracy,
            callbacks=[*reporters, guard, *([_EarlyStopping(options.early_stopping)] if keep_best else [])],
        )
        trainer.objective = objective
        trainer.sampler = sampler
        trainer.remove_callback(_printer())
        if resume is not None:
            log.info("%s: going on from %s", description, resume.name)
        with fast_dropout(model) if hardware.kind == "cpu" else fused_attention(hardware.kind):
            trainer.train(resume_from_checkpoint=str(resume) if resume else None)
    for wrapper in ("forward", "_original_forward"):  # accelerate leaves its autocast around the model
        model.__dict__.pop(wrapper, None)
    embeddings.requires_grad_(True)
    model.eval()
    return TrainingLog(_reproducible(trainer.state.log_history), guard.seconds())


def last_whole_checkpoint(folder: Path) -> Path | None:
    """The newest whole checkpoint; newer ones are removed.

    Whole is one whose marker is there and whose files have the checksums that it names, and whose best predecessor,
    from which early stopping would take the weights, is whole too. A best predecessor that is gone does no harm: only
    a better checkpoint displaces it, and going on makes that one again.
    """
    found = {int(path.name.rpartition("-")[2]): path for path in folder.glob("checkpoint-*")}
    for step in sorted(found, reverse=True):
        if _is_whole(found[step]):
            best = TrainerState.load_from_json(str(found[step] / _STATE)).best_global_step
            if best is None or best == step or best not in found or _is_whole(found[best]):
                return found[step]
        log.warning("%s is incomplete and is removed", found[step])
        shutil.rmtree(found[step])
    return None


def _is_whole(checkpoint: Path) -> bool:
    try:
        files = load_record(_Marker, checkpoint / _MARKER).files
        return _STATE in files and all(file_sha256(checkpoint / name) == digest for name, digest in files.items())
    except (OSError, ValueError):
        return False


@dataclass(frozen=True)
class _Marker:
    """What marks a checkpoint as whole: the seconds of training before it, and the SHA-256 of each of its files."""

    seconds: float
    files: dict[str, str]


def _epochs_since_best(history: list[dict[str, Any]]) -> int:
    """How many validations have passed since the first with the highest accuracy."""
    accuracies = [entry["eval_accuracy"] for entry in history if "eval_accuracy" in entry]
    return len(accuracies) - 1 - accuracies.index(max(accuracies)) if accuracies else 0


def _reproducible(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The log without times and Trainer's closing summary; what JSON cannot hold (fp16's first norms) becomes None."""
    return [
        {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in entry.items()
            if not name.endswith(("_runtime", "_per_second"))
        }
        for entry in history
        if "train_runtime" not in entry
    ]


class _Trainer(Trainer):
    objective: Objective
    sampler: TokenBudgetSampler

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):  # type: ignore[no-untyped-def]
        labels = inputs.pop("labels")
        teacher_logits = inputs.pop("teacher_logits", None)
        outputs = model(**inputs)
        loss = self.objective(outputs.logits.float(), labels, teacher_logits)
        if model.training:
            # The objective's mean would let a text count the less, the more texts its batch holds.
            loss = loss * len(labels) / self.sampler.mean_texts
        return (loss, outputs) if return_outputs else loss

    def _get_train_sampler(self, train_dataset: _Rows | None = None) -> TokenBudgetSampler:  # type: ignore[override]
        return self.sampler


class _Rows(Dataset):
    """Row numbers, one or a batch of them: the collator cuts them from the flat arrays at once."""

    def __init__(self, examples: Examples) -> None:
        self.examples = examples

    def __len__(self) -> int:
        return len(self.examples.tokens)

    def __getitem__(self, rows: int | np.ndarray) -> tuple[Examples, int | np.ndarray]:
        return self.examples, rows


@dataclass(frozen=True)
class _Collator:
    pad_id: int

    def __call__(self, items: list[tuple[Examples, int | np.ndarray]]) -> dict[str, torch.Tensor]:
        examples, rows = items[0][0], np.hstack([rows for _, rows in items])
        batch = pad(examples.tokens, rows, self.pad_id)
        batch["labels"] = examples.labels[rows]
        if examples.teacher_logits is not None:
            batch["teacher_logits"] = examples.teacher_logits[rows]
        return {name: torch.from_numpy(values) for name, values in batch.items()}


class _EarlyStopping(TrainerCallback):
    """Counts in the log, which checkpoints keep; transformers' own callback forgets its count when training resumes."""

    def __init__(self, patience: int) -> None:
        self._patience = patience

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if _epochs_since_best(state.log_history) >= self._patience:
            control.should_training_stop = True


class _Guard(TrainerCallback):
    """Makes checkpoints exact and marks them as whole, stops at a loss that is not a number, and reports progress."""

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
            # The validation behind an epoch's last step draws random numbers: a checkpoint in front of it is not exact.
            control.should_save, self._save_after_validation = False, True
        # The sum behind the next logged loss is not in a checkpoint, so it must be empty when one is written.
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
        files = sorted(path for path in checkpoint.rglob("*") if path.is_file() and path.name != _MARKER)
        sums = {path.relative_to(checkpoint).as_posix(): file_sha256(path) for path in files}
        write_json(checkpoint / _MARKER, asdict(_Marker(self.seconds(), sums)))


def _printer() -> type[TrainerCallback]:
    from transformers.trainer_callback import PrinterCallback

    return PrinterCallback


def _accuracy(prediction: Any) -> dict[str, float]:
    return {"accuracy": float((prediction.predictions.argmax(axis=-1) == prediction.label_ids).mean())}
