"""The only training loop: Hugging Face's Trainer, with a loss passed in and checkpoints that are whole or absent."""

from __future__ import annotations

import logging
import math
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset
from transformers import PreTrainedModel, Trainer, TrainerCallback, TrainerState, TrainingArguments

from understudy.data.batching import TokenBudgetSampler
from understudy.data.tokens import Tokens, pad
from understudy.models.attention import fast_dropout, supports_per_text
from understudy.recipe.base import settled
from understudy.recipe.training import TrainingOptions
from understudy.runtime.hardware import Dtype, Hardware, fused_attention
from understudy.runtime.progress import progress
from understudy.training.callbacks import EarlyStopping, Guard, epochs_since_best
from understudy.training.checkpoints import STATE, last_whole_checkpoint, read_marker
from understudy.training.objectives import Objective
from understudy.training.tracking import NO_TRACKING, PROJECT, Tracking

log = logging.getLogger(__name__)

_EVALUATION_BATCH = 64
_LOGS_PER_EPOCH = 20


@dataclass(frozen=True)
class Examples:
    """What a model is trained on, or validated with.

    Attributes:
        tokens: One entry per text.
        labels: int64 of shape (texts,); -100 where a text has none.
        teacher_logits: float32 of shape (texts, classes), or None.
    """

    tokens: Tokens
    labels: np.ndarray
    teacher_logits: np.ndarray | None = None


@dataclass(frozen=True)
class Method:
    """How a model learns.

    Attributes:
        options: Epochs, rates and the like.
        objective: Maps (logits, labels, teacher logits) to the loss.
        seed: Of batches and dropout.
    """

    options: TrainingOptions
    objective: Objective
    seed: int


@dataclass(frozen=True)
class TrainingContext:
    """Where a model is trained, and under which name.

    Attributes:
        hardware: Where to train.
        checkpoints: Folder for unfinished state.
        description: Names the stage, in messages and for trackers.
        tracking: Where its curves go.
    """

    hardware: Hardware
    checkpoints: Path
    description: str
    tracking: Tracking = NO_TRACKING


@dataclass(frozen=True)
class TrainingLog:
    """How a training went.

    Attributes:
        history: One entry per logged step and per validation, without anything that a clock decides.
        seconds: Time spent, including that of interrupted attempts up to the checkpoint from which they resumed.
        accuracy: The validation accuracy of the model that was kept; None without validation texts.
    """

    history: list[dict[str, Any]]
    seconds: float
    accuracy: float | None = None


@dataclass(frozen=True)
class _Resumption:
    """What an interrupted attempt left: its last whole checkpoint, if there is one."""

    checkpoint: Path | None
    state: TrainerState
    seconds: float

    @classmethod
    def find(cls, checkpoints: Path) -> _Resumption:
        found = last_whole_checkpoint(checkpoints)
        if found is None:
            return cls(None, TrainerState(), 0.0)
        return cls(found, TrainerState.load_from_json(str(found / STATE)), read_marker(found).seconds)


