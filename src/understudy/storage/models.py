"""The models of a run that can be used on their own, by name."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from understudy.errors import ModelError, UserError

if TYPE_CHECKING:  # the command line's flags need the names alone
    from understudy.storage.layout import RunDirectory

log = logging.getLogger(__name__)

STUDENT = "student"
TEACHER = "teacher"
BEST = "best"
"""The model that the run recommends."""

WHICH = (STUDENT, TEACHER, "linear", "frozen", "static", BEST)
"""What can be asked for."""


def model_folder(run: RunDirectory, which: str = STUDENT) -> Path:
    """The folder of one of a run's models.

    Args:
        run: The run directory.
        which: One of `WHICH`.

    Raises:
        UserError: `which` is not one of them.
        ModelError: The run has no such model, its teacher is not one model, or it recommends none.
    """
    check_which(which)
    folders = {
        STUDENT: run.student,
        TEACHER: run.teacher,
        "linear": run.control("linear"),
        "frozen": run.control("frozen"),
        "static": run.another_student("static"),
    }
    name = which
    if which == BEST:
        name = _recommended(run)
        log.info("%s: the recommended model is %s", run.root, name)
    several = _why_not_one_model(run)
    there = [each for each, folder in folders.items() if folder.is_dir() and not (each == TEACHER and several)]
    if name in there:
        return folders[name]
    if not there:
        raise ModelError(
            f"The run {run.root} has no {name} yet. Finish it first: understudy run {run.recipe} --out {run.root}"
        )
    problem = f"The teacher of {run.root} {several}" if name == TEACHER and several else f"{run.root} has no {name}"
    raise ModelError(f"{problem}. Choose a model that it has: {', '.join(there)}.")


def refuse_which(folder: Path, which: str) -> None:
    """Refuses another model than the student where there is no run to take it from.

    Raises:
        UserError: Another one was asked for.
    """
    check_which(which)
    if which != STUDENT:
        raise UserError(f"{folder} is not a run directory, so it has no {which} model to choose. Leave out --which.")


def check_which(which: str) -> None:
    """Checks that a name is one of `WHICH`.

    Raises:
        UserError: It is not.
    """
    if which not in WHICH:
        raise UserError(f"No model is called {which!r}. Choose one of {', '.join(WHICH)}.")


def _why_not_one_model(run: RunDirectory) -> str:
    """Why the teacher has no folder that can be opened; empty if it has."""
    if (run.teacher / "committee.json").is_file():
        return "is a committee of several models, so it cannot be used as one"
    if (run.teacher / "scores.parquet").is_file():
        return "is not a model, because only its scores were given"
    return ""


def _recommended(run: RunDirectory) -> str:
    """The name of the recommended model."""
    missing = f"{run.root} does not recommend a model. Run it again with this version, or name a model: "
    try:
        found = json.loads(run.metrics.read_text(encoding="utf-8"))["recommendation"]["model"]
    except FileNotFoundError:
        raise ModelError(
            f"The run {run.root} is not finished. Finish it first: understudy run {run.recipe} --out {run.root}"
        ) from None
    except (OSError, ValueError, KeyError, TypeError):  # an earlier version wrote it, or it is damaged
        raise ModelError(missing + ", ".join(WHICH[:-1]) + ".") from None
    if found not in WHICH[:-1]:
        raise ModelError(missing + ", ".join(WHICH[:-1]) + ".")
    return str(found)
