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
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from harness import description, say
from imdb_recipes import STEPS, recipe
from imdb_results import table

from understudy.evaluation.temperature import fit_temperature
from understudy.models.linear import LinearModel
from understudy.recipe.recipe import Recipe
from understudy.run.inputs import Materials, gather
from understudy.run.keys import linear_key
from understudy.run.labelling import Labeller
from understudy.run.members import Member, Workplace
from understudy.run.teacher import Teacher, opinion_pool
from understudy.runtime.hardware import Hardware, detect
from understudy.runtime.limits import cores
from understudy.storage.files import fingerprint, write_json
from understudy.training.linear import distil_linear, train_linear
from understudy.training.student import Lesson, control_start, student_start, train_student
from understudy.training.trainer import TrainingContext


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
    key = each.key(wanted, materials.corpus, hardware)
    context = TrainingContext(hardware, place.root / "checkpoints", name)
    each.make(Workplace(wanted, materials.corpus, place.cache, context), key, folder)
    dtype = hardware.dtype(wanted.teacher.precision)
    for split, kind in (("validation", dtype), ("transfer", dtype), ("test", hardware.dtype("fp32"))):
        each.logits(labeller, folder, split, kind, f"{name}, {split}")


def _member_folder(place: Workshop, wanted: Recipe, materials: Materials, hardware: Hardware, member: Member) -> Path:
    return place.root / "teachers" / member.key(wanted, materials.corpus, hardware).entry


def learn(place: Workshop, name: str, seed: int) -> None:
    """Trains a step's student and writes down what it answers."""
    wanted, materials, labeller, hardware = opened(place, name)
    wanted = wanted.with_student_seed(seed)
    folders = tuple(_member_folder(place, wanted, materials, hardware, each) for each in materials.members)
    teacher = Teacher(materials.members, folders, labeller, hardware.dtype(wanted.teacher.precision))
    labels, test = materials.corpus.test.labels, {}
    if STEPS[name].taught:
        start = student_start(wanted, teacher.start(materials.encoder), None, materials.vocabulary)
        if STEPS[name].taught_by:
            soft, of_test = (_of_students(place, name, materials, labeller, split) for split in ("transfer", "test"))
        else:
            soft = teacher.logits("transfer", teacher.dtype, "soft labels").logits
            of_test = teacher.logits("test", "fp32", "teacher").logits
        test["teacher"] = of_test.argmax(axis=1) == labels
    else:
        start = control_start(wanted, materials.origin, None, materials.vocabulary)
        soft = None
    folder = place.model(name, seed)
    if not STEPS[name].linear:
        context = TrainingContext(hardware, place.root / "checkpoints" / folder.name, name)
        made = train_student(wanted, Lesson(materials.corpus, materials.student_tokens, soft), start, folder, context)
        answers = labeller.encoder(folder, materials.student_tokens, "test", "fp32", name).logits
    else:
        if soft is None:
            entry = place.cache / "linear" / linear_key(materials.corpus).entry
            made = train_linear(materials.corpus, entry, folder, name)
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
    threads = max(1, cores().threads // place.options.parallel)
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
        **table(place.root, options.test_texts, options.compare),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
