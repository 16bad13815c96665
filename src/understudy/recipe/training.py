"""Options for training the teacher and the student."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from understudy.recipe.base import AUTO, Auto, Options, PositiveInt, Precision, Rate, Seed, as_list
from understudy.recipe.wording import Takes

LayerChoice = Literal["spread", "first", "last"] | list[int]


class TrainingOptions(Options):
    """Options for both fine-tuning the teacher and distilling the student."""

    epochs: PositiveInt | Auto = AUTO
    """Passes over the training texts. `auto` follows the number of texts: the fewer, the more passes."""
    learning_rate: Annotated[float, Field(gt=0, le=1)] | Auto = AUTO
    """Peak learning rate of AdamW. `auto` follows the encoder's width and the batch size: the wider the encoder and
    the smaller the batch, the lower the rate."""
    batch_size: PositiveInt | Auto = AUTO
    """Texts per optimiser step and device, on average. Batches have about the same number of tokens, so short texts
    come in larger batches than long ones. Every text has the same weight. `auto` follows the length and number of the
    texts."""
    head: Literal["logistic", "initial"] = "logistic"
    """Where the classifier's last layer starts. `logistic` is a logistic regression on the vectors that enter this
    layer before training. The teacher and the control without a teacher learn it from the labels, the student from the
    soft labels. `initial` keeps the layer that the model comes with: the teacher's for a student made of its layers,
    else a random one."""
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    """Learning rate schedule after the warm-up."""
    warmup: Rate = 0.1
    """Share of the steps in which the learning rate rises from zero."""
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 0.01
    """AdamW's decoupled weight decay, except for biases and layer norms."""
    max_grad_norm: Annotated[float, Field(gt=0)] = 1.0
    """Maximum norm of the gradient; a larger one is clipped."""
    class_weights: Literal["auto", "none", "balanced"] = AUTO
    """`balanced` weights each class's cross-entropy by the inverse of its frequency in the training texts. `auto` is
    `none`, because weights lower the accuracy."""
    early_stopping: Annotated[int, Field(ge=0)] | Auto = AUTO
    """Stop after this many epochs without a better validation accuracy, and keep the best epoch. 0 trains all epochs
    and keeps the last. `auto` stops early if there are enough epochs and validation texts."""
    checkpoint_steps: PositiveInt = 200
    """Steps between checkpoints, from which an interrupted run resumes. With early stopping there is one checkpoint per
    epoch instead."""
    precision: Precision = "auto"
    """Compute type. `auto` is bf16 if the hardware supports it, else fp16 on CUDA, else fp32. Weights stay fp32."""
    attention: Literal["auto", "eager", "sdpa", "per_text"] = "auto"
    """Attention kernel. `per_text` is understudy's own for CPUs, which computes one text at a time; `sdpa` is PyTorch's
    fused one. `auto` is `per_text` on a CPU if the model supports it, else `eager` for training in bf16 on a CPU, else
    `sdpa`."""
    attention_dropout: Rate | None = None
    """Dropout on the attention weights; by default the value in the model's config."""
    freeze_embeddings: bool = False
    """Do not train the word embeddings. They are half of a small encoder's weights. With a few thousand texts, training
    is a fifth faster without them."""
    calibrate: bool = True
    """Calibrate the trained model with temperature scaling (Guo et al. 2017, arXiv 1706.04599). The temperature is
    fitted on the validation texts and folded into the weights. Predicted labels do not change. It needs at least 50
    validation texts, and it is used only if it helps on held-out ones."""


