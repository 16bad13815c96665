"""What each step buys a student: length, unlabelled texts, a committee, the objective, patience, depth; and few labels.

    python benchmarks/imdb_steps.py --train imdb/train.parquet --test imdb/test.parquet \
        --unlabelled imdb/unsupervised.parquet --keep FOLDER

Every step is a recipe that differs from another step's in what `STEPS` says, and its student is distilled as
`understudy run` distils it. Steps that are not `taught` train the same student without the teacher. Teachers, labels
and answers are kept under `--keep`, so that an interrupted run goes on. On a GPU several students fit side by side:
`--parallel 8`. `accuracy` is on the test texts, one figure a seed, and so are `retention` with its interval and
`p_value`, McNemar's against the step that a step changes; `difference` is to that one, over the seeds that both have,
with a bootstrap interval over test texts.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import pickle
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from harness import MODEL, description, say
from student_experiments import RESAMPLES, figures

from understudy.evaluation.significance import Resampling, mcnemar, retention
from understudy.evaluation.temperature import fit_temperature
from understudy.models.linear import LinearModel
from understudy.recipe.files import merged
from understudy.recipe.recipe import Recipe
from understudy.run.inputs import Encoder, Materials, Member, gather
from understudy.run.labelling import Committee, Labeller, opinion_pool
from understudy.runtime.hardware import Hardware, detect
from understudy.storage.artifacts import fingerprint, write_json
from understudy.training.linear import distil_linear, linear_fingerprint, train_linear
from understudy.training.student import control_start, student_start, train_student
from understudy.training.teacher import teacher_fingerprint, train_teacher

LINEAR = "linear"


@dataclass(frozen=True)
class Step:
    """One student.

    Attributes:
        changes: The step that it differs from; None for the first.
        options: In what, as in a recipe.
        taught: Whether it sees the teacher's answers.
        unlabelled: Whether it learns from the unlabelled texts as well; None as the step that it changes.
        linear: Whether it is an n-gram model instead of an encoder.
        taught_by: Steps whose finished students, the first seed's, are its teacher instead.
    """

    changes: str | None
    options: dict[str, Any] = field(default_factory=dict)
    taught: bool = True
    unlabelled: bool | None = None
    linear: bool = False
    taught_by: tuple[str, ...] = ()


def _student(layers: int, vocabulary: int) -> dict[str, Any]:
    return {"student": {"layers": layers, "vocabulary": vocabulary}}


_PATIENT = {"distillation": {"epochs": 3, "batch_size": 32, "learning_rate": 1.5e-4}}
_OF_FOUR = {"teacher": {"model": [MODEL, MODEL, MODEL, LINEAR]}}
STEPS = {
    "256 tokens": Step(None),
    "512 tokens": Step("256 tokens", {"data": {"max_length": 512}}),
    "unlabelled": Step("512 tokens", unlabelled=True),
    "committee": Step("unlabelled", {"teacher": {"model": [MODEL, LINEAR]}}),
    "patience": Step("committee", _PATIENT),
    "patience of 4": Step("patience", _OF_FOUR),
    "committee of 4": Step("committee", _OF_FOUR),
    "soft labels only": Step("committee", {"distillation": {"alpha": 1.0}}),
    "mse": Step("committee", {"distillation": {"objective": "mse"}}),
    "256 tokens, no teacher": Step("256 tokens", taught=False),
    "no teacher": Step("512 tokens", taught=False),
    "patience, no teacher": Step("patience", taught=False),
    "linear": Step("committee", linear=True),
    "linear of 4": Step("linear", _OF_FOUR, linear=True),
    "linear, no teacher": Step("linear", taught=False, linear=True),
    "6 layers": Step("patience", _student(6, 10_000)),
    "5 layers, 6,500 tokens": Step("patience", _student(5, 6_500)),
    "3 layers": Step("patience", _student(3, 10_000)),
    "2 layers, 8,000 tokens": Step("patience", _student(2, 8_000)),
    "1 layer, 8,000 tokens": Step("patience", _student(1, 8_000)),
    "1,000 labels": Step(None, {**_student(6, 30_522), "data": {"labelled": 1000, "validation": 0.1}}),
    "1,000 labels, 512 tokens": Step("1,000 labels", {"data": {"max_length": 512}}),
    "1,000 labels of 4": Step("1,000 labels, 512 tokens", _OF_FOUR),
    "1,000 labels of 4, linear": Step("1,000 labels of 4", linear=True),
    "1,000 labels, again": Step("1,000 labels of 4", taught_by=("1,000 labels of 4", "1,000 labels of 4, linear")),
}
_FEW_LABELS = {
    "teacher": {"model": [MODEL, LINEAR], "epochs": 4, "batch_size": 8},
    "student": {"vocabulary": None},
}


def recipe(name: str, options: argparse.Namespace) -> Recipe:
    """A step's recipe."""
    first, chain = _chain(name)
    training = {
        "learning_rate": 1e-4,
        "attention_dropout": 0.0,
        "precision": options.precision,
        "checkpoint_steps": options.checkpoint_steps,
    }
    wanted: dict[str, Any] = {
        "data": {
            "train": options.train,
            "test": options.test,
            "validation": 1000,
            "labels": ["neg", "pos"],
            "max_length": 256,
        },
        "teacher": {"model": MODEL, **training},
        "distillation": training,
        **_student(4, 10_000),
    }
    for each in chain:
        wanted = merged(wanted, STEPS[each].options)
    if first == "1,000 labels":
        wanted = merged(wanted, _FEW_LABELS)
    if first == "1,000 labels" or any(STEPS[each].unlabelled for each in chain):
        wanted["data"]["unlabelled"] = options.unlabelled
    return Recipe.from_mapping(wanted, name)


