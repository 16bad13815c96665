"""What understudy leaves on disk: the run directory, its manifest, the cache, and how files come into being.

Whatever is written appears whole or not at all: it is written beside its place, synced, and renamed.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from understudy.errors import RunDirectoryError
from understudy.recipe.recipe import Recipe

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class RunDirectory:
    """The layout of a run, one property a place."""

    root: Path

    @property
    def recipe(self) -> Path:
        return self.root / "recipe.toml"

    @property
    def manifest(self) -> Path:
        return self.root / "manifest.json"

    @property
    def metrics(self) -> Path:
        return self.root / "metrics.json"

    @property
    def predictions(self) -> Path:
        return self.root / "predictions.parquet"

    @property
    def teacher(self) -> Path:
        return self.root / "teacher"

    def teacher_members(self, count: int) -> list[Path]:
        """A folder for each model of a committee; a teacher that is one model has its folder to itself."""
        return [self.teacher] if count == 1 else [self.teacher / str(number) for number in range(1, count + 1)]

    @property
    def student(self) -> Path:
        return self.root / "student"

    @property
    def card(self) -> Path:
        """The student's model card."""
        return self.student / "README.md"

    def another_student(self, name: str) -> Path:
        """Where a student of the frontier is that is not the recipe's own."""
        return self.root / "students" / name

    def repeated_student(self, seed: int) -> Path:
        """Where the recipe's own student is that was trained with another seed."""
        return self.another_student(f"seed-{seed}")

    @property
    def frontier(self) -> Path:
        return self.root / "frontier.json"

    @property
    def frontier_plot(self) -> Path:
        return self.root / "report" / "frontier.png"

    def frontier_students(self) -> list[Path]:
        """The students of the frontier that are there, but for the recipe's own and its repeats."""
        found = sorted((self.root / "students").glob("[!.]*"))
        return [folder for folder in found if folder.is_dir() and not folder.name.startswith("seed-")]

    def control(self, name: str) -> Path:
        return self.root / "controls" / name

    def repeated_control(self, seed: int) -> Path:
        """Where the control without a teacher is that was trained with another seed."""
        return self.control(f"no_distillation-seed-{seed}")

    def export(self, name: str) -> Path:
        """Where an exported model is."""
        return self.root / "export" / name

    @property
    def benchmark(self) -> Path:
        return self.root / "benchmark.json"

    @property
    def benchmark_plot(self) -> Path:
        return self.root / "report" / "benchmark.png"

    def exports(self) -> list[Path]:
        """The folders in which exports are expected."""
        return sorted(path for path in self.export("").glob("[!.]*") if path.is_dir())

    @property
    def dashboard(self) -> Path:
        return self.root / "report" / "dashboard.png"

    @property
    def dashboard_svg(self) -> Path:
        return self.dashboard.with_suffix(".svg")

    @property
    def page(self) -> Path:
        return self.root / "report" / "report.html"

    @property
    def checkpoints(self) -> Path:
        """Where unfinished training keeps its state; gone once a stage is done."""
        return self.root / ".checkpoints"

    @property
    def tracking(self) -> Path:
        """What experiment trackers write that keep files."""
        return self.root / "tracking"

    def is_run(self) -> bool:
        return self.manifest.is_file()


