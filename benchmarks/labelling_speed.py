"""Labelling with one classifier, from texts to logits: transformers' pipeline, the Trainer's predict, and understudy.

    python benchmarks/labelling_speed.py [--texts N] [--max-length L] [--data FILE] [--model FOLDER]

Sides: `pipeline` is `transformers.pipeline("text-classification")` in batches of 128, which computes in fp32 and pads
each batch, in the order of the texts, to its longest; `stock` is the Trainer's `predict` with its own best options
(`bf16_full_eval`, which casts the weights, grouped by length, dynamic padding; on a CPU, batches of 8 and eager
attention, which were faster there than larger ones and sdpa), which answers in its sampler's order, so that the side
puts the logits back into that of the texts; `understudy` sorts by length and computes with the engine and in the type
that its policy chooses, `understudy_pytorch` in that type with PyTorch.

Opening the model is not in the time, tokenising is; `open_seconds` is what opening understudy's engine takes, once a
model. `largest_difference` is the largest between a side's logits and the pipeline's, `same_label` the share of texts
to which both give the same label. Unless `--model` names a fine-tuned classifier, the head is a random one: good for
the speed, while its logits are all close to each other, and labels flip easily.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from functools import partial
from typing import Any

import numpy as np
from harness import MODEL, Data, Side, Work, arguments, main, operations

PIPELINE_BATCH = 128
PREDICT_BATCH = {"cpu": 8}  # elsewhere as many as the pipeline takes


def pipeline_side(data: Data, options: argparse.Namespace) -> Work:
    from transformers import pipeline

    from understudy.runtime.hardware import detect

    model, tokenizer = opened(data, options)
    classify = pipeline("text-classification", model=model, tokenizer=tokenizer, device=detect().device)
    start = time.perf_counter()
    answers = classify(
        data.texts,
        batch_size=PIPELINE_BATCH,
        truncation=True,
        max_length=options.max_length,
        top_k=None,
        function_to_apply="none",
    )
    seconds = time.perf_counter() - start
    scores = [{each["label"]: each["score"] for each in answer} for answer in answers]
    logits = np.array([[score[name] for name in data.classes] for score in scores])
    return work_of(data, options, model, tokenizer, seconds, logits)


def trainer_side(data: Data, options: argparse.Namespace) -> Work:
    from sides import rows_of, set_attention
    from transformers import DataCollatorWithPadding, Trainer, TrainingArguments

    from understudy.runtime.hardware import detect

    model, tokenizer = opened(data, options)
    hardware = detect()
    dtype = hardware.dtype()
    set_attention(model, "eager")
    with tempfile.TemporaryDirectory() as output:
        trainer = Trainer(
            model=model,
            args=TrainingArguments(
                output_dir=output,
                per_device_eval_batch_size=PREDICT_BATCH.get(hardware.kind, PIPELINE_BATCH),
                train_sampling_strategy="group_by_length",
                bf16_full_eval=dtype == "bf16",
                fp16_full_eval=dtype == "fp16",
                use_cpu=hardware.kind == "cpu",
                report_to="none",
                disable_tqdm=True,
            ),
            data_collator=DataCollatorWithPadding(tokenizer),
            processing_class=tokenizer,
        )
        start = time.perf_counter()
        rows = rows_of(data, tokenizer, options.max_length, pad=False)
        predicted = trainer.predict(rows).predictions
        logits = np.empty_like(predicted)
        logits[list(trainer._get_eval_sampler(rows))] = predicted
        seconds = time.perf_counter() - start
    return work_of(data, options, model, tokenizer, seconds, logits)


def understudy_side(data: Data, options: argparse.Namespace, engine: str = "auto") -> Work:
    from understudy.data.tokens import tokenise
    from understudy.inference.engines import open_engine
    from understudy.inference.logits import predict_logits
    from understudy.runtime.hardware import detect

    model, tokenizer = opened(data, options)
    hardware = detect(engine=engine)
    before = time.perf_counter()
    opened_engine = open_engine(model, hardware, hardware.dtype())
    start = time.perf_counter()
    tokens = tokenise(data.texts, tokenizer, options.max_length)
    logits = predict_logits(opened_engine, tokens, tokenizer.pad_token_id)
    seconds = time.perf_counter() - start
    return work_of(data, options, model, tokenizer, seconds, logits, open_seconds=start - before)


def opened(data: Data, options: argparse.Namespace) -> tuple[Any, Any]:
    """The classifier, its labels named like the data's, and its tokenizer."""
    from understudy.models.loading import load_classifier, load_tokenizer, resolve

    folder = resolve(options.model).path
    return load_classifier(folder, data.classes), load_tokenizer(folder)


def work_of(
    data: Data,
    options: argparse.Namespace,
    model: Any,
    tokenizer: Any,
    seconds: float,
    logits: np.ndarray,
    **more: float,
) -> Work:
    from understudy.data.tokens import tokenise

    lengths = tokenise(data.texts, tokenizer, options.max_length).lengths
    needed = operations(model.config, lengths, training=False)
    return Work(seconds, int(lengths.sum()), len(lengths), needed, logits.tolist(), more)


SIDES: dict[str, Side] = {
    "pipeline": pipeline_side,
    "stock": trainer_side,
    "understudy_pytorch": partial(understudy_side, engine="pytorch"),
    "understudy": understudy_side,
}

if __name__ == "__main__":
    parser = arguments(str(__doc__).splitlines()[0], texts=1024, sides=SIDES)
    parser.add_argument("--model", default=MODEL, help="encoder or classifier, a folder or a name on the Hub")
    main(__file__, parser.parse_args(), SIDES, subjects=("understudy", "understudy_pytorch"), reference="pipeline")
