"""Checks before a run begins: the output folder is free, the hardware can do it, and the disk has room.

They fail before anything is trained and before the run directory is touched. `begin` is the first to write there.
"""

from __future__ import annotations

import logging
import platform
import re
import shutil
from pathlib import Path

from understudy.errors import RunDirectoryError, UserError
from understudy.inference.exported import is_exported
from understudy.models.attention import supports_per_text
from understudy.models.loading import load_config
from understudy.recipe.recipe import Recipe
from understudy.run.inputs import Materials
from understudy.run.members import LINEAR
from understudy.run.settings import Settings
from understudy.runtime.hardware import Hardware, machine
from understudy.runtime.packages import own_version, versions
from understudy.runtime.progress import duration
from understudy.storage.files import write_text
from understudy.storage.layout import RunDirectory, read_recipe
from understudy.storage.manifest import Manifest
from understudy.training.estimate import Work, estimate

log = logging.getLogger(__name__)

# Options that no result depends on.
_IRRELEVANT = {
    "name",
    "description",
    "teacher.checkpoint_steps",
    "distillation.checkpoint_steps",
    "frontier.students",
}
# A run keeps its data and its teacher; the seed decides both.
_FIXED = {"data", "teacher", "seed"}
# What `data.frames.write_source` calls its files.
_WRITTEN = re.compile(r"(train|validation|test|unlabelled)-[0-9a-f]{16}\.parquet")


def check_place(run: RunDirectory) -> None:
    """Refuses a run directory that is a file, or a folder that holds something else.

    Raises:
        RunDirectoryError: The path is not a folder, or holds something other than a run.
    """
    place = _nearest(run.root)
    if not place.is_dir():
        raise RunDirectoryError(f"--out {run.root}: {place} is a file; expected a folder or a new name.")
    there = [] if run.is_run() or not run.root.is_dir() else sorted(run.root.iterdir())
    foreign = [path.name for path in there if path != run.data or not _holds_our_data(path)]
    if foreign:
        raise RunDirectoryError(
            f"--out {run.root} is not empty ({', '.join(foreign[:3])}) and is not a run directory. Give another folder."
        )


def _holds_our_data(folder: Path) -> bool:
    """Whether a folder has only data that a call wrote before it was killed."""
    return folder.is_dir() and all(_WRITTEN.fullmatch(path.name) for path in folder.iterdir())


def check_recipe(run: RunDirectory, recipe: Recipe, overwrite: bool) -> list[str]:
    """Refuses a run with other data or another teacher; returns the options that differ from the earlier run's.

    Raises:
        RunDirectoryError: The run's data or teacher differ, and it may not be overwritten.
    """
    # A run without its recipe was interrupted at the very start; `check_fingerprints` still sees what it finished.
    if overwrite or not run.is_run() or not run.recipe.is_file():
        return []
    earlier = read_recipe(run)
    differences = {name: values for name, values in recipe.differences(earlier).items() if name not in _IRRELEVANT}
    fixed = {name: values for name, values in differences.items() if name.split(".")[0] in _FIXED}
    if fixed:
        lines = "\n".join(f"  {name}: {mine!r} here, {theirs!r} there" for name, (mine, theirs) in fixed.items())
        raise RunDirectoryError(
            f"{run.root} holds a run of '{earlier.name}' with another teacher or other data:\n{lines}\n"
            "Give another --out, or --overwrite to replace the run."
        )
    return sorted(differences)


def check_fingerprints(run: RunDirectory, present: dict[str, str]) -> None:
    """Refuses a run whose options are the same but whose data or teacher changed.

    Args:
        run: Holds an earlier run, or nothing.
        present: Fingerprints of the stage `data` and of the teacher's.

    Raises:
        RunDirectoryError: One of them differs from the earlier run's.
    """
    earlier = Manifest(run.manifest)
    for stage, fingerprint in present.items():
        if earlier.fingerprint(stage) not in (None, fingerprint):
            behind = "texts or labels" if stage == "data" else "model, scores or data"
            raise RunDirectoryError(
                f"{run.root} holds a run with another {stage}: the options are the same, but the {behind} "
                "behind them changed. Give another --out, or --overwrite to replace the run."
            )


def check_hardware(recipe: Recipe, hardware: Hardware) -> None:
    """Refuses what the machine cannot do.

    Raises:
        UserError: The recipe asks for a precision that the machine only emulates, or for a GPU that Trainer ignores.
    """
    if hardware.device not in (hardware.kind, f"{hardware.kind}:0"):
        number = hardware.device.partition(":")[2]
        raise UserError(
            f"--device {hardware.device}: training uses the first GPU that it sees. Leave --device out and set "
            f"CUDA_VISIBLE_DEVICES={number} instead."
        )
    for options in (recipe.teacher, recipe.distillation, recipe.evaluation):
        hardware.dtype(options.precision)


