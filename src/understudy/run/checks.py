"""What has to be so before a run begins: an output folder that is free, hardware that can do it, and room for it.

Whatever can go wrong with these goes wrong here, before anything is trained and before the run directory is touched.
`begin` is the first to write there.
"""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

from understudy.errors import RunDirectoryError, UserError
from understudy.inference.exported import is_exported
from understudy.models.attention import supports_per_text
from understudy.models.loading import load_config
from understudy.recipe.recipe import Recipe
from understudy.run.inputs import Encoder, Materials
from understudy.runtime.hardware import Hardware, machine
from understudy.runtime.progress import duration
from understudy.storage.files import write_text
from understudy.storage.layout import RunDirectory, read_recipe
from understudy.storage.manifest import Manifest
from understudy.training.estimate import Work, estimate
from understudy.training.teacher import is_ready_made

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
        present: Fingerprints of the stage `data` and of the teacher's.

    Raises:
        RunDirectoryError: one of them is not the earlier run's.
    """
    earlier = Manifest(run.manifest)
    for stage, fingerprint in present.items():
        if earlier.fingerprint(stage) not in (None, fingerprint):
            behind = "texts or labels" if stage == "data" else "model, scores, machine or data"
            raise RunDirectoryError(
                f"{run.root} holds a run with another {stage}: the options are the same, but the {behind} "
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
    models = [member.model for member in materials.members]
    teachers = [(recipe.teacher, model.origin) for model in models if isinstance(model, Encoder)]
    for options, origin in (*teachers, (recipe.distillation, materials.student or materials.origin)):
        per_text = supports_per_text(load_config(origin.path))
        hardware.attention(options.attention, hardware.dtype(options.precision), training=True, per_text=per_text)


def remove_run(run: RunDirectory) -> None:
    """Removes what a run wrote and nothing else; the manifest goes last, for without it the rest is no run."""
    several = [run.control("linear").parent, run.another_student("linear").parent]
    folders = [run.teacher, run.student, *several, run.dashboard.parent, run.checkpoints, run.tracking]
    folders += [export for export in run.exports() if is_exported(export)]
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
    for file in (run.metrics, run.predictions, run.frontier, run.benchmark, run.recipe, run.manifest):
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
    student = load_config((materials.student or materials.origin).path)
    layers = recipe.student.layers or student.num_hidden_layers
    counts = {name: tokens.total for name, tokens in materials.student_tokens.items()}
    length = counts["train"] / max(1, sizes["train"])
    works = []
    for member in materials.members:
        if isinstance(member.model, Encoder):
            origin = member.model.origin
            config = load_config(origin.path)
            there = not afresh and Manifest(run.manifest).fingerprint(member.stage) is not None
            epochs = 0 if there or is_ready_made(origin, corpus.classes) else recipe.teacher.epochs
            own = {name: tokens.total for name, tokens in member.model.tokens.items()}
            scored = own["transfer"] + own["test"]
            works.append(Work(config, config.num_hidden_layers, own["train"] * epochs, scored, length))
    students = ["transfer", *(["train"] if "no_distillation" in recipe.evaluation.controls else [])]
    works += [
        Work(student, layers, counts[split] * recipe.distillation.epochs, counts["test"], length)
        for split in students * recipe.seeds
    ]
    ahead = estimate(works, hardware, hardware.dtype(recipe.teacher.precision))
    log.info(
        "%s: %s texts, %d classes; about %s where nothing is cached, %.1f GB of disk",
        recipe.name,
        ", ".join(f"{count:,} {split}" for split, count in sizes.items()),
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
    teachers = [member.record() for member in materials.members]
    start = materials.student or (materials.origin if recipe.teacher.scores is not None else None)
    manifest.maker = {
        "understudy": _version(),
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


def _version() -> str:
    from importlib.metadata import version

    return version("understudy")


def _versions() -> dict[str, str]:
    import platform
    from importlib.metadata import version

    packages = ("torch", "transformers", "tokenizers", "datasets", "accelerate", "scikit-learn", "numpy")
    return {"python": platform.python_version(), **{package: version(package) for package in packages}}
