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
from functools import partial
from typing import Any

from harness import Data, Side, Work, arguments, main, operations


def trainer_side(data: Data, options: argparse.Namespace, best: bool, attention: str) -> Work:
    from sides import fine_tuned_by_trainer

    return work_of(fine_tuned_by_trainer(data, options.max_length, best, attention))


def understudy_side(data: Data, options: argparse.Namespace, **changes: Any) -> Work:
    from sides import fine_tuned_by_understudy

    return work_of(fine_tuned_by_understudy(data, options.max_length, **changes))


def work_of(tuned: Any) -> Work:
    needed = operations(tuned.model.config, tuned.lengths, training=True)
    return Work(tuned.seconds, int(tuned.lengths.sum()), len(tuned.lengths), needed)


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
