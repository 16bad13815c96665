"""One teacher and many students: what each student costs, and how good it is."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from understudy.errors import ModelError
from understudy.evaluation.evaluation import Candidate
from understudy.evaluation.significance import accuracy_interval, gain
from understudy.evaluation.tradeoff import Point, Role, Tradeoff
from understudy.models.loading import load_config
from understudy.recipe.recipe import Recipe
from understudy.reporting.evidence import Evidence
from understudy.reporting.frontier_plot import draw_frontier
from understudy.reporting.notebook import frontier_html
from understudy.reporting.render import render_run
from understudy.run.candidates import model_candidate, teacher_candidate
from understudy.run.inputs import Materials
from understudy.run.members import LINEAR
from understudy.run.pipeline import prepare, run_directory
from understudy.run.request import Arguments, asked, settings_of
from understudy.run.settings import Settings
from understudy.run.stages import Stages, Variant
from understudy.run.teacher import Teacher
from understudy.storage.layout import RunDirectory
from understudy.storage.usage import used_by
from understudy.timing.speed import Workload, measure_models

log = logging.getLogger(__name__)

# A bag of embeddings starts without a trained head and costs next to nothing. It takes many passes, at a rate that
# moves embeddings: each text moves only a few hundred of them.
_STATIC_RATE = 5e-3
_STATIC_EPOCHS = 10
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
    recipe: Any = "quickstart",
    out: str | os.PathLike[str] | None = None,
    *,
    settings: Settings | None = None,
    **arguments: Unpack[Arguments],
) -> Frontier:
    """Runs a recipe, then distils the students of its `frontier` section from the same soft labels.

    Finished work is not done again. The students are in `students/NAME` of the run directory and open with
    `understudy.load`; `frontier.json` and `report/frontier.png` compare them.

    Arguments and errors are those of `understudy.distill`.
    """
    variants: dict[str, Variant | None] = {}
    request = asked(recipe, arguments)
    run = run_directory(request, out)
    with used_by(run.root):
        stages = prepare(
            request, run, settings_of(settings, arguments), check=lambda *place: variants.update(_variants(*place))
        )
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
    static = kind == "static"
    changed = _with_student(recipe, 1 if static else int(kind), int(vocabulary) if vocabulary else None)
    if not static and changed.student == recipe.student:
        return Variant("student", run.student, recipe, materials)
    folder = run.another_student(name.replace("/", "-"))
    return Variant(f"student_{folder.name}", folder, changed, materials.for_student(changed, cache, static), static)


def _with_student(recipe: Recipe, layers: int, vocabulary: int | None) -> Recipe:
    """The recipe with a student of these layers."""
    which = recipe.student.from_layers
    fitting = which if isinstance(which, str) or len(which) == layers else "spread"
    options = {"model": None, "revision": None, "layers": layers, "from_layers": fitting, "vocabulary": vocabulary}
    return recipe.model_copy(update={"student": recipe.student.model_copy(update=options)})


def _distilled(stages: Stages, teacher: Teacher, name: str, variant: Variant | None) -> Path:
    """A student's folder, made unless it is finished."""
    if variant is not None:
        return stages.student(teacher, _at_its_pace(variant))
    return stages.linear_student(teacher, name)


def _at_its_pace(variant: Variant) -> Variant:
    if not variant.static:
        return variant
    options = variant.recipe.distillation
    own = {
        "learning_rate": _STATIC_RATE,
        "epochs": max(_STATIC_EPOCHS, options.epochs),
        "freeze_embeddings": False,
        "attention": "auto",
    }
    recipe = variant.recipe.model_copy(update={"distillation": options.model_copy(update=own)})
    return Variant(variant.stage, variant.folder, recipe, variant.materials, static=True)


def _compared(
    stages: Stages, teacher: Teacher, variants: dict[str, Variant | None], folders: dict[str, Path]
) -> Tradeoff:
    options, test = stages.recipe.evaluation, stages.materials.corpus.test
    dtype = stages.hardware.dtype(options.precision)
    found: dict[tuple[Role, str], tuple[list[Path], Candidate]] = {
        ("teacher", "teacher"): (list(teacher.models), teacher_candidate(teacher, dtype))
    }
    for name, folder in folders.items():
        variant = variants[name]
        tokens = {} if variant is None else variant.materials.student_tokens
        found["student", name] = [folder], model_candidate(stages.labeller, name, folder, tokens, dtype)
    for name in options.controls:
        folder = stages.run.control(name)
        found["control", name] = (
            [folder],
            model_candidate(stages.labeller, name, folder, stages.materials.student_tokens, dtype),
        )
    speeds = measure_models(
        {":".join(key): folders for key, (folders, _) in found.items() if folders},
        Workload(test.texts, options.speed_texts, stages.recipe.data.max_length, stages.recipe.seed),
        stages.hardware,
        dtype,
    )
    linear = found.get(("control", LINEAR))

    def point(role: Role, name: str, folders: list[Path], candidate: Candidate) -> Point:
        predicted, labels = candidate.predicted, test.labels
        against = None if linear is None else gain(predicted, linear[1].predicted, labels)
        folder = stages.run.teacher if role == "teacher" else folders[0]
        return Point(
            name,
            role,
            folder.relative_to(stages.run.root).as_posix(),
            candidate.metrics(np.asarray(labels)),
            accuracy_interval(predicted, labels),
            speeds.get(f"{role}:{name}"),
            None if against is None else against.accuracy,
            None if against is None else against.p_value,
        )

    return Tradeoff(tuple(point(role, name, *each) for (role, name), each in found.items()), len(test))
