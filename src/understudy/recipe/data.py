"""Options for the texts and their labels."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, field_validator

from understudy.recipe.base import AUTO, Auto, Options, as_list
from understudy.recipe.wording import Takes


class DataOptions(Options):
    """Where the texts come from.

    A source is a Hub dataset (`stanfordnlp/imdb:train`), a file or a glob of files. Files are csv, tsv, jsonl or
    parquet, and may be compressed. The official IMDb distribution (`aclImdb_v1.tar.gz:train`, or its unpacked folder)
    is also a source. So are `reviews:train` and `reviews:test`, the reviews that ship with understudy.
    """

    train: str
    """Source of the labelled training texts. A Hub dataset without a split (`stanfordnlp/imdb`) is its split `train`.
    Its splits `test` and `validation` are then used, too, unless these options say otherwise."""
    test: Annotated[
        float | int | str,
        Takes("auto, a source, a share between 0 and 1, or a number of texts from 1", "auto|SOURCE|SHARE|COUNT"),
    ] = AUTO
    """The test texts, which are used for the final scores only. A share (0.2) or number (2000) is set apart from the
    training texts, stratified by class and fixed by `seed`; the run keeps it in `data/test.parquet`. `auto` sets a
    fifth of the texts apart, but at most 2,000."""
    validation: Annotated[
        float | int | str,
        Takes("auto, a share between 0 and 1, a number of texts from 1, or a source", "auto|SHARE|COUNT|SOURCE"),
    ] = AUTO
    """The validation texts: a share (0.1) or number (1000) of the training texts, or a separate source. A share or
    number is stratified by class and fixed by `seed`. `auto` is a tenth of the training texts, but at least 100 where
    that is at most a fifth of them, and at most 2,000."""
    text: str = AUTO
    """Column with the text. `auto` finds it if only one column can be the text. A column called `text` comes first."""
    label: str = AUTO
    """Column with the label, a string or an integer. `auto` finds it if only one column can be the label. A column
    called `label` comes first."""
    labels: Annotated[list[str] | None, Takes("two or more different names", "NAME,NAME,...")] = None
    """Class names. String labels must be among them. Integer labels are indices of these names, or names themselves if
    all of them are among the names. By default the names come from the dataset, or are the distinct labels, sorted."""
    unlabelled: str | None = None
    """Source of texts without labels. The teacher labels them, and the student learns from them, too. The source is
    streamed, so it may be far larger than the labelled one. Texts that are also in `train`, `validation` or `test` are
    left out."""
    labelled: Annotated[
        float | int | None, Takes("a share between 0 and 1, or a number of texts from 2", "SHARE|COUNT")
    ] = None
    """Keep the labels of only this share (0.04) or number (1000) of the training texts, stratified by class and fixed
    by `seed`. The other training texts become unlabelled texts. The texts with labels are then split into training and
    validation. By default all labels are kept."""
    max_length: Annotated[int, Field(ge=4, le=8192)] | Auto = AUTO
    """Maximum number of tokens per text, special tokens included; longer texts are cut. `auto` is the smallest of 32,
    48, 64, 96, 128, 256 and 512 that 99 % of the training texts fit in, as far as the encoders read that many."""

    @field_validator("test", "validation", "labelled", mode="before")
    @classmethod
    def _number_from_text(cls, value: Any) -> Any:
        if isinstance(value, str):
            for number in (int, float):
                try:
                    return number(value)
                except ValueError:
                    continue
        return value

    @field_validator("test", "validation")
    @classmethod
    def _share_or_count(cls, value: float | int | str) -> float | int | str:
        share = isinstance(value, float) and not 0 < value < 1
        count = isinstance(value, int) and value < 1
        if share or count:
            raise ValueError("neither a share nor a number")
        return value

    @property
    def sets_test_apart(self) -> bool:
        """Whether the test texts are set apart from the training texts."""
        return not isinstance(self.test, str) or self.test == AUTO

    @property
    def test_source(self) -> str:
        """Where the test texts come from: their own source, or the training texts' if they are set apart."""
        return self.train if not isinstance(self.test, str) or self.test == AUTO else self.test

    @property
    def test_origin(self) -> str:
        """How the test texts come from their source, in words that its name follows."""
        return "set apart from" if self.sets_test_apart else "from"

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
            raise ValueError("too few names, or the same name twice")
        return value
