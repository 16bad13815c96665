"""What helps a student: where it starts, what it learns from, and which loss, one change at a time.

    python benchmarks/student_experiments.py --data imdb/train.parquet --unlabelled imdb/unsupervised.parquet \
        --test imdb/test.parquet --max-length 128 --keep FOLDER

One teacher (MiniLM-L6) is fine-tuned on a fixed sample; every student has three of its layers and differs from
`baseline` in what its name says. `difference` is its accuracy minus that of `baseline`, seed by seed, with a bootstrap
interval over test texts. The students `hidden_*` also learn from the teacher's hidden states, for which the teacher
runs with every step: that is not an option of understudy, and is tried here to see whether it should be. `texts_seen`
is what a student was trained on, with repetitions. Answers are kept under `--keep`, so that an interrupted run goes on.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from harness import FIXED, MODEL, arguments, description, say, texts_and_labels
from torch import Tensor, nn

from understudy.data.labels import NO_LABEL
from understudy.data.sources import stream
from understudy.data.tokens import Tokens, text_ids, tokenise
from understudy.inference.engines import open_engine
from understudy.inference.logits import predict_logits
from understudy.models.loading import load_classifier, load_tokenizer, resolve
from understudy.models.students import from_layers
from understudy.recipe.base import settled
from understudy.recipe.training import DistillationOptions, LayerChoice
from understudy.runtime.hardware import detect
from understudy.training.objectives import Objective, distilled, supervised
from understudy.training.trainer import Examples, Method, TrainingContext, train

LAYERS = 3
RESAMPLES = 10_000
BASELINE = "baseline"


_TAUGHT = {"temperature": 2.0, "alpha": 0.5}


@dataclass(frozen=True)
class Student:
    """How one student differs from the baseline.

    Attributes:
        which: Layers that it takes.
        from_teacher: Whether from the fine-tuned teacher or from the encoder that it was before.
        taught: Whether it sees the teacher's answers.
        unlabelled: Whether it learns from the texts without labels as well.
        hidden: What it is to have in common with the teacher inside, `cosine` or `relations`.
        options: Of its training and loss.
    """

    which: LayerChoice = "spread"
    from_teacher: bool = True
    taught: bool = True
    unlabelled: bool = False
    hidden: str | None = None
    options: dict[str, Any] = field(default_factory=dict)


STUDENTS = {
    BASELINE: Student(),
    "no_teacher": Student(from_teacher=False, taught=False),
    "labels_on_teacher_layers": Student(taught=False),
    "soft_labels_on_encoder_layers": Student(from_teacher=False),
    "mse": Student(options={"objective": "mse"}),
    "alpha_1": Student(options={"alpha": 1.0}),
    "temperature_1": Student(options={"temperature": 1.0}),
    "temperature_4": Student(options={"temperature": 4.0}),
    "unlabelled": Student(unlabelled=True),
    "epochs_2": Student(options={"epochs": 2}),
    "first_layers": Student(which="first"),
    "last_layers": Student(which="last"),
    "hidden_cosine": Student(hidden="cosine"),
    "hidden_relations": Student(hidden="relations"),
    "rate_5e-5": Student(options={"learning_rate": 5e-5}),
    "rate_2e-4": Student(options={"learning_rate": 2e-4}),
    "unlabelled_alpha_1": Student(unlabelled=True, options={"alpha": 1.0}),
    "unlabelled_epochs_3": Student(unlabelled=True, options={"epochs": 3}),
    "epochs_6": Student(options={"epochs": 6}),
    "no_teacher_epochs_2": Student(from_teacher=False, taught=False, options={"epochs": 2}),
}


@dataclass(frozen=True)
class Sample:
    """Tokens and labels of what is trained on and tested with; `transfer` begins with `train`."""

    train: Tokens
    transfer: Tokens
    test: Tokens
    labels: np.ndarray
    test_labels: np.ndarray
    classes: list[str]


def sample(options: argparse.Namespace) -> Sample:
    texts, labels = texts_and_labels(options)
    test_texts, test_labels = texts_and_labels(argparse.Namespace(data=options.test, texts=options.test_texts))
    seen = set(text_ids([*texts, *test_texts]).tolist())
    others: list[str] = []
    for chunk in stream(options.unlabelled, "text"):
        for text, name in zip(chunk, text_ids(chunk).tolist(), strict=True):
            if name not in seen and len(others) < options.unlabelled_texts:
                seen.add(name)
                others.append(text)
    tokenizer = load_tokenizer(resolve(MODEL).path)
    tokens = [tokenise(each, tokenizer, options.max_length) for each in (texts, [*texts, *others], test_texts)]
    return Sample(*tokens, labels, test_labels, [str(number) for number in range(labels.max() + 1)])


class Taught:
    """An objective that also compares the student's inside with the teacher's, which runs on the same batch.

    Args:
        student: Is watched while it runs.
        teacher: Likewise; it is run by the objective.
        kind: `cosine` of the last layers' outputs (Sanh et al. 2019, arXiv 1910.01108), or `relations` among the last
            layers' queries, keys and values (Wang et al. 2021, MiniLMv2, arXiv 2012.15828).
        objective: What it is added to, with a weight of 1.
    """

    def __init__(self, student: nn.Module, teacher: nn.Module, kind: str, objective: Objective) -> None:
        self._teacher, self._kind, self._objective = teacher, kind, objective
        self._inputs: dict[str, Tensor] = {}
        student.register_forward_pre_hook(self._remember, with_kwargs=True)
        self._mine, self._theirs = (_watched(model, kind) for model in (student, teacher))

    def _remember(self, _module: nn.Module, _args: Any, inputs: dict[str, Any]) -> None:
        self._inputs = {name: inputs[name] for name in ("input_ids", "attention_mask")}

    def __call__(self, logits: Tensor, labels: Tensor, teacher_logits: Tensor | None) -> Tensor:
        loss = self._objective(logits, labels, teacher_logits)
        if teacher_logits is None:
            return loss
        with torch.no_grad():
            self._teacher(**self._inputs)
        real = self._inputs["attention_mask"].bool()
        pairs = zip(self._mine, self._theirs, strict=True)
        compare = _cosine if self._kind == "cosine" else _relations
        return loss + torch.stack([compare(mine["output"], theirs["output"], real) for mine, theirs in pairs]).mean()


def _watched(model: nn.Module, kind: str) -> list[dict[str, Tensor]]:
    """Where the outputs of the modules to compare will be after every forward pass."""
    last = model.bert.encoder.layer[-1]
    attention = last.attention.self
    found = []
    for module in [last] if kind == "cosine" else [attention.query, attention.key, attention.value]:
        place: dict[str, Tensor] = {}

        def keep(_module: nn.Module, _inputs: Any, output: Any, place: dict[str, Tensor] = place) -> None:
            place["output"] = output[0] if isinstance(output, tuple) else output

        module.register_forward_hook(keep)
        found.append(place)
    return found


def _cosine(mine: Tensor, theirs: Tensor, real: Tensor) -> Tensor:
    return (1 - F.cosine_similarity(mine.float(), theirs.float(), dim=-1))[real].mean()


def _relations(mine: Tensor, theirs: Tensor, real: Tensor, heads: int = 12) -> Tensor:
    """KL(teacher || student) of each token's softmax over its scaled products with the others."""

    def relations(states: Tensor) -> Tensor:
        split = states.float().unflatten(-1, (heads, -1)).transpose(1, 2)
        scores = split @ split.transpose(-1, -2) / split.shape[-1] ** 0.5
        return F.log_softmax(scores.masked_fill(~real[:, None, None, :], -1e9), dim=-1)

    divergence = F.kl_div(relations(mine), relations(theirs), reduction="none", log_target=True).sum(dim=-1)
    return divergence.transpose(1, 2)[real].mean()


