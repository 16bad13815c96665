"""A training that was broken off goes on to the very weights and log that it would have had undisturbed."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
import torch

from understudy.training import checkpoints, trainer
from understudy.training.checkpoints import last_whole_checkpoint


def steps(folder: Path) -> set[int]:
    return {int(path.name.rpartition("-")[2]) for path in folder.glob("checkpoint-*")}


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_the_same_training_twice_is_the_same(training: Any, undisturbed: Any, tmp_path: Path) -> None:
    assert training(tmp_path, checkpoint_steps=4) == undisturbed(checkpoint_steps=4)


def test_how_often_checkpoints_are_written_does_not_change_the_weights(undisturbed: Any) -> None:
    often, never = undisturbed(checkpoint_steps=4).weights, undisturbed(checkpoint_steps=99).weights
    assert all(torch.equal(often[name], never[name]) for name in often)


def test_another_seed_gives_other_weights(training: Any, undisturbed: Any, tmp_path: Path) -> None:
    assert training(tmp_path, seed=2, checkpoint_steps=4) != undisturbed(checkpoint_steps=4)


# Six steps an epoch, a loss logged every third: checkpoints fall between logs, on them, and on the end of an epoch.
@pytest.mark.parametrize(
    ("checkpoint_steps", "break_at"), [(2, 1), (2, 3), (2, 8), (2, 9), (4, 6), (4, 7), (4, 10), (6, 7), (6, 12)]
)
def test_going_on_is_exact(
    training: Any, undisturbed: Any, broken_off: type[Exception], tmp_path: Path, checkpoint_steps: int, break_at: int
) -> None:
    with pytest.raises(broken_off):
        training(tmp_path, break_at=break_at, checkpoint_steps=checkpoint_steps)
    assert steps(tmp_path) == set(range(0, break_at, checkpoint_steps)[1:][-2:])
    assert training(tmp_path, checkpoint_steps=checkpoint_steps) == undisturbed(checkpoint_steps=checkpoint_steps)


def test_going_on_twice_is_exact(training: Any, undisturbed: Any, broken_off: type[Exception], tmp_path: Path) -> None:
    for break_at in (4, 4, 5):
        with pytest.raises(broken_off):
            training(tmp_path, break_at=break_at, checkpoint_steps=2)
    assert training(tmp_path, checkpoint_steps=2) == undisturbed(checkpoint_steps=2)


def test_a_finished_training_is_not_trained_again(training: Any, undisturbed: Any, tmp_path: Path) -> None:
    training(tmp_path, checkpoint_steps=4)
    assert training(tmp_path, break_at=1, checkpoint_steps=4) == undisturbed(checkpoint_steps=4)


def test_breaking_off_in_a_validation(
    training: Any, undisturbed: Any, broken_off: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(prediction: Any) -> None:
        raise broken_off

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "_accuracy", fail)
        with pytest.raises(broken_off):
            training(tmp_path, checkpoint_steps=6)
    assert training(tmp_path, checkpoint_steps=6) == undisturbed(checkpoint_steps=6)


@pytest.mark.parametrize(
    ("method", "number"), [("save_model", 1), ("_save_optimizer_and_scheduler", 2), ("_save_rng_state", 3)]
)
def test_breaking_off_while_a_checkpoint_is_written(
    training: Any,
    undisturbed: Any,
    broken_off: type[Exception],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    number: int,
) -> None:
    saves, real = 0, getattr(trainer._Trainer, method)

    def save(self: Any, *args: Any, **options: Any) -> None:
        nonlocal saves
        saves += 1
        real(self, *args, **options)
        if saves == number:
            raise broken_off

    with monkeypatch.context() as patch:
        patch.setattr(trainer._Trainer, method, save)
        with pytest.raises(broken_off):
            training(tmp_path, checkpoint_steps=2)
    assert 2 * number in steps(tmp_path)  # it is there, and it is not used
    assert training(tmp_path, checkpoint_steps=2) == undisturbed(checkpoint_steps=2)


@pytest.fixture(scope="module")
def broken_run(training: Any, broken_off: type[Exception], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Left with whole checkpoints at steps 4 and 6."""
    folder = tmp_path_factory.mktemp("broken")
    with pytest.raises(broken_off):
        training(folder, break_at=8, checkpoint_steps=2)
    return folder


