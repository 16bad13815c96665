"""What a run needs before weights are loaded: an output folder that is free, models, data, and room for the work.

Whatever can go wrong with these goes wrong here, before anything is trained and before the run directory is touched.
`begin` is the first to write there.
"""

from __future__ import annotations

import logging
import shutil
from dataclasses import dataclass
from pathlib import Path

from understudy.artifacts import Manifest, RunDirectory, default_cache, read_recipe, write_text
from understudy.data.audit import Audit, audit, truncation
from understudy.data.corpus import Corpus, build_corpus, read_tables
from understudy.data.sources import Table
from understudy.data.tokens import Tokens, tokenise_cached
from understudy.errors import RunDirectoryError, UserError
from understudy.hardware import Hardware, machine
from understudy.models.attention import supports_per_text
from understudy.models.loading import (
    Origin,
    classifier_labels,
    load_config,
    load_tokenizer,
    longest_input,
    resolve,
    unnamed,
)
from understudy.models.students import check_layers
from understudy.progress import duration
from understudy.recipe import Recipe
from understudy.training.estimate import Work, estimate
from understudy.training.teacher import is_ready_made

log = logging.getLogger(__name__)

_SPLITS = ("train", "validation", "test")

# Options that no result depends on.
_IRRELEVANT = {"name", "description", "teacher.checkpoint_steps", "distillation.checkpoint_steps"}
# A run keeps its data and its teacher; the seed decides both.
_FIXED = {"data", "teacher", "seed"}


@dataclass(frozen=True)
class Materials:
    """What a run starts from.

    Attributes:
        teacher: Where the teacher comes from.
        student: Where the student's checkpoint comes from; None where it is made of the teacher's layers.
        corpus: The texts.
        tokens: Of each split, by the teacher's tokenizer.
        student_tokens: Of each split, by the student's.
        findings: What the audit noticed; no errors.
    """

    teacher: Origin
    student: Origin | None
    corpus: Corpus
    tokens: dict[str, Tokens]
    student_tokens: dict[str, Tokens]
    findings: Audit

    @property
    def sizes(self) -> dict[str, int]:
        """Texts of each split."""
        return {split: len(getattr(self.corpus, split)) for split in _SPLITS}


def examine(recipe: Recipe, cache_dir: str | Path | None = None) -> Audit:
    """The data doctor: everything that `distill` would find wrong with data and recipe before it trains.

    Args:
        recipe: Says where data and models are.
        cache_dir: Where tokenised data is kept; by default `$UNDERSTUDY_CACHE` or the user's cache folder.

    Raises:
        DataError: a source cannot be read at all.
        ModelError: a model is not there or cannot be used.
    """
    teacher, student = _find_models(recipe)
    tables = read_tables(recipe.data)
    found = audit(tables, recipe.data.labels)
    if found.errors:
        return found
    cache = Path(cache_dir) if cache_dir is not None else default_cache()
    return _materials(recipe, teacher, student, tables, found, cache).findings


def gather(recipe: Recipe, cache: Path) -> Materials:
    """Finds the models, reads and audits the data, and tokenises it.

    Raises:
        DataError: a source cannot be read, or its audit found errors.
        ModelError: a model is not there or cannot be used.
    """
    teacher, student = _find_models(recipe)
    tables = read_tables(recipe.data)
    found = audit(tables, recipe.data.labels)
    found.raise_errors()
    return _materials(recipe, teacher, student, tables, found, cache)


def check_directory(run: RunDirectory, recipe: Recipe, overwrite: bool) -> list[str]:
    """Refuses a folder that holds something else; returns the options in which its earlier run differs.

    Raises:
        RunDirectoryError: the folder cannot be one, holds no run, or a run with other data or another teacher.
    """
    place = _nearest(run.root)
    if not place.is_dir():
        raise RunDirectoryError(f"--out {run.root}: {place} is a file; expected a folder, or a name that is free.")
    if not run.is_run():
        foreign = sorted(path.name for path in run.root.iterdir()) if run.root.is_dir() else []
        if foreign:
            raise RunDirectoryError(
                f"--out {run.root} is not empty ({', '.join(foreign[:3])}) and holds no run. Give another folder."
            )
        return []
    # Without its recipe a run broke off at its very beginning; `check_fingerprints` still sees what it finished.
    if overwrite or not run.recipe.is_file():
        return []
    earlier = read_recipe(run)
    differences = {name: values for name, values in recipe.differences(earlier).items() if name not in _IRRELEVANT}
    fixed = {name: values for name, values in differences.items() if name.split(".")[0] in _FIXED}
    if fixed:
        lines = "\n".join(f"  {name}: {mine!r} here, {theirs!r} there" for name, (mine, theirs) in fixed.items())
        raise RunDirectoryError(
            f"{run.root} holds a run of '{earlier.name}' with another teacher or other data:\n{lines}\n"
            "Give another --out, or --overwrite to replace it."
        )
    return sorted(differences)


