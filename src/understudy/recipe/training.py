"""Options of what is trained: the teacher, the student, and how the one learns from the other."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from understudy.recipe.base import Options, PositiveInt, Precision, Rate, Seed, as_list
from understudy.recipe.wording import Takes

LayerChoice = Literal["spread", "first", "last"] | list[int]


class TrainingOptions(Options):
    """What fine-tuning the teacher and distilling the student have in common."""

    epochs: PositiveInt = 1
    """Passes over the training texts."""
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 5e-5
    """Peak learning rate of AdamW."""
    batch_size: PositiveInt = 16
    """Texts per optimiser step and device, on average: batches are filled up to a number of tokens, so that one of
    short texts holds more of them than one of long texts, and every text counts alike."""
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    """How the learning rate falls after the warm-up."""
    warmup: Rate = 0.1
    """Share of the steps over which the learning rate rises from zero."""
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 0.01
    """AdamW's decoupled weight decay; biases and layer norms are left out."""
    max_grad_norm: Annotated[float, Field(gt=0)] = 1.0
    """The gradient's norm is clipped to this."""
    class_weights: Literal["none", "balanced"] = "none"
    """`balanced` weights each class's cross-entropy by the inverse of its frequency in the training texts."""
    early_stopping: Annotated[int, Field(ge=0)] = 0
    """Stop after this many epochs without a better validation accuracy and keep the best; 0: train all epochs and keep
    the last."""
    checkpoint_steps: PositiveInt = 200
    """Steps between checkpoints, from which an interrupted run goes on. With early stopping, one an epoch instead."""
    precision: Precision = "auto"
    """Compute type. `auto`: bf16 where the hardware has it, else fp16 on CUDA, else fp32. Weights stay fp32."""
    attention: Literal["auto", "eager", "sdpa", "per_text"] = "auto"
    """Attention kernel. `auto`: on a CPU understudy's own `per_text`, which computes one text at a time, where the
    model takes it, else eager for training in bf16; everywhere else sdpa, PyTorch's fused one."""
    attention_dropout: Rate | None = None
    """Dropout on the attention weights; by default what the model's own config says."""
    freeze_embeddings: bool = False
    """Leave the word embeddings as they are. They are half of a small encoder's weights; on a few thousand texts
    training is a fifth faster without them."""
    calibrate: bool = True
    """Divide the finished model's logits by the temperature that suits the validation texts best (Guo et al. 2017,
    arXiv 1706.04599), within its weights. No label changes. Fewer than 50 validation texts are too few for it."""


class _TeacherModel(Options):
    model: Annotated[
        str | list[str], Takes("a model, or several, of which one may be linear", "MODEL|MODEL,MODEL,...")
    ] = "sentence-transformers/all-MiniLM-L6-v2"
    """Encoder to fine-tune, or a classifier with the same classes, which is then taken as it is: a local folder or a
    name on the Hub. Several make a committee, whose soft label is the mean of its members' calibrated
    log-probabilities; a model that is named twice is trained twice, with seeds of its own, and `linear` is the
    NB-weighted n-gram model."""
    revision: str | None = None
    """Branch, tag or commit on the Hub; for a single model."""
    scores: str | None = None
    """File, or glob of files, with the teacher's probabilities, made elsewhere: a row for each text of train,
    unlabelled and test, with its `id` or text, and a column for each class (`<class>`, or `probability_<class>` as
    `predict` writes it). Nothing of a teacher is then trained or run; `teacher.model` only lends its layers to the
    student."""

    @field_validator("model", mode="before")
    @classmethod
    def _one_or_several(cls, value: Any) -> Any:
        items = as_list(value)
        return items[0] if isinstance(items, list) and len(items) == 1 else items

    @field_validator("model")
    @classmethod
    def _encoder_among_them(cls, value: str | list[str]) -> str | list[str]:
        names = [value] if isinstance(value, str) else value
        if names.count("linear") > 1 or not [name for name in names if name not in ("linear", "")]:
            raise ValueError("no encoder, or linear twice")
        return value

    @property
    def members(self) -> list[str]:
        """The models' names; one, unless the teacher is a committee."""
        return [self.model] if isinstance(self.model, str) else self.model

    @model_validator(mode="after")
    def _revision_of_one(self) -> _TeacherModel:
        if self.revision is not None and len(self.members) > 1:
            raise ValueError(
                f"teacher.revision is {self.revision!r}, but teacher.model names {len(self.members)} models; a "
                "revision belongs to one"
            )
        return self

    @model_validator(mode="after")
    def _scores_beside_one(self) -> _TeacherModel:
        if self.scores is not None and len(self.members) > 1:
            raise ValueError(
                f"teacher.scores is {self.scores!r}, but teacher.model names {len(self.members)} models; expected the "
                "one encoder whose layers a student takes, for no teacher is trained. Name one, or leave the scores out"
            )
        return self