def fine_tuned(data: Sample, folder: Path, options: argparse.Namespace) -> None:
    """Fine-tunes the teacher and saves it."""
    origin = resolve(MODEL).path
    model = load_classifier(origin, data.classes, 0, 0.0)
    fixed = {**FIXED, **_TAUGHT, "epochs": options.teacher_epochs}
    settings = DistillationOptions(**{**fixed, "learning_rate": 1e-4, "attention_dropout": 0.0})
    _train(model, Examples(data.train, data.labels), settings, supervised(), 0, folder / "checkpoints")
    model.save_pretrained(folder)
    load_tokenizer(origin).save_pretrained(folder)


def answers(
    student: Student, data: Sample, teacher: Path, soft: np.ndarray, seed: int, checkpoints: Path
) -> np.ndarray:
    """Trains one student; class numbers of the test texts, int64 of shape (texts,)."""
    settings = DistillationOptions(
        **{**FIXED, **_TAUGHT, "learning_rate": 1e-4, "attention_dropout": 0.0, **student.options}
    )
    origin = teacher if student.from_teacher else resolve(MODEL).path
    model = from_layers(origin, LAYERS, data.classes, seed, attention_dropout=0.0, which=student.which)
    if student.taught:
        rows = len(data.transfer) if student.unlabelled else len(data.train)
        labels = np.full(rows, NO_LABEL, dtype=np.int64)
        labels[: len(data.train)] = data.labels
        examples = Examples(data.transfer if student.unlabelled else data.train, labels, soft[:rows])
        objective = distilled(settings.objective, settled(settings.temperature), settled(settings.alpha))
    else:
        examples, objective = Examples(data.train, data.labels), supervised()
    if student.hidden is not None:
        # Like the student's, the teacher's states are those of evaluation's kernels, without dropout.
        objective = Taught(model, load_classifier(teacher).eval().to(detect().device), student.hidden, objective)
    _train(model, examples, settings, objective, seed, checkpoints)
    return _logits(model, data.test).argmax(axis=1)


