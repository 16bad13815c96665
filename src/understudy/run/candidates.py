"""Finished models as candidates of the evaluation: their answers, their size and their cost."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from understudy.data.corpus import Corpus
from understudy.data.tokens import Tokens
from understudy.evaluation.abstention import abstain
from understudy.evaluation.evaluation import Candidate
from understudy.evaluation.results import Abstention
from understudy.inference.engine import made_up
from understudy.inference.logits import softmax
from understudy.models.linear import LinearModel, is_linear
from understudy.models.loading import load_classifier, parameter_count
from understudy.run.labelling import Labeller
from understudy.run.teacher import Teacher
from understudy.runtime.hardware import Dtype


def teacher_candidate(teacher: Teacher, dtype: Dtype) -> Candidate:
    """The teacher's answers; its size is unknown if they were given."""
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
        tokens: By split, from its tokenizer; a linear model ignores them.
        dtype: Compute type.
    """
    if is_linear(folder):
        probabilities = LinearModel.load(folder).predict_proba(labeller.corpus.test.texts)
        return Candidate(probabilities, *_linear_size(folder))
    found = labeller.encoder(folder, tokens, "test", dtype, f"testing {name}")
    return Candidate(softmax(found.logits), *_encoder_size(folder))


def student_abstention(corpus: Corpus, target: float, validated: np.ndarray, tested: Candidate) -> Abstention:
    """The threshold on the student's top probability, chosen on the validation texts.

    Args:
        corpus: Has the labels.
        target: Required share of right answers.
        validated: The student's logits for the validation texts, shape (texts, classes).
        tested: Its answers on the test texts.
    """
    validation, test = corpus.validation, corpus.test
    return abstain(target, softmax(validated), validation.labels, tested.probabilities, test.labels)


def _encoder_size(folder: Path) -> tuple[int, int]:
    """Parameters, and bytes on disk."""
    size = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    return parameter_count(load_classifier(folder)), size


def _linear_size(folder: Path) -> tuple[int, int]:
    """Likewise for a linear model, including its vocabulary, which it cannot answer without."""
    return LinearModel.load(folder).parameters, sum(path.stat().st_size for path in folder.iterdir())


def operations(folder: Path, tokens: Tokens, texts: list[str]) -> int:
    """Additions and multiplications for one text of average length; it depends on the model and texts alone.

    Of a linear model: two for each n-gram of the text that it knows and each output. Of other models: those of all
    matrix products, as PyTorch counts them, and one addition for each number in the embeddings of the tokens.

    Args:
        folder: The model's.
        tokens: Of the texts, by its tokenizer; a linear model ignores them.
        texts: The texts; an encoder ignores them.
    """
    if is_linear(folder):
        return round(LinearModel.load(folder).operations(texts))
    from torch import from_numpy, nn, no_grad
    from torch.utils.flop_counter import FlopCounterMode

    model, length = load_classifier(folder), max(1, round(float(tokens.lengths.mean())))
    model.set_attn_implementation("eager")  # fused kernels are not counted on every device
    batch = {name: from_numpy(values) for name, values in made_up(model.config, (length,)).items()}
    with no_grad(), FlopCounterMode(display=False) as counter:
        model(**batch)
    embedded = sum(module.embedding_dim for module in model.modules() if isinstance(module, nn.Embedding))
    return int(counter.get_total_flops()) + length * embedded