def _chain(name: str) -> tuple[str, list[str]]:
    """The first step, and all from it to the one that is named."""
    chain = [name]
    while (before := STEPS[chain[0]].changes) is not None:
        chain.insert(0, before)
    return chain[0], chain


@dataclass(frozen=True)
class Workshop:
    """Where everything is kept."""

    root: Path
    options: argparse.Namespace

    @property
    def cache(self) -> Path:
        return self.options.cache or self.root / "cache"

    def materials(self, name: str) -> Path:
        """What a step starts from; steps whose texts, teachers and vocabulary are the same share it."""
        wanted = recipe(name, self.options)
        key = fingerprint(
            data=wanted.data.model_dump(), model=wanted.teacher.model, vocabulary=wanted.student.vocabulary
        )
        return self.root / "materials" / f"{key}.pickle"

    def answers(self, name: str, seed: int) -> Path:
        return self.root / "answers" / f"{name}-{seed}.json"

    def model(self, name: str, seed: int) -> Path:
        return self.root / "models" / f"{name}-{seed}"


def read(place: Workshop, name: str) -> None:
    """Reads, audits and tokenises a step's texts."""
    path = place.materials(name)
    found = gather(recipe(name, place.options), place.cache)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".part").write_bytes(pickle.dumps(found, protocol=5))
    path.with_suffix(".part").replace(path)


def opened(place: Workshop, name: str) -> tuple[Recipe, Materials, Labeller, Hardware]:
    wanted, hardware = recipe(name, place.options), detect()
    materials = pickle.loads(place.materials(name).read_bytes())
    return (
        wanted,
        materials,
        Labeller(materials.corpus, wanted.data.max_length, hardware, place.cache, wanted.seed),
        hardware,
    )


