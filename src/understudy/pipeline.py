"""The whole run: the stages in order, each skipped when it is finished.

data -> teacher -> soft labels -> student -> controls -> evaluation -> dashboard
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from understudy import artifacts
from understudy.artifacts import Manifest, RunDirectory, copy_folder, file_sha256, fingerprint, folder_digest
from understudy.data.tokens import tokenizer_digest
from understudy.evaluation.evaluation import Candidate, evaluate, write_predictions
from understudy.evaluation.linear import LinearModel
from understudy.evaluation.results import Metrics
from understudy.evaluation.speed import measure_speed
from understudy.hardware import Dtype, Hardware, detect
from understudy.inference.classifier import Classifier
from understudy.inference.logits import softmax
from understudy.inference.store import StoredLogits, stored_logits
from understudy.models.loading import load_classifier, load_tokenizer, parameter_count
from understudy.preparation import (
    Materials,
    announce,
    begin,
    check_attention,
    check_directory,
    check_fingerprints,
    check_hardware,
    examine,
    gather,
    remove_run,
)
from understudy.recipe import Recipe
from understudy.report.dashboard import draw_dashboard
from understudy.training.student import Start, control_start, student_start, train_student
from understudy.training.teacher import TrainedModel, teacher_fingerprint, train_teacher

if TYPE_CHECKING:
    from transformers import PreTrainedModel

__all__ = ["Run", "distill", "examine"]

log = logging.getLogger(__name__)

# What training is told and its result does not depend on; the compute type goes into a fingerprint as it turned out.
_IRRELEVANT = {"checkpoint_steps", "precision", "attention"}
_SOFT_LOSS = {"objective", "temperature", "alpha"}


@dataclass(frozen=True)
class Run:
    """A finished run, opened for reading."""

    directory: Path

    @property
    def _layout(self) -> RunDirectory:
        return RunDirectory(Path(self.directory))

    @cached_property
    def recipe(self) -> Recipe:
        return artifacts.read_recipe(self._layout)

    @cached_property
    def metrics(self) -> Metrics:
        return Metrics.load(self._layout.metrics)

    @cached_property
    def student(self) -> Classifier:
        return Classifier.load(self._layout.student)

    @cached_property
    def teacher(self) -> Classifier:
        return Classifier.load(self._layout.teacher)

    @property
    def report(self) -> Path:
        """The folder with the dashboard."""
        return self._layout.dashboard.parent


def distill(
    recipe: Recipe | str | Path = "quickstart",
    out: str | Path | None = None,
    *,
    device: str | None = None,
    threads: int | None = None,
    engine: str | None = None,
    cache_dir: str | Path | None = None,
    overwrite: bool = False,
) -> Run:
    """Runs a recipe, or what of it is not finished yet.

    Args:
        recipe: A recipe, a preset's name or a TOML file's path.
        out: The run directory; by default `runs/<recipe name>`.
        device: `cpu`, `cuda`, `mps`; by default the best there is.
        threads: CPU threads; by default as many as there are cores.
        engine: What runs finished models: `pytorch`, `openvino`, or by default the fastest that agrees.
        cache_dir: Where finished work is kept; by default `$UNDERSTUDY_CACHE` or the user's cache folder.
        overwrite: Replace the run that is in `out` where its data or teacher differ.

    Raises:
        RecipeError: an option is wrong.
        DataError: a source cannot be read, or its audit found errors.
        ModelError: a model is not there or cannot be used.
        RunDirectoryError: `out` holds something else.
        TrainingDiverged: a loss is no longer finite.
    """
    started = time.monotonic()
    recipe = recipe if isinstance(recipe, Recipe) else Recipe.load(recipe)
    run = RunDirectory(Path(out) if out is not None else Path("runs") / recipe.name)
    changed = check_directory(run, recipe, overwrite)
    hardware = detect(device, threads, engine)
    check_hardware(recipe, hardware)
    cache = Path(cache_dir) if cache_dir is not None else artifacts.default_cache()
    materials = gather(recipe, cache)
    for finding in materials.findings.warnings:
        log.warning("%s: %s", finding.code, finding.message)

    check_attention(recipe, materials, hardware)
    teacher_key = teacher_fingerprint(recipe, materials.corpus, materials.teacher, hardware)
    if not overwrite:
        check_fingerprints(run, {"data": materials.corpus.digest, "teacher": teacher_key})
    announce(recipe, materials, run, hardware, afresh=overwrite)
    if overwrite:
        remove_run(run)
    if changed:
        log.info("changed since the last run: %s; what depends on that is done again", ", ".join(changed))
    manifest = begin(recipe, run, hardware, materials, time.monotonic() - started)
    _Stages(recipe, run, hardware, cache, materials, manifest, teacher_key).execute()
    return Run(run.root)


@dataclass(frozen=True)
class _Stages:
    """The stages behind the data, each a method, in the order in which they run."""

    recipe: Recipe
    run: RunDirectory
    hardware: Hardware
    cache: Path
    materials: Materials
    manifest: Manifest
    teacher_key: str

    def execute(self) -> None:
        teacher = self._teacher()
        candidates = {"teacher": teacher, "student": self._student(teacher)}
        if "no_distillation" in self.recipe.evaluation.controls:
            candidates["no_distillation"] = self._no_distillation()
        if "linear" in self.recipe.evaluation.controls:
            candidates["linear"] = self._linear()
        self._evaluation(candidates)
        shutil.rmtree(self.run.checkpoints, ignore_errors=True)

    def _teacher(self) -> Path:
        def make() -> TrainedModel:
            made = train_teacher(
                self.recipe,
                self.materials.corpus,
                self.materials.tokens,
                self.materials.teacher,
                self.hardware,
                self.cache,
                self.run.checkpoints / "teacher",
            )
            copy_folder(made.folder, self.run.teacher)
            return made

        return self._made("teacher", self.teacher_key, self.run.teacher, make)

    def _soft_labels(self, teacher: Path, key: str, dtype: Dtype) -> StoredLogits:
        start = time.monotonic()
        found = self._logits(load_classifier(teacher), teacher, "train", self.materials.tokens, dtype, "soft labels")
        log.info("soft labels: %d computed, %d from the cache", found.computed, found.reused)
        if self.manifest.fingerprint("soft_labels") != key or found.computed:
            details = {"computed": found.computed, "reused": found.reused, "dtype": dtype}
            self.manifest.finish("soft_labels", key, time.monotonic() - start, details)
        return found

    def _student(self, teacher: Path) -> Path:
        dtype = self.hardware.dtype(self.recipe.teacher.precision)
        soft_key = fingerprint(
            teacher=folder_digest(teacher),
            train=self.materials.corpus.train.digest,
            dtype=dtype,
            engine=self.hardware.engine_for(dtype, self.materials.tokens["train"].total),
        )
        start = student_start(self.recipe, teacher, self.materials.student)
        key = self._student_key("student", start, soft_key)

        def make() -> TrainedModel:
            # Here and not before: a finished student needs no pass of the teacher, whatever became of the cache.
            soft = self._soft_labels(teacher, soft_key, dtype)
            return self._trained("student", key, self.run.student, start, soft)

        return self._made("student", key, self.run.student, make)

    def _no_distillation(self) -> Path:
        name = "no_distillation"
        start = control_start(self.recipe, self.materials.teacher, self.materials.student)
        key, folder = self._student_key(name, start, None), self.run.control(name)
        return self._made(name, key, folder, lambda: self._trained(name, key, folder, start, None))

    def _student_key(self, stage: str, start: Start, soft_labels: str | None) -> str:
        # What only the soft loss uses does not change the control.
        unused = _IRRELEVANT if soft_labels else _IRRELEVANT | _SOFT_LOSS
        return fingerprint(
            stage=stage,
            data=self.materials.corpus.digest,
            max_length=self.recipe.data.max_length,
            start=folder_digest(start.folder),
            layers=start.layers,
            soft_labels=soft_labels,
            options=self.recipe.distillation.model_dump(exclude=unused),
            seed=self.recipe.student_seed,
            dtype=self.hardware.dtype(self.recipe.distillation.precision),
        )

    def _trained(self, stage: str, key: str, folder: Path, start: Start, soft: StoredLogits | None) -> TrainedModel:
        return train_student(
            self.recipe,
            self.materials.corpus,
            self.materials.student_tokens,
            soft.logits if soft else None,
            start,
            self.hardware,
            folder,
            self.run.checkpoints / f"{stage}-{key}",
            stage,
        )

    def _linear(self) -> Path:
        folder, corpus = self.run.control("linear"), self.materials.corpus

        def make() -> TrainedModel:
            log.info("linear: fitting the n-gram control")
            start = time.monotonic()
            model = LinearModel.fit(corpus.train.texts, corpus.train.labels, len(corpus.classes))
            with artifacts.write_folder(folder) as temporary:
                model.save(temporary)
            return TrainedModel(folder, folder_digest(folder), time.monotonic() - start, False, [])

        return self._made("linear", fingerprint(stage="linear", data=corpus.digest), folder, make)

    def _made(self, stage: str, key: str, folder: Path, make: Callable[[], TrainedModel]) -> Path:
        """Makes a stage's folder unless it is finished; the figures, which were its predecessor's, go first."""
        if self.manifest.fingerprint(stage) == key and folder.is_dir():
            if folder_digest(folder) == self.manifest.details(stage).get("digest"):
                log.info("%s: finished before", stage)
                return folder
            log.warning("%s: %s was changed since it was made; making it again", stage, folder)
        self.manifest.forget("evaluation")
        for path in self._outputs:
            path.unlink(missing_ok=True)
        made = make()
        details = {"digest": made.digest, "reused": made.reused, "history": made.history}
        self.manifest.finish(stage, key, made.seconds, details)
        return folder

    @property
    def _outputs(self) -> tuple[Path, ...]:
        return self.run.metrics, self.run.predictions, self.run.dashboard

    def _evaluation(self, folders: dict[str, Path]) -> None:
        options, corpus = self.recipe.evaluation, self.materials.corpus
        dtype = self.hardware.dtype(options.precision)
        key = fingerprint(
            models={name: folder_digest(folder) for name, folder in folders.items()},
            data=corpus.digest,
            options=options.model_dump(),
            dtype=dtype,
            engine=self.hardware.engine_for(dtype, self.materials.tokens["test"].total),
        )
        written = {path.name: file_sha256(path) for path in self._outputs if path.is_file()}
        if (
            self.manifest.fingerprint("evaluation") == key
            and self.manifest.details("evaluation").get("files") == written
        ):
            log.info("evaluation: finished before")
            return
        start = time.monotonic()
        candidates = {name: self._candidate(name, folder, dtype) for name, folder in folders.items()}
        speed = measure_speed(
            folders["teacher"],
            folders["student"],
            corpus.test.texts,
            max_length=self.recipe.data.max_length,
            sample=options.speed_texts,
            hardware=self.hardware,
            dtype=dtype,
            seed=self.recipe.seed,
        )
        # A control that an earlier recipe asked for keeps its place in the manifest; here it has none.
        spent = self.manifest.seconds().items()
        seconds = {stage: value for stage, value in spent if stage in {"data", "soft_labels", *folders}}
        seconds["evaluation"] = round(time.monotonic() - start, 2)
        metrics = evaluate(corpus.test, candidates, options, len(corpus.classes), self.recipe.seed, speed, seconds)
        write_predictions(self.run.predictions, corpus.test, candidates, corpus.classes, options.texts)
        draw_dashboard(metrics, self.run.dashboard, self.recipe.name)
        metrics.save(self.run.metrics)
        files = {path.name: file_sha256(path) for path in self._outputs}
        self.manifest.finish("evaluation", key, seconds["evaluation"], {"dtype": dtype, "files": files})

    def _candidate(self, name: str, folder: Path, dtype: Dtype) -> Candidate:
        test = self.materials.corpus.test
        if name == "linear":
            linear = LinearModel.load(folder)
            size = sum(path.stat().st_size for path in folder.iterdir())
            return Candidate(linear.predict_proba(test.texts), linear.parameters, size)
        tokens = self.materials.tokens if name == "teacher" else self.materials.student_tokens
        model = load_classifier(folder)
        found = self._logits(model, folder, "test", tokens, dtype, f"testing {name}")
        size = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
        return Candidate(softmax(found.logits), parameter_count(model), size)

    def _logits(
        self, model: PreTrainedModel, folder: Path, split: str, tokens: dict[str, Any], dtype: Dtype, description: str
    ) -> StoredLogits:
        tokenizer = load_tokenizer(folder)
        return stored_logits(
            model,
            tokens[split],
            getattr(self.materials.corpus, split).ids,
            model_digest=folder_digest(folder),
            tokenizer_digest=tokenizer_digest(tokenizer),
            max_length=self.recipe.data.max_length,
            pad_id=tokenizer.pad_token_id,
            hardware=self.hardware,
            dtype=dtype,
            cache=self.cache,
            description=description,
        )
