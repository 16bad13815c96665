"""Losses, as pure functions on tensors.

Each takes the student's logits, the labels (-100 for a text without one) and the teacher's logits, row for row of the
same texts. It returns a scalar to be minimised.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from understudy.data.labels import NO_LABEL

Objective = Callable[[Tensor, Tensor, Tensor | None], Tensor]


def soft_kl(student_logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """T^2 * KL(teacher || student) of the tempered distributions, one value per text.

    The factor T^2 keeps the size of the gradient independent of the temperature (Hinton et al. 2015, arXiv 1503.02531,
    section 2).

    Args:
        student_logits: Shape (texts, classes).
        teacher_logits: Shape (texts, classes).
        temperature: Divides both logits.
    """
    student = F.log_softmax(student_logits / temperature, dim=-1)
    teacher = F.log_softmax(teacher_logits / temperature, dim=-1)
    return temperature**2 * F.kl_div(student, teacher, reduction="none", log_target=True).sum(dim=-1)


def soft_mse(student_logits: Tensor, teacher_logits: Tensor) -> Tensor:
    """Mean squared difference of the logits, one value per text (Kim et al. 2021, arXiv 2105.08919).

    Args:
        student_logits: Shape (texts, classes).
        teacher_logits: Shape (texts, classes).
    """
    return F.mse_loss(student_logits, teacher_logits, reduction="none").mean(dim=-1)


def hard_loss(logits: Tensor, labels: Tensor, class_weights: Tensor | None = None) -> Tensor:
    """Cross-entropy, one value per text; 0 for a text without a label.

    Args:
        logits: Shape (texts, classes).
        labels: Shape (texts,), -100 for none.
        class_weights: Shape (classes,).
    """
    return F.cross_entropy(logits, labels, weight=class_weights, ignore_index=NO_LABEL, reduction="none")


def supervised(class_weights: list[float] | None = None) -> Objective:
    """Cross-entropy with the labels, the mean over labelled texts.

    Class weights scale each text's loss and do not change the divisor, as in `distilled`. With PyTorch's own weighted
    mean a batch of one rare class would count no more than any other, and a control would be weighted differently from
    its student.
    """

    def loss(logits: Tensor, labels: Tensor, teacher_logits: Tensor | None) -> Tensor:
        weights = None if class_weights is None else torch.tensor(class_weights, device=logits.device)
        return hard_loss(logits, labels, weights).sum() / (labels != NO_LABEL).sum().clamp(min=1)

    return loss


def distilled(kind: str, temperature: float, alpha: float, class_weights: list[float] | None = None) -> Objective:
    """alpha * soft + (1 - alpha) * cross-entropy, the mean over texts; alpha is 1 for a text without a label.

    Args:
        kind: `kl` or `mse`.
        temperature: Of the KL loss.
        alpha: Weight of the soft loss.
        class_weights: Weights of the cross-entropy, one per class.
    """

    def loss(logits: Tensor, labels: Tensor, teacher_logits: Tensor | None) -> Tensor:
        weights = None if class_weights is None else torch.tensor(class_weights, device=logits.device)
        hard = hard_loss(logits, labels, weights)
        if teacher_logits is None:  # validation texts carry no soft labels
            return hard.mean()
        soft = soft_kl(logits, teacher_logits, temperature) if kind == "kl" else soft_mse(logits, teacher_logits)
        share = torch.where(labels == NO_LABEL, 1.0, alpha)
        return (share * soft + (1 - share) * hard).mean()

    return loss


def balanced_class_weights(counts: list[int]) -> list[float]:
    """Inverse class frequencies, 1 on average over the texts (King & Zeng 2001); 0 for a class without texts."""
    present = [count for count in counts if count]
    return [sum(counts) / (len(present) * count) if count else 0.0 for count in counts]