def train(
    model: PreTrainedModel,
    examples: Examples,
    validation: Examples | None,
    *,
    method: Method,
    pad_id: int,
    context: TrainingContext,
) -> TrainingLog:
    """Trains `model` in place and resumes from the last whole checkpoint if there is one.

    Args:
        model: A sequence classifier.
        examples: The training texts.
        validation: Evaluated after every epoch; decides early stopping.
        method: How it learns.
        pad_id: The padding token.
        context: Where it is trained.

    Raises:
        TrainingDiverged: The loss is no longer finite.
    """
    options, hardware = method.options, context.hardware
    dtype = hardware.dtype(options.precision)
    per_text = supports_per_text(model.config)
    model.set_attn_implementation(hardware.attention(options.attention, dtype, training=True, per_text=per_text))
    embeddings = model.get_input_embeddings()
    embeddings.requires_grad_(not options.freeze_embeddings)
    resumption = _Resumption.find(context.checkpoints)
    arguments = _arguments(method, context, dtype, validation is not None, resumption)
    sampler = TokenBudgetSampler(
        examples.tokens.lengths, settled(options.batch_size), method.seed, arguments.world_size
    )
    per_epoch = len(sampler) // arguments.world_size
    steps = per_epoch * settled(options.epochs)
    arguments.logging_steps = max(1, per_epoch // _LOGS_PER_EPOCH)
    log.info(
        "%s: %d steps of about %d texts, %s, %s attention",
        *(context.description, steps, round(sampler.mean_texts), dtype, model.config._attn_implementation),
    )
    with (
        progress(context.description, steps, "steps", already=resumption.state.global_step) as advance,
        _reporters(context, resumption, arguments) as reporters,
    ):
        guard = Guard(advance, sampler, resumption.seconds)
        trainer = _Trainer(
            model=model,
            args=arguments,
            train_dataset=_Rows(examples),
            eval_dataset=_Rows(validation) if validation is not None else None,
            data_collator=_Collator(pad_id),
            compute_metrics=_accuracy,
            callbacks=[*reporters, guard, *_early_stopping(arguments, options)],
        )
        trainer.objective = method.objective
        trainer.sampler = sampler
        _run(trainer, model, context, resumption.checkpoint)
    embeddings.requires_grad_(True)
    model.train(False)
    history = _reproducible(trainer.state.log_history)
    return TrainingLog(history, guard.seconds(), _kept_accuracy(history, arguments.load_best_model_at_end))


def _arguments(
    method: Method, context: TrainingContext, dtype: Dtype, validated: bool, resumption: _Resumption
) -> TrainingArguments:
    """The options as Trainer takes them."""
    options, hardware = method.options, context.hardware
    patience = settled(options.early_stopping)
    keep_best = patience > 0 and validated
    stopped = keep_best and epochs_since_best(resumption.state.log_history) >= patience
    arguments = TrainingArguments(
        output_dir=str(context.checkpoints),
        # Trainer would continue where early stopping had already ended the interrupted attempt.
        num_train_epochs=round(resumption.state.epoch or 0) if stopped else settled(options.epochs),
        per_device_train_batch_size=1,  # a row of the training set is a whole batch
        per_device_eval_batch_size=_EVALUATION_BATCH,
        learning_rate=settled(options.learning_rate),
        lr_scheduler_type="constant_with_warmup" if options.schedule == "constant" else options.schedule,
        warmup_steps=options.warmup,  # below 1, a share of all steps
        weight_decay=options.weight_decay,
        max_grad_norm=options.max_grad_norm,
        bf16=dtype == "bf16",
        fp16=dtype == "fp16",
        use_cpu=hardware.kind == "cpu",
        seed=method.seed,
        logging_nan_inf_filter=False,
        eval_strategy="epoch" if validated else "no",
        save_strategy="epoch" if keep_best else "steps",
        save_steps=options.checkpoint_steps,
        save_total_limit=2,
        load_best_model_at_end=keep_best,
        metric_for_best_model="accuracy" if keep_best else None,
        dataloader_pin_memory=hardware.kind == "cuda",
        remove_unused_columns=False,
        disable_tqdm=True,
        report_to="none",
        run_name=context.tracking.run_name(context.description),
        project=PROJECT,
    )
    # Trainer would spread the rows of a batch over all GPUs that it sees; several GPUs take one process each.
    arguments._n_gpu = min(1, arguments.n_gpu)
    arguments.report_to = []  # in a Kubeflow job Trainer reports without being asked
    return arguments


def _early_stopping(arguments: TrainingArguments, options: TrainingOptions) -> list[TrainerCallback]:
    return [EarlyStopping(settled(options.early_stopping))] if arguments.load_best_model_at_end else []


def _reporters(
    context: TrainingContext, resumption: _Resumption, arguments: TrainingArguments
) -> AbstractContextManager[list[TrainerCallback]]:
    """Opens the trackers for this stage; only the main process reports."""
    step, main_process = resumption.state.global_step, arguments.process_index == 0
    return context.tracking.stage(context.description, context.checkpoints, step, main_process)


def _run(trainer: _Trainer, model: PreTrainedModel, context: TrainingContext, resume: Path | None) -> None:
    trainer.remove_callback(_printer())
    if resume is not None:
        log.info("%s: resuming from %s", context.description, resume.name)
    kind = context.hardware.kind
    with fast_dropout(model) if kind == "cpu" else fused_attention(kind):
        trainer.train(resume_from_checkpoint=str(resume) if resume else None)
    for wrapper in ("forward", "_original_forward"):  # accelerate leaves its autocast around the model
        model.__dict__.pop(wrapper, None)


def _kept_accuracy(history: list[dict[str, Any]], best: bool) -> float | None:
    """The validation accuracy of the best epoch, or of the last one; None without validations."""
    accuracies = [entry["eval_accuracy"] for entry in history if "eval_accuracy" in entry]
    if not accuracies:
        return None
    return float(max(accuracies) if best else accuracies[-1])


def _reproducible(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The log without times and Trainer's closing summary; values that are not finite (fp16's first norms) are None."""
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
            # With the objective's mean alone, a text would count less in a batch of more texts.
            loss = loss * len(labels) / self.sampler.mean_texts
        return (loss, outputs) if return_outputs else loss

    def _get_train_sampler(self, train_dataset: _Rows | None = None) -> TokenBudgetSampler:  # type: ignore[override]
        return self.sampler


class _Rows(Dataset[tuple[Examples, "int | np.ndarray"]]):
    """Row numbers, one or a batch of them; the collator cuts all their tokens from the flat arrays at once."""

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


def _printer() -> type[TrainerCallback]:
    from transformers.trainer_callback import PrinterCallback

    return PrinterCallback


def _accuracy(prediction: Any) -> dict[str, float]:
    return {"accuracy": float((prediction.predictions.argmax(axis=-1) == prediction.label_ids).mean())}
