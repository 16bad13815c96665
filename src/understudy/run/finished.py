"""What of a run is finished, and what is removed once something that it showed is made again."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from understudy.inference.exported import is_exported, made_of
from understudy.run.keys import Key
from understudy.storage.files import file_sha256, folder_digest
from understudy.storage.layout import RunDirectory
from understudy.storage.manifest import Manifest
from understudy.training.teacher import TrainedModel

log = logging.getLogger(__name__)

EVALUATION = "evaluation"


@dataclass(frozen=True)
class Finished:
    """The finished stages of one run, as manifest and folders tell.

    Attributes:
        run: The run directory.
        manifest: Its manifest.
        evaluated: Folders of other students that the evaluation needs.
    """

    run: RunDirectory
    manifest: Manifest
    evaluated: Sequence[Path] = ()

    def folder(self, stage: str, key: Key, folder: Path, make: Callable[[], TrainedModel]) -> Path:
        """A stage's folder, made unless it is finished.

        Args:
            stage: The stage.
            key: Its key.
            folder: Where its model is.
            make: Makes it.
        """
        if not self.holds(stage, key, folder):
            self.remove_dependents(folder)
            self.note(stage, key, make())
        return folder

    def holds(self, stage: str, key: Key, folder: Path) -> bool:
        """Whether a model is there, with this key and unchanged; it stays whatever it was computed with."""
        if self.manifest.fingerprint(stage) != key.asked or not folder.is_dir():
            return False
        if folder_digest(folder) == self.manifest.details(stage).get("digest"):
            self._say(stage, key)
            return True
        log.warning("%s: %s has changed since it was made; making it again", stage, folder)
        return False

    def note(self, stage: str, key: Key, made: TrainedModel) -> None:
        """Records a model that was just made."""
        calibration = made.calibration and asdict(made.calibration)
        head = made.head and asdict(made.head)
        details = {
            "digest": made.digest,
            "reused": made.reused,
            "calibration": calibration,
            "head": head,
            "history": made.history,
        }
        if made.choice is not None:
            details["choice"] = made.choice
        self.manifest.finish(stage, key.asked, made.seconds, {**details, "made_with": key.made_with})

    def remove_dependents(self, folder: Path) -> None:
        """Removes figures, pictures and exports that show a model which is about to be replaced."""
        self.forget_frontier()
        for path in (self.run.benchmark, self.run.benchmark_plot, self.run.page):
            path.unlink(missing_ok=True)
        self._remove_exports(folder)
        if self._covers(folder):
            self.manifest.forget(EVALUATION)
            for path in (*self.outputs, self.run.dashboard, self.run.dashboard_svg, self.run.card):
                path.unlink(missing_ok=True)

    def forget_frontier(self) -> None:
        """Removes the frontier's figures and plot."""
        for path in (self.run.frontier, self.run.frontier_plot):
            path.unlink(missing_ok=True)

    @property
    def outputs(self) -> tuple[Path, ...]:
        """What the evaluation writes."""
        return self.run.metrics, self.run.predictions

    def is_evaluated(self, key: Key) -> bool:
        """Whether the figures are there, with this key and unchanged."""
        recorded = self.manifest.details(EVALUATION).get("files", {})
        found = self.manifest.fingerprint(EVALUATION) == key.asked and all(
            path.is_file() and recorded.get(path.name) == file_sha256(path) for path in self.outputs
        )
        if found:
            self._say(EVALUATION, key)
        return found

    def note_evaluation(self, key: Key, seconds: float, dtype: str) -> None:
        """Records figures that were just written."""
        files = {path.name: file_sha256(path) for path in self.outputs}
        details = {"dtype": dtype, "files": files, "made_with": key.made_with}
        self.manifest.finish(EVALUATION, key.asked, seconds, details)

    def _say(self, stage: str, key: Key) -> None:
        """Says that a stage is finished, and what it was made with if that is something else today."""
        before, now = self.manifest.details(stage).get("made_with", key.made_with), dict(key.made_with)
        threads = self.manifest.threads(stage)
        if threads is not None:
            before, now = {**before, "threads": threads}, {**now, "threads": self.manifest.maker["machine"]["threads"]}
        changed = differences(before, now)
        if changed:
            log.info("%s: already finished, and kept; it was made with %s", stage, "; ".join(changed))
        else:
            log.info("%s: already finished", stage)

    def _covers(self, folder: Path) -> bool:
        """Whether the evaluation covers a model: all but the students that only the frontier has."""
        return folder in self.evaluated or folder != self.run.another_student(folder.name)

    def _remove_exports(self, folder: Path) -> None:
        if not folder.is_dir():
            return
        digest = folder_digest(folder)
        for export in filter(is_exported, self.run.exports()):
            if made_of(export) == digest:
                log.warning("%s was exported from a model that is being replaced; removing it", export)
                shutil.rmtree(export)


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What two records of how something was computed differ in, in words: `torch 2.12.0 (now 2.13.0)`."""
    found: list[str] = []
    for name in sorted({*before, *now}):
        one, other = before.get(name), now.get(name)
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            found += differences(one, other)
        elif one != other:
            found.append(f"{name} {one} (now {other})")
    return list(dict.fromkeys(found))
