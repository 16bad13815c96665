"""Options for what is measured, compared and shown."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, field_validator

from understudy.recipe.base import Options, Precision, as_list
from understudy.recipe.wording import Takes

Control = Literal["no_distillation", "linear", "frozen"]
_STUDENT = re.compile(r"([1-9]\d{0,3}|static)(/[1-9]\d{0,6})?|linear")


class EvaluationOptions(Options):
    """How the models are evaluated."""

    controls: Annotated[
        list[Control],
        Takes("some of no_distillation, linear, frozen, or none for no control", "CONTROL,CONTROL|none"),
    ] = ["no_distillation", "linear", "frozen"]  # noqa: RUF012  # pydantic copies it
    """Baselines for the student. `no_distillation` is the same student trained without the teacher. `linear` is a
    linear model on n-grams of words and characters. `frozen` is a logistic regression on the vectors of the frozen
    encoder. `none` leaves them out, and the verdict says so."""
    static: bool = True
    """Whether a static student is distilled as well: the mean of the token embeddings and a linear layer. It takes
    seconds to train and is the fastest to run."""
    required_retention: Annotated[float, Field(gt=0, le=1)] = 0.97
    """Share of the teacher's accuracy that the student must keep to count as a replacement. Its whole confidence
    interval must be at or above this share. DistilBERT keeps 97 % (Sanh et al. 2019, arXiv 1910.01108)."""
    target_precision: Annotated[float, Field(gt=0, le=1)] | None = None
    """Share of the student's answers that should be right. A threshold on its top probability is then chosen, so that
    the validation texts show this with 95 % confidence. `metrics.json` says how many texts get no answer at that
    threshold. `understudy predict` takes the threshold as --threshold."""
    resamples: Annotated[int, Field(ge=100, le=1_000_000)] = 10_000
    """Number of bootstrap resamples for the interval of F1's retention."""
    precision: Precision = "fp32"
    """Compute type of the test predictions."""
    speed_texts: Annotated[int, Field(ge=1)] = 256
    """Number of test texts on which documents per second are measured."""
    texts: bool = False
    """Whether `predictions.parquet` includes the test texts."""

    @field_validator("controls", mode="before")
    @classmethod
    def _none(cls, value: Any) -> Any:
        return [] if value in ("none", ["none"]) else as_list(value)

    @field_validator("controls")
    @classmethod
    def _once(cls, value: list[Control]) -> list[Control]:
        return [control for control in get_args(Control) if control in value]


class FrontierOptions(Options):
    """The students that `understudy frontier` compares."""

    students: Annotated[
        list[str] | None,
        Takes("different ones of LAYERS, LAYERS/VOCABULARY, static, static/VOCABULARY and linear", "STUDENT,..."),
    ] = None
    """`3` has three of the teacher's layers, and `3/8000` also at most 8,000 tokens. `static` is a bag of embeddings
    without layers, and `linear` is an n-gram model. The default has all of the teacher's layers, a half, a third and
    one of them, a half with 8,000 tokens, `static` and `linear`."""

    @field_validator("students", mode="before")
    @classmethod
    def _names(cls, value: Any) -> Any:
        return value if value is None else as_list(value)

    @field_validator("students")
    @classmethod
    def _known(cls, value: list[str] | None) -> list[str] | None:
        if value is not None and (not value or len(set(value)) < len(value) or not all(map(_STUDENT.fullmatch, value))):
            raise ValueError("not a list of such students")
        return value


class ReportOptions(Options):
    """The report page."""

    texts: bool = True
    """Whether `report/report.html` shows the test texts on which teacher and student disagree. `false` leaves all texts
    out, for private data."""
