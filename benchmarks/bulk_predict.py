"""Predicting a large file from file to file: rows a second, peak memory at two sizes, and what sorting by length gains.

    python benchmarks/bulk_predict.py [--texts N] [--rounds R] [--layers L] [--max-length L] [--data FILE]

The texts are sentences of the source, again and again, in a parquet file; `large` has N of them, `small` a tenth. The
model is MiniLM-L6 cut to L layers, with an untrained head: neither speed nor memory hangs on its answers. Every
measurement runs in a process of its own, which opens the model and answers 1,000 texts before the clock starts; what
the large file adds to the small one's peak is `added_mb`. (With a small file of less than some windows that is mostly
what an engine keeps for each shape of batch it has met.)

`input_order` predicts the small file with batches of as many padded tokens as always, filled in the order of the rows
instead of by length within a window. It takes turns with `small`, figures are medians over the rounds, and
`ratio_to_input_order` is the rows a second of `small` over its.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from harness import MODEL, arguments, child, description, peak_rss_mb, say, texts_and_labels

WARM_UP = 1_000


def make(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Writes the model and the files."""
    from labelling_memory import write_texts

    from understudy.models.loading import load_tokenizer, resolve
    from understudy.models.students import from_layers

    amount, options.texts = options.texts, 1_000
    texts, _ = texts_and_labels(options)
    sentences = [sentence.strip() for text in texts for sentence in text.split(".") if sentence.strip()]
    origin = resolve(MODEL).path
    from_layers(origin, options.layers, ["negative", "positive"], seed=0).save_pretrained(folder / "model")
    tokenizer = load_tokenizer(origin)
    tokenizer.model_max_length = options.max_length
    tokenizer.save_pretrained(folder / "model")
    write_texts(folder / "warm-up.parquet", cycle(sentences), WARM_UP)
    write_texts(folder / "small.parquet", cycle(sentences), max(1, amount // 10))
    write_texts(folder / "large.parquet", cycle(sentences), amount)
    return {}


def measure(folder: Path, side: str) -> dict[str, Any]:
    from understudy.inference import logits
    from understudy.inference.bulk import predict_file
    from understudy.inference.opening import open_classifier

    if side == "input_order":
        logits.length_batches = in_order
    source = folder / f"{'small' if side == 'input_order' else side}.parquet"
    classifier = open_classifier(folder / "model", precision="auto")
    predict_file(classifier, str(folder / "warm-up.parquet"), folder / "out.parquet")
    start = time.perf_counter()
    rows = predict_file(classifier, str(source), folder / "out.parquet")
    return {"rows": rows, "seconds": time.perf_counter() - start, "peak_rss_mb": peak_rss_mb()}


def in_order(lengths: np.ndarray, budget: int) -> Iterator[np.ndarray]:
    """Row numbers in ascending order, in batches of at most `budget` tokens after padding."""
    start = longest = 0
    for row, length in enumerate(lengths):
        longest = max(longest, int(length))
        if row > start and longest * (row + 1 - start) > budget:
            yield np.arange(start, row)
            start, longest = row, int(length)
    if len(lengths):
        yield np.arange(start, len(lengths))


def figures(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "rows": rounds[0]["rows"],
        "rows_per_second": round(statistics.median(each["rows"] / each["seconds"] for each in rounds), 1),
        "peak_rss_mb": round(statistics.median(each["peak_rss_mb"] for each in rounds), 1),
        "seconds": [round(each["seconds"], 2) for each in rounds],
    }


def main() -> None:
    parser = arguments(str(__doc__).splitlines()[0], texts=1_000_000)
    parser.add_argument("--rounds", type=int, default=3, help="how often the small file is predicted")
    parser.add_argument("--layers", type=int, default=3, help="of the model")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--side", choices=["make", "small", "input_order", "large"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        work = make(options.folder, options) if options.side == "make" else measure(options.folder, options.side)
        print(json.dumps(work))
        return
    found: dict[str, list[dict[str, Any]]] = {"small": [], "input_order": [], "large": []}
    with tempfile.TemporaryDirectory() as folder:
        child(__file__, *sys.argv[1:], "--folder", folder, "--side", "make")
        for side in [*["small", "input_order"] * options.rounds, "large"]:
            found[side].append(child(__file__, *sys.argv[1:], "--folder", folder, "--side", side))
            say(f"{side}: {found[side][-1]['seconds']:.1f} s")
    table = {side: figures(rounds) for side, rounds in found.items()}
    ratio = table["small"]["rows_per_second"] / table["input_order"]["rows_per_second"]
    result = {
        "machine": description(),
        "options": {name: value for name, value in vars(options).items() if name not in ("folder", "side")},
        **table,
        "added_mb": round(table["large"]["peak_rss_mb"] - table["small"]["peak_rss_mb"], 1),
        "ratio_to_input_order": round(ratio, 3),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
