"""Answering with a student, from texts to probabilities: the original's way, transformers' pipeline, and its exports.

    python benchmarks/serving_speed.py --teacher FOLDER --student FOLDER --fp32 EXPORT --int8 EXPORT \
        [--texts N] [--max-length L] [--data FILE]

Sides: `notebook` is the teacher in PyTorch in fp32, in batches of 128 padded to the maximum length; `pipeline` is
`transformers.pipeline("text-classification")` on the student with its defaults, one text after the other, and
`pipeline_128` in batches of 128, each padded to its longest; `fp32` and `int8` are the student's exports as
`understudy.load` opens them, the first told to compute in fp32. `ratio` is the documents per second of `int8` over
those of each other side.

Texts are cut to the maximum length beforehand, by the teacher's tokenizer, so that every side answers the same ones.
Opening a model is not in the time, tokenising is; 128 texts go through each before the clock starts. `p50_ms`, `p95_ms`
and `p99_ms` are of one text a call, for the first 200. `percent_right` is on all texts, `same_label` the share of
them on which a side agrees with `pipeline`, and `flips_alone` of 64 texts how many get another label alone than among
31 others. The classes' names have to sort as the source's labels do.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from harness import Data, Side, Work, arguments, main, operations

BATCH = 128
SINGLE = 200
COMPANY = 32

Answer = Callable[[Sequence[str]], np.ndarray]


def notebook_side(data: Data, options: argparse.Namespace) -> Work:
    import torch

    from understudy.models.loading import load_classifier, load_tokenizer

    folder = Path(options.teacher)
    model, tokenizer = load_classifier(folder).eval(), load_tokenizer(folder)

    def answer(texts: Sequence[str], padding: str | bool = "max_length") -> np.ndarray:
        found = []
        for start in range(0, len(texts), BATCH):
            batch = tokenizer(
                list(texts[start : start + BATCH]),
                padding=padding,
                truncation=True,
                max_length=options.max_length,
                return_tensors="pt",
            )
            with torch.inference_mode():
                found.append(model(**batch).logits.softmax(dim=-1).numpy())
        return np.concatenate(found)

    # One text alone is not padded: nobody does that, and it would flatter the others.
    return measured(data, options, answer, partial(answer, padding=False), folder)


def pipeline_side(data: Data, options: argparse.Namespace, batch: int = 1) -> Work:
    from transformers import pipeline

    classify = pipeline("text-classification", model=options.student, device="cpu")

    def answer(texts: Sequence[str]) -> np.ndarray:
        answers = classify(list(texts), batch_size=batch, truncation=True, top_k=None)
        return np.array([[score for _, score in sorted((each["label"], each["score"]) for each in a)] for a in answers])

    return measured(data, options, answer, answer, Path(options.student))


def export_side(data: Data, options: argparse.Namespace, which: str) -> Work:
    import understudy

    folder = getattr(options, which)
    classifier = understudy.load(folder, precision="fp32" if which == "fp32" else None)
    order = np.argsort(classifier.classes)

    def answer(texts: Sequence[str]) -> np.ndarray:
        return classifier.predict_proba(list(texts))[:, order]

    return measured(data, options, answer, answer, Path(options.student))


def measured(data: Data, options: argparse.Namespace, bulk: Answer, single: Answer, model: Path) -> Work:
    """What a side does with the texts, all at once and one a call."""
    from understudy.models.loading import load_config

    texts, lengths = cut(data.texts, options)
    bulk(texts[:BATCH])
    start = time.perf_counter()
    probabilities = bulk(texts)
    seconds = time.perf_counter() - start
    for text in texts[:10]:
        single([text])
    times = []
    for text in texts[:SINGLE]:
        before = time.perf_counter()
        single([text])
        times.append(time.perf_counter() - before)
    p50, p95, p99 = np.percentile(times, [50, 95, 99]) * 1000
    alone = texts[: 2 * COMPANY]
    together = np.concatenate([bulk(alone[:COMPANY]), bulk(alone[COMPANY:])]) if len(alone) > COMPANY else bulk(alone)
    flips = sum(int(single([text])[0].argmax() != row.argmax()) for text, row in zip(alone, together, strict=True))
    return Work(
        seconds=seconds,
        tokens=int(lengths.sum()),
        documents=len(texts),
        operations=operations(load_config(model), lengths, training=False),
        logits=np.log(np.maximum(probabilities, 1e-12)).tolist(),
        more={
            "p50_ms": p50,
            "p95_ms": p95,
            "p99_ms": p99,
            "percent_right": 100 * float((probabilities.argmax(axis=1) == data.labels).mean()),
            "flips_alone": flips,
        },
    )


def cut(texts: list[str], options: argparse.Namespace) -> tuple[list[str], np.ndarray]:
    """The texts' beginnings that have the maximum length, and how many tokens those have."""
    from understudy.models.loading import load_tokenizer

    tokenizer = load_tokenizer(Path(options.teacher))
    encoded = tokenizer(texts, truncation=True, max_length=options.max_length, return_offsets_mapping=True)
    ends = [max(end for _, end in offsets) for offsets in encoded["offset_mapping"]]
    lengths = np.array([len(ids) for ids in encoded["input_ids"]])
    return [text[:end] for text, end in zip(texts, ends, strict=True)], lengths


SIDES: dict[str, Side] = {
    "notebook": notebook_side,
    "pipeline": pipeline_side,
    "pipeline_128": partial(pipeline_side, batch=BATCH),
    "fp32": partial(export_side, which="fp32"),
    "int8": partial(export_side, which="int8"),
}


def parsed() -> argparse.Namespace:
    parser = arguments(str(__doc__).splitlines()[0], texts=1024, sides=SIDES)
    parser.add_argument("--teacher", required=True, help="Hugging Face folder of the teacher, one encoder")
    parser.add_argument("--student", required=True, help="Hugging Face folder of the student")
    parser.add_argument("--fp32", required=True, help="the student's export in fp32")
    parser.add_argument("--int8", required=True, help="the student's export in int8")
    return parser.parse_args()


if __name__ == "__main__":
    options = parsed()
    main(__file__, options, SIDES, subjects=("int8",), reference="pipeline")
