"""Losses against numbers worked out by hand.

Most rows use logits (0, ln 3), whose probabilities are (1/4, 3/4), and (0, 0), whose are (1/2, 1/2).
"""

from __future__ import annotations

from math import log, tanh

import pytest
import torch

from understudy.training.objectives import (
    Objective,
    balanced_class_weights,
    distilled,
    hard_loss,
    soft_kl,
    soft_mse,
    supervised,
)

QUARTER = [0.0, log(3)]
HALF = [0.0, 0.0]
TENTH = [0.0, 2 * log(3)]  # (1/10, 9/10); at temperature 2 it is (1/4, 3/4)

KL_HALF_QUARTER = 0.5 * log(4 / 3)  # 1/2 ln(1/2 : 1/4) + 1/2 ln(1/2 : 3/4)
KL_QUARTER_HALF = 0.75 * log(3 / 2) - 0.25 * log(2)  # 1/4 ln(1/4 : 1/2) + 3/4 ln(3/4 : 1/2)


def rows(*values: list[float]) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_kl_is_that_of_the_student_from_the_teacher() -> None:
    assert soft_kl(rows(QUARTER), rows(HALF), 1.0).item() == pytest.approx(KL_HALF_QUARTER)
    assert soft_kl(rows(HALF), rows(QUARTER), 1.0).item() == pytest.approx(KL_QUARTER_HALF)
    assert abs(KL_HALF_QUARTER - KL_QUARTER_HALF) > 0.01  # so that a swap would show


def test_kl_is_scaled_by_the_squared_temperature() -> None:
    assert soft_kl(rows(TENTH), rows(HALF), 2.0).item() == pytest.approx(4 * KL_HALF_QUARTER)


def test_kl_keeps_texts_apart() -> None:
    losses = soft_kl(rows(QUARTER, HALF), rows(HALF, HALF), 1.0)
    assert losses.tolist() == pytest.approx([KL_HALF_QUARTER, 0.0])


@pytest.mark.parametrize("temperature", [1.0, 10.0, 100.0])
def test_the_gradient_of_kl_hardly_depends_on_the_temperature(temperature: float) -> None:
    student = rows([1.0, -1.0]).requires_grad_()
    soft_kl(student, rows([-1.0, 1.0]), temperature).sum().backward()
    # T (sigmoid(2/T) - sigmoid(-2/T)) = T tanh(1/T), which goes to 1.
    expected = temperature * tanh(1 / temperature)
    assert student.grad is not None
    assert student.grad[0].tolist() == pytest.approx([expected, -expected])
    assert 0.7 < expected <= 1


def test_mse_is_the_mean_over_the_classes() -> None:
    assert soft_mse(rows([1.0, 2.0], [0.0, 0.0]), rows([3.0, 5.0], [0.0, 1.0])).tolist() == [6.5, 0.5]


def test_hard_loss_is_zero_without_a_label() -> None:
    losses = hard_loss(rows(QUARTER, QUARTER, QUARTER), torch.tensor([0, 1, -100]))
    assert losses.tolist() == pytest.approx([log(4), log(4 / 3), 0.0])


def test_hard_loss_with_class_weights() -> None:
    weights = torch.tensor([2.0, 0.5], dtype=torch.float64)
    losses = hard_loss(rows(QUARTER, QUARTER, QUARTER), torch.tensor([0, 1, -100]), weights)
    assert losses.tolist() == pytest.approx([2 * log(4), 0.5 * log(4 / 3), 0.0])


def test_supervised_is_the_mean_cross_entropy_of_labelled_texts() -> None:
    loss = supervised()(rows(QUARTER, HALF, HALF), torch.tensor([1, 0, -100]), None)
    assert loss.item() == pytest.approx((log(4 / 3) + log(2)) / 2)


def test_supervised_with_one_labelled_text_or_none() -> None:
    loss, logits = supervised(), rows(QUARTER, HALF)
    assert loss(logits, torch.tensor([1, -100]), None).item() == pytest.approx(log(4 / 3))
    assert loss(logits, torch.tensor([-100, -100]), None).item() == 0.0


