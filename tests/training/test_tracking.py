"""The curves of training arrive at trackers, and change nothing else."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sklearn  # noqa: F401  # it sets environment variables
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from transformers import TrainerCallback
from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

from understudy import cli
from understudy.errors import UserError
from understudy.frontier import frontier
from understudy.pipeline import distill
from understudy.recipe import Recipe
from understudy.training.tracking import NO_TRACKING, Tracking, tracking

Curve = list[tuple[int, float]]


def curves(folder: Path) -> dict[str, Curve]:
    """What TensorBoard shows of one stage."""
    found = EventAccumulator(str(folder)).Reload()
    return {tag: [(event.step, event.value) for event in found.Scalars(tag)] for tag in found.Tags()["scalars"]}


def logged(history: list[dict[str, Any]], name: str) -> Curve:
    return [(entry["step"], pytest.approx(entry[name])) for entry in history if name in entry]


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


@pytest.fixture
def tensorboard(tmp_path: Path) -> Tracking:
    return Tracking(("tensorboard",), "run", tmp_path / "tracking")


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
    with pytest.raises(UserError, match=r"^--report-to wandb: it refuses to begin: No API key configured\. Set it up"):
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
        r"^--report-to swanlab: it refuses to begin: no answer from swanlab\.cn\. Set it up .*, or leave it out; "
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
    assert "--report-to swanlab: it failed, and the rest" in warning.message
    assert "no answer from swanlab.cn. What is trained" in warning.message
    assert curves(tensorboard.folder / "test")["train/loss"] == logged(outcome.history, "loss")


def test_an_error_that_says_nothing_is_named(failing: Any, training: Any, tmp_path: Path) -> None:
    tracking, _ = failing("on_train_begin", ValueError())
    with pytest.raises(UserError, match=r"it refuses to begin: ValueError\. Set it up"):
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
    assert "--report-to wandb" in warning.message and "disk full. What" in warning.message


# Whole runs


def without_clock(path: Path) -> str:
    content = json.loads(path.read_text())
    return json.dumps({name: value for name, value in content.items() if name not in ("speed", "seconds")})


def test_a_run_and_its_tracked_twin_differ_in_nothing_but_the_curves(
    finished_copy: Any, tmp_path: Path, no_clock: None, trained: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = dict(os.environ)
    recipe, out, twin = finished_copy.recipe, finished_copy.out, tmp_path / "twin"
    options: dict[str, Any] = {"device": "cpu", "report_to": ["tensorboard"]}
    distill(recipe, twin, cache_dir=tmp_path / "another cache", **options)
    assert trained == ["teacher", "student", "no_distillation"]
    assert dict(os.environ) == before
    assert capsys.readouterr().out == ""

    assert without_clock(twin / "metrics.json") == without_clock(out / "metrics.json")
    assert (twin / "predictions.parquet").read_bytes() == (out / "predictions.parquet").read_bytes()
    stages = [json.loads((folder / "manifest.json").read_text())["stages"] for folder in (out, twin)]
    # The report's hangs on the dashboard, which shows how fast the models were.
    fingerprints = [
        {name: stage["fingerprint"] for name, stage in found.items() if name != "report"} for found in stages
    ]
    assert "report" in stages[0] and "report" in stages[1]
    assert fingerprints[0] == fingerprints[1]
    assert {path.name for path in (twin / "tracking").iterdir()} == set(trained)
    for stage in trained:
        found, history = curves(twin / "tracking" / stage), stages[1][stage]["details"]["history"]
        assert found["train/loss"] == logged(history, "loss")
        assert found["eval/accuracy"] == logged(history, "eval_accuracy")

    # With or without a tracker, what is finished stays finished.
    trained.clear()
    written = (twin / "metrics.json").stat().st_mtime_ns
    distill(recipe, twin, device="cpu", cache_dir=tmp_path / "another cache")
    distill(recipe, out, cache_dir=finished_copy.cache, **options)
    assert trained == []
    assert (twin / "metrics.json").stat().st_mtime_ns == written
    assert not (out / "tracking").exists()


def test_overwriting_a_run_removes_its_curves(
    finished_copy: Any, make_recipe: Callable[..., Recipe], no_clock: None
) -> None:
    stale = finished_copy.out / "tracking" / "teacher" / "events.out.tfevents.0"
    stale.parent.mkdir(parents=True)
    stale.touch()
    distill(
        make_recipe(evaluation={"controls": []}),
        finished_copy.out,
        device="cpu",
        cache_dir=finished_copy.cache,
        overwrite=True,
        report_to="tensorboard",
    )
    assert not stale.exists()  # and the teacher came from the cache
    assert [path.name for path in (finished_copy.out / "tracking").iterdir()] == ["student"]


@pytest.mark.acceptance
def test_members_of_a_committee_repeats_and_the_frontier(
    make_recipe: Callable[..., Recipe], tmp_path: Path, no_clock: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("understudy.frontier.measure_models", lambda *_, **__: {})
    monkeypatch.setattr("understudy.frontier.draw_frontier", lambda *_: None)
    monkeypatch.setattr("understudy.frontier.Tradeoff.save", lambda *_: None)
    encoder = make_recipe().teacher.model
    recipe = make_recipe(
        teacher={"model": [encoder, encoder]},
        evaluation={"controls": []},
        frontier={"students": ["2", "1"]},
        seeds=2,
    )
    frontier(recipe, tmp_path / "run", device="cpu", cache_dir=tmp_path / "cache", report_to="tensorboard")
    stages = {path.name for path in (tmp_path / "run" / "tracking").iterdir()}
    assert stages == {"teacher_1", "teacher_2", "student", "student_seed_1", "student_1"}
