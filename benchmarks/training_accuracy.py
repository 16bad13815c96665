"""Accuracy after one epoch: the Trainer as tutorials use it, and understudy with and without attention dropout.

    python benchmarks/training_accuracy.py --data imdb/train.parquet --test imdb/test.parquet --keep FOLDER

The sides are those of `training_speed.py`. For every seed each fine-tunes MiniLM-L6 on the same texts and answers the
same test texts. A seed is that of the head, of the order of the texts and of dropout. `difference` is the mean accuracy
over the seeds minus that of `notebook`, its interval a bootstrap over test texts, each taken with everybody's answers
for every seed. Answers are kept under `--keep`, so that an interrupted run goes on where it was.
"""

from __future__ import annotations

import argparse
import json
from functools import partial
from pathlib import Path

import numpy as np
from harness import Data, arguments, description, say, texts_and_labels
from sides import FineTuned, fine_tuned_by_trainer, fine_tuned_by_understudy

from understudy.data.tokens import tokenise
from understudy.inference.engines import open_engine
from understudy.inference.logits import predict_logits
from understudy.runtime.hardware import detect

SIDES = {
    "notebook": partial(fine_tuned_by_trainer, best=False, attention="sdpa"),
    "understudy_same_dropout": fine_tuned_by_understudy,
    "understudy": partial(fine_tuned_by_understudy, attention_dropout=0.0),
}
RESAMPLES = 10_000


def answers(tuned: FineTuned, texts: list[str], max_length: int) -> np.ndarray:
    """Class numbers, int64 of shape (texts,); all sides answer in the same way."""
    hardware = detect()
    tokens = tokenise(texts, tuned.tokenizer, max_length)
    engine = open_engine(tuned.model, hardware, hardware.dtype(), tokens.total)
    return predict_logits(engine, tokens, int(tuned.tokenizer.pad_token_id)).argmax(axis=1)


def figures(right: np.ndarray, reference: np.ndarray) -> dict[str, object]:
    """What one side reached.

    Args:
        right: Whether each answer is, of shape (seeds, texts).
        reference: The same of the side to compare with.
    """
    rng = np.random.default_rng(0)
    by_text = (right.astype(float) - reference).mean(axis=0)
    drawn = [by_text[rng.integers(len(by_text), size=len(by_text))].mean() for _ in range(RESAMPLES)]
    return {
        "accuracy": [round(float(seed.mean()), 4) for seed in right],
        "mean": round(float(right.mean()), 4),
        "difference": round(float(by_text.mean()), 4),
        "difference_ci95": [round(float(bound), 4) for bound in np.percentile(drawn, [2.5, 97.5])],
    }


def main() -> None:
    parser = arguments(str(__doc__).splitlines()[0], texts=4000)
    parser.add_argument("--test", default="reviews:test", help="source of the test texts")
    parser.add_argument("--test-texts", type=int, default=5000, help="how many test texts, or all that there are")
    parser.add_argument("--seeds", type=int, default=3, help="how often each side is trained")
    parser.add_argument("--keep", type=Path, required=True, help="folder for the answers of finished trainings")
    options = parser.parse_args()
    texts, labels = texts_and_labels(options)
    data = Data(texts, labels, [str(number) for number in range(labels.max() + 1)])
    test_texts, test_labels = texts_and_labels(argparse.Namespace(data=options.test, texts=options.test_texts))
    options.keep.mkdir(parents=True, exist_ok=True)
    right: dict[str, list[np.ndarray]] = {name: [] for name in SIDES}
    for seed in range(options.seeds):
        for name, fine_tuned in SIDES.items():
            kept = options.keep / f"{name}-{options.max_length}-{len(texts)}-{len(test_texts)}-{seed}.npy"
            if not kept.exists():
                np.save(kept, answers(fine_tuned(data, options.max_length, seed=seed), test_texts, options.max_length))
            right[name].append(np.load(kept) == test_labels)
            say(f"seed {seed}, {name}: {right[name][-1].mean():.4f}")
    table = {name: figures(np.stack(rows), np.stack(right["notebook"])) for name, rows in right.items()}
    settings = {name: value for name, value in vars(options).items() if name != "keep"}
    print(json.dumps({"machine": description(), "options": settings, "sides": table}))


if __name__ == "__main__":
    main()
