"""Experiment trackers: every tracker that Hugging Face's Trainer knows, with one tracker run per stage.

The stages of one run share a project and a group, unless the environment names others. The environment variables for
that are set while a stage trains, and restored afterwards.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from transformers import TrainerCallback
from transformers.integrations.integration_utils import (
    INTEGRATION_TO_CALLBACK,
    TensorBoardCallback,
    get_available_reporting_integrations,
    is_flytekit_available,
)

from understudy.errors import UserError
from understudy.recipe.wording import suggestion
from understudy.runtime.environment import variables
from understudy.storage.files import write_text
from understudy.training.reporters import Reporters

PROJECT = "understudy"
_TENSORBOARD = "tensorboard"


@dataclass(frozen=True)
class Tracking:
    """Where a run's training curves go.

    Attributes:
        trackers: Trainer's names for them.
        group: Names the run, whose stages belong together.
        folder: For trackers that write files; one subfolder per stage.
    """

    trackers: tuple[str, ...] = ()
    group: str = "run"
    folder: Path = Path("tracking")

    def run_name(self, stage: str) -> str:
        return f"{self.group}-{stage}"

    @contextmanager
    def stage(self, name: str, checkpoints: Path, step: int, main_process: bool) -> Iterator[list[TrainerCallback]]:
        """Yields the callback that reports, if there is a tracker; Trainer is made, and trains, inside the block.

        Args:
            name: The stage's.
            checkpoints: Its folder for unfinished state, which keeps the names of tracker runs to resume.
            step: The step after which training resumes; 0 if it starts.
            main_process: Whether this process reports.

        Raises:
            UserError: A tracker does not start, mostly because nobody is logged in or its server does not answer.
        """
        with ExitStack() as opened:
            opened.enter_context(variables(self._variables(name)))
            if not (self.trackers and main_process):
                yield []
                return
            reporters = Reporters()
            for tracker in self.trackers:
                make: Callable[[], TrainerCallback] = INTEGRATION_TO_CALLBACK[tracker]
                kept = checkpoints / f"{tracker}-run"
                with reporters.beginning(tracker):
                    if tracker == _TENSORBOARD:
                        writer = self._tensorboard(name, step)
                        make = partial(TensorBoardCallback, writer)
                        reporters.enter(opened, tracker, closing(writer))
                    elif tracker == "wandb":
                        reporters.enter(opened, tracker, self._wandb(name, kept))
                    elif tracker == "mlflow":
                        reporters.enter(opened, tracker, self._mlflow(name, kept))
                    reporters.add(tracker, make())
            yield [reporters]

    def _tensorboard(self, stage: str, step: int) -> Any:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:  # transformers takes this one as well
            from tensorboardX import SummaryWriter  # type: ignore[no-redef]

        chosen = os.environ.get("TENSORBOARD_LOGGING_DIR")
        folder = Path(chosen).expanduser() / self.group if chosen else self.folder
        # Hides what an interrupted attempt, or another student with this name, drew from here on.
        return SummaryWriter(str(folder / stage), purge_step=step + 1 if step else 0)

    # The callbacks of these two log into the open run. If they opened one themselves, W&B's would log all stages
    # into the first, and MLflow's would switch the whole process to another experiment.

    def _wandb(self, stage: str, kept: Path) -> AbstractContextManager[Any]:
        import wandb

        if wandb.run is not None:  # the user's
            return nullcontext()
        if not kept.is_file():
            write_text(kept, secrets.token_hex(8))
        run: AbstractContextManager[Any] = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            group=os.environ.get("WANDB_RUN_GROUP", self.group),
            name=self.run_name(stage),
            id=kept.read_text(encoding="utf-8"),
            resume="allow",
        )
        return run

    def _mlflow(self, stage: str, kept: Path) -> AbstractContextManager[Any]:
        import mlflow

        experiment = None  # the one that the user has set
        if not {"MLFLOW_EXPERIMENT_NAME", "MLFLOW_EXPERIMENT_ID"} & os.environ.keys():
            found = mlflow.get_experiment_by_name(PROJECT)
            experiment = found.experiment_id if found else mlflow.create_experiment(PROJECT)
        run = mlflow.start_run(
            run_id=kept.read_text(encoding="utf-8") if kept.is_file() else None,
            experiment_id=experiment,
            run_name=self.run_name(stage),
            nested=True,  # beneath a run that the user has open, if there is one
            tags={"group": self.group},
        )
        write_text(kept, run.info.run_id)
        mlflow_run: AbstractContextManager[Any] = run
        return mlflow_run

    def _variables(self, stage: str) -> dict[str, str]:
        """What the callbacks of the other trackers in use read from the environment."""
        groups = {
            "clearml": {"CLEARML_PROJECT": PROJECT},
            "comet_ml": {"COMET_PROJECT_NAME": PROJECT},
            "swanlab": {"SWANLAB_PROJECT": PROJECT},
        }
        stages = {
            "clearml": {"CLEARML_TASK": self.run_name(stage)},
            "comet_ml": {"COMET_MODE": "create"},  # by default it would continue the last stage's experiment
        }
        found: dict[str, str] = {}
        for tracker in self.trackers:
            given = groups.get(tracker, {}).items()
            found |= {name: value for name, value in given if name not in os.environ}
            found |= stages.get(tracker, {})
        return found


NO_TRACKING = Tracking()


def tracking(report_to: str | Sequence[str], group: str, folder: Path) -> Tracking:
    """Checks the names of trackers before anything is trained.

    Args:
        report_to: One or more names, or one string of names with commas between them; `none` for no tracker.
        group: Names the run.
        folder: For trackers that write files.

    Raises:
        UserError: Trainer knows no such tracker, or it is not installed.
    """
    given = report_to.split(",") if isinstance(report_to, str) else report_to
    names = [name.strip() for name in given]
    trackers = tuple(dict.fromkeys(name for name in names if name != "none"))
    if not trackers:
        return NO_TRACKING
    usable = [*get_available_reporting_integrations(), *(["flyte"] if is_flytekit_available() else [])]
    here = f"usable here: {', '.join(sorted(usable)) or 'none of them'}"
    for name in trackers:
        if name not in INTEGRATION_TO_CALLBACK:
            known = sorted(INTEGRATION_TO_CALLBACK)
            raise UserError(
                f"--report-to got '{name}'{suggestion(name, known) or '.'} Expected trackers that Hugging Face's "
                f"Trainer reports to, with commas between them: {', '.join(known)} ({here}). Give one of them, or none."
            )
        if name not in usable:
            raise UserError(
                f"--report-to got {name}, whose package is not installed or not set up ({here}). Install it, give "
                "another one, or leave --report-to out."
            )
    return Tracking(trackers, group, folder)