def teach(place: Workshop, name: str, member: int) -> None:
    """Makes one member of a step's teacher and asks it about all texts."""
    wanted, materials, labeller, hardware = opened(place, name)
    each = materials.members[member]
    folder = _member_folder(place, wanted, materials, hardware, each)
    if isinstance(each.model, Encoder):
        made = train_teacher(
            *(wanted, materials.corpus, each.model.tokens, each.model.origin, hardware, place.cache),
            *(folder.parent / "checkpoints", each.seed, name),
        )
        assert made.folder == folder
        dtype = hardware.dtype(wanted.teacher.precision)
        for split, kind in (("validation", dtype), ("transfer", dtype), ("test", hardware.dtype("fp32"))):
            labeller.encoder(folder, each.model.tokens, split, kind, f"{name}, {split}")
    else:
        train_linear(materials.corpus, place.cache, folder, name)
        for split in ("validation", "transfer", "test"):
            labeller.linear(folder, split, f"{name}, {split}")


def _member_folder(place: Workshop, wanted: Recipe, materials: Materials, hardware: Hardware, member: Member) -> Path:
    if isinstance(member.model, Encoder):
        key = teacher_fingerprint(wanted, materials.corpus, member.model.origin, hardware, member.seed)
        return place.cache / "teachers" / key / "model"
    return place.root / "linear" / linear_fingerprint(materials.corpus)


def learn(place: Workshop, name: str, seed: int) -> None:
    """Trains a step's student and writes down what it answers."""
    wanted, materials, labeller, hardware = opened(place, name)
    wanted = wanted.with_student_seed(seed)
    folders = tuple(_member_folder(place, wanted, materials, hardware, each) for each in materials.members)
    committee = Committee(materials.members, folders, labeller, hardware.dtype(wanted.teacher.precision))
    labels, test = materials.corpus.test.labels, {}
    if STEPS[name].taught:
        start = student_start(wanted, committee.encoder(materials.encoder), None, materials.vocabulary)
        if STEPS[name].taught_by:
            soft, of_test = (_of_students(place, name, materials, labeller, split) for split in ("transfer", "test"))
        else:
            soft = committee.logits("transfer", committee.dtype, "soft labels").logits
            of_test = committee.logits("test", "fp32", "teacher").logits
        test["teacher"] = of_test.argmax(axis=1) == labels
    else:
        start = control_start(wanted, materials.origin, None, materials.vocabulary)
        soft = None
    folder = place.model(name, seed)
    if not STEPS[name].linear:
        made = train_student(
            *(wanted, materials.corpus, materials.student_tokens, soft, start, hardware, folder),
            *(place.root / "checkpoints" / folder.name, name),
        )
        answers = labeller.encoder(folder, materials.student_tokens, "test", "fp32", name).logits
    else:
        if soft is None:
            made = train_linear(materials.corpus, place.cache, folder, name)
        else:
            made = distil_linear(materials.corpus, soft, folder)
        answers = LinearModel.load(folder).predict_proba(materials.corpus.test.texts)
    test["student"] = answers.argmax(axis=1) == labels
    write_json(
        place.answers(name, seed),
        {
            "texts": len(materials.student_tokens["transfer" if soft is not None else "train"]),
            "digest": made.digest,
            "seconds": made.seconds,
            "calibration": made.calibration and asdict(made.calibration),
            "history": made.history,
            **{which: np.flatnonzero(~right).tolist() for which, right in test.items()},
        },
    )


def _of_students(place: Workshop, name: str, materials: Materials, labeller: Labeller, split: str) -> np.ndarray:
    """What the students that teach a step answer together, pooled as a committee's members are."""

    def logits(other: str, split: str) -> np.ndarray:
        folder = place.model(other, 0)
        if not STEPS[other].linear:
            return labeller.encoder(folder, materials.student_tokens, split, "fp32", f"{other}, {split}").logits
        corpus, model = materials.corpus, LinearModel.load(folder)
        chunks = corpus.transfer_chunks() if split == "transfer" else [getattr(corpus, split).texts]
        return np.log(np.maximum(np.concatenate([model.predict_proba(list(chunk)) for chunk in chunks]), 1e-12))

    labels, others = materials.corpus.validation.labels, STEPS[name].taught_by
    temperatures = [fit_temperature(logits(other, "validation"), labels) for other in others]
    return opinion_pool([logits(other, split) for other in others], temperatures)


