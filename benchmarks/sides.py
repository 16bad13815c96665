"""The stock Trainer, as tutorials use it and at its best, and understudy, for the benchmarks that compare them.

Tutorials pad every text to the maximum length and train in fp32; at its best it computes in bf16 (fp16 on a GPU without
bf16, fp32 on a CPU without), groups by length and pads each batch to its longest text.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from harness import FIXED, MODEL, Data
from transformers import DataCollatorWithPadding, PreTrainedModel, PreTrainedTokenizerBase, Trainer, TrainingArguments

from understudy.runtime.hardware import detect
from understudy.training.objectives import Objective

BATCH = 16
RATE = 5e-5


@dataclass(frozen=True)
class FineTuned:
    """A classifier and what it took.

    Attributes:
        model: Fine-tuned from MiniLM-L6.
        tokenizer: Its tokenizer.
        seconds: Of training and of its checkpoint.
        lengths: Real tokens of each text, int64 of shape (texts,).
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    seconds: float
    lengths: np.ndarray


def fine_tuned_by_trainer(data: Data, max_length: int, best: bool, attention: str, seed: int = 0) -> FineTuned:
    """Trains for one epoch with the stock Trainer, as tutorials use it or at its best."""
    from understudy.models.loading import load_classifier, load_tokenizer, resolve

    folder = resolve(MODEL).path
    tokenizer = load_tokenizer(folder)
    model = load_classifier(folder, data.classes, seed)
    set_attention(model, attention)
    rows = rows_of(data, tokenizer, max_length, pad=not best)
    with tempfile.TemporaryDirectory() as output:
        settings = arguments_of(output, best, learning_rate=RATE, seed=seed)
        trainer = trainer_of(Trainer, model, tokenizer, rows, settings)
        start = time.perf_counter()
        trainer.train()
        seconds = time.perf_counter() - start
    return FineTuned(model, tokenizer, seconds, lengths_of(rows))


def fine_tuned_by_understudy(data: Data, max_length: int, seed: int = 0, **changes: Any) -> FineTuned:
    """Trains for one epoch with understudy.

    Args:
        data: The texts.
        max_length: Tokens after which one is cut.
        seed: Of everything that is drawn.
        **changes: Training options that are to be other than the defaults.
    """
    from understudy.data.tokens import tokenise
    from understudy.models.loading import load_classifier, load_tokenizer, resolve
    from understudy.recipe.training import TrainingOptions
    from understudy.training.objectives import supervised
    from understudy.training.trainer import Examples, Method, TrainingContext, train

    folder = resolve(MODEL).path
    tokenizer = load_tokenizer(folder)
    recipe = TrainingOptions(
        **{**FIXED, "batch_size": BATCH, "learning_rate": RATE, "checkpoint_steps": 10**6, **changes}
    )
    model = load_classifier(folder, data.classes, seed, recipe.attention_dropout)
    tokens = tokenise(data.texts, tokenizer, max_length)
    with tempfile.TemporaryDirectory() as output:
        start = time.perf_counter()
        train(
            model,
            Examples(tokens, data.labels),
            None,
            method=Method(recipe, supervised(), seed),
            pad_id=tokenizer.pad_token_id,
            context=TrainingContext(detect(), Path(output), "understudy"),
        )
        seconds = time.perf_counter() - start
    return FineTuned(model, tokenizer, seconds, tokens.lengths)


def rows_of(data: Data, tokenizer: PreTrainedTokenizerBase, max_length: int, pad: bool) -> list[dict[str, Any]]:
    """The texts as the Trainer takes them, one dict a text, each padded to the maximum length or not at all."""
    padding = "max_length" if pad else False
    encoded = tokenizer(data.texts, truncation=True, max_length=max_length, padding=padding)
    columns = {**encoded, "labels": data.labels.tolist()}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def lengths_of(rows: list[dict[str, Any]]) -> np.ndarray:
    """Real tokens of each text, int64 of shape (texts,)."""
    return np.array([sum(row["attention_mask"]) for row in rows])


def arguments_of(folder: str, best: bool, **options: Any) -> TrainingArguments:
    """One epoch with a checkpoint at its end, as the Trainer writes it unless told otherwise."""
    hardware = detect()
    dtype = hardware.dtype()
    if best:
        options |= {"bf16": dtype == "bf16", "fp16": dtype == "fp16", "train_sampling_strategy": "group_by_length"}
    return TrainingArguments(
        output_dir=folder,
        num_train_epochs=1,
        per_device_train_batch_size=BATCH,
        save_steps=10**6,
        use_cpu=hardware.kind == "cpu",
        report_to="none",
        disable_tqdm=True,
        **options,
    )


def set_attention(model: PreTrainedModel, attention: str) -> None:
    """Sets the kernel: `sdpa`, transformers' default, or `eager`, which is tried on a CPU only."""
    model.set_attn_implementation(attention if detect().kind == "cpu" else "sdpa")


def trainer_of(
    kind: type[Trainer],
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: list[dict[str, Any]],
    arguments: TrainingArguments,
) -> Any:
    return kind(
        model=model,
        args=arguments,
        train_dataset=rows,
        data_collator=DataCollatorWithPadding(tokenizer),
        processing_class=tokenizer,
    )


class Distilling(Trainer):
    """Runs the teacher on every batch, as notebooks on distillation do."""

    teacher: PreTrainedModel
    objective: Objective

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        labels = inputs.pop("labels")
        logits = model(**inputs).logits
        with torch.no_grad(), self.accelerator.autocast():
            teacher_logits = self.teacher(**inputs).logits
        return self.objective(logits.float(), labels, teacher_logits.float())
