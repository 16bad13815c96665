"""Trackers with a server, and trackers that fail: neither changes what is trained."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sklearn  # noqa: F401  # it sets environment variables
from transformers import TrainerCallback
from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

from curves import curves, logged
from understudy.errors import UserError
from understudy.recipe.recipe import Recipe
from understudy.run.pipeline import distill
from understudy.training.tracking import Tracking

# Trackers with a server. Weights & Biases stands for them: its package is replaced by one that writes down what is
# asked of it. Its callback in transformers is the real one.

_WANDB = """
run, calls, config = None, [], type("Config", (dict,), {"update": lambda self, *a, **o: None})()
class Run:
    id, name, summary = "id", "name", {}
    def _label(self, **_): ...
    def __enter__(self): return self
    def __exit__(self, kind, *_):
        global run
        run = None
        calls[-1]["failed"] = kind is not None
def init(**options):
    global run
    run = Run()
    calls.append({**options, "losses": []})
    return run
def log(values):
    if "train/loss" in values:
        calls[-1]["losses"].append(values["train/loss"])
"""


@pytest.fixture
def wandb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    library = tmp_path / "library" / "wandb" / "sdk" / "lib"
    library.mkdir(parents=True)
    for folder in (library, library.parent):
        (folder / "__init__.py").touch()
    (library / "config_util.py").write_text("class ConfigError(Exception): ...")
    (library.parent.parent / "__init__.py").write_text(_WANDB)
    for name in [name for name in sys.modules if name.partition(".")[0] == "wandb"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(str(tmp_path / "library"))
    for name in ("WANDB_PROJECT", "WANDB_RUN_GROUP"):
        monkeypatch.delenv(name, raising=False)
    import wandb

    yield wandb
    for name in [name for name in sys.modules if name.partition(".")[0] == "wandb"]:
        del sys.modules[name]


@pytest.mark.acceptance
def test_every_stage_has_a_run_of_its_own_in_one_group(
    wandb: Any, make_recipe: Callable[..., Recipe], tmp_path: Path, no_clock: None
) -> None:
    before = dict(os.environ)
    distill(make_recipe(), tmp_path / "reviews", device="cpu", cache_dir=tmp_path / "cache", report_to="wandb")
    assert dict(os.environ) == before
    assert wandb.run is None
    stages = ["teacher", "student", "no_distillation"]
    assert [call["name"] for call in wandb.calls] == [f"reviews-{stage}" for stage in stages]
    assert {call["project"] for call in wandb.calls} == {"understudy"}
    assert {call["group"] for call in wandb.calls} == {"reviews"}
    assert len({call["id"] for call in wandb.calls}) == 3
    assert all(call["losses"] for call in wandb.calls)


def test_a_training_that_goes_on_goes_on_in_its_run(
    wandb: Any, training: Any, broken_off: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_PROJECT", "mine")
    before, options = dict(os.environ), {"tracking": Tracking(("wandb",)), "checkpoint_steps": 4}
    with pytest.raises(broken_off):
        training(tmp_path / "checkpoints", break_at=6, **options)
    assert dict(os.environ) == before and wandb.run is None
    training(tmp_path / "checkpoints", **options)
    training(tmp_path / "others", epochs=1, **options)
    first, second, other = wandb.calls
    assert first["id"] == second["id"] != other["id"]
    assert [call["failed"] for call in wandb.calls] == [True, False, False]
    assert second["resume"] == "allow"
    assert second["project"] == "mine"


def test_a_run_that_the_user_has_open_stays_open(wandb: Any, training: Any, tmp_path: Path) -> None:
    mine = wandb.init(name="mine")
    training(tmp_path, tracking=Tracking(("wandb",)), epochs=1)
    assert wandb.run is mine
    assert [call["name"] for call in wandb.calls] == ["mine"] and wandb.calls[0]["losses"]


def test_a_tracker_that_refuses_to_begin(
    wandb: Any, training: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def init(**_: Any) -> None:
        raise RuntimeError("No API key configured.")

    monkeypatch.setattr(wandb, "init", init)
    with pytest.raises(
        UserError, match=r"^--report-to wandb: the tracker does not start: No API key configured\. Set it up"
    ):
        training(tmp_path, tracking=Tracking(("wandb",)))


# Trackers that fail. SwanLab stands for those that begin within Trainer; its callback is replaced.


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Tracking, list[str]]]:
    """A tracker that fails in one event, and the events that it heard."""

    def made(event: str, error: Exception | None = None) -> tuple[Tracking, list[str]]:
        heard: list[str] = []

        class Callback(TrainerCallback):
            def __init__(self) -> None:
                self.hear("__init__")

            def hear(self, name: str) -> None:
                heard.append(name)
                if name == event:
                    raise error or ConnectionError("no answer\nfrom swanlab.cn")

        def hear(name: str) -> Any:
            return lambda self, args, state, control, model, **_: self.hear(name)

        for name in vars(TrainerCallback):
            if name.startswith("on_"):
                setattr(Callback, name, hear(name))
        monkeypatch.setitem(INTEGRATION_TO_CALLBACK, "swanlab", Callback)
        return Tracking(("swanlab",)), heard

    return made


@pytest.mark.parametrize("event", ["__init__", "on_init_end", "on_train_begin"])
def test_a_tracker_that_cannot_begin(failing: Any, training: Any, tmp_path: Path, event: str) -> None:
    tracking, heard = failing(event)
    expected = (
        r"^--report-to swanlab: the tracker does not start: no answer from swanlab\.cn\. "
        r"Set it up .*, or leave it out\. "
    )
    with pytest.raises(UserError, match=expected) as refused:
        training(tmp_path, tracking=tracking)
    assert isinstance(refused.value.__cause__, ConnectionError)
    assert heard[-1] == event and "on_step_begin" not in heard


@pytest.mark.parametrize(
    "event", ["on_step_begin", "on_step_end", "on_log", "on_evaluate", "on_save", "on_epoch_end", "on_train_end"]
)
def test_a_tracker_that_fails_later_is_left_out(
    failing: Any,
    training: Any,
    undisturbed: Any,
    tensorboard: Tracking,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    event: str,
) -> None:
    tracking, heard = failing(event)
    both = replace(tensorboard, trackers=(*tracking.trackers, *tensorboard.trackers))
    outcome = training(tmp_path / "checkpoints", tracking=both, checkpoint_steps=4)
    assert outcome == undisturbed(checkpoint_steps=4)
    assert heard[-1] == event and heard.count(event) == 1
    (warning,) = [record for record in caplog.records if record.name == "understudy.training.reporters"]
    assert warning.levelname == "WARNING"
    assert "--report-to swanlab: the tracker failed" in warning.message
    assert "no answer from swanlab.cn. The trained model" in warning.message
    assert curves(tensorboard.folder / "test")["train/loss"] == logged(outcome.history, "loss")


def test_an_error_that_says_nothing_is_named(failing: Any, training: Any, tmp_path: Path) -> None:
    tracking, _ = failing("on_train_begin", ValueError())
    with pytest.raises(UserError, match=r"the tracker does not start: ValueError\. Set it up"):
        training(tmp_path, tracking=tracking)


def test_a_run_that_cannot_be_closed_is_a_warning(
    wandb: Any,
    training: Any,
    undisturbed: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(*_: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(wandb.Run, "__exit__", broken)
    monkeypatch.setattr(wandb, "log", broken)
    assert training(tmp_path, tracking=Tracking(("wandb",))) == undisturbed()
    (warning,) = [record for record in caplog.records if record.name == "understudy.training.reporters"]
    assert "--report-to wandb" in warning.message and "disk full. The" in warning.message