def check_fingerprints(run: RunDirectory, present: dict[str, str]) -> None:
    """Refuses a run whose options are the same but whose data or teacher are not.

    Args:
        run: Holds an earlier run, or nothing.
        present: Fingerprints of the stages `data` and `teacher`.

    Raises:
        RunDirectoryError: one of them is not the earlier run's.
    """
    earlier = Manifest(run.manifest)
    behind = {"data": "texts or labels", "teacher": "model, machine or data"}
    for stage, fingerprint in present.items():
        if earlier.fingerprint(stage) not in (None, fingerprint):
            raise RunDirectoryError(
                f"{run.root} holds a run with another {stage}: the options are the same, but the {behind[stage]} "
                "behind them changed. Give another --out, or --overwrite to replace it."
            )


def check_hardware(recipe: Recipe, hardware: Hardware) -> None:
    """Refuses what the machine cannot do.

    Raises:
        UserError: a precision that it only emulates, or a GPU that Trainer would not take.
    """
    if hardware.device not in (hardware.kind, f"{hardware.kind}:0"):
        number = hardware.device.partition(":")[2]
        raise UserError(
            f"--device {hardware.device}: training takes the first GPU that it sees. Leave --device out and set "
            f"CUDA_VISIBLE_DEVICES={number} instead."
        )
    for options in (recipe.teacher, recipe.distillation, recipe.evaluation):
        hardware.dtype(options.precision)


def check_attention(recipe: Recipe, materials: Materials, hardware: Hardware) -> None:
    """Refuses a kernel that a model does not take.

    Raises:
        UserError: as said.
    """
    student = materials.student or materials.teacher
    for options, origin in ((recipe.teacher, materials.teacher), (recipe.distillation, student)):
        per_text = supports_per_text(load_config(origin.path))
        hardware.attention(options.attention, hardware.dtype(options.precision), training=True, per_text=per_text)


def remove_run(run: RunDirectory) -> None:
    """Removes what a run wrote and nothing else; the manifest goes last, for without it the rest is no run."""
    folders = [run.teacher, run.student, run.control("linear").parent, run.dashboard.parent, run.checkpoints]
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
    for file in (run.metrics, run.predictions, run.recipe, run.manifest):
        file.unlink(missing_ok=True)


def announce(recipe: Recipe, materials: Materials, run: RunDirectory, hardware: Hardware, afresh: bool) -> None:
    """Says what is ahead, in time and disk.

    Args:
        recipe: What to do.
        materials: What it starts from.
        run: Where it goes.
        hardware: Where it is done.
        afresh: Whether the run that is there, if one is, does not count.

    Raises:
        UserError: the disk is too small.
    """
    sizes, corpus = materials.sizes, materials.corpus
    teacher = load_config(materials.teacher.path)
    student = load_config(materials.student.path) if materials.student else teacher
    layers = recipe.student.layers or student.num_hidden_layers
    counts = {name: len(tokens.ids) for name, tokens in materials.tokens.items()}
    length = counts["train"] / max(1, sizes["train"])
    students = 2 if "no_distillation" in recipe.evaluation.controls else 1
    there = not afresh and Manifest(run.manifest).fingerprint("teacher") is not None
    epochs = 0 if there or is_ready_made(materials.teacher, corpus.classes) else recipe.teacher.epochs
    to_train, to_distil = counts["train"] * epochs, counts["train"] * recipe.distillation.epochs
    ahead = estimate(
        [
            Work(teacher, teacher.num_hidden_layers, to_train, counts["train"] + counts["test"], length),
            *[Work(student, layers, to_distil, counts["test"], length)] * students,
        ],
        hardware,
        hardware.dtype(recipe.teacher.precision),
    )
    log.info(
        "%s: %s training, %s validation and %s test texts, %d classes; "
        "about %s where nothing is cached, %.1f GB of disk",
        recipe.name,
        *(f"{sizes[split]:,}" for split in _SPLITS),
        len(corpus.classes),
        duration(ahead.seconds),
        ahead.bytes / 1e9,
    )
    place = _nearest(run.root)
    free = shutil.disk_usage(place).free
    if free < ahead.bytes:
        raise UserError(
            f"{place} has {free / 1e9:.1f} GB left, the run needs about {ahead.bytes / 1e9:.1f} GB. Make room, or give "
            "another --out."
        )