def jobs(place: Workshop, wanted_steps: list[tuple[str, int]]) -> Iterator[tuple[str, list[str], list[str]]]:
    """What to do: a name, the names of what has to be done before, and the arguments of the process that does it."""
    names = list(dict.fromkeys(name for name, _ in wanted_steps))
    # A teacher that labels the unlabelled texts labels the others too.
    names.sort(key=lambda name: recipe(name, place.options).data.unlabelled is None)
    seen: set[str] = set()
    for name in names:
        reading = _reading(place, name)
        if reading not in seen and not place.materials(name).exists():
            yield reading, [], ["read", name]
        seen.add(reading)
    for name in names:
        for job, member in _teaching(place, name):
            if job not in seen:
                yield job, [_reading(place, name)], ["teach", name, str(member)]
            seen.add(job)
    for name, seeds in wanted_steps:
        for seed in range(seeds):
            job = f"{name} {seed}"
            if job not in seen and not place.answers(name, seed).exists():
                before = [_reading(place, name), *(teaching for teaching, _ in _teaching(place, name))]
                before += [f"{other} 0" for other in STEPS[name].taught_by]
                yield job, before, ["learn", name, str(seed)]
            seen.add(job)


def _reading(place: Workshop, name: str) -> str:
    return f"read {place.materials(name).stem[:8]}"


def _teaching(place: Workshop, name: str) -> list[tuple[str, int]]:
    """A job for each member of a step's teacher, the same for the same member of another step's."""
    wanted = recipe(name, place.options)
    members = wanted.teacher.members if STEPS[name].taught else []
    data, training = wanted.data.model_dump(exclude={"unlabelled"}), wanted.teacher.model_dump(exclude={"model"})
    key = fingerprint(data=data, training=training)[:8]
    return [
        (f"teach {model.rpartition('/')[2]} {members[:number].count(model)} {key}", number)
        for number, model in enumerate(members)
    ]


def work(place: Workshop, todo: list[tuple[str, list[str], list[str]]]) -> None:
    """Does the jobs, in their order where nothing has to wait, several at once; none is begun past the deadline."""
    start, running = time.monotonic(), {}
    waiting = {name for name, _, _ in todo}
    threads = max(1, (os.cpu_count() or 1) // place.options.parallel)
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)} if place.options.parallel > 1 else None
    logs = place.root / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    while todo or running:
        for name, (process, begun) in list(running.items()):
            if process.poll() is None:
                continue
            del running[name]
            now = time.monotonic()
            say(
                f"{now - start:6.0f} s  {name}: {'done' if not process.returncode else 'FAILED'} in {now - begun:.0f} s"
            )
            if process.returncode:
                say((logs / f"{name}.log").read_text()[-1500:])
            else:
                waiting.discard(name)
        late = time.monotonic() - start > place.options.deadline
        for job in list(todo):
            name, before, command = job
            if not late and len(running) < place.options.parallel and not waiting.intersection(before):
                todo.remove(job)
                with open(logs / f"{name}.log", "w") as log:
                    line = [sys.executable, __file__, *sys.argv[1:], "--job", *command]
                    running[name] = (subprocess.Popen(line, stdout=log, stderr=log, env=environment), time.monotonic())
        if not running:
            break
        time.sleep(0.2)
    for name, _, _ in todo:
        say(f"not done: {name}")


