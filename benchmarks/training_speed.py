"""Fine-tuning one encoder: the Trainer as tutorials use it, the Trainer at its best, and understudy.

    python benchmarks/training_speed.py [--texts N] [--max-length L] [--data FILE]

Sides: `notebook` pads to the maximum length, in fp32, 16 texts a batch; `stock` is the Trainer with its own best
options (bf16, grouped by length, dynamic padding, and on a CPU the eager attention, which is the faster there);
`understudy_same_dropout` trains with understudy and the model's own dropout, `understudy` without dropout on the
attention weights, as the presets for small encoders do. All train the same model on the same texts for one epoch.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from harness import MODEL, Work, arguments, main, operations, texts_and_labels

BATCH = 16
RATE = 5e-5


def trainer_side(options: argparse.Namespace, stock: bool) -> Work:
    import torch
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
        Trainer,
        TrainingArguments,
    )

    from understudy.models.loading import resolve

    folder = resolve(MODEL).path
    on_cpu = not torch.cuda.is_available()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    kernel = {"attn_implementation": "eager"} if stock and on_cpu else {}
    model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=2, **kernel)
    texts, labels = texts_and_labels(options)
    encoded = tokenizer(texts, truncation=True, max_length=options.max_length)["input_ids"]
    lengths = np.array([len(ids) for ids in encoded])
    padding: Any = {} if stock else {"padding": "max_length"}
    rows = [
        {**tokenizer(text, truncation=True, max_length=options.max_length, **padding), "labels": int(label)}
        for text, label in zip(texts, labels, strict=True)
    ]
    with tempfile.TemporaryDirectory() as output:
        best: Any = {"bf16": True, "train_sampling_strategy": "group_by_length"} if stock else {}
        trainer = Trainer(
            model=model,
            args=TrainingArguments(
                output_dir=output,
                num_train_epochs=1,
                per_device_train_batch_size=BATCH,
                learning_rate=RATE,
                use_cpu=on_cpu,
                save_strategy="no",
                report_to="none",
                disable_tqdm=True,
                **best,
            ),
            train_dataset=rows,
            data_collator=DataCollatorWithPadding(tokenizer) if stock else None,
            processing_class=tokenizer,
        )
        start = time.perf_counter()
        trainer.train()
        seconds = time.perf_counter() - start
    return Work(seconds, int(lengths.sum()), len(texts), operations(model.config, lengths, training=True))


def understudy_side(options: argparse.Namespace, **changes: Any) -> Work:
    from understudy.data.tokens import tokenise
    from understudy.hardware import detect
    from understudy.models.loading import load_classifier, load_tokenizer, resolve
    from understudy.recipe import TrainingOptions
    from understudy.training.objectives import supervised
    from understudy.training.trainer import Examples, train

    folder = resolve(MODEL).path
    tokenizer = load_tokenizer(folder)
    texts, labels = texts_and_labels(options)
    tokens = tokenise(texts, tokenizer, options.max_length)
    recipe = TrainingOptions(batch_size=BATCH, learning_rate=RATE, checkpoint_steps=10**6, **changes)
    model = load_classifier(folder, ["negative", "positive"], attention_dropout=recipe.attention_dropout)
    with tempfile.TemporaryDirectory() as output:
        start = time.perf_counter()
        train(
            model,
            Examples(tokens, labels),
            None,
            recipe,
            supervised(),
            pad_id=int(tokenizer.pad_token_id),
            seed=0,
            hardware=detect(),
            checkpoints=Path(output),
            description="understudy",
        )
        seconds = time.perf_counter() - start
    return Work(seconds, len(tokens.ids), len(texts), operations(model.config, tokens.lengths, training=True))


SIDES = {
    "notebook": lambda options: trainer_side(options, stock=False),
    "stock": lambda options: trainer_side(options, stock=True),
    "understudy_same_dropout": lambda options: understudy_side(options),
    "understudy": lambda options: understudy_side(options, attention_dropout=0.0),
}

if __name__ == "__main__":
    main(__file__, arguments(str(__doc__).splitlines()[0], texts=512).parse_args(), SIDES)