class Manifest:
    """What a run has finished: per stage its fingerprint, what that was made of, and its seconds.

    Saved after every stage, so it never claims more than is on disk.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.maker: dict[str, Any] = {}  # goes into the manifest when it has made something
        self.content: dict[str, Any] = {"schema_version": SCHEMA_VERSION, "stages": {}}
        if path.is_file():
            try:
                content = json.loads(path.read_text(encoding="utf-8"))
                for stage in content["stages"].values():
                    stage["fingerprint"], stage["seconds"], stage["details"].items()
            except (ValueError, KeyError, TypeError, AttributeError):
                raise RunDirectoryError(
                    f"{path} is no manifest of understudy's. Give another --out, or --overwrite to start afresh."
                ) from None
            if content.get("schema_version") != SCHEMA_VERSION:
                raise RunDirectoryError(
                    f"{path} has schema version {content.get('schema_version')}, this understudy writes "
                    f"{SCHEMA_VERSION}. Give another --out, or --overwrite to start afresh."
                )
            self.content = content

    def fingerprint(self, stage: str) -> str | None:
        return self.content["stages"].get(stage, {}).get("fingerprint")

    def seconds(self) -> dict[str, float]:
        return {name: stage["seconds"] for name, stage in self.content["stages"].items()}

    def details(self, stage: str) -> dict[str, Any]:
        return self.content["stages"].get(stage, {}).get("details", {})

    def machines(self, stages: Iterable[str]) -> list[tuple[dict[str, Any], list[str]]]:
        """The machines on which stages were done, each with those that were; a run can go on on another machine."""
        found: list[tuple[dict[str, Any], list[str]]] = []
        for stage in stages:
            machine = self.content["stages"][stage].get("machine") or self.content.get("machine", {})
            known = next((names for each, names in found if each == machine), None)
            if known is None:
                found.append((machine, [stage]))
            else:
                known.append(stage)
        return found

    def finish(self, stage: str, fingerprint: str, seconds: float, details: dict[str, Any], made: bool = True) -> None:
        """Notes a stage, and with what and where if it `made` something and does not only show what others made."""
        if made:
            self.content |= self.maker
        self.content["stages"][stage] = {
            "fingerprint": fingerprint,
            "seconds": round(seconds, 2),
            "machine": self.maker.get("machine", {}),
            "details": details,
        }
        self.save()

    def forget(self, stage: str) -> None:
        if self.content["stages"].pop(stage, None) is not None:
            self.save()

    def save(self) -> None:
        write_json(self.path, self.content)


def fingerprint(**parts: Any) -> str:
    """Digest of named parts that JSON can express; the same parts give the same digest on every machine."""
    canonical = json.dumps(parts, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.blake2b(canonical.encode(), digest_size=16).hexdigest()


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def folder_digest(folder: Path) -> str:
    """Digest of what makes a model: its weights, config and tokenizer, or given scores; not its model card."""
    kinds = {".safetensors", ".json", ".txt", ".model", ".parquet"}
    files = sorted(path for path in folder.iterdir() if path.suffix in kinds)
    return fingerprint(**{path.name: file_sha256(path) for path in files})


def write_json(path: Path, content: Any) -> None:
    """Writes indented JSON; a number that is not finite is a defect and raises `ValueError`."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    write_file(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_file(path: Path, write: Callable[[Path], object], scratch: Path | None = None) -> None:
    """Lets `write` fill a temporary file, then moves it to `path`, which is never half written.

    The temporary name ends like `path`, for writers that go by the suffix.

    Args:
        path: The file.
        write: Fills the temporary one.
        scratch: The folder for the temporary file, on the same disk; by default it lies beside `path`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = (scratch or path.parent) / f".{secrets.token_hex(4)}-{path.name}"
    try:
        write(temporary)
        _sync(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    _sync(path.parent)


@contextmanager
def write_folder(path: Path) -> Iterator[Path]:
    """Yields an empty folder beside `path` that takes its place, whole, when the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    token = secrets.token_hex(4)
    temporary, old = (path.with_name(f".{token}-{kind}-{path.name}") for kind in ("new", "old"))
    temporary.mkdir()
    try:
        yield temporary
        for file in [temporary, *temporary.rglob("*")]:
            _sync(file)
        if path.exists():
            path.rename(old)
        try:
            temporary.rename(path)
        except OSError:
            if old.exists():
                old.rename(path)
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
    _sync(path.parent)


def copy_folder(source: Path, target: Path) -> None:
    with write_folder(target) as temporary:
        shutil.copytree(source, temporary, dirs_exist_ok=True)


def default_cache() -> Path:
    """`$UNDERSTUDY_CACHE`, else `understudy` in the user's cache folder."""
    chosen = os.environ.get("UNDERSTUDY_CACHE")
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "understudy"


def read_recipe(run: RunDirectory) -> Recipe:
    """The recipe of a run.

    Raises:
        RunDirectoryError: there is no run there.
    """
    if not run.recipe.is_file():
        raise RunDirectoryError(f"{run.root} holds no run: expected {run.recipe.name} in it. Give a run directory.")
    return Recipe.load(run.recipe)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