def table(place: Workshop) -> dict[str, Any]:
    """What every step reached, and the comparisons that were asked for."""
    texts = place.options.test_texts
    records: dict[str, dict[int, dict[str, Any]]] = {}
    for name in STEPS:
        paths = sorted(place.root.glob(f"answers/{name}-[0-9]*.json"))
        records[name] = {int(path.stem.rpartition("-")[2]): json.loads(path.read_text()) for path in paths}
    right = {
        name: {seed: ~np.isin(np.arange(texts), each["student"]) for seed, each in of_seeds.items()}
        for name, of_seeds in records.items()
    }
    found = {}
    for name, of_seeds in records.items():
        if not of_seeds:
            continue
        changes, first = STEPS[name].changes, next(iter(of_seeds.values()))
        compared: dict[str, Any] = {}
        if "teacher" in first:
            compared |= _against_teacher(list(of_seeds.values()), texts)
        if changes is not None:
            compared |= _difference(right[name], right[changes])
        accuracy = [round(float(each.mean()), 5) for each in right[name].values()]
        found[name] = {"changes": changes, "texts": first["texts"], **compared, "accuracy": accuracy}
    pairs = {f"{name} minus {other}": _difference(right[name], right[other]) for name, other in place.options.compare}
    return {"steps": found, "comparisons": pairs}


def _difference(right: dict[int, np.ndarray], other: dict[int, np.ndarray]) -> dict[str, Any]:
    """One step minus another, over the seeds that both have; nothing if there is none."""
    both = sorted(right.keys() & other.keys())
    if not both:
        return {}
    compared = figures({seed: right[seed] for seed in both}, {seed: other[seed] for seed in both})
    del compared["accuracy"]
    return {**compared, "p_value": [_p_value(right[seed], other[seed]) for seed in both]}


def _against_teacher(answers: list[dict[str, Any]], texts: int) -> dict[str, Any]:
    """What the students of all seeds keep, by who is wrong on which texts."""
    labels = np.zeros(texts, dtype=np.int64)
    wrong = {which: [np.isin(np.arange(texts), each[which]) for each in answers] for which in ("teacher", "student")}
    teacher = wrong["teacher"][0].astype(np.int64)
    kept = [retention(teacher, each.astype(np.int64), labels, 2, Resampling(RESAMPLES)) for each in wrong["student"]]
    return {
        "teacher": round(1 - float(teacher.mean()), 5),
        "retention": [round(each.accuracy, 4) for each in kept],
        "retention_ci95": [[round(end, 4) for end in each.accuracy_ci95] for each in kept],
    }


def _p_value(right: np.ndarray, other: np.ndarray) -> float:
    return mcnemar(int((right & ~other).sum()), int((~right & other).sum()))


def _step(text: str) -> tuple[str, int]:
    name, _, seeds = text.rpartition(":")
    if name not in STEPS or not seeds.isdecimal():
        raise argparse.ArgumentTypeError(f"expected NAME:SEEDS with one of {', '.join(STEPS)}, got {text!r}")
    return name, int(seeds)


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    for split in ("train", "test", "unlabelled"):
        parser.add_argument(f"--{split}", required=True, help="its source")
    parser.add_argument("--test-texts", type=int, default=25_000, help="how many the test source has")
    parser.add_argument("--keep", type=Path, required=True, help="folder for all that is made")
    parser.add_argument("--cache", type=Path, help="understudy's cache; by default in that folder")
    parser.add_argument("--steps", nargs="+", type=_step, default=[(name, 1) for name in STEPS], help="NAME:SEEDS, ...")
    parser.add_argument("--compare", nargs=2, action="append", default=[], metavar="STEP", help="two more, against")
    parser.add_argument("--precision", default="bf16", help="compute type of the training")
    parser.add_argument("--checkpoint-steps", type=int, default=200, help="steps between checkpoints")
    parser.add_argument("--parallel", type=int, default=1, help="how many processes at once")
    parser.add_argument("--deadline", type=float, default=float("inf"), help="seconds after which nothing is begun")
    parser.add_argument("--read-only", action="store_true", help="read the texts and stop")
    parser.add_argument("--job", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    place = Workshop(options.keep, options)
    if options.job:
        kind, name, *number = options.job
        {"read": read, "teach": teach, "learn": learn}[kind](place, name, *map(int, number))
        return
    todo = list(jobs(place, options.steps))
    work(place, [job for job in todo if job[2][0] == "read"] if options.read_only else todo)
    result = {
        "machine": description(),
        "options": {"precision": options.precision, "parallel": options.parallel},
        **table(place),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
