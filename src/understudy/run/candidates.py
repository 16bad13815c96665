"""Finished models as candidates of the evaluation: their answers, and how large they are."""

from __future__ import annotations

from pathlib import Path

from understudy.data.tokens import Tokens
from understudy.evaluation.abstention import abstain
from understudy.evaluation.evaluation import Candidate
from understudy.evaluation.results import Abstention
from understudy.inference.logits import softmax
from understudy.models.linear import LinearModel, is_linear
from understudy.models.loading import load_classifier, parameter_count
from understudy.run.labelling import Committee, Labeller
from understudy.runtime.hardware import Dtype


def teacher_candidate(teacher: Committee, dtype: Dtype) -> Candidate:
    """The teacher's answers; its size is unknown where they were given."""
    found = teacher.logits("test", dtype, "testing teacher")
    if not teacher.models:
        return Candidate(softmax(found.logits), None, None)
    sizes = [_linear_size(folder) if is_linear(folder) else _encoder_size(folder) for folder in teacher.models]
    parameters, size = (sum(values) for values in zip(*sizes, strict=True))
    return Candidate(softmax(found.logits), parameters, size)


def model_candidate(labeller: Labeller, name: str, folder: Path, tokens: dict[str, Tokens], dtype: Dtype) -> Candidate:
    """A student's or a control's answers.

    Args:
        labeller: Asks it.
        name: Names it in messages.
        folder: Where it is.
        tokens: By split, from its tokenizer; a linear model has none.
        dtype: Compute type.
    """
    if is_linear(folder):
        probabilities = LinearModel.load(folder).predict_proba(labeller.corpus.test.texts)
        return Candidate(probabilities, *_linear_size(folder))
    found = labeller.encoder(folder, tokens, "test", dtype, f"testing {name}")
    return Candidate(softmax(found.logits), *_encoder_size(folder))


def student_abstention(
    labeller: Labeller, folder: Path, tokens: dict[str, Tokens], dtype: Dtype, target: float, tested: Candidate
) -> Abstention:
    """The threshold on the student's top probability, chosen on the validation texts.

    Args:
        labeller: Asks it.
        folder: Where it is.
        tokens: By split, from its tokenizer.
        dtype: Compute type.
        target: Share of its answers that is to be right.
        tested: Its answers on the test texts.
    """
    found = labeller.encoder(folder, tokens, "validation", dtype, "student, validation")
    validation, test = labeller.corpus.validation, labeller.corpus.test
    return abstain(target, softmax(found.logits), validation.labels, tested.probabilities, test.labels)


def _encoder_size(folder: Path) -> tuple[int, int]:
    """Parameters, and bytes on disk."""
    size = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    return parameter_count(load_classifier(folder)), size


def _linear_size(folder: Path) -> tuple[int, int]:
    """Likewise for a linear model; its vocabulary counts, for without it the weights are nothing."""
    return LinearModel.load(folder).parameters, sum(path.stat().st_size for path in folder.iterdir())
