"""The names of trackers, and the curves that arrive in TensorBoard."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from curves import curves, logged
from understudy.cli import main as cli
from understudy.errors import UserError
from understudy.recipe.recipe import Recipe
from understudy.training.tracking import NO_TRACKING, Tracking, tracking

# Names


@pytest.mark.parametrize("given", ["none", (), ["none"], "none,none"])
def test_no_tracker(given: Any) -> None:
    assert tracking(given, "run", Path("here")) is NO_TRACKING


@pytest.mark.parametrize("given", ["tensorboard", " tensorboard,none", ["tensorboard", "tensorboard"]])
def test_a_tracker_that_is_installed(given: Any) -> None:
    assert tracking(given, "run", Path("here")) == Tracking(("tensorboard",), "run", Path("here"))


def test_a_tracker_that_nobody_knows() -> None:
    with pytest.raises(UserError) as refused:
        tracking("tensorbord", "run", Path("here"))
    text = str(refused.value)
    assert text.startswith("--report-to got 'tensorbord'; did you mean tensorboard? Expected trackers that ")
    assert "mlflow" in text and "wandb" in text and "usable here: " in text
    with pytest.raises(UserError, match=r"got 'all'\. Expected"):
        tracking("all", "run", Path("here"))


def test_a_tracker_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("understudy.training.tracking.get_available_reporting_integrations", lambda: ["tensorboard"])
    expected = r"got wandb, whose package is not installed or not set up \(usable here: tensorboard\)\. Install it"
    with pytest.raises(UserError, match=expected):
        tracking("tensorboard,wandb", "run", Path("here"))


def test_the_command_line_refuses_before_anything_is_written(
    tmp_path: Path, make_recipe: Callable[..., Recipe], capsys: pytest.CaptureFixture[str], trained: list[str]
) -> None:
    (tmp_path / "my.toml").write_text(make_recipe().to_toml())
    for command in ("run", "frontier"):
        arguments = [command, str(tmp_path / "my.toml"), "--out", str(tmp_path / "out"), "--report-to", "tensorboards"]
        assert cli.main(arguments) == 2
        assert "--report-to got 'tensorboards'; did you mean tensorboard?" in capsys.readouterr().err
    assert trained == [] and not (tmp_path / "out").exists()


# One training


def test_the_curves_are_the_training_log(
    training: Any, undisturbed: Any, tensorboard: Tracking, tmp_path: Path
) -> None:
    outcome = training(tmp_path / "checkpoints", tracking=tensorboard, checkpoint_steps=4)
    assert outcome == undisturbed(checkpoint_steps=4)
    found = curves(tensorboard.folder / "test")
    for name in ("loss", "learning_rate", "grad_norm"):
        assert found[f"train/{name}"] == logged(outcome.history, name)
    for name in ("loss", "accuracy"):
        assert found[f"eval/{name}"] == logged(outcome.history, f"eval_{name}")
    assert len(found["train/loss"]) == 6 and len(found["eval/accuracy"]) == 2
    assert all(math.isfinite(value) for curve in found.values() for _, value in curve)


@pytest.mark.parametrize("break_at", [1, 8, 9])
def test_the_curves_go_on_where_training_does(
    training: Any, undisturbed: Any, broken_off: type[Exception], tensorboard: Tracking, tmp_path: Path, break_at: int
) -> None:
    options = {"tracking": tensorboard, "checkpoint_steps": 4}
    with pytest.raises(broken_off):
        training(tmp_path / "checkpoints", break_at=break_at, **options)
    training(tmp_path / "checkpoints", **options)
    found, history = curves(tensorboard.folder / "test"), undisturbed(checkpoint_steps=4).history
    assert found["train/loss"] == logged(history, "loss")
    assert found["eval/accuracy"] == logged(history, "eval_accuracy")


def test_another_training_of_the_same_name_replaces_the_curves(
    training: Any, tensorboard: Tracking, tmp_path: Path
) -> None:
    training(tmp_path / "first", tracking=tensorboard)
    history = training(tmp_path / "second", tracking=tensorboard, learning_rate=0.02, epochs=1).history
    assert curves(tensorboard.folder / "test")["train/loss"] == logged(history, "loss")


def test_a_folder_that_the_user_chose(
    training: Any, tensorboard: Tracking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "chosen"))
    training(tmp_path / "checkpoints", tracking=tensorboard, epochs=1)
    assert "train/loss" in curves(tmp_path / "chosen" / "run" / "test")
    assert not tensorboard.folder.exists()