@pytest.mark.parametrize("loss", [supervised([1.0, 2.0]), distilled("kl", 1.0, 0.5, [1.0, 2.0])])
def test_class_weights_follow_the_logits_to_their_device(loss: Objective) -> None:
    """The device `meta` computes nothing, but refuses tensors of other devices."""
    logits, labels = rows(QUARTER).float().to("meta"), torch.tensor([1], device="meta")
    assert loss(logits, labels, logits).device.type == "meta"


def test_supervised_takes_no_notice_of_a_teacher() -> None:
    labels = torch.tensor([1])
    assert supervised()(rows(QUARTER), labels, rows([9.0, -9.0])) == supervised()(rows(QUARTER), labels, None)


def test_supervised_with_class_weights_scales_each_text() -> None:
    loss = supervised([1.0, 3.0])(rows(QUARTER, HALF).float(), torch.tensor([1, 0]), None)
    assert loss.item() == pytest.approx((3 * log(4 / 3) + 1 * log(2)) / 2)


def test_supervised_is_distilled_without_its_soft_loss() -> None:
    logits, labels, weights = rows(QUARTER, HALF, TENTH).float(), torch.tensor([1, 0, 0]), [0.5, 2.0]
    without = distilled("kl", 2.0, 0.0, weights)(logits, labels, rows(HALF, TENTH, HALF).float())
    assert supervised(weights)(logits, labels, None).item() == pytest.approx(without.item())


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_distilled_weighs_soft_and_hard(alpha: float) -> None:
    loss = distilled("kl", 2.0, alpha)(rows(TENTH), torch.tensor([0]), rows(HALF))
    assert loss.item() == pytest.approx(alpha * 4 * KL_HALF_QUARTER + (1 - alpha) * log(10))


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_a_text_without_a_label_counts_only_its_soft_loss(alpha: float) -> None:
    loss = distilled("kl", 2.0, alpha)(rows(TENTH, TENTH), torch.tensor([0, -100]), rows(HALF, HALF))
    soft, hard = 4 * KL_HALF_QUARTER, log(10)
    assert loss.item() == pytest.approx(((alpha * soft + (1 - alpha) * hard) + soft) / 2)


def test_distilled_with_mse_does_not_use_the_temperature() -> None:
    student, labels, teacher = rows([1.0, 1.0]), torch.tensor([0]), rows([3.0, 5.0])
    expected = 0.25 * (4 + 16) / 2 + 0.75 * log(2)
    assert distilled("mse", 2.0, 0.25)(student, labels, teacher).item() == pytest.approx(expected)
    assert distilled("mse", 7.0, 0.25)(student, labels, teacher).item() == pytest.approx(expected)


def test_distilled_weighs_classes_in_the_hard_loss_only() -> None:
    loss = distilled("kl", 2.0, 0.3, [2.0, 0.5])(rows(TENTH).float(), torch.tensor([0]), rows(HALF).float())
    assert loss.item() == pytest.approx(0.3 * 4 * KL_HALF_QUARTER + 0.7 * 2 * log(10), rel=1e-5)


@pytest.mark.parametrize("kind", ["kl", "mse"])
def test_each_text_is_compared_with_its_own_teacher_row(kind: str) -> None:
    student, labels = rows(QUARTER, HALF), torch.tensor([0, 1])
    loss = distilled(kind, 1.0, 1.0)
    assert loss(student, labels, rows(QUARTER, HALF)).item() == pytest.approx(0.0)
    assert loss(student, labels, rows(HALF, QUARTER)).item() > 0.1


def test_distilled_validates_with_the_hard_loss() -> None:
    loss = distilled("kl", 2.0, 0.9)(rows(QUARTER, HALF), torch.tensor([1, 0]), None)
    assert loss.item() == pytest.approx((log(4 / 3) + log(2)) / 2)


@pytest.mark.parametrize(
    ("counts", "weights"),
    [
        ([5, 5], [1.0, 1.0]),
        ([10, 30], [2.0, 2 / 3]),  # 40 / (2 * 10), 40 / (2 * 30)
        ([5, 0, 15], [2.0, 0.0, 2 / 3]),  # an absent class shares in nothing
    ],
)
def test_balanced_class_weights(counts: list[int], weights: list[float]) -> None:
    assert balanced_class_weights(counts) == pytest.approx(weights)
    mean = sum(weight * count for weight, count in zip(weights, counts, strict=True)) / sum(counts)
    assert mean == pytest.approx(1)
