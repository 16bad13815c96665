"""Checkpoints of unfinished training: whole, with a marker that names their files' checksums, or absent."""

from __future__ import annotations

import logging
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from transformers import TrainerState

from understudy.storage.files import file_sha256, write_json
from understudy.storage.records import load_record

log = logging.getLogger(__name__)

STATE = "trainer_state.json"  # Trainer's name for it
_MARKER = "complete.json"


@dataclass(frozen=True)
class Marker:
    """What marks a checkpoint as whole.

    Attributes:
        seconds: Training time before it.
        files: SHA-256 of each of its files, by name.
    """

    seconds: float
    files: dict[str, str]


def last_whole_checkpoint(folder: Path) -> Path | None:
    """The newest whole checkpoint; incomplete newer ones are removed.

    A checkpoint is whole if its marker is there and its files have the checksums that the marker names. Its best
    predecessor, from which early stopping would take the weights, must be whole too. A best predecessor that is gone
    does no harm: only a better checkpoint displaces it, and the resumed training makes that one again.
    """
    found = {int(path.name.rpartition("-")[2]): path for path in folder.glob("checkpoint-*")}
    for step in sorted(found, reverse=True):
        if _is_whole(found[step]):
            best = TrainerState.load_from_json(str(found[step] / STATE)).best_global_step
            if best is None or best == step or best not in found or _is_whole(found[best]):
                return found[step]
        log.warning("%s is incomplete; removing it", found[step])
        shutil.rmtree(found[step])
    return None


def _is_whole(checkpoint: Path) -> bool:
    try:
        files = read_marker(checkpoint).files
        return STATE in files and all(file_sha256(checkpoint / name) == digest for name, digest in files.items())
    except (OSError, ValueError):
        return False


def read_marker(checkpoint: Path) -> Marker:
    """The marker of a checkpoint.

    Raises:
        OSError: There is none.
        ValueError: It is damaged.
    """
    return load_record(Marker, checkpoint / _MARKER)


def mark_as_whole(checkpoint: Path, seconds: float) -> None:
    """Writes the marker, last of all.

    Args:
        checkpoint: The folder.
        seconds: Training time so far, interrupted attempts included.
    """
    files = sorted(path for path in checkpoint.rglob("*") if path.is_file() and path.name != _MARKER)
    sums = {path.relative_to(checkpoint).as_posix(): file_sha256(path) for path in files}
    write_json(checkpoint / _MARKER, asdict(Marker(seconds, sums)))