def _train(
    model: Any, examples: Examples, settings: DistillationOptions, objective: Objective, seed: int, checkpoints: Path
) -> None:
    train(
        model,
        examples,
        None,
        method=Method(settings, objective, seed),
        pad_id=load_tokenizer(resolve(MODEL).path).pad_token_id,
        context=TrainingContext(detect(), checkpoints, checkpoints.name),
    )


def _logits(model: Any, tokens: Tokens) -> np.ndarray:
    hardware = detect()
    pad_id = load_tokenizer(resolve(MODEL).path).pad_token_id
    return predict_logits(open_engine(model, hardware, hardware.dtype(), tokens.total), tokens, pad_id)


def figures(right: dict[int, np.ndarray], reference: dict[int, np.ndarray]) -> dict[str, Any]:
    """What one student reached.

    Args:
        right: Whether each answer is, booleans of shape (texts,), by seed.
        reference: The same of the baseline.
    """
    rng = np.random.default_rng(0)
    both = sorted(right.keys() & reference.keys())
    by_text = np.mean([right[seed].astype(float) - reference[seed] for seed in both], axis=0)
    drawn = [by_text[rng.integers(len(by_text), size=len(by_text))].mean() for _ in range(RESAMPLES)]
    return {
        "accuracy": [round(float(each.mean()), 4) for each in right.values()],
        "difference": round(float(by_text.mean()), 4),
        "difference_ci95": [round(float(bound), 4) for bound in np.percentile(drawn, [2.5, 97.5])],
    }


def main() -> None:
    parser = arguments(str(__doc__).splitlines()[0], texts=5000)
    parser.add_argument("--unlabelled", default="reviews:train", help="source of texts without labels")
    parser.add_argument("--unlabelled-texts", type=int, default=5000, help="how many of them")
    parser.add_argument("--test", default="reviews:test", help="source of the test texts")
    parser.add_argument("--test-texts", type=int, default=5000, help="how many test texts, or all that there are")
    parser.add_argument("--teacher-epochs", type=int, default=1, help="passes of the teacher over the labelled texts")
    parser.add_argument("--seeds", type=int, default=1, help="how often each student is trained")
    parser.add_argument("--students", nargs="+", choices=list(STUDENTS), default=list(STUDENTS), help="which")
    parser.add_argument("--keep", type=Path, required=True, help="folder for the teacher and for finished answers")
    options = parser.parse_args()
    data = sample(options)
    named = (options.max_length, len(data.train), len(data.transfer), len(data.test), options.teacher_epochs)
    folder = options.keep / "-".join(map(str, named))
    teacher = folder / "teacher"
    if not (teacher / "config.json").exists():
        fine_tuned(data, teacher, options)
    for name, tokens in (("soft", data.transfer), ("teacher", data.test)):
        if not (folder / f"{name}.npy").exists():
            np.save(folder / f"{name}.npy", _logits(load_classifier(teacher), tokens))
    soft = np.load(folder / "soft.npy")
    say(f"teacher: {(np.load(folder / 'teacher.npy').argmax(axis=1) == data.test_labels).mean():.4f}")
    right: dict[str, dict[int, np.ndarray]] = {name: {} for name in dict.fromkeys([BASELINE, *options.students])}
    for seed in range(options.seeds):
        for name in right:
            kept = folder / f"{name}-{seed}.npy"
            if not kept.exists():
                np.save(kept, answers(STUDENTS[name], data, teacher, soft, seed, folder / f"{name}-{seed}"))
            right[name][seed] = np.load(kept) == data.test_labels
            say(f"seed {seed}, {name}: {right[name][seed].mean():.4f}")
    table = {
        name: {**figures(rows, right[BASELINE]), "texts_seen": _seen(STUDENTS[name], data)}
        for name, rows in right.items()
    }
    settings = {name: value for name, value in vars(options).items() if name != "keep"}
    accuracy = round(float((np.load(folder / "teacher.npy").argmax(axis=1) == data.test_labels).mean()), 4)
    result = {"machine": description(), "options": settings, "teacher": accuracy, "students": table}
    print(json.dumps(result))


def _seen(student: Student, data: Sample) -> int:
    return len(data.transfer if student.unlabelled else data.train) * int(student.options.get("epochs", 1))


if __name__ == "__main__":
    main()
