"""One teacher and many students: what each student costs, and how good it is."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from understudy.data.tokens import Tokens
from understudy.errors import ModelError
from understudy.evaluation.evaluation import Candidate
from understudy.evaluation.significance import accuracy_interval, gain
from understudy.evaluation.tradeoff import Point, Role, Tradeoff, check_choice
from understudy.inference.store import StoredLogits
from understudy.models.linear import is_linear
from understudy.models.loading import load_config
from understudy.recipe.base import settled
from understudy.recipe.recipe import Recipe
from understudy.reporting.evidence import Evidence
from understudy.reporting.frontier_plot import draw_frontier
from understudy.reporting.notebook import frontier_html
from understudy.reporting.render import render_run
from understudy.run.candidates import model_candidate, teacher_candidate
from understudy.run.inputs import Materials
from understudy.run.members import FROZEN, LINEAR
from understudy.run.pipeline import prepare, run_directory
from understudy.run.request import Arguments, asked, settings_of
from understudy.run.settings import Settings
from understudy.run.stages import Stages
from understudy.run.teacher import Teacher
from understudy.run.variants import STATIC, Variant, static_variant, with_student
from understudy.runtime.hardware import Dtype
from understudy.storage.layout import RunDirectory
from understudy.storage.usage import used_by
from understudy.timing.speed import Workload, measure_models

log = logging.getLogger(__name__)

_DEFAULT_VOCABULARY = 8000


@dataclass(frozen=True)
class Frontier:
    """A finished frontier.

    Attributes:
        directory: The run's.
        tradeoff: Its figures.
    """

    directory: Path
    tradeoff: Tradeoff

    @property
    def plot(self) -> Path:
        return RunDirectory(self.directory).frontier_plot

    def _repr_html_(self) -> str:
        return frontier_html(self.directory, self.tradeoff, self.plot)


def frontier(
    recipe: Any = None,
    out: str | os.PathLike[str] | None = None,
    *,
    settings: Settings | None = None,
    to_choose: bool = False,
    **arguments: Unpack[Arguments],
) -> Frontier:
    """Runs a recipe, then distils the students of its `frontier` section from the same soft labels.

    Finished work is not done again. The students are in `students/NAME` of the run directory and open with
    `understudy.load`; `frontier.json` and `report/frontier.png` compare them. `tradeoff.choose` names the one to ship.

    Arguments and errors are those of `understudy.distill`.

    Args:
        to_choose: Whether `tradeoff.choose` follows. Too few validation texts are then refused before anything is
            trained.
    """
    variants: dict[str, Variant | None] = {}
    request = asked(recipe, arguments)

    def check(recipe: Recipe, run: RunDirectory, materials: Materials, cache: Path) -> None:
        if to_choose:
            check_choice(len(materials.corpus.validation))
        variants.update(_variants(recipe, run, materials, cache))

    run = run_directory(request, out)
    with used_by(run.root):
        stages = prepare(request, run, settings_of(settings, arguments), check)
        teacher = stages.execute()
        folders = {name: _distilled(stages, teacher, name, variant) for name, variant in variants.items()}
        tradeoff = _compared(stages, teacher, variants, folders)
    tradeoff.save(stages.run.frontier)
    draw_frontier(tradeoff, stages.run.frontier_plot, stages.recipe.name)
    render_run(Evidence.read(stages.run.root), stages.manifest)
    stages.tidy()
    return Frontier(stages.run.root, tradeoff)


def default_students(layers: int) -> list[str]:
    """All of the teacher's layers, half of them, a third, and one; half with a smaller vocabulary; and no layer."""
    half = max(1, layers // 2)
    depths = sorted({layers, half, max(1, layers // 3), 1}, reverse=True)
    return [*map(str, depths), f"{half}/{_DEFAULT_VOCABULARY}", "static", LINEAR]


def _variants(recipe: Recipe, run: RunDirectory, materials: Materials, cache: Path) -> dict[str, Variant | None]:
    """The students by name. Default students that this teacher does not allow are left out.

    Raises:
        ModelError: The teacher lacks the layers of a student that the recipe names, or its vocabulary cannot be cut.
    """
    named = recipe.frontier.students
    variants: dict[str, Variant | None] = {}
    for name in named or default_students(load_config(materials.origin.path).num_hidden_layers):
        try:
            variants[name] = _variant(recipe, run, materials, cache, name)
        except ModelError as error:
            if named is not None:
                raise ModelError(f"frontier.students, {name}: {error}") from None
            log.warning("frontier: leaving out the student %s: %s", name, error)
    return variants


def _variant(recipe: Recipe, run: RunDirectory, materials: Materials, cache: Path, name: str) -> Variant | None:
    """One student; None for the linear one."""
    kind, _, vocabulary = name.partition("/")
    if kind == LINEAR:
        return None
    size = int(vocabulary) if vocabulary else None
    if kind == STATIC:
        return static_variant(recipe, run, materials, cache, size)
    changed = with_student(recipe, int(kind), size)
    if changed.student == recipe.student:
        return Variant("student", run.student, recipe, materials)
    folder = run.another_student(name.replace("/", "-"))
    return Variant(f"student_{folder.name}", folder, changed, materials.for_student(changed, cache))


def _distilled(stages: Stages, teacher: Teacher, name: str, variant: Variant | None) -> Path:
    """A student's folder, made unless it is finished."""
    if variant is not None:
        return stages.student(teacher, variant)
    return stages.linear_student(teacher, name)


@dataclass(frozen=True)
class _Answered:
    """A model of the frontier with its answers.

    Attributes:
        role: Teacher, student or control.
        name: Its name among those of its role.
        folders: Where it is; a committee has several folders, a teacher whose scores were given has none.
        tested: Its answers on the test texts.
        validated: Its accuracy on the validation texts; None for a teacher whose scores were given.
    """

    role: Role
    name: str
    folders: list[Path]
    tested: Candidate
    validated: float | None


def _compared(
    stages: Stages, teacher: Teacher, variants: dict[str, Variant | None], folders: dict[str, Path]
) -> Tradeoff:
    options, corpus = stages.recipe.evaluation, stages.materials.corpus
    dtype = stages.hardware.dtype(options.precision)
    found = [_answered_by_teacher(stages, teacher, dtype)]
    for name, folder in folders.items():
        variant = variants[name]
        tokens = {} if variant is None else variant.materials.student_tokens
        found.append(_answered(stages, "student", name, folder, tokens))
    for name in options.controls:
        tokens = stages.materials.encoder.tokens if name == FROZEN else stages.materials.student_tokens
        found.append(_answered(stages, "control", name, stages.run.control(name), tokens))
    speeds = measure_models(
        {f"{model.role}:{model.name}": model.folders for model in found if model.folders},
        Workload(corpus.test.texts, options.speed_texts, settled(stages.recipe.data.max_length), stages.recipe.seed),
        stages.hardware,
        dtype,
    )
    linear = next((model.tested for model in found if (model.role, model.name) == ("control", LINEAR)), None)

    def point(model: _Answered) -> Point:
        predicted, labels = model.tested.predicted, corpus.test.labels
        against = None if linear is None else gain(predicted, linear.predicted, labels)
        folder = stages.run.teacher if model.role == "teacher" else model.folders[0]
        return Point(
            model.name,
            model.role,
            folder.relative_to(stages.run.root).as_posix(),
            model.tested.metrics(np.asarray(labels)),
            accuracy_interval(predicted, labels),
            speeds.get(f"{model.role}:{model.name}"),
            None if against is None else against.accuracy,
            None if against is None else against.p_value,
            model.validated,
        )

    return Tradeoff(tuple(map(point, found)), len(corpus.test), len(corpus.validation))


def _answered_by_teacher(stages: Stages, teacher: Teacher, dtype: Dtype) -> _Answered:
    validated = None
    if teacher.models:  # given scores are those of the training and test texts
        validated = _accuracy(stages, teacher.logits("validation", dtype, "teacher, validation"))
    return _Answered("teacher", "teacher", list(teacher.models), teacher_candidate(teacher, dtype), validated)


def _answered(stages: Stages, role: Role, name: str, folder: Path, tokens: dict[str, Tokens]) -> _Answered:
    labeller, description = stages.labeller, f"{name}, validation"
    dtype = stages.hardware.dtype(stages.recipe.evaluation.precision)
    if is_linear(folder):
        validated = labeller.linear(folder, "validation", description)
    else:
        validated = labeller.encoder(folder, tokens, "validation", dtype, description)
    tested = model_candidate(labeller, name, folder, tokens, dtype)
    return _Answered(role, name, [folder], tested, _accuracy(stages, validated))


def _accuracy(stages: Stages, validated: StoredLogits) -> float:
    """The share of validation texts whose label is right."""
    return float((validated.logits.argmax(axis=1) == stages.materials.corpus.validation.labels).mean())
