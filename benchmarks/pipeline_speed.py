"""Two stages from texts to one student and three more: the Trainer, which runs the teacher again, and understudy.

    python benchmarks/pipeline_speed.py [--texts N] [--max-length L] [--data FILE]

Every side fine-tunes a teacher for one epoch and distils four students of three of its layers, which differ by their
seed, for one epoch each, with the same loss (temperature 2, alpha 0.5). Sides: `notebook` is the usual notebook, a
Trainer whose loss runs the teacher on every batch, all padded to the maximum length, in fp32, 16 texts a batch; `stock`
is the same Trainer with its own best options (bf16, also for the teacher, grouped by length, dynamic padding) and, on a
CPU, eager attention where it trains; `stock_sdpa` is that with sdpa; `understudy_same_dropout` are understudy's stages
with the model's own dropout, which keep the teacher's logits and compute them once, `understudy` the same without
dropout on the attention weights.

The time is that of everything from the texts to the last saved student, opening models and tokenising included.
understudy's stages also validate, on 16 texts, and write checksums. Tokens and documents are those trained on, the same
number for every side; operations are those of training and of one pass of the teacher. `one_student_seconds` is the
time until the first student was there, `four_students_seconds` the whole.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from harness import FIXED, MODEL, Data, Side, Work, arguments, main, operations

if TYPE_CHECKING:
    from understudy.recipe.recipe import Recipe

RATE, STUDENT_RATE = 5e-5, 1e-4
TEMPERATURE, ALPHA = 2.0, 0.5
LAYERS, STUDENTS = 3, 4
VALIDATION = 16


def trainer_side(data: Data, options: argparse.Namespace, best: bool, attention: str) -> Work:
    from sides import Distilling, arguments_of, lengths_of, rows_of, set_attention, trainer_of
    from transformers import Trainer

    from understudy.models.loading import load_classifier, load_tokenizer, resolve
    from understudy.models.students import from_layers
    from understudy.training.objectives import distilled

    origin = resolve(MODEL)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        start = time.perf_counter()
        tokenizer = load_tokenizer(origin.path)
        rows = rows_of(data, tokenizer, options.max_length, pad=not best)
        teacher = load_classifier(origin.path, data.classes)
        set_attention(teacher, attention)
        settings = arguments_of(f"{folder}/checkpoints", best, learning_rate=RATE)
        trainer = trainer_of(Trainer, teacher, tokenizer, rows, settings)
        trainer.train()
        trainer.save_model(f"{folder}/teacher")
        set_attention(teacher.eval(), "sdpa")
        finished = []
        for seed in range(STUDENTS):
            student = from_layers(folder / "teacher", LAYERS, data.classes, seed)
            set_attention(student, attention)
            settings = arguments_of(f"{folder}/checkpoints-{seed}", best, learning_rate=STUDENT_RATE, seed=seed)
            trainer = trainer_of(Distilling, student, tokenizer, rows, settings)
            trainer.teacher, trainer.objective = teacher, distilled("kl", TEMPERATURE, ALPHA)
            trainer.train()
            trainer.save_model(f"{folder}/student-{seed}")
            finished.append(time.perf_counter() - start)
    return work_of(lengths_of(rows), teacher.config, student.config, finished)


def understudy_side(data: Data, options: argparse.Namespace, **changes: Any) -> Work:
    from sides import BATCH

    from understudy.data.corpus import Corpus, Split
    from understudy.data.tokens import text_ids, tokenise_cached, tokenizer_digest
    from understudy.inference.store import Answering, stored_logits
    from understudy.models.loading import load_classifier, load_config, load_tokenizer, resolve
    from understudy.runtime.hardware import detect
    from understudy.training.student import Lesson, Start, train_student
    from understudy.training.teacher import Encoder, train_teacher
    from understudy.training.trainer import TrainingContext

    origin, hardware = resolve(MODEL), detect()
    recipes = _recipes(options, {**FIXED, "batch_size": BATCH, "checkpoint_steps": 10**6, **changes})
    with tempfile.TemporaryDirectory() as temporary:
        folder, cache = Path(temporary), Path(temporary, "cache")
        start = time.perf_counter()
        tokenizer = load_tokenizer(origin.path)
        train = Split(data.texts, text_ids(data.texts), data.labels)
        validation = train.select(np.arange(min(VALIDATION, len(train))))
        corpus = Corpus(data.classes, train, validation, validation)
        tokens = {
            name: tokenise_cached([split.texts], split.ids, tokenizer, options.max_length, cache)
            for name, split in (("train", train), ("validation", validation))
        }
        tokens["transfer"] = tokens["train"]
        teacher = train_teacher(
            recipes[0],
            corpus,
            Encoder(origin, tokens),
            seed=0,
            entry=cache / "teachers" / "teacher",
            context=TrainingContext(hardware, folder / "checkpoints", "teacher"),
        )
        finished = []
        for seed, recipe in enumerate(recipes):
            answering = Answering(
                teacher.digest,
                tokenizer_digest(tokenizer),
                options.max_length,
                tokenizer.pad_token_id,
                hardware,
                hardware.dtype(),
            )
            model = load_classifier(teacher.folder)
            soft_labels = stored_logits(
                model, tokens["train"], train.ids, answering, cache=cache, description="soft labels"
            )
            student = train_student(
                recipe,
                Lesson(corpus, tokens, soft_labels.logits),
                Start(teacher.folder, LAYERS),
                folder / f"student-{seed}",
                TrainingContext(hardware, folder / f"checkpoints-{seed}", "student"),
            )
            finished.append(time.perf_counter() - start)
        configs = load_config(teacher.folder), load_config(student.folder)
    return work_of(tokens["train"].lengths, *configs, finished)


def _recipes(options: argparse.Namespace, training: dict[str, Any]) -> list[Recipe]:
    """One a student; they differ in its seed."""
    from understudy.recipe.recipe import Recipe

    recipe = {
        "data": {"train": options.data, "test": options.data, "max_length": options.max_length},
        "teacher": {"learning_rate": RATE, **training},
        "distillation": {"learning_rate": STUDENT_RATE, "temperature": TEMPERATURE, "alpha": ALPHA, **training},
    }
    return [Recipe.from_mapping({**recipe, "student": {"layers": LAYERS, "seed": s}}) for s in range(STUDENTS)]


def work_of(lengths: np.ndarray, teacher: Any, student: Any, finished: list[float]) -> Work:
    """What came of it.

    Args:
        lengths: Tokens of each text.
        teacher: Its config.
        student: Its config.
        finished: Seconds from the start until each student was there.
    """
    training = operations(teacher, lengths, training=True) + STUDENTS * operations(student, lengths, training=True)
    return Work(
        finished[-1],
        int(lengths.sum()) * (1 + STUDENTS),
        len(lengths) * (1 + STUDENTS),
        training + operations(teacher, lengths, training=False),
        more={"one_student_seconds": finished[0], "four_students_seconds": finished[-1]},
    )


SIDES: dict[str, Side] = {
    "notebook": partial(trainer_side, best=False, attention="sdpa"),
    "stock": partial(trainer_side, best=True, attention="eager"),
    "stock_sdpa": partial(trainer_side, best=True, attention="sdpa"),
    "understudy_same_dropout": understudy_side,
    "understudy": partial(understudy_side, attention_dropout=0.0),
}

if __name__ == "__main__":
    options = arguments(str(__doc__).splitlines()[0], texts=256, sides=SIDES).parse_args()
    main(__file__, options, SIDES, subjects=("understudy", "understudy_same_dropout"))