# Bases come in this order so that a section's own options stand before those of the training.
class TeacherOptions(TrainingOptions, _TeacherModel):
    """The large model that is learned from."""


class StudentOptions(Options):
    """The small model that learns. Give `model` or `layers`."""

    model: str | None = None
    """Checkpoint to start from: a local folder or a name on the Hub."""
    revision: str | None = None
    """Branch, tag or commit on the Hub."""
    layers: PositiveInt | None = None
    """Start from this many of the teacher's layers, with its embeddings and head."""
    from_layers: Annotated[
        LayerChoice,
        Takes("spread, first, last, or the numbers of the layers, from 0", "spread|first|last|N,N,..."),
    ] = "spread"
    """Which of the teacher's layers: `spread` takes every n/k-th from the first (6 to 3: layers 0, 2 and 4; Sanh et al.
    2019, arXiv 1910.01108), `first` the lowest, `last` the highest; or name them, as many as `student.layers`."""
    vocabulary: PositiveInt | None = None
    """Keep at most this many tokens, those that the training and transfer texts use most, in tokenizer and embedding
    (in MiniLM-L6 the embedding is half of the model). By default all are kept."""
    seed: Seed | None = None
    """Seed of the student's initialisation, batches and dropout; by default the recipe's `seed`."""

    @field_validator("from_layers", mode="before")
    @classmethod
    def _numbers(cls, value: Any) -> Any:
        items = as_list(value)
        if not isinstance(items, list):
            return value
        if any(isinstance(item, bool) for item in items):
            raise ValueError("true and false are no numbers")
        decimals = isinstance(value, str) and all(str(item).isdecimal() for item in items)
        return [int(item) for item in items] if decimals else value

    @field_validator("from_layers")
    @classmethod
    def _ascending(cls, value: str | list[int]) -> str | list[int]:
        if isinstance(value, list) and (not value or value[0] < 0 or value != sorted(set(value))):
            raise ValueError("not ascending numbers from 0")
        return value

    @model_validator(mode="after")
    def _one_origin(self) -> StudentOptions:
        if self.model is None and self.layers is None:
            raise ValueError("expected one of student.model and student.layers, got neither")
        if self.model is not None and self.layers is not None:
            raise ValueError(
                f"expected one of student.model and student.layers, got both ({self.model!r} and {self.layers}). "
                "Leave one out; --student.layers none drops the file's"
            )
        if self.revision is not None and self.model is None:
            raise ValueError(f"student.revision is {self.revision!r}, but belongs to student.model, which is not given")
        if self.from_layers != "spread" and self.layers is None:
            raise ValueError(
                f"student.from_layers is {self.from_layers!r}, but belongs to student.layers, which is not given"
            )
        if isinstance(self.from_layers, list) and len(self.from_layers) != self.layers:
            raise ValueError(
                f"student.from_layers names {len(self.from_layers)} layers, but student.layers is {self.layers}. "
                "Give as many"
            )
        return self


class _SoftLoss(Options):
    objective: Literal["kl", "mse"] = "kl"
    """Soft loss: Kullback-Leibler divergence of the tempered distributions (Hinton et al. 2015, arXiv 1503.02531), or
    mean squared error of the logits (Kim et al. 2021, arXiv 2105.08919)."""
    temperature: Annotated[float, Field(gt=0, le=100)] = 2.0
    """Softens both distributions in the KL loss, which is scaled by its square."""
    alpha: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Weight of the soft loss; the cross-entropy with the given label weighs 1 - alpha."""


class DistillationOptions(TrainingOptions, _SoftLoss):
    """How the student learns from the teacher's soft labels."""
