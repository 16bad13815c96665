"""The stages after the data; each is skipped if it is finished.

teacher -> soft labels -> student -> controls -> static student -> repeats with other seeds -> evaluation -> report
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

from understudy.evaluation.repeats import repeat_name
from understudy.inference.store import StoredLogits
from understudy.recipe.base import settled
from understudy.recipe.recipe import Recipe
from understudy.reporting.evidence import Evidence
from understudy.reporting.render import is_rendered, render_run
from understudy.run.finished import Finished
from understudy.run.inputs import Materials
from understudy.run.keys import Key, frozen_key, linear_key, linear_student_key, soft_labels_key, student_key
from understudy.run.labelling import Labeller
from understudy.run.members import FROZEN, LINEAR, Workplace
from understudy.run.settings import Settings
from understudy.run.teacher import Teacher
from understudy.run.testing import Testing
from understudy.run.variants import STATIC, Variant, static_variant
from understudy.runtime.hardware import Hardware
from understudy.storage.files import write_json
from understudy.storage.layout import RunDirectory
from understudy.storage.manifest import Manifest
from understudy.training.frozen import train_frozen
from understudy.training.linear import distil_linear, train_linear
from understudy.training.student import Lesson, Start, control_start, train_student
from understudy.training.teacher import TrainedModel
from understudy.training.tracking import Tracking, tracking
from understudy.training.trainer import TrainingContext

log = logging.getLogger(__name__)

_SOFT_LABELS = "soft_labels"
_CONTROL = "no_distillation"


@dataclass(frozen=True)
class Stages:
    """The stages of one run, each a method, in the order in which they run.

    Attributes:
        recipe: What to do.
        run: Where it goes.
        settings: What it is done with.
        materials: What it starts from.
        manifest: What is finished.
        teacher_keys: The keys of the teacher's members, by stage.
    """

    recipe: Recipe
    run: RunDirectory
    settings: Settings
    materials: Materials
    manifest: Manifest
    teacher_keys: dict[str, Key]

    def execute(self) -> Teacher:
        """Runs what is not finished; returns the teacher."""
        teacher = self._teacher()
        students, controls = self._students, self._controls
        folders = {variant.stage: self.student(teacher, variant) for variant in students[:1]}
        folders |= {variant.stage: self._no_distillation(variant) for variant in controls[:1]}
        if LINEAR in self.recipe.evaluation.controls:
            folders[LINEAR] = self._linear()
        if FROZEN in self.recipe.evaluation.controls:
            folders[FROZEN] = self._frozen()
        if self.recipe.evaluation.static:
            folders[STATIC] = self._static(teacher)
        folders |= {variant.stage: self.student(teacher, variant) for variant in students[1:]}
        folders |= {variant.stage: self._no_distillation(variant) for variant in controls[1:]}
        Testing(self.recipe, self.materials, teacher, folders, self.finished).execute()
        if not is_rendered(self.run, self.recipe, self.manifest):
            render_run(Evidence.read(self.run.root), self.manifest)
        return teacher

    def tidy(self) -> None:
        """Removes the state of unfinished training, when nothing is left to be trained."""
        shutil.rmtree(self.run.checkpoints, ignore_errors=True)

    @property
    def hardware(self) -> Hardware:
        """Where everything is computed."""
        return self.settings.hardware

    @cached_property
    def finished(self) -> Finished:
        """What is finished, and what has to go when something is made again."""
        repeats = [self.run.repeated_student(seed) for seed in self.recipe.student_seeds[1:]]
        static = [self.run.another_student(STATIC)] if self.recipe.evaluation.static else []
        return Finished(self.run, self.manifest, [*repeats, *static])

    @cached_property
    def labeller(self) -> Labeller:
        """Asks finished models."""
        corpus, cache = self.materials.corpus, self.settings.cache
        return Labeller(corpus, settled(self.recipe.data.max_length), self.hardware, cache, self.recipe.seed)

    @property
    def _students(self) -> list[Variant]:
        """The recipe's student with each seed, the one to ship first."""
        return self._with_every_seed("student", self.run.student, self.run.repeated_student)

    @property
    def _controls(self) -> list[Variant]:
        """The control without a teacher with each seed; none where the recipe leaves it out."""
        if _CONTROL not in self.recipe.evaluation.controls:
            return []
        return self._with_every_seed(_CONTROL, self.run.control(_CONTROL), self.run.repeated_control)

    def _with_every_seed(self, stage: str, folder: Path, repeated: Callable[[int], Path]) -> list[Variant]:
        first = Variant(stage, folder, self.recipe, self.materials)
        return [first] + [
            replace(
                first,
                stage=repeat_name(stage, seed),
                folder=repeated(seed),
                recipe=self.recipe.with_student_seed(seed),
            )
            for seed in self.recipe.student_seeds[1:]
        ]

    def _teacher(self) -> Teacher:
        members = self.materials.members
        folders = self.run.teacher_members(len(members))
        place = Workplace(
            self.recipe, self.materials.corpus, self.settings.cache, self._context("teacher", self.run.checkpoints)
        )
        for member, folder in zip(members, folders, strict=True):
            key = self.teacher_keys[member.stage]
            self.finished.folder(member.stage, key, folder, partial(member.make, place, key, folder))
        dtype = self.hardware.dtype(self.recipe.teacher.precision)
        teacher = Teacher(members, tuple(folders), self.labeller, dtype)
        if len(members) > 1:
            write_json(self.run.teacher / "committee.json", {"members": teacher.record()})
        return teacher

    def soft_labels(self, teacher: Teacher) -> StoredLogits:
        """The teacher's logits for the transfer texts, from the cache where they are kept."""
        start, key = time.monotonic(), self.soft_labels_key(teacher)
        found = teacher.logits("transfer", teacher.dtype, "soft labels")
        if teacher.models:
            log.info("soft labels: %d computed, %d from the cache", found.computed, found.reused)
            details = {
                "computed": found.computed,
                "reused": found.reused,
                "dtype": teacher.dtype,
                "engine": found.engine,
            }
        else:
            details = {"given": found.reused}
        if self.manifest.fingerprint(_SOFT_LABELS) != key.asked or found.computed:
            self.manifest.finish(
                _SOFT_LABELS, key.asked, time.monotonic() - start, {**details, "made_with": key.made_with}
            )
        return found

    def soft_labels_key(self, teacher: Teacher) -> Key:
        """Their key."""
        computed: dict[str, str] = {}
        if teacher.models:
            engine = self.hardware.engine_for(teacher.dtype, self.materials.encoder.tokens["transfer"].total)
            computed = {"dtype": teacher.dtype, "engine": engine}
        return soft_labels_key(teacher.folders, self.materials.corpus.digest, computed)

    def student(self, teacher: Teacher, variant: Variant) -> Path:
        """Distils one student from the teacher, unless it is finished."""
        start = variant.start(teacher.start(self.materials.encoder))
        key = self._student_key(variant, start, self.soft_labels_key(teacher))

        def make() -> TrainedModel:
            # Here and not before: a finished student needs no pass of the teacher, whatever became of the cache.
            return self._trained(variant, key, start, self.soft_labels(teacher))

        return self.finished.folder(variant.stage, key, variant.folder, make)

    def _static(self, teacher: Teacher) -> Path:
        """Distils the static student, unless it is finished."""
        variant = static_variant(self.recipe, self.run, self.materials, self.settings.cache)
        return self.student(teacher, variant)

    def linear_student(self, teacher: Teacher, name: str) -> Path:
        """Fits the linear model to the soft labels, unless it is finished."""
        folder = self.run.another_student(name)

        def make() -> TrainedModel:
            log.info("%s: fitting the n-gram model to the soft labels", name)
            control = self.run.control(LINEAR) if LINEAR in self.recipe.evaluation.controls else None
            return distil_linear(self.materials.corpus, self.soft_labels(teacher).logits, folder, control)

        return self.finished.folder(f"student_{name}", linear_student_key(self.soft_labels_key(teacher)), folder, make)

    def _no_distillation(self, variant: Variant) -> Path:
        """Trains one control without the teacher, unless it is finished."""
        materials = self.materials
        start = control_start(self.recipe, materials.origin, materials.student, materials.vocabulary)
        key = self._student_key(variant, start, None)
        make = partial(self._trained, variant, key, start, None)
        return self.finished.folder(variant.stage, key, variant.folder, make)

    def _student_key(self, variant: Variant, start: Start, soft_labels: Key | None) -> Key:
        return student_key(variant.recipe, variant.materials.corpus.digest, self.hardware, start, soft_labels)

    def _trained(self, variant: Variant, key: Key, start: Start, soft: StoredLogits | None) -> TrainedModel:
        lesson = Lesson(self.materials.corpus, variant.materials.student_tokens, soft.logits if soft else None)
        context = self._context(variant.stage, self.run.checkpoints / f"{variant.stage}-{key.entry}")
        return train_student(variant.recipe, lesson, start, variant.folder, context)

    def _linear(self) -> Path:
        """Fits the linear control, unless it is finished."""
        corpus, folder = self.materials.corpus, self.run.control(LINEAR)
        key = linear_key(corpus)
        make = partial(train_linear, corpus, self.settings.cache / "linear" / key.entry, folder, LINEAR)
        return self.finished.folder(LINEAR, key, folder, make)

    def _frozen(self) -> Path:
        """Fits the frozen control, unless it is finished."""
        recipe, materials, folder = self.recipe, self.materials, self.run.control(FROZEN)
        context = self._context(FROZEN, self.run.checkpoints)

        def make() -> TrainedModel:
            return train_frozen(recipe, materials.corpus, materials.encoder, folder, context, self.settings.cache)

        key = frozen_key(recipe, materials.corpus, materials.origin, self.hardware)
        return self.finished.folder(FROZEN, key, folder, make)

    def _context(self, stage: str, checkpoints: Path) -> TrainingContext:
        return TrainingContext(self.hardware, checkpoints, stage, self._tracking)

    @cached_property
    def _tracking(self) -> Tracking:
        return tracking(self.settings.report_to, self.run.root.resolve().name, self.run.tracking)
