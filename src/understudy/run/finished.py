"""What of a run is finished, and what is removed once something that it showed is made again."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from understudy.inference.exported import is_exported, made_of
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
        repeats: Folders of the student's repeats with other seeds, which the evaluation needs.
    """

    run: RunDirectory
    manifest: Manifest
    repeats: Sequence[Path] = ()

    def folder(self, stage: str, key: str, folder: Path, make: Callable[[], TrainedModel]) -> Path:
        """A stage's folder, made unless it is finished.

        Args:
            stage: The stage.
            key: Its fingerprint.
            folder: Where its model is.
            make: Makes it.
        """
        if not self.holds(stage, key, folder):
            self.remove_dependents(folder)
            self.note(stage, key, make())
        return folder

    def holds(self, stage: str, key: str, folder: Path) -> bool:
        """Whether a model is there, with this fingerprint and unchanged."""
        if self.manifest.fingerprint(stage) != key or not folder.is_dir():
            return False
        if folder_digest(folder) == self.manifest.details(stage).get("digest"):
            log.info("%s: already finished", stage)
            return True
        log.warning("%s: %s has changed since it was made; making it again", stage, folder)
        return False

    def note(self, stage: str, key: str, made: TrainedModel) -> None:
        """Records a model that was just made."""
        calibration = made.calibration and asdict(made.calibration)
        details = {"digest": made.digest, "reused": made.reused, "calibration": calibration, "history": made.history}
        self.manifest.finish(stage, key, made.seconds, details)

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

    def is_evaluated(self, key: str) -> bool:
        """Whether the figures are there, with this fingerprint and unchanged."""
        recorded = self.manifest.details(EVALUATION).get("files", {})
        return self.manifest.fingerprint(EVALUATION) == key and all(
            path.is_file() and recorded.get(path.name) == file_sha256(path) for path in self.outputs
        )

    def note_evaluation(self, key: str, seconds: float, dtype: str) -> None:
        """Records figures that were just written."""
        files = {path.name: file_sha256(path) for path in self.outputs}
        self.manifest.finish(EVALUATION, key, seconds, {"dtype": dtype, "files": files})

    def _covers(self, folder: Path) -> bool:
        """Whether the evaluation covers a model: all but the frontier's other students."""
        return folder in self.repeats or folder != self.run.another_student(folder.name)

    def _remove_exports(self, folder: Path) -> None:
        if not folder.is_dir():
            return
        digest = folder_digest(folder)
        for export in filter(is_exported, self.run.exports()):
            if made_of(export) == digest:
                log.warning("%s was exported from a model that is being replaced; removing it", export)
                shutil.rmtree(export)
