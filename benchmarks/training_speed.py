"""Fine-tuning one encoder: the Trainer as tutorials use it, the Trainer at its best, and understudy.

    python benchmarks/training_speed.py [--texts N] [--max-length L] [--data FILE]

Sides: `notebook` pads to the maximum length, in fp32, 16 texts a batch; `stock` is the Trainer with its own best
options (bf16, grouped by length, dynamic padding) and, on a CPU, eager attention; `stock_sdpa` is the same with sdpa:
which of the two is faster depends on the length. `understudy_same_dropout` trains with understudy and the model's own
dropout, as these three do, `understudy` without dropout on the attention weights, as the presets for small encoders do.

All train the same model on the same texts for one epoch and write a checkpoint, optimiser included, at its end, as the
Trainer does unless told otherwise; understudy also writes the files' checksums. The time is that of training and of
this checkpoint; opening the model and tokenising are not in it.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

from harness import MODEL, Data, Side, Work, arguments, main, operations

RATE = 5e-5


def trainer_side(data: Data, options: argparse.Namespace, best: bool, attention: str) -> Work:
    from sides import arguments_of, lengths_of, rows_of, set_attention, trainer_of
    from transformers import Trainer

    from understudy.models.loading import load_classifier, load_tokenizer, resolve

    folder = resolve(MODEL).path
    tokenizer = load_tokenizer(folder)
    model = load_classifier(folder, data.classes)
    set_attention(model, attention)
    rows = rows_of(data, tokenizer, options.max_length, pad=not best)
    with tempfile.TemporaryDirectory() as output:
        trainer = trainer_of(Trainer, model, tokenizer, rows, arguments_of(output, best, learning_rate=RATE))
        start = time.perf_counter()
        trainer.train()
        seconds = time.perf_counter() - start
    lengths = lengths_of(rows)
    return Work(seconds, int(lengths.sum()), len(rows), operations(model.config, lengths, training=True))


def understudy_side(data: Data, options: argparse.Namespace, **changes: Any) -> Work:
    from sides import BATCH

    from understudy.data.tokens import tokenise
    from understudy.hardware import detect
    from understudy.models.loading import load_classifier, load_tokenizer, resolve
    from understudy.recipe import TrainingOptions
    from understudy.training.objectives import supervised
    from understudy.training.trainer import Examples, train

    folder = resolve(MODEL).path
    tokenizer = load_tokenizer(folder)
    recipe = TrainingOptions(batch_size=BATCH, learning_rate=RATE, checkpoint_steps=10**6, **changes)
    model = load_classifier(folder, data.classes, attention_dropout=recipe.attention_dropout)
    tokens = tokenise(data.texts, tokenizer, options.max_length)
    with tempfile.TemporaryDirectory() as output:
        start = time.perf_counter()
        train(
            model,
            Examples(tokens, data.labels),
            None,
            recipe,
            supervised(),
            pad_id=tokenizer.pad_token_id,
            seed=0,
            hardware=detect(),
            checkpoints=Path(output),
            description="understudy",
        )
        seconds = time.perf_counter() - start
    return Work(seconds, len(tokens.ids), len(tokens), operations(model.config, tokens.lengths, training=True))


SIDES: dict[str, Side] = {
    "notebook": partial(trainer_side, best=False, attention="sdpa"),
    "stock": partial(trainer_side, best=True, attention="eager"),
    "stock_sdpa": partial(trainer_side, best=True, attention="sdpa"),
    "understudy_same_dropout": understudy_side,
    "understudy": partial(understudy_side, attention_dropout=0.0),
}

if __name__ == "__main__":
    options = arguments(str(__doc__).splitlines()[0], texts=512, sides=SIDES).parse_args()
    main(__file__, options, SIDES, subjects=("understudy", "understudy_same_dropout"))
