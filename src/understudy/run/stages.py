"""The stages behind the data, each skipped when it is finished.

teacher -> soft labels -> student -> controls -> repeats with other seeds -> evaluation -> report
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from pathlib import Path

from understudy.data.scores import Scores
from understudy.evaluation.evaluation import Plan, evaluate, write_predictions
from understudy.evaluation.repeats import repeat_name
from understudy.inference.exported import is_exported, made_of
from understudy.inference.store import StoredLogits
from understudy.recipe.recipe import Recipe
from understudy.reporting.card import write_card
from understudy.reporting.evidence import Evidence
from understudy.reporting.render import is_rendered, render_run
from understudy.run.candidates import model_candidate, student_abstention, teacher_candidate
from understudy.run.inputs import LINEAR, Encoder, Materials, Member
from understudy.run.keys import soft_labels_key, student_key
from understudy.run.labelling import Committee, Labeller
from understudy.runtime.hardware import Hardware
from understudy.storage import artifacts
from understudy.storage.artifacts import Manifest, RunDirectory, copy_folder, file_sha256, fingerprint, folder_digest
from understudy.timing.speed import measure_speed
from understudy.training.linear import linear_fingerprint, train_linear
from understudy.training.student import Start, control_start, student_start, train_student
from understudy.training.teacher import TrainedModel, keep_scores, train_teacher
from understudy.training.tracking import Tracking

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Variant:
    """One student among those that a run may have.

    Attributes:
        stage: Names its making.
        folder: Where it goes.
        recipe: Says what it is and how it learns.
        materials: With its tokens.
        static: Whether it is a bag of embeddings instead of an encoder.
    """

    stage: str
    folder: Path
    recipe: Recipe
    materials: Materials
    static: bool = False

    def start(self, teacher: Path) -> Start:
        """Where it starts, given the fine-tuned encoder's folder."""
        start = student_start(self.recipe, teacher, self.materials.student, self.materials.vocabulary)
        return replace(start, static=self.static)


