"""Options of the texts and their labels."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, field_validator

from understudy.recipe.base import Options, as_list
from understudy.recipe.wording import Takes


class DataOptions(Options):
    """Where the texts come from.

    A source is a Hub dataset (`stanfordnlp/imdb:train`), a file (csv, tsv, jsonl, parquet, each also compressed), a
    glob of them, the official IMDb distribution (`aclImdb_v1.tar.gz:train` or its unpacked folder), or `reviews:train`
    and `reviews:test`, the reviews that ship with understudy.
    """

    train: str
    """Source of the labelled training texts."""
    test: str
    """Source of the labelled test texts; used for the final figures only."""
    validation: Annotated[
        float | int | str,
        Takes("a share between 0 and 1, a number of texts from 1, or a source", "SHARE|COUNT|SOURCE"),
    ] = 0.1
    """A source of its own, or a share (0.1) or a number (1000) of the training texts, stratified by class and fixed by
    `seed`."""
    text: str = "text"
    """Column that holds the text."""
    label: str = "label"
    """Column that holds the label: strings or integers."""
    labels: Annotated[list[str] | None, Takes("two or more different names", "NAME,NAME,...")] = None
    """Names of the classes. Integer labels take them in this order; string labels must be among them. Without it the
    names come from the dataset itself, or are the distinct values, sorted."""
    unlabelled: str | None = None
    """Source of texts without labels, which the teacher labels and the student learns from as well. It is streamed, so
    it may be far larger than the labelled one; its texts that also stand in `train`, `validation` or `test` are left
    out."""
    labelled: Annotated[
        float | int | None, Takes("a share between 0 and 1, or a number of texts from 2", "SHARE|COUNT")
    ] = None
    """Keep the labels of only this share (0.04) or number (1000) of the training texts, stratified by class and fixed
    by `seed`; the others join the unlabelled ones. What has a label is then split into training and validation. By
    default all keep theirs."""
    max_length: Annotated[int, Field(ge=4, le=8192)] = 256
    """Tokens after which a text is cut, special tokens included."""

    @field_validator("validation", "labelled", mode="before")
    @classmethod
    def _number_from_text(cls, value: Any) -> Any:
        if isinstance(value, str):
            for number in (int, float):
                try:
                    return number(value)
                except ValueError:
                    continue
        return value

    @field_validator("validation")
    @classmethod
    def _share_or_count(cls, value: float | int | str) -> float | int | str:
        share = isinstance(value, float) and not 0 < value < 1
        count = isinstance(value, int) and value < 1
        if share or count:
            raise ValueError("neither a share nor a number")
        return value

    @field_validator("labelled")
    @classmethod
    def _some(cls, value: float | int | None) -> float | int | None:
        share = isinstance(value, float) and not 0 < value < 1
        count = isinstance(value, int) and value < 2
        if share or count:
            raise ValueError("neither a share nor a number of texts")
        return value

    @field_validator("labels", mode="before")
    @classmethod
    def _names(cls, value: Any) -> Any:
        return value if value == "none" else as_list(value)

    @field_validator("labels")
    @classmethod
    def _distinct(cls, value: list[str] | None) -> list[str] | None:
        if value is not None and (len(value) < 2 or len(set(value)) < len(value)):
            raise ValueError("too few, or twice the same")
        return value