def begin(recipe: Recipe, run: RunDirectory, hardware: Hardware, materials: Materials, seconds: float) -> Manifest:
    """The first write to the run directory: what is going to be done, with what and where."""
    manifest = Manifest(run.manifest)
    manifest.content |= {
        "understudy": _version(),
        "versions": _versions(),
        "machine": {**machine(), "device": hardware.device, "threads": hardware.threads},
        "models": {
            "teacher": materials.teacher.record(),
            "student": materials.student.record() if materials.student else None,
        },
        "classes": materials.corpus.classes,
        "audit": materials.findings.to_json(),
    }
    manifest.save()
    write_text(run.recipe, recipe.to_toml())
    if manifest.fingerprint("data") is None:
        manifest.finish("data", materials.corpus.digest, seconds, {"texts": materials.sizes})
    return manifest


def _find_models(recipe: Recipe) -> tuple[Origin, Origin | None]:
    """Teacher and, where the recipe names one, the student's checkpoint."""
    teacher = resolve(recipe.teacher.model, recipe.teacher.revision)
    _check_input(recipe.teacher.model, teacher, recipe.data.max_length)
    if recipe.student.layers is not None:
        check_layers(teacher.path, recipe.student.layers)
        return teacher, None
    name = str(recipe.student.model)
    student = resolve(name, recipe.student.revision)
    _check_input(name, student, recipe.data.max_length)
    return teacher, student


def _check_input(name: str, origin: Origin, max_length: int) -> None:
    """Refuses a model that cannot take texts as long as the recipe's."""
    load_tokenizer(origin.path)
    limit = longest_input(load_config(origin.path))
    if limit is not None and max_length > limit:
        raise UserError(
            f"data.max_length = {max_length}, but {name} has positions for {limit} tokens only. Give that many or "
            "fewer."
        )


def _materials(
    recipe: Recipe, teacher: Origin, student: Origin | None, tables: dict[str, Table], found: Audit, cache: Path
) -> Materials:
    max_length = recipe.data.max_length
    labels = classifier_labels(teacher.path)
    named = None if labels is None or unnamed(labels) else labels
    corpus = build_corpus(tables, recipe.data, recipe.seed, named)
    tokens = _tokenise(corpus, teacher.path, max_length, cache)
    student_tokens = tokens if student is None else _tokenise(corpus, student.path, max_length, cache)
    cut = [truncation(split, tokens[split].full_lengths, max_length) for split in ("train", "test")]
    return Materials(teacher, student, corpus, tokens, student_tokens, Audit((*found.findings, *cut)))


def _tokenise(corpus: Corpus, folder: Path, max_length: int, cache: Path) -> dict[str, Tokens]:
    tokenizer = load_tokenizer(folder)
    splits = {split: getattr(corpus, split) for split in _SPLITS}
    return {
        name: tokenise_cached(split.texts, split.ids, tokenizer, max_length, cache) for name, split in splits.items()
    }


def _nearest(path: Path) -> Path:
    """`path` itself, or the nearest folder or file above it that there is."""
    absolute = path.absolute()
    return next(place for place in (absolute, *absolute.parents) if place.exists())


def _version() -> str:
    from importlib.metadata import version

    return version("understudy")


def _versions() -> dict[str, str]:
    import platform
    from importlib.metadata import version

    packages = ("torch", "transformers", "tokenizers", "datasets", "accelerate", "scikit-learn", "numpy")
    return {"python": platform.python_version(), **{package: version(package) for package in packages}}