def check_attention(recipe: Recipe, materials: Materials, hardware: Hardware) -> None:
    """Refuses an attention kernel that a model does not support.

    Raises:
        UserError: A model does not support the recipe's kernel.
    """
    encoders = [member.encoder for member in materials.members if member.encoder is not None]
    teachers = [(recipe.teacher, encoder.origin) for encoder in encoders]
    for options, origin in (*teachers, (recipe.distillation, materials.student or materials.origin)):
        per_text = supports_per_text(load_config(origin.path))
        hardware.attention(options.attention, hardware.dtype(options.precision), training=True, per_text=per_text)


def remove_run(run: RunDirectory, keep: Recipe) -> None:
    """Removes what a run wrote and nothing else; the manifest goes last, because it marks the folder as a run.

    Args:
        run: The run.
        keep: The recipe of the next run, whose data files stay.
    """
    needed = {Path(value).resolve() for value in keep.data.model_dump().values() if isinstance(value, str)}
    for path in run.data.glob("*.parquet"):
        if _WRITTEN.fullmatch(path.name) and path.resolve() not in needed:
            path.unlink()
    several = [run.control(LINEAR).parent, run.another_student(LINEAR).parent]
    folders = [run.teacher, run.student, *several, run.dashboard.parent, run.checkpoints, run.tracking]
    folders += [export for export in run.exports() if is_exported(export)]
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
    for file in (run.metrics, run.predictions, run.frontier, run.benchmark, run.recipe, run.manifest):
        file.unlink(missing_ok=True)


def announce(recipe: Recipe, materials: Materials, run: RunDirectory, settings: Settings) -> None:
    """Says how much time and disk the run will take.

    Args:
        recipe: What to do.
        materials: What it starts from.
        run: Where it goes.
        settings: What it is done with.

    Raises:
        UserError: The disk is too small.
    """
    hardware = settings.hardware
    works = [*_teachers_work(recipe, materials, run, settings.overwrite), *_students_work(recipe, materials)]
    ahead = estimate(works, hardware, hardware.dtype(recipe.teacher.precision))
    log.info(
        "%s: %s texts, %d classes; about %s if nothing is cached, %.1f GB of disk",
        recipe.name,
        ", ".join(f"{count:,} {split}" for split, count in materials.sizes.items()),
        len(materials.corpus.classes),
        duration(ahead.seconds),
        ahead.bytes / 1e9,
    )
    place = _nearest(run.root)
    free = shutil.disk_usage(place).free
    if free < ahead.bytes:
        raise UserError(
            f"{place} has {free / 1e9:.1f} GB left, but the run needs about {ahead.bytes / 1e9:.1f} GB. Free some "
            "space, or give another --out."
        )


def _teachers_work(recipe: Recipe, materials: Materials, run: RunDirectory, afresh: bool) -> list[Work]:
    manifest = None if afresh else Manifest(run.manifest)
    works = (
        member.work(recipe, materials.corpus, manifest is not None and manifest.fingerprint(member.stage) is not None)
        for member in materials.members
    )
    return [work for work in works if work is not None]


def _students_work(recipe: Recipe, materials: Materials) -> list[Work]:
    config = load_config((materials.student or materials.origin).path)
    layers = recipe.student.layers or config.num_hidden_layers
    counts = {name: tokens.total for name, tokens in materials.student_tokens.items()}
    length = counts["train"] / max(1, materials.sizes["train"])
    splits = ["transfer", *(["train"] if "no_distillation" in recipe.evaluation.controls else [])]
    return [
        Work(config, layers, counts[split] * recipe.distillation.epochs, counts["test"], length)
        for split in splits * recipe.seeds
    ]


def begin(recipe: Recipe, run: RunDirectory, hardware: Hardware, materials: Materials, seconds: float) -> Manifest:
    """Writes to the run directory for the first time: what is going to be done, with what and where."""
    manifest = Manifest(run.manifest)
    teachers = [member.record() for member in materials.members]
    start = materials.student or (materials.origin if recipe.teacher.scores is not None else None)
    manifest.maker = {
        "understudy": own_version(),
        "versions": _versions(),
        "machine": {**machine(), "device": hardware.device, "threads": hardware.threads},
    }
    manifest.content |= {
        "folder": str(Path.cwd()),
        "models": {
            "teacher": teachers[0] if len(teachers) == 1 else teachers,
            "student": start.record() if start else None,
        },
        "classes": materials.corpus.classes,
        "audit": materials.findings.to_json(excerpts=recipe.report.texts),
    }
    manifest.save()
    write_text(run.recipe, recipe.to_toml())
    if manifest.fingerprint("data") is None:
        manifest.finish("data", materials.corpus.digest, seconds, {"texts": materials.sizes})
    return manifest


def _nearest(path: Path) -> Path:
    """`path` itself, or the nearest folder or file above it that there is."""
    absolute = path.absolute()
    return next(place for place in (absolute, *absolute.parents) if place.exists())


def _versions() -> dict[str, str]:
    packages = ("torch", "transformers", "tokenizers", "datasets", "accelerate", "scikit-learn", "numpy")
    return {"python": platform.python_version(), **versions(packages)}
