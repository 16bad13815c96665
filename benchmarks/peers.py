"""Distilling a student with another distiller, TextBrewer, and with understudy.

    pip install textbrewer
    python benchmarks/peers.py [--texts N] [--max-length L] [--data FILE]

Every side distils a student of three of MiniLM-L6's layers from MiniLM-L6 on the same texts for one epoch, at the same
learning rate and schedule, and saves it. Sides: `textbrewer` is its `GeneralDistiller` in fp32, which runs the teacher
on every batch, with a DataLoader of 16 texts a batch in random order, each batch padded to its longest text;
`textbrewer_autocast` is the same within PyTorch's autocast to bf16 and, on a CPU, with eager attention in the student,
which TextBrewer does not offer by itself (its own mixed precision is Apex's, for GPUs); `understudy_same_dropout` is
understudy with the model's own dropout, the teacher's pass over the texts included, `understudy` the same without
dropout on the attention weights.

The loss is the same but for a constant: TextBrewer's soft loss is the cross-entropy with the teacher's distribution,
which is the Kullback-Leibler divergence plus that distribution's entropy, and it does not scale by the temperature's
square, which is therefore in its weight. Opening the models and tokenising are not in the time. What is saved at the
end is in it: TextBrewer writes the student's weights, understudy a checkpoint with the optimiser and checksums.

TextBrewer 0.2.1.post1 is used as it is: with tensorboard, which pip installs along with it, it starts on PyTorch 2.13
and transformers 5.23. It takes a batch by name only from a plain dict, so the collator's is made one.
"""

from __future__ import annotations

import argparse
import importlib.util
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

from harness import FIXED, MODEL, Data, Side, Work, arguments, main, operations

RATE = 1e-4
WARMUP = 0.1
TEMPERATURE, ALPHA = 2.0, 0.5
LAYERS = 3


def textbrewer_side(data: Data, options: argparse.Namespace, autocast: bool) -> Work:
    import torch
    from sides import BATCH, lengths_of, rows_of, set_attention
    from textbrewer import DistillationConfig, GeneralDistiller, TrainingConfig
    from transformers import DataCollatorWithPadding, get_linear_schedule_with_warmup

    from understudy.runtime.hardware import detect, torch_dtype

    hardware = detect()
    dtype = hardware.dtype() if autocast else "fp32"
    with tempfile.TemporaryDirectory() as temporary:
        teacher, student, tokenizer = models(data, Path(temporary))
        for model in (teacher, student):
            model.to(hardware.device)
        if autocast:
            set_attention(student, "eager")
        rows = rows_of(data, tokenizer, options.max_length, pad=False)
        pad = DataCollatorWithPadding(tokenizer)
        batches = torch.utils.data.DataLoader(
            rows,
            batch_size=BATCH,
            shuffle=True,
            collate_fn=lambda rows: dict(pad(rows)),  # TextBrewer takes a plain dict only
        )
        distiller = GeneralDistiller(
            TrainingConfig(device=hardware.device, output_dir=temporary),
            DistillationConfig(
                temperature=TEMPERATURE,
                kd_loss_type="ce",
                kd_loss_weight=ALPHA * TEMPERATURE**2,
                hard_label_weight=1 - ALPHA,
            ),
            teacher,
            student,
            lambda batch, outputs: {"logits": outputs.logits},
            lambda batch, outputs: {"logits": outputs.logits, "losses": outputs.loss},
        )
        start = time.perf_counter()
        with distiller, torch.autocast(hardware.kind, torch_dtype(dtype), enabled=dtype != "fp32"):
            distiller.train(
                torch.optim.AdamW(student.parameters(), lr=RATE, fused=True),  # as in the Trainer
                batches,
                num_epochs=1,
                scheduler_class=get_linear_schedule_with_warmup,
                scheduler_args={
                    "num_warmup_steps": round(WARMUP * len(batches)),
                    "num_training_steps": len(batches),
                },
                max_grad_norm=1.0,
            )
        seconds = time.perf_counter() - start
    return work_of(seconds, lengths_of(rows), teacher, student)


def understudy_side(data: Data, options: argparse.Namespace, **changes: Any) -> Work:
    from sides import BATCH

    from understudy.data.tokens import tokenise
    from understudy.inference.engines import open_engine
    from understudy.inference.logits import predict_logits
    from understudy.recipe.training import TrainingOptions
    from understudy.runtime.hardware import detect
    from understudy.training.objectives import distilled
    from understudy.training.trainer import Examples, Method, TrainingContext, train

    fixed = {"batch_size": BATCH, "learning_rate": RATE, "warmup": WARMUP, "checkpoint_steps": 10**6}
    recipe = TrainingOptions(**{**FIXED, **fixed, **changes})
    hardware = detect()
    with tempfile.TemporaryDirectory() as temporary:
        teacher, student, tokenizer = models(data, Path(temporary), recipe.attention_dropout)
        tokens = tokenise(data.texts, tokenizer, options.max_length)
        start = time.perf_counter()
        engine = open_engine(teacher, hardware, hardware.dtype(), tokens.total)
        soft_labels = predict_logits(engine, tokens, tokenizer.pad_token_id)
        train(
            student,
            Examples(tokens, data.labels, soft_labels),
            None,
            method=Method(recipe, distilled("kl", TEMPERATURE, ALPHA), seed=0),
            pad_id=tokenizer.pad_token_id,
            context=TrainingContext(hardware, Path(temporary), "understudy"),
        )
        seconds = time.perf_counter() - start
    return work_of(seconds, tokens.lengths, teacher, student)


def models(data: Data, folder: Path, attention_dropout: float | None = None) -> tuple[Any, Any, Any]:
    """A teacher with a random head, a student of its layers, and their tokenizer."""
    from understudy.models.loading import load_classifier, load_tokenizer, resolve
    from understudy.models.students import from_layers

    origin = resolve(MODEL).path
    teacher = load_classifier(origin, data.classes)
    teacher.save_pretrained(folder / "teacher")
    student = from_layers(folder / "teacher", LAYERS, data.classes, seed=0, attention_dropout=attention_dropout)
    return teacher, student, load_tokenizer(origin)


def work_of(seconds: float, lengths: Any, teacher: Any, student: Any) -> Work:
    needed = operations(student.config, lengths, training=True) + operations(teacher.config, lengths, training=False)
    return Work(seconds, int(lengths.sum()), len(lengths), needed)


SIDES: dict[str, Side] = {
    "textbrewer": partial(textbrewer_side, autocast=False),
    "textbrewer_autocast": partial(textbrewer_side, autocast=True),
    "understudy_same_dropout": understudy_side,
    "understudy": partial(understudy_side, attention_dropout=0.0),
}

if __name__ == "__main__":
    options = arguments(str(__doc__).splitlines()[0], texts=512, sides=SIDES).parse_args()
    if importlib.util.find_spec("textbrewer") is None:
        raise SystemExit("This compares with TextBrewer, which is not here: pip install textbrewer")
    main(__file__, options, SIDES, subjects=("understudy", "understudy_same_dropout"))