@pytest.fixture
def broken(broken_run: Path, tmp_path: Path) -> Path:
    return shutil.copytree(broken_run, tmp_path / "checkpoints")


@pytest.mark.parametrize(
    "file",
    ["complete.json", "model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json"],
)
@pytest.mark.parametrize("damage", ["flipped", "truncated", "missing"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(broken: Path, file: str, damage: str) -> None:
    path = broken / "checkpoint-6" / file
    if damage == "flipped":
        flip(path)
    elif damage == "truncated":
        path.write_bytes(path.read_bytes()[:-9])
    else:
        path.unlink()
    assert last_whole_checkpoint(broken) == broken / "checkpoint-4"
    assert steps(broken) == {4}


def test_going_on_from_the_one_before_is_exact(training: Any, undisturbed: Any, broken: Path) -> None:
    flip(broken / "checkpoint-6" / "model.safetensors")
    assert training(broken, checkpoint_steps=2) == undisturbed(checkpoint_steps=2)


def test_without_a_whole_checkpoint_it_starts_again(training: Any, undisturbed: Any, broken: Path) -> None:
    for step in (4, 6):
        (broken / f"checkpoint-{step}" / "complete.json").unlink()
    assert last_whole_checkpoint(shutil.copytree(broken, broken.with_name("copy"))) is None
    assert training(broken, checkpoint_steps=2) == undisturbed(checkpoint_steps=2)


def test_a_whole_checkpoint_is_left_alone(broken: Path) -> None:
    assert last_whole_checkpoint(broken) == broken / "checkpoint-6"
    assert steps(broken) == {4, 6}
    assert last_whole_checkpoint(broken / "nowhere") is None


def test_no_byte_of_a_marker_can_do_harm(broken: Path) -> None:
    """Flipped, it either disowns the checkpoint or changes nothing but the time that is told."""
    marker = broken / "checkpoint-6" / "complete.json"
    content = marker.read_bytes()
    spare = shutil.copytree(broken / "checkpoint-6", broken.with_name("spare"))
    for position in range(0, len(content), 3):
        marker.write_bytes(content[:position] + bytes([content[position] ^ 2]) + content[position + 1 :])
        if last_whole_checkpoint(broken) == broken / "checkpoint-6":
            assert isinstance(checkpoints.read_marker(broken / "checkpoint-6").seconds, float)
        else:
            shutil.copytree(spare, broken / "checkpoint-6")


def test_a_marker_that_names_nothing_is_none(broken: Path) -> None:
    (broken / "checkpoint-6" / "complete.json").write_text('{"seconds": 1.0, "files": {}}')
    assert last_whole_checkpoint(broken) == broken / "checkpoint-4"


@pytest.mark.parametrize("options", [{"checkpoint_steps": 1}, {"early_stopping": 3}], ids=["steps", "best"])
def test_there_is_a_whole_checkpoint_at_every_instant(
    training: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, int]
) -> None:
    """Trainer removes old checkpoints before the new one is marked as whole."""
    from transformers import trainer as transformers_trainer

    rotate, looked = transformers_trainer.rotate_checkpoints, []

    def look(*args: Any, **arguments: Any) -> None:
        rotate(*args, **arguments)
        looked.append([path for path in tmp_path.glob("checkpoint-*") if checkpoints._is_whole(path)])

    monkeypatch.setattr(transformers_trainer, "rotate_checkpoints", look)
    training(tmp_path, epochs=5, accuracies=[0.5, 0.9, 0.6, 0.7, 0.95], **options)
    assert len(looked) == (30 if "checkpoint_steps" in options else 5)
    assert all(looked[1:])


# early stopping: the second epoch is the best, and the fourth the second in a row without a gain

FOUND = [0.5, 0.7, 0.6, 0.6, 0.9]
STOPPING: dict[str, Any] = {"early_stopping": 2, "epochs": 5}


@pytest.fixture
def stopped(undisturbed: Any) -> Any:
    return undisturbed(accuracies=FOUND, **STOPPING)


def test_early_stopping_keeps_the_best_epoch(stopped: Any, training: Any, tmp_path: Path) -> None:
    assert [entry["eval_accuracy"] for entry in stopped.history if "eval_accuracy" in entry] == FOUND[:4]
    # The same schedule broken off after its second epoch: its weights are the best.
    best = training(tmp_path, accuracies=[0.5, 0.9, 0.6, 0.6], **STOPPING)
    assert all(torch.equal(best.weights[name], stopped.weights[name]) for name in best.weights)
    other = training(tmp_path / "other", accuracies=[0.9, 0.7, 0.6], **STOPPING)
    assert any(not torch.equal(other.weights[name], stopped.weights[name]) for name in best.weights)


def test_without_early_stopping_the_last_epoch_is_kept(training: Any, tmp_path: Path) -> None:
    falling = training(tmp_path / "falling", accuracies=[0.9, 0.1])
    rising = training(tmp_path / "rising", accuracies=[0.1, 0.9])
    assert all(torch.equal(falling.weights[name], rising.weights[name]) for name in falling.weights)


@pytest.mark.parametrize("break_at", [3, 8, 13, 19, 24])
def test_early_stopping_counts_on_after_an_interruption(
    training: Any, stopped: Any, broken_off: type[Exception], tmp_path: Path, break_at: int
) -> None:
    with pytest.raises(broken_off):
        training(tmp_path, break_at=break_at, accuracies=FOUND, **STOPPING)
    validated = (break_at - 1) // 6
    assert training(tmp_path, accuracies=FOUND[validated:], **STOPPING) == stopped


@pytest.mark.parametrize("place", ["here", "there"])
def test_breaking_off_after_early_stopping_decided(
    training: Any,
    stopped: Any,
    broken_off: type[Exception],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
) -> None:
    """Also where the run directory has been moved since."""

    def fail(self: Any) -> None:
        raise broken_off

    with monkeypatch.context() as patch:
        patch.setattr(trainer._Trainer, "_load_best_model", fail)
        with pytest.raises(broken_off):
            training(tmp_path / "here", accuracies=FOUND, **STOPPING)
    (tmp_path / "here").rename(tmp_path / place)
    assert training(tmp_path / place, break_at=1, accuracies=[], **STOPPING) == stopped


@pytest.mark.parametrize("damaged", [12, 18])
def test_the_best_checkpoint_is_verified_too(
    training: Any, stopped: Any, broken_off: type[Exception], tmp_path: Path, damaged: int
) -> None:
    with pytest.raises(broken_off):
        training(tmp_path, break_at=20, accuracies=FOUND, **STOPPING)
    assert steps(tmp_path) == {12, 18}
    flip(tmp_path / f"checkpoint-{damaged}" / "model.safetensors")
    again = FOUND if damaged == 12 else FOUND[2:]  # without the best, from the start
    assert training(tmp_path, accuracies=again, **STOPPING) == stopped


@pytest.mark.acceptance
def test_killed_for_good(undisturbed: Any, training: Any, tmp_path: Path) -> None:
    """SIGKILL in the middle of a step, in another process."""
    script = f"""
        import importlib.util, os, signal, sys
        from pathlib import Path
        path = {str(Path(__file__).with_name("conftest.py"))!r}
        sys.path.insert(0, str(Path(path).parents[1]))  # it takes from the conftest above
        spec = importlib.util.spec_from_file_location("training_conftest", path)
        conftest = importlib.util.module_from_spec(spec)
        sys.modules["training_conftest"] = conftest
        spec.loader.exec_module(conftest)
        conftest.torch.set_num_threads({torch.get_num_threads()})
        loss, calls = conftest.distilled("kl", 2.0, 0.5), 0

        def killing(logits, labels, teacher_logits):
            global calls
            calls += logits.requires_grad
            if calls == 10:
                os.kill(os.getpid(), signal.SIGKILL)
            return loss(logits, labels, teacher_logits)

        conftest.run_training(Path({str(tmp_path)!r}), objective=killing, checkpoint_steps=4)
    """
    killed = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert steps(tmp_path) == {4, 8}
    assert training(tmp_path, checkpoint_steps=4) == undisturbed(checkpoint_steps=4)
