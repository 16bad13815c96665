from __future__ import annotations

import logging
from math import cos as cosine
from math import inf, nan, pi
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from understudy.errors import TrainingDiverged
from understudy.training import trainer
from understudy.training.objectives import supervised


@pytest.fixture
def caught(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The Trainers that were made."""
    made: list[Any] = []

    class Caught(trainer._Trainer):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            made.append(self)

    monkeypatch.setattr(trainer, "_Trainer", Caught)
    return made


def rates(training: Any, folder: Path, monkeypatch: pytest.MonkeyPatch, **options: Any) -> list[float]:
    """The learning rate of each of twelve steps, as shares of the peak."""
    set_rate = torch.optim.AdamW.step
    found: list[float] = []

    def step(self: Any, *args: Any, **arguments: Any) -> Any:
        found.append(self.param_groups[0]["lr"] / 0.01)
        return set_rate(self, *args, **arguments)

    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    training(folder, **options)
    return found


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("linear", [(12 - step) / 9 for step in range(3, 12)]),
        ("cosine", [(1 + cosine(pi * (step - 3) / 9)) / 2 for step in range(3, 12)]),
        ("constant", [1.0] * 9),
    ],
)
def test_the_schedule_reaches_the_optimiser(
    training: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, schedule: str, expected: list[float]
) -> None:
    """A quarter of twelve steps is warm-up: three, from zero."""
    found = rates(training, tmp_path, monkeypatch, schedule=schedule, warmup=0.25)
    assert found == pytest.approx([0, 1 / 3, 2 / 3, *expected])


def test_without_warm_up_the_first_step_has_the_whole_rate(
    training: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert rates(training, tmp_path, monkeypatch, schedule="linear", warmup=0.0)[0] == pytest.approx(1)


def test_weight_decay_leaves_biases_and_norms_out(training: Any, tmp_path: Path, caught: list[Any]) -> None:
    training(tmp_path, weight_decay=0.25, max_grad_norm=0.5)
    names = {id(parameter): name for name, parameter in caught[0].model.named_parameters()}
    decays = {
        names[id(parameter)]: group["weight_decay"]
        for group in caught[0].optimizer.param_groups
        for parameter in group["params"]
    }
    assert set(decays.values()) == {0.0, 0.25}
    assert {name for name, decay in decays.items() if decay == 0} == {
        name for name in decays if name.endswith("bias") or "LayerNorm" in name
    }
    assert caught[0].args.max_grad_norm == 0.5


def test_every_text_meets_its_own_label_and_teacher_row(training: Any, tmp_path: Path) -> None:
    """Rows of the teacher are random numbers, so they name their text."""
    met: list[tuple[float, int]] = []

    def objective(logits: Tensor, labels: Tensor, teacher_logits: Tensor | None) -> Tensor:
        assert teacher_logits is not None and len(logits) == len(labels) == len(teacher_logits)
        assert logits.dtype == teacher_logits.dtype == torch.float32
        met.extend(zip(teacher_logits[:, 0].tolist(), labels.tolist(), strict=True))
        return logits.square().mean()

    training(tmp_path, objective=objective, validate=False)
    assert len(met) == 2 * 23
    assert sorted(met[:23]) == sorted(met[23:])
    assert met[:23] != met[23:]
    assert len(set(met)) == 23


def test_every_text_counts_alike_however_many_there_are_in_its_batch(training: Any, tmp_path: Path) -> None:
    values: list[float] = []

    def objective(logits: Tensor, labels: Tensor, teacher_logits: Tensor | None) -> Tensor:
        assert teacher_logits is not None
        values.extend(teacher_logits[:, 0].tolist())
        sizes.add(len(labels))
        return teacher_logits[:, 0].mean() + 0 * logits.sum()

    sizes: set[int] = set()
    history = training(tmp_path, objective=objective, validate=False, epochs=1).history
    losses = [entry["loss"] for entry in history if "loss" in entry]
    assert len(sizes) > 1
    assert sum(losses) / len(losses) == pytest.approx(sum(values) / 23, abs=1e-4)


def test_it_learns(training: Any, tmp_path: Path) -> None:
    log = training(tmp_path, objective=supervised(), epochs=12).history
    losses = [entry["loss"] for entry in log if "loss" in entry]
    assert losses[-1] < 0.6 * losses[0]


def test_the_history_has_losses_and_validations_and_no_times(undisturbed: Any) -> None:
    history = undisturbed(checkpoint_steps=4).history
    assert [entry["step"] for entry in history if "loss" in entry] == [3, 4, 6, 8, 9, 12]
    assert [entry["step"] for entry in history if "eval_loss" in entry] == [6, 12]
    assert {name for entry in history for name in entry} == {
        "epoch", "step", "loss", "grad_norm", "learning_rate", "eval_loss", "eval_accuracy"
    }  # fmt: skip


def test_a_number_that_json_cannot_hold_becomes_none() -> None:
    assert trainer._reproducible([{"grad_norm": inf, "loss": 1.0, "step": 1}, {"train_runtime": 2.0}]) == [
        {"grad_norm": None, "loss": 1.0, "step": 1}
    ]


@pytest.mark.parametrize("value", [nan, inf])
def test_a_loss_that_is_not_finite_stops_the_training(training: Any, tmp_path: Path, value: float) -> None:
    def objective(logits: Tensor, labels: Tensor, teacher_logits: Tensor | None) -> Tensor:
        calls.append(1)
        return logits.sum() * (value if len(calls) == 5 else 1.0)

    calls: list[int] = []
    with pytest.raises(TrainingDiverged, match=r"loss is (nan|inf) at step 6.*learning rate \(it was 0\.01\)"):
        training(tmp_path, objective=objective, checkpoint_steps=4, validate=False)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-4"]


def test_no_checkpoint_is_written_of_what_has_diverged(training: Any, tmp_path: Path) -> None:
    def objective(logits: Tensor, labels: Tensor, teacher_logits: Tensor | None) -> Tensor:
        return logits.sum() * nan

    with pytest.raises(TrainingDiverged, match="at step 1"):
        training(tmp_path, objective=objective, checkpoint_steps=1, validate=False)
    assert not list(tmp_path.glob("checkpoint-*"))


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
@pytest.mark.parametrize(("attention", "kernel"), [("auto", "per_text"), ("sdpa", "sdpa")])
def test_compute_type_and_attention(
    training: Any, tmp_path: Path, caught: list[Any], precision: str, attention: str, kernel: str
) -> None:
    seen: set[torch.dtype] = set()

    def objective(logits: Tensor, labels: Tensor, teacher_logits: Tensor | None) -> Tensor:
        seen.add(logits.dtype)
        return supervised()(logits, labels, None)

    training(tmp_path, precision=precision, attention=attention, epochs=1, objective=objective)
    made = caught[0]
    assert made.args.bf16 == (precision == "bf16") and not made.args.fp16
    assert made.model.config._attn_implementation == kernel
    assert seen == {torch.float32}  # losses are computed in fp32
    assert {parameter.dtype for parameter in made.model.parameters()} == {torch.float32}


def test_the_model_is_left_ready_to_predict(training: Any, tmp_path: Path, caught: list[Any]) -> None:
    training(tmp_path, epochs=1)
    assert not caught[0].model.training


def test_nothing_is_reported_to_trackers_or_printed(
    training: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    training(tmp_path, epochs=1)
    assert capsys.readouterr().out == ""


def test_it_says_what_it_does(training: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="understudy")
    training(tmp_path, checkpoint_steps=6)
    assert "test: 12 steps of about 4 texts, fp32, per_text attention" in caplog.text
    assert "going on" not in caplog.text
    training(tmp_path, checkpoint_steps=6)
    assert "test: resuming from checkpoint-12" in caplog.text


def test_the_time_of_earlier_tries_counts(training: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    starts: list[float] = []

    class Guard(trainer.Guard):
        def __init__(self, advance: Any, sampler: Any, earlier_seconds: float) -> None:
            super().__init__(advance, sampler, earlier_seconds + 1000)
            starts.append(earlier_seconds)

    monkeypatch.setattr(trainer, "Guard", Guard)
    training(tmp_path, checkpoint_steps=6)
    training(tmp_path, checkpoint_steps=6)
    assert starts[0] == 0 and starts[1] >= 1000


@pytest.mark.parametrize("frozen", [True, False])
def test_frozen_embeddings_stay_as_they_are_and_the_rest_learns(
    training: Any, tmp_path: Path, caught: list[Any], tiny_weights: dict[str, Tensor], frozen: bool
) -> None:
    after = training(tmp_path, freeze_embeddings=frozen).weights
    word = "bert.embeddings.word_embeddings.weight"
    assert torch.equal(tiny_weights[word], after[word]) is frozen
    assert not torch.equal(tiny_weights["classifier.weight"], after["classifier.weight"])
    assert all(parameter.requires_grad for parameter in caught[0].model.parameters())


def test_training_gives_what_it_gave(undisturbed: Any) -> None:
    """Where this fails on purpose, raise `CODE["training"]` in run/keys.py, so that no cache mixes old and new."""
    found = undisturbed()
    losses = [entry.get("loss", entry.get("eval_loss")) for entry in found.history]
    assert losses == pytest.approx([0.59624, 0.36160, 0.49149, 0.33758, 0.61939, 0.49164], abs=2e-3)
    size = sum(float(weight.double().abs().sum()) for weight in found.weights.values())
    assert size == pytest.approx(111.538, abs=0.05)
