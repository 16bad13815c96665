"""The whole run: the stages in order, each skipped when it is finished.

data -> teacher -> soft labels -> student -> controls -> evaluation -> dashboard
"""

from __future__ import annotations

import logging
import shutil
import time
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from understudy import artifacts
from understudy.artifacts import Manifest, RunDirectory, copy_folder, fingerprint, folder_digest, read_recipe
from understudy.data.audit import Audit, audit, truncation
from understudy.data.corpus import Corpus, build_corpus, read_tables
from understudy.data.tokens import Tokens, tokenise_cached, tokenizer_digest
from understudy.errors import RunDirectoryError, UserError
from understudy.evaluation.evaluation import Candidate, evaluate, write_predictions
from understudy.evaluation.linear import LinearModel
from understudy.evaluation.results import Metrics
from understudy.evaluation.speed import measure_speed
from understudy.hardware import Hardware, detect, machine
from understudy.inference.classifier import Classifier
from understudy.inference.logits import softmax
from understudy.inference.store import stored_logits
from understudy.models.loading import (
    Origin,
    classifier_labels,
    load_classifier,
    load_config,
    load_tokenizer,
    parameter_count,
    resolve,
    unnamed,
)
from understudy.models.students import check_layers
from understudy.progress import duration
from understudy.recipe import Recipe
from understudy.report.dashboard import draw_dashboard
from understudy.training.estimate import Work, estimate
from understudy.training.student import Start, control_start, student_start, train_student
from understudy.training.teacher import is_ready_made, teacher_fingerprint, train_teacher

log = logging.getLogger(__name__)

# Options that no result depends on.
_IRRELEVANT = {"name", "description", "teacher.checkpoint_steps", "distillation.checkpoint_steps"}
_OWN = (
    "recipe.toml",
    "manifest.json",
    "metrics.json",
    "predictions.parquet",
    "teacher",
    "student",
    "controls",
    "report",
)


@dataclass(frozen=True)
class Run:
    """A finished run, opened for reading."""

    directory: Path

    @property
    def _layout(self) -> RunDirectory:
        return RunDirectory(self.directory)

    @cached_property
    def recipe(self) -> Recipe:
        return read_recipe(self._layout)

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
    cache_dir: str | Path | None = None,
    overwrite: bool = False,
) -> Run:
    """Runs a recipe, or what of it is not finished yet.

    Args:
        recipe: A recipe, a preset's name or a TOML file's path.
        out: The run directory; by default `runs/<recipe name>`.
        device: `cpu`, `cuda`, `mps`; by default the best there is.
        threads: PyTorch's CPU threads; by default as many as there are cores.
        cache_dir: Where finished work is kept; by default `$UNDERSTUDY_CACHE` or the user's cache folder.
        overwrite: Replace the run that is in `out` where its data or teacher differ.

    Raises:
        RecipeError: an option is wrong.
        DataError: a source cannot be read, or its audit found errors.
        ModelError: a model is not there or cannot be used.
        RunDirectoryError: `out` holds something else.
        TrainingDiverged: a loss is no longer finite.
    """
    recipe = recipe if isinstance(recipe, Recipe) else Recipe.load(recipe)
    run = RunDirectory(Path(out) if out is not None else Path("runs") / recipe.name)
    changed = _check_directory(run, recipe, overwrite)
    pipeline = _Pipeline(
        recipe=recipe,
        run=run,
        hardware=detect(device, threads),
        cache=Path(cache_dir) if cache_dir is not None else artifacts.default_cache(),
    )
    pipeline.prepare(overwrite, changed)
    pipeline.execute()
    return Run(run.root)


