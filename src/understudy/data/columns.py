"""Finds the columns of a table that hold the texts and the labels, where only one column can be meant.

A column called `text` or `label` is taken without a look at its values. Otherwise every column is described
by its values (`Column`), and the candidates are:

- Texts: strings of at least three words on average, of which at least three in ten differ. If there are none, other
  strings of which at least three in ten differ. Numbers, dates, addresses and identifiers are no candidates.
- Labels: strings, integers or booleans with at least two distinct values, each of which occurs twice on average.
  Fractions, dates, years, addresses, numbers far apart (such as customer numbers) and constant columns are no
  candidates. Neither is the text column.

If several columns are candidates, a well-known name such as `message` or `category` decides. If that leaves more than
one or none, the user has to name the column.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from understudy.data.findings import counted, excerpt
from understudy.data.labels import kind, looks_numeric
from understudy.data.sources import column_blocks, has_columns
from understudy.data.words import folded, words
from understudy.errors import DataError
from understudy.recipe.base import AUTO

log = logging.getLogger(__name__)

TEXT, LABEL = "text", "label"
_TEXT_NAMES = {
    "text", "texts", "message", "sentence", "review", "content", "body", "utterance", "query", "question", "comment",
    "tweet", "document", "description", "post",
}  # fmt: skip
_LABEL_NAMES = {
    "label", "labels", "class", "category", "target", "intent", "topic", "sentiment", "tag",
}  # fmt: skip

_MOST_DISTINCT = 200_000  # beyond these, distinct values are not counted
_SAMPLED = 1000  # of the first rows every value is looked at, then one of _EVERY
_EVERY = 97
_SHOWN = 3
_EXCERPT = 40
_LISTED = 12
_FREE_WORDS = 3  # words per text, on average, from which strings are free text
_DISTINCT_TEXTS = 0.3
_USED = 0.5  # share of the rows in which a candidate has a value
_ROWS_PER_LABEL = 2
_LONGEST_LABEL = 60  # characters, on average
_MOSTLY = 0.8
_YEARS = range(1900, 2101)

_MONTH = "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec"
_DATE = re.compile(
    r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([T ].*)?|\d{1,2}:\d{2}(:\d{2})?.*"
    rf"|(\w{{3,9}},? )?(\d{{1,2}} ({_MONTH})\w*|({_MONTH})\w* \d{{1,2}})\b.*\d{{4}}.*",
    re.IGNORECASE,
)
_ADDRESS = re.compile(r"(https?://|www\.|ftp://)\S+|\S+@\S+\.\w+|(/|[A-Za-z]:\\|\.{0,2}/)?([\w.-]+[/\\])+[\w.-]+")
_IDENTIFIER = re.compile(r"(?=\S*[0-9@/\\_#])[!-~]+")  # one ASCII word with a digit or a sign in it


@dataclass
class Column:
    """What a column holds.

    Attributes:
        name: Its name.
        classes: Class names that the source gives to its integers.
        rows: Number of rows.
        used: Number of rows with a value.
        distinct: Hashes of the distinct values, at most `_MOST_DISTINCT`.
        sample: Some of the values, in order.
        shown: The first distinct values.
    """

    name: str
    classes: list[str] | None = None
    rows: int = 0
    used: int = 0
    distinct: set[int] = field(default_factory=set)
    sample: list[Any] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)

    def add(self, values: Sequence[Any]) -> None:
        """Takes in the values of the next rows."""
        for row, value in enumerate(values, start=self.rows):
            if kind(value) == "missing":
                continue
            self.used += 1
            if len(self.distinct) < _MOST_DISTINCT:
                self.distinct.add(hash(value if isinstance(value, str | int | float) else repr(value)))
            if row < _SAMPLED or row % _EVERY == 0:
                self.sample.append(value)
            if len(self.shown) < _SHOWN and (one := _shown(value)) not in self.shown:
                self.shown.append(one)
        self.rows += len(values)

    @property
    def is_candidate(self) -> bool:
        """Whether it has several values, in at least half of the rows."""
        return len(self.distinct) > 1 and self.used >= _USED * self.rows

    @property
    def is_text(self) -> bool:
        """Whether it can be the text."""
        if not self.is_candidate or not self._all(str):
            return False
        differ = len(self.distinct) >= min(_DISTINCT_TEXTS * self.used, _MOST_DISTINCT)
        return differ and not self._mostly(lambda value: looks_numeric(value) or _is_code(value))

    @property
    def is_free_text(self) -> bool:
        """Whether it can be the text and has sentences rather than names."""
        return self.is_text and self._mean(lambda value: len(words(folded(value)))) >= _FREE_WORDS

    @property
    def is_label(self) -> bool:
        """Whether it can be the label."""
        if not self.is_candidate:
            return False
        if self.classes:
            return True
        kinds = {kind(value) for value in self.sample}
        if not kinds <= {"string", "integer"} or _ROWS_PER_LABEL * len(self.distinct) > self.used:
            return False
        if not self._all(str):
            return not self._counts_something()
        if all(looks_numeric(value) for value in self.sample):
            return all(float(value).is_integer() for value in self.sample) and not self._counts_something()
        is_place = self._mostly(lambda value: bool(_DATE.fullmatch(value.strip()) or _ADDRESS.fullmatch(value.strip())))
        return self._mean(len) <= _LONGEST_LABEL and not is_place

    @property
    def holds_lists(self) -> bool:
        """Whether its values are lists, such as several labels per text."""
        return self.is_candidate and self._all(list, tuple)

    def _counts_something(self) -> bool:
        """Whether integers are years, or lie further apart than the numbers of classes do."""
        numbers = [int(float(value)) for value in self.sample]
        spread = max(numbers) - min(numbers) + 1
        return all(number in _YEARS for number in numbers) or spread > 2 * len(self.distinct) + 10

    def _all(self, *kinds: type) -> bool:
        return all(isinstance(value, kinds) for value in self.sample)

    def _mean(self, measure: Callable[[Any], float]) -> float:
        return float(sum(map(measure, self.sample)) / max(1, len(self.sample)))

    def _mostly(self, holds: Callable[[Any], bool]) -> bool:
        return self._mean(holds) >= _MOSTLY


def find_columns(source: str, text: str = AUTO, label: str = AUTO) -> tuple[str, str]:
    """The names of a source's text column and label column.

    Args:
        source: A source with its split.
        text: The column that the user names, or `auto`.
        label: The same for the label.

    Raises:
        DataError: More than one column, or none, can be meant; or the source cannot be read.
    """
    if not has_columns(source):
        text, label = (name if given == AUTO else given for name, given in ((TEXT, text), (LABEL, label)))
    if AUTO not in (text, label):
        return text, label
    found: dict[str, Column] = {}
    rows = 0
    for block in column_blocks(source):
        if rows == 0:
            text = TEXT if text == AUTO and TEXT in block.values else text
            label = LABEL if label == AUTO and LABEL in block.values else label
            if AUTO not in (text, label):
                break
        for name, values in block.values.items():
            found.setdefault(name, Column(name, block.classes.get(name), rows)).add(values)
        rows += len(block)
    if rows == 0 and AUTO in (text, label):
        raise DataError(f"{source} has no rows: expected labelled texts. Check the source and its split.")
    text, label = choose(source, list(found.values()), text, label)
    log.info("%s: the texts are in the column %r, the labels in %r", source, text, label)
    return text, label


def choose(source: str, every: list[Column], text: str, label: str) -> tuple[str, str]:
    """As `find_columns`, from the columns themselves."""
    if text == AUTO:
        others = [column for column in every if column.name != label]
        free = [column for column in others if column.is_free_text]
        candidates = free or [column for column in others if column.is_text]
        text = _only(source, TEXT, candidates, others, _TEXT_NAMES)
    if label == AUTO:
        others = [column for column in every if column.name != text]
        named = [column for column in others if column.classes and column.is_label]
        candidates = named or [column for column in others if column.is_label]
        # Several labels per text are refused by the audit, which explains it.
        candidates = candidates or [column for column in others if column.holds_lists]
        label = _only(source, LABEL, candidates, others, _LABEL_NAMES)
    return text, label


def _only(source: str, role: str, candidates: list[Column], others: list[Column], known: set[str]) -> str:
    """The one candidate, or the one with a well-known name."""
    named = [column for column in candidates if column.name.strip().casefold() in known]
    found = named if len(named) == 1 else candidates
    if len(found) == 1:
        return found[0].name
    option = f"--data.{role}"
    if candidates:
        raise DataError(
            f"{source}: {counted(len(candidates), 'column')} can be the {role}. Name one with {option}:\n"
            f"{_listed(candidates)}"
        )
    expected = "strings of several words" if role == TEXT else "few distinct values, which occur several times each"
    raise DataError(
        f"{source}: no column can be the {role}; expected {expected}. Name one with {option}:\n{_listed(others)}"
    )


def _listed(columns: list[Column]) -> str:
    lines = [f"  {column.name}: {', '.join(column.shown) or '(no values)'}" for column in columns[:_LISTED]]
    more = len(columns) - _LISTED
    return "\n".join([*lines, f"  and {counted(more, 'more column')}"] if more > 0 else lines)


def _shown(value: Any) -> str:
    text = excerpt(value if isinstance(value, str) else repr(value))
    return repr(text if len(text) <= _EXCERPT else text[: _EXCERPT - 1] + "…") if isinstance(value, str) else text


def _is_code(value: str) -> bool:
    value = value.strip()
    return any(pattern.fullmatch(value) for pattern in (_DATE, _ADDRESS, _IDENTIFIER))