@dataclass(frozen=True)
class Stages:
    """The stages of one run, each a method, in the order in which they run."""

    recipe: Recipe
    run: RunDirectory
    hardware: Hardware
    cache: Path
    materials: Materials
    manifest: Manifest
    teacher_keys: dict[str, str]
    tracking: Tracking

    def execute(self) -> Committee:
        """Runs what is not finished; returns the teacher."""
        teacher = self._teacher()
        students, controls = self._students, self._controls
        folders = {variant.stage: self.student(teacher, variant) for variant in students[:1]}
        folders |= {variant.stage: self._no_distillation(variant) for variant in controls[:1]}
        if "linear" in self.recipe.evaluation.controls:
            folders["linear"] = self._linear("linear", self.run.control("linear"))
        folders |= {variant.stage: self.student(teacher, variant) for variant in students[1:]}
        folders |= {variant.stage: self._no_distillation(variant) for variant in controls[1:]}
        self._evaluation(teacher, folders)
        self._report()
        return teacher

    def tidy(self) -> None:
        """Removes the state of unfinished training, when nothing is left to be trained."""
        shutil.rmtree(self.run.checkpoints, ignore_errors=True)

    @property
    def _students(self) -> list[Variant]:
        """The recipe's student with each seed, the one to ship first."""
        return self._with_every_seed("student", self.run.student, self.run.repeated_student)

    @property
    def _controls(self) -> list[Variant]:
        """The control without a teacher with each seed; none where the recipe leaves it out."""
        if "no_distillation" not in self.recipe.evaluation.controls:
            return []
        stage = "no_distillation"
        return self._with_every_seed(stage, self.run.control(stage), self.run.repeated_control)

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

    @cached_property
    def labeller(self) -> Labeller:
        """Asks finished models."""
        return Labeller(self.materials.corpus, self.recipe.data.max_length, self.hardware, self.cache, self.recipe.seed)

    def _teacher(self) -> Committee:
        members = self.materials.members
        folders = self.run.teacher_members(len(members))
        for member, folder in zip(members, folders, strict=True):
            if isinstance(member.model, Encoder):
                make = partial(self._fine_tuned, member, member.model, folder)
                self.made(member.stage, self.teacher_keys[member.stage], folder, make)
            elif isinstance(member.model, Scores):
                make = partial(keep_scores, member.model, self.materials.corpus.classes, folder)
                self.made(member.stage, self.teacher_keys[member.stage], folder, make)
            else:
                self._linear(member.stage, folder)
        dtype = self.hardware.dtype(self.recipe.teacher.precision)
        teacher = Committee(members, tuple(folders), self.labeller, dtype)
        if len(members) > 1:
            described = [
                {
                    "folder": folder.name,
                    "model": member.model.origin.name if isinstance(member.model, Encoder) else LINEAR,
                    "temperature": temperature,
                }
                for member, folder, temperature in zip(members, folders, teacher.temperatures, strict=True)
            ]
            artifacts.write_json(self.run.teacher / "committee.json", {"members": described})
        return teacher

    def _fine_tuned(self, member: Member, encoder: Encoder, folder: Path) -> TrainedModel:
        made = train_teacher(
            self.recipe,
            self.materials.corpus,
            encoder.tokens,
            encoder.origin,
            self.hardware,
            self.cache,
            self.run.checkpoints / member.stage,
            member.seed,
            member.stage,
            self.tracking,
        )
        copy_folder(made.folder, folder)
        return made

    def soft_labels(self, teacher: Committee, key: str) -> StoredLogits:
        start = time.monotonic()
        found = teacher.logits("transfer", teacher.dtype, "soft labels")
        if teacher.models:
            log.info("soft labels: %d computed, %d from the cache", found.computed, found.reused)
            details = {"computed": found.computed, "reused": found.reused, "dtype": teacher.dtype}
        else:
            details = {"given": found.reused}
        if self.manifest.fingerprint("soft_labels") != key or found.computed:
            self.manifest.finish("soft_labels", key, time.monotonic() - start, details)
        return found

    def student(self, teacher: Committee, variant: Variant) -> Path:
        """Distils one student from the teacher, unless it is finished."""
        soft_key = soft_labels_key(teacher, self.materials, self.hardware)
        start = variant.start(teacher.encoder(self.materials.encoder))
        key = student_key(variant.recipe, self.materials, self.hardware, start, soft_key)

        def make() -> TrainedModel:
            # Here and not before: a finished student needs no pass of the teacher, whatever became of the cache.
            return self._trained(variant, key, start, self.soft_labels(teacher, soft_key))

        return self.made(variant.stage, key, variant.folder, make)

    def _no_distillation(self, variant: Variant) -> Path:
        """Trains one control without the teacher, unless it is finished."""
        materials = self.materials
        start = control_start(self.recipe, materials.origin, materials.student, materials.vocabulary)
        key = student_key(variant.recipe, materials, self.hardware, start, None)
        return self.made(variant.stage, key, variant.folder, lambda: self._trained(variant, key, start, None))

    def _trained(self, variant: Variant, key: str, start: Start, soft: StoredLogits | None) -> TrainedModel:
        return train_student(
            variant.recipe,
            self.materials.corpus,
            variant.materials.student_tokens,
            soft.logits if soft else None,
            start,
            self.hardware,
            variant.folder,
            self.run.checkpoints / f"{variant.stage}-{key}",
            variant.stage,
            self.tracking,
        )

    def _linear(self, stage: str, folder: Path) -> Path:
        corpus = self.materials.corpus
        make = partial(train_linear, corpus, self.cache, folder, stage)
        return self.made(stage, linear_fingerprint(corpus), folder, make)

    def made(self, stage: str, key: str, folder: Path, make: Callable[[], TrainedModel]) -> Path:
        """Makes a stage's folder unless it is finished; figures of what was there before go first."""
        if self.manifest.fingerprint(stage) == key and folder.is_dir():
            if folder_digest(folder) == self.manifest.details(stage).get("digest"):
                log.info("%s: finished before", stage)
                return folder
            log.warning("%s: %s was changed since it was made; making it again", stage, folder)
        self._forget_frontier()
        for path in (self.run.benchmark, self.run.benchmark_plot, self.run.page):
            path.unlink(missing_ok=True)
        self._forget_exports(folder)
        # Other students of the frontier are no part of the evaluation, repeats are.
        repeats = [self.run.repeated_student(seed) for seed in self.recipe.student_seeds[1:]]
        if folder in repeats or folder != self.run.another_student(folder.name):
            self.manifest.forget("evaluation")
            for path in (*self._outputs, self.run.dashboard, self.run.dashboard_svg, self.run.card):
                path.unlink(missing_ok=True)
        made = make()
        calibration = made.calibration and asdict(made.calibration)
        details = {"digest": made.digest, "reused": made.reused, "calibration": calibration, "history": made.history}
        self.manifest.finish(stage, key, made.seconds, details)
        return folder

    def _forget_exports(self, folder: Path) -> None:
        """Removes what was exported of a model that is going to be another one."""
        if not folder.is_dir():
            return
        digest = folder_digest(folder)
        for export in filter(is_exported, self.run.exports()):
            if made_of(export) == digest:
                log.warning("%s was exported of what is being replaced, and is removed", export)
                shutil.rmtree(export)

    def _forget_frontier(self) -> None:
        for path in (self.run.frontier, self.run.frontier_plot):
            path.unlink(missing_ok=True)

    @property
    def _outputs(self) -> tuple[Path, ...]:
        return self.run.metrics, self.run.predictions

    def _evaluation(self, teacher: Committee, folders: dict[str, Path]) -> None:
        options, corpus = self.recipe.evaluation, self.materials.corpus
        dtype = self.hardware.dtype(options.precision)
        made = dict(zip(self.teacher_keys, teacher.folders, strict=True)) | folders
        key = fingerprint(
            models={stage: folder_digest(folder) for stage, folder in made.items()},
            data=corpus.digest,
            options=options.model_dump(),
            dtype=dtype,
            engine=self.hardware.engine_for(dtype, self.materials.encoder.tokens["test"].total),
        )
        recorded = self.manifest.details("evaluation").get("files", {})
        if self.manifest.fingerprint("evaluation") == key and all(
            path.is_file() and recorded.get(path.name) == file_sha256(path) for path in self._outputs
        ):
            log.info("evaluation: finished before")
            if not self.run.card.is_file():  # it is no figure: made again alone, and left as it is where it was edited
                write_card(self.run)
            return
        self._forget_frontier()
        start = time.monotonic()
        candidates = {"teacher": teacher_candidate(teacher, dtype)}
        tokens = self.materials.student_tokens
        candidates |= {
            name: model_candidate(self.labeller, name, folder, tokens, dtype) for name, folder in folders.items()
        }
        abstention = None
        if options.target_precision is not None:
            student, target = folders["student"], options.target_precision
            tested = candidates["student"]
            abstention = student_abstention(self.labeller, student, tokens, dtype, target, tested)
        speed = measure_speed(
            teacher.models,
            [folders["student"]],
            corpus.test.texts,
            max_length=self.recipe.data.max_length,
            sample=options.speed_texts,
            hardware=self.hardware,
            dtype=dtype,
            seed=self.recipe.seed,
        )
        # A control that an earlier recipe asked for keeps its place in the manifest; here it has none.
        spent = self.manifest.seconds().items()
        seconds = {stage: value for stage, value in spent if stage in {"data", "soft_labels", *made}}
        seconds["evaluation"] = round(time.monotonic() - start, 2)
        metrics = evaluate(
            corpus.test,
            candidates,
            Plan(options, len(corpus.classes), self.recipe.seed, tuple(self.recipe.student_seeds)),
            speed=speed,
            seconds=seconds,
            abstention=abstention,
        )
        write_predictions(self.run.predictions, corpus.test, candidates, corpus.classes, options.texts)
        metrics.save(self.run.metrics)
        write_card(self.run)
        files = {path.name: file_sha256(path) for path in self._outputs}
        self.manifest.finish("evaluation", key, seconds["evaluation"], {"dtype": dtype, "files": files})

    def _report(self) -> None:
        if not is_rendered(self.run, self.recipe, self.manifest):
            render_run(Evidence.read(self.run.root), self.manifest)