def examine(recipe: Recipe, cache_dir: str | Path | None = None) -> Audit:
    """The data doctor: everything that `distill` would find wrong with data and recipe before it trains.

    Raises:
        DataError: a source cannot be read at all.
        ModelError: a model is not there or cannot be used.
    """
    teacher, _ = _resolve(recipe)
    tables = read_tables(recipe.data)
    found = audit(tables, recipe.data.labels)
    if found.errors:
        return found
    corpus = build_corpus(tables, recipe.data, recipe.seed, _named_labels(teacher))
    cache = Path(cache_dir) if cache_dir is not None else artifacts.default_cache()
    tokens = _tokenise(corpus, teacher.path, recipe.data.max_length, cache)
    return Audit((*found.findings, *_truncations(tokens, recipe.data.max_length)))


@dataclass
class _Pipeline:
    recipe: Recipe
    run: RunDirectory
    hardware: Hardware
    cache: Path
    teacher_origin: Origin = field(init=False)
    student_origin: Origin | None = field(init=False)
    corpus: Corpus = field(init=False)
    tokens: dict[str, Tokens] = field(init=False)
    student_tokens: dict[str, Tokens] = field(init=False)
    manifest: Manifest = field(init=False)
    findings: Audit = field(init=False)

    def prepare(self, overwrite: bool, changed: list[str]) -> None:
        """Everything that can fail before weights are loaded, and the first write to the run directory."""
        recipe = self.recipe
        self.hardware.dtype(recipe.teacher.precision)
        self.hardware.dtype(recipe.distillation.precision)
        self.hardware.dtype(recipe.evaluation.precision)
        self.teacher_origin, self.student_origin = _resolve(recipe)
        tables = read_tables(recipe.data)
        found = audit(tables, recipe.data.labels)
        found.raise_errors()
        self.corpus = build_corpus(tables, recipe.data, recipe.seed, _named_labels(self.teacher_origin))
        self.tokens = _tokenise(self.corpus, self.teacher_origin.path, recipe.data.max_length, self.cache)
        self.student_tokens = self.tokens
        if self.student_origin is not None:
            self.student_tokens = _tokenise(self.corpus, self.student_origin.path, recipe.data.max_length, self.cache)
        self.findings = Audit((*found.findings, *_truncations(self.tokens, recipe.data.max_length)))
        for finding in self.findings.warnings:
            log.warning("%s: %s", finding.code, finding.message)

        fingerprints = {"data": self.corpus.digest, "teacher": self._teacher_fingerprint()}
        if self.run.is_run() and not overwrite:
            earlier = Manifest(self.run.manifest)
            for stage, present in fingerprints.items():
                if earlier.fingerprint(stage) not in (None, present):
                    raise RunDirectoryError(
                        f"{self.run.root} holds a run with another {stage}: the options are the same, but the "
                        f"{'texts or labels' if stage == 'data' else 'model, machine or data'} behind them changed. "
                        "Give another --out, or --overwrite to replace it."
                    )
        if overwrite:
            _remove_run(self.run)
        self._estimate()
        self.manifest = Manifest(self.run.manifest)
        self.manifest.content |= {
            "understudy": _version(),
            "versions": _versions(),
            "machine": {**machine(), "device": self.hardware.device, "threads": self.hardware.threads},
            "models": {
                "teacher": self.teacher_origin.record(),
                "student": self.student_origin.record() if self.student_origin else None,
            },
            "classes": self.corpus.classes,
            "audit": self.findings.to_json(),
        }
        if changed:
            log.info("changed since the last run: %s; the stages behind that run again", ", ".join(changed))
        self.manifest.save()
        artifacts.write_text(self.run.recipe, self.recipe.to_toml())
        if self.manifest.fingerprint("data") is None:
            self.manifest.finish("data", fingerprints["data"], 0.0, {"texts": self._sizes()})

    def execute(self) -> None:
        """All stages."""
        teacher = self._teacher()
        soft = self._soft_labels(teacher)
        student = self._student(
            "student", self.run.student, soft, student_start(self.recipe, teacher, self.student_origin)
        )
        candidates = {"teacher": teacher, "student": student}
        if "no_distillation" in self.recipe.evaluation.controls:
            start = control_start(self.recipe, self.teacher_origin, self.student_origin)
            folder = self.run.control("no_distillation")
            candidates["no_distillation"] = self._student("no_distillation", folder, None, start)
        if "linear" in self.recipe.evaluation.controls:
            candidates["linear"] = self._linear()
        self._evaluation(candidates)
        shutil.rmtree(self.run.checkpoints, ignore_errors=True)

    def _teacher(self) -> Path:
        key = self._teacher_fingerprint()
        if self._is_finished("teacher", key, self.run.teacher):
            return self.run.teacher
        found = train_teacher(
            self.recipe,
            self.corpus,
            self.tokens,
            self.teacher_origin,
            self.hardware,
            self.cache,
            self.run.checkpoints / "teacher",
        )
        copy_folder(found.folder, self.run.teacher)
        details = {"digest": found.digest, "reused": found.reused, "history": found.history}
        self.manifest.finish("teacher", key, found.seconds, details)
        return self.run.teacher

    def _soft_labels(self, teacher: Path) -> np.ndarray:
        dtype = self.hardware.dtype(self.recipe.teacher.precision)
        start = time.monotonic()
        found = self._logits(teacher, "train", self.tokens, dtype, "soft labels")
        log.info("soft labels: %d computed, %d from the cache", found.computed, found.reused)
        key = fingerprint(teacher=folder_digest(teacher), train=self.corpus.train.digest, dtype=dtype)
        if self.manifest.fingerprint("soft_labels") != key or found.computed:
            details = {"computed": found.computed, "reused": found.reused, "dtype": dtype}
            self.manifest.finish("soft_labels", key, time.monotonic() - start, details)
        return found.logits

    def _student(self, stage: str, folder: Path, soft: np.ndarray | None, start: Start) -> Path:
        options = self.recipe.distillation.model_dump(exclude={"checkpoint_steps", "precision", "attention"})
        if soft is None:  # what only the soft loss uses does not change the control
            options = {
                name: value for name, value in options.items() if name not in ("objective", "temperature", "alpha")
            }
        key = fingerprint(
            stage=stage,
            data=self.corpus.digest,
            max_length=self.recipe.data.max_length,
            start=folder_digest(start.folder),
            layers=start.layers,
            soft_labels=self.manifest.fingerprint("soft_labels") if soft is not None else None,
            options=options,
            seed=self.recipe.student_seed,
            dtype=self.hardware.dtype(self.recipe.distillation.precision),
        )
        if self._is_finished(stage, key, folder):
            return folder
        checkpoints = self.run.checkpoints / f"{stage}-{key}"
        made = train_student(
            self.recipe, self.corpus, self.student_tokens, soft, start, self.hardware, folder, checkpoints, stage
        )
        self.manifest.finish(stage, key, made.seconds, {"digest": made.digest, "history": made.history})
        return folder

    def _linear(self) -> Path:
        folder = self.run.control("linear")
        key = fingerprint(stage="linear", data=self.corpus.digest)
        if self._is_finished("linear", key, folder):
            return folder
        log.info("linear: fitting the n-gram control")
        start = time.monotonic()
        model = LinearModel.fit(self.corpus.train.texts, self.corpus.train.labels, len(self.corpus.classes))
        with artifacts.write_folder(folder) as temporary:
            model.save(temporary)
        self.manifest.finish("linear", key, time.monotonic() - start, {"digest": folder_digest(folder)})
        return folder

    def _evaluation(self, folders: dict[str, Path]) -> None:
        options = self.recipe.evaluation
        dtype = self.hardware.dtype(options.precision)
        key = fingerprint(
            models={name: folder_digest(folder) for name, folder in folders.items()},
            data=self.corpus.digest,
            options=options.model_dump(),
            dtype=dtype,
        )
        outputs = (self.run.metrics, self.run.predictions, self.run.dashboard)
        if self.manifest.fingerprint("evaluation") == key and all(path.is_file() for path in outputs):
            log.info("evaluation: finished before")
            return
        start = time.monotonic()
        candidates = {name: self._candidate(name, folder) for name, folder in folders.items()}
        speed = measure_speed(
            folders["teacher"],
            folders["student"],
            self.corpus.test.texts,
            max_length=self.recipe.data.max_length,
            sample=options.speed_texts,
            hardware=self.hardware,
            dtype=dtype,
            seed=self.recipe.seed,
        )
        seconds = {**self.manifest.seconds(), "evaluation": round(time.monotonic() - start, 2)}
        metrics = evaluate(
            self.corpus.test, candidates, options, len(self.corpus.classes), self.recipe.seed, speed, seconds
        )
        write_predictions(self.run.predictions, self.corpus.test, candidates, self.corpus.classes, options.texts)
        draw_dashboard(metrics, self.run.dashboard, self.recipe.name)
        metrics.save(self.run.metrics)
        self.manifest.finish("evaluation", key, seconds["evaluation"], {"dtype": dtype})

    def _candidate(self, name: str, folder: Path) -> Candidate:
        if name == "linear":
            linear = LinearModel.load(folder)
            size = sum(path.stat().st_size for path in folder.iterdir())
            return Candidate(linear.predict_proba(self.corpus.test.texts), linear.parameters, size)
        tokens = self.tokens if name == "teacher" else self.student_tokens
        found = self._logits(
            folder, "test", tokens, self.hardware.dtype(self.recipe.evaluation.precision), f"testing {name}"
        )
        parameters = parameter_count(load_classifier(folder))
        return Candidate(softmax(found.logits), parameters, (folder / "model.safetensors").stat().st_size)

    def _logits(self, folder: Path, split: str, tokens: dict[str, Tokens], dtype: Any, description: str) -> Any:
        tokenizer = load_tokenizer(folder)
        return stored_logits(
            load_classifier(folder),
            tokens[split],
            getattr(self.corpus, split).ids,
            model_digest=folder_digest(folder),
            tokenizer_digest=tokenizer_digest(tokenizer),
            max_length=self.recipe.data.max_length,
            pad_id=tokenizer.pad_token_id,
            hardware=self.hardware,
            dtype=dtype,
            cache=self.cache,
            description=description,
        )

    def _is_finished(self, stage: str, key: str, folder: Path) -> bool:
        if self.manifest.fingerprint(stage) == key and folder.is_dir():
            if folder_digest(folder) == self.manifest.details(stage).get("digest"):
                log.info("%s: finished before", stage)
                return True
            log.warning("%s: %s was changed since it was made; making it again", stage, folder)
        return False

    def _teacher_fingerprint(self) -> str:
        return teacher_fingerprint(self.recipe, self.corpus, self.teacher_origin, self.hardware)

    def _sizes(self) -> dict[str, int]:
        return {name: len(getattr(self.corpus, name)) for name in ("train", "validation", "test")}

    def _estimate(self) -> None:
        """Says what is ahead, and stops where the disk is too small for it."""
        recipe, sizes = self.recipe, self._sizes()
        teacher = load_config(self.teacher_origin.path)
        student = load_config(self.student_origin.path) if self.student_origin else teacher
        layers = recipe.student.layers or student.num_hidden_layers
        counts = {name: len(tokens.ids) for name, tokens in self.tokens.items()}
        length = counts["train"] / max(1, sizes["train"])
        rounds = recipe.distillation.epochs
        students = 2 if "no_distillation" in recipe.evaluation.controls else 1
        finished = Manifest(self.run.manifest)
        to_train = finished.fingerprint("teacher") is None and not is_ready_made(
            self.teacher_origin, self.corpus.classes
        )
        trained = counts["train"] * recipe.teacher.epochs * to_train
        ahead = estimate(
            [
                Work(teacher, teacher.num_hidden_layers, trained, counts["train"] + counts["test"], length),
                *[Work(student, layers, counts["train"] * rounds, counts["test"], length)] * students,
            ],
            self.hardware,
            self.hardware.dtype(recipe.teacher.precision),
        )
        log.info(
            "%s: %s training, %s validation and %s test texts, %d classes; about %s where nothing is cached, %.1f GB of disk",
            recipe.name,
            *(f"{sizes[name]:,}" for name in ("train", "validation", "test")),
            len(self.corpus.classes),
            duration(ahead.seconds),
            ahead.bytes / 1e9,
        )
        place = next(
            parent for parent in (self.run.root.absolute(), *self.run.root.absolute().parents) if parent.exists()
        )
        free = shutil.disk_usage(place).free
        if free < ahead.bytes:
            raise UserError(
                f"{place} has {free / 1e9:.1f} GB left, the run needs about {ahead.bytes / 1e9:.1f} GB. Make room, or give "
                "another --out."
            )


