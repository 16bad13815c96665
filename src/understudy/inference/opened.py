"""How a classifier was opened, so that another process can open the same one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from understudy.errors import ModelError

Stamp = tuple[str, int, int, int]


class OpenOptions(TypedDict, total=False):
    """The keyword arguments of `open_classifier`."""

    device: str | None
    threads: int | None
    precision: str | None
    engine: str | None


@dataclass(frozen=True)
class Opened:
    """How a classifier was opened.

    Attributes:
        options: As they were given.
        stamps: Of the model's files when it was opened.
    """

    options: OpenOptions
    stamps: list[Stamp]

    @classmethod
    def now(cls, folder: Path, options: OpenOptions) -> Opened:
        return cls(options, _stamps(folder))

    def has_changed(self, folder: Path) -> bool:
        """Whether a file was changed, added or removed since then."""
        return _stamps(folder) != self.stamps

    def check(self, folder: Path) -> None:
        """Checks that the folder still holds the model that was opened.

        Raises:
            ModelError: It does not.
        """
        if self.has_changed(folder):
            raise ModelError(f"{folder} changed after it was opened. Open it again with understudy.load.")


def model_files(folder: Path) -> list[Path]:
    """The files that decide the predictions: all but the model card."""
    return sorted(path for path in folder.iterdir() if path.is_file() and path.suffix != ".md")


def _stamps(folder: Path) -> list[Stamp]:
    """Name, size, number and time of every file; they show a change without reading the file."""
    try:
        stats = [(path.name, path.stat()) for path in model_files(folder)]
    except FileNotFoundError:
        return []
    return [(name, stat.st_size, stat.st_ino, stat.st_mtime_ns) for name, stat in stats]