class _TeacherModel(Options):
    model: Annotated[
        str | list[str], Takes("a model, or several, of which one may be linear", "MODEL|MODEL,MODEL,...")
    ] = "sentence-transformers/all-MiniLM-L6-v2"
    """Encoder to fine-tune: a local folder or a name on the Hub. A classifier with the same classes is used as it is.
    Several models form a committee, whose soft label is the mean of their calibrated log-probabilities. A model that is
    given twice is trained twice, with different seeds. `linear` is the n-gram model of the linear control."""
    revision: str | None = None
    """Branch, tag or commit on the Hub; for a single model only."""
    scores: str | None = None
    """File, or glob of files, with the teacher's probabilities from elsewhere. It needs a row for each text of train,
    unlabelled and test, with its `id` or text. It needs a column for each class: `<class>`, or `probability_<class>` as
    `predict` writes it. No teacher is then trained or run; `teacher.model` only provides layers for the student."""

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
                f"teacher.revision is {self.revision!r}, but teacher.model names {len(self.members)} models; expected "
                "one. Name one model, or leave the revision out"
            )
        return self

    @model_validator(mode="after")
    def _scores_beside_one(self) -> _TeacherModel:
        if self.scores is not None and len(self.members) > 1:
            raise ValueError(
                f"teacher.scores is {self.scores!r}, but teacher.model names {len(self.members)} models; expected the "
                "one encoder whose layers the student takes. Name one model, or leave the scores out"
            )
        return self


# The order of the bases puts a section's own options before those of the training.
class TeacherOptions(TrainingOptions, _TeacherModel):
    """The large model that the student learns from."""


class StudentOptions(Options):
    """The small model. Give either `model` or `layers`."""

    model: str | None = None
    """Checkpoint to start from: a local folder or a name on the Hub."""
    revision: str | None = None
    """Branch, tag or commit on the Hub."""
    layers: PositiveInt | None = None
    """Number of the teacher's layers to start from, with its embeddings and head."""
    from_layers: Annotated[
        LayerChoice,
        Takes("spread, first, last, or the numbers of the layers, from 0", "spread|first|last|N,N,..."),
    ] = "spread"
    """Which of the teacher's layers to take. `spread` takes every (n/k)-th from the first: for 3 of 6, the layers 0, 2
    and 4 (Sanh et al. 2019, arXiv 1910.01108). `first` takes the lowest, `last` the highest. Or give layer numbers, as
    many as `student.layers`."""
    vocabulary: PositiveInt | None = None
    """Keep at most this many tokens in tokenizer and embedding: those that the training and transfer texts use most.
    The embedding is half of MiniLM-L6, for example. By default all tokens are kept."""
    seed: Seed | None = None
    """Seed for the student's initialisation, batches and dropout; by default the recipe's `seed`."""

    @field_validator("from_layers", mode="before")
    @classmethod
    def _numbers(cls, value: Any) -> Any:
        items = as_list(value)
        if not isinstance(items, list):
            return value
        if any(isinstance(item, bool) for item in items):
            raise ValueError("true and false are not numbers")
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
                "Leave one out; --student.layers none removes the one in the file"
            )
        if self.revision is not None and self.model is None:
            raise ValueError(
                f"student.revision is {self.revision!r}, but student.model is missing. Give both, or leave the "
                "revision out"
            )
        if self.from_layers != "spread" and self.layers is None:
            raise ValueError(
                f"student.from_layers is {self.from_layers!r}, but student.layers is missing. Give both, or leave "
                "student.from_layers out"
            )
        if isinstance(self.from_layers, list) and len(self.from_layers) != self.layers:
            raise ValueError(
                f"student.from_layers names {len(self.from_layers)} layers, but student.layers is {self.layers}. "
                "Make them equal"
            )
        return self


class _SoftLoss(Options):
    objective: Literal["kl", "mse"] = "kl"
    """Soft loss. `kl` is the Kullback-Leibler divergence of the tempered distributions (Hinton et al. 2015, arXiv
    1503.02531). `mse` is the mean squared error of the logits (Kim et al. 2021, arXiv 2105.08919)."""
    temperature: Annotated[float, Field(gt=0, le=100)] | Auto = AUTO
    """Temperature that softens both distributions in the KL loss, which is multiplied by its square. `auto` follows the
    number of classes."""
    alpha: Annotated[float, Field(ge=0, le=1)] | Auto = AUTO
    """Weight of the soft loss; the cross-entropy with the given label has the weight 1 - alpha. `auto` follows the
    share of the texts that have a label."""


class DistillationOptions(TrainingOptions, _SoftLoss):
    """How the student learns from the teacher's soft labels."""