def _check_directory(run: RunDirectory, recipe: Recipe, overwrite: bool) -> list[str]:
    """Refuses a folder that holds something else; returns the options in which an earlier run differs."""
    if run.root.exists() and not run.root.is_dir():
        raise RunDirectoryError(f"--out {run.root} is a file: expected a folder, or a name that is free.")
    if not run.is_run():
        foreign = sorted(path.name for path in run.root.iterdir()) if run.root.is_dir() else []
        if foreign:
            raise RunDirectoryError(
                f"--out {run.root} is not empty ({', '.join(foreign[:3])}) and holds no run. Give another folder."
            )
        return []
    if overwrite:
        return []
    earlier = read_recipe(run)
    differences = {name: values for name, values in recipe.differences(earlier).items() if name not in _IRRELEVANT}
    fixed = {name: values for name, values in differences.items() if name.split(".")[0] in ("data", "teacher", "seed")}
    if fixed:
        lines = "\n".join(f"  {name}: {mine!r} here, {theirs!r} there" for name, (mine, theirs) in fixed.items())
        raise RunDirectoryError(
            f"{run.root} holds a run of '{earlier.name}' with another teacher or other data:\n{lines}\n"
            "Give another --out, or --overwrite to replace it."
        )
    return sorted(differences)


def _remove_run(run: RunDirectory) -> None:
    for path in [*(run.root / name for name in _OWN), run.checkpoints]:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _resolve(recipe: Recipe) -> tuple[Origin, Origin | None]:
    teacher = resolve(recipe.teacher.model, recipe.teacher.revision)
    load_tokenizer(teacher.path)
    limit = getattr(load_config(teacher.path), "max_position_embeddings", None)
    if limit is not None and recipe.data.max_length > limit:
        raise UserError(
            f"data.max_length = {recipe.data.max_length}, but {recipe.teacher.model} has positions for {limit} tokens only. "
            "Give that many or fewer."
        )
    if recipe.student.layers is not None:
        check_layers(teacher.path, recipe.student.layers)
        return teacher, None
    student = resolve(str(recipe.student.model), recipe.student.revision)
    load_tokenizer(student.path)
    return teacher, student


def _named_labels(teacher: Origin) -> list[str] | None:
    labels = classifier_labels(teacher.path)
    return None if labels is None or unnamed(labels) else labels


def _tokenise(corpus: Corpus, folder: Path, max_length: int, cache: Path) -> dict[str, Tokens]:
    tokenizer = load_tokenizer(folder)
    splits = {name: getattr(corpus, name) for name in ("train", "validation", "test")}
    return {
        name: tokenise_cached(split.texts, split.ids, tokenizer, max_length, cache) for name, split in splits.items()
    }


def _truncations(tokens: dict[str, Tokens], max_length: int) -> list[Any]:
    return [truncation(split, tokens[split].full_lengths, max_length) for split in ("train", "test")]


def _version() -> str:
    from importlib.metadata import version

    return version("understudy")


def _versions() -> dict[str, str]:
    import platform
    from importlib.metadata import version

    packages = ("torch", "transformers", "tokenizers", "datasets", "accelerate", "scikit-learn", "numpy")
    return {"python": platform.python_version(), **{package: version(package) for package in packages}}
