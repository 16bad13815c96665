"""What a run makes of its data before it reads all of it: the columns, and how many texts are set apart as a test set.

The recipe in a run directory has these values instead of `auto`, so a run repeats. Test texts that were set apart are
kept in the run directory, with all their columns.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from understudy.data.corpus import Corpus, test_share, with_columns
from understudy.data.findings import counted
from understudy.data.sources import column_blocks, has_columns, read
from understudy.recipe.base import AUTO
from understudy.recipe.commented import commented
from understudy.recipe.data import DataOptions
from understudy.recipe.recipe import Recipe
from understudy.run.request import Request
from understudy.storage.files import write_file
from understudy.storage.layout import RunDirectory

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger(__name__)

_SHOWN = 10  # classes


def settle(recipe: Recipe, described: bool = False) -> Recipe:
    """The recipe with the data's sources, columns and size of the test set instead of `auto`.

    Args:
        recipe: What to do.
        described: Whether to add what is found to the description.

    Raises:
        DataError: A source cannot be read, several columns can be meant, or there are too few texts.
        HubUnreachable: A Hub dataset is not in the local cache, and the Hub does not answer.
    """
    data = with_columns(recipe.data)
    if data.test != AUTO and not described:
        return recipe.model_copy(update={"data": data})
    labels = _labels(data)
    if data.test == AUTO:
        data = data.model_copy(update={"test": round(test_share(data, labels) * len(labels))})
    changes = {"description": f"{recipe.description}: {_sizes(Counter(labels))}"} if described else {}
    return recipe.model_copy(update={"data": data, **changes})


def draft(recipe: Recipe) -> str:
    """The recipe of a table as a TOML file with comments: what was found in the table, and the help of every option.

    Errors are those of `settle`.
    """
    settled = settle(recipe, described=Request(recipe).names_only_its_table)
    data = settled.data
    counts = Counter(_labels(data))
    classes = [f"{label} {count:,}" for label, count in counts.most_common(_SHOWN)]
    more = f" and {len(counts) - _SHOWN:,} more" if len(counts) > _SHOWN else ""
    tested = f"{data.test:,}, set apart from these texts" if isinstance(data.test, int) else f"{data.test}"
    found = (
        f"What understudy found in {recipe.data.train}: {_sizes(counts)}",
        f"- columns: {data.text!r} has the texts, {data.label!r} the labels",
        f"- classes: {', '.join(classes)}{more}",
        f"- test texts: {tested}",
        "An option whose value is auto follows the data when the recipe runs.",
    )
    return commented(settled, found)


def _labels(data: DataOptions) -> list[str]:
    table = read(data.train, data.text, data.label)
    return [_named(label, table.classes) for label in table.labels or []]


def _sizes(counts: Counter[str]) -> str:
    return f"{counted(counts.total(), 'text')}, {counted(len(counts), 'class', 'classes')}"


def _named(label: Any, classes: Sequence[str] | None) -> str:
    return classes[label] if classes and isinstance(label, int) and 0 <= label < len(classes) else str(label)


def keep_test(recipe: Recipe, corpus: Corpus, run: RunDirectory) -> None:
    """Writes a test set that was set apart to the run directory; a file that already holds it is left alone.

    The file has the text's id (as `predictions.parquet`), text, label (the name of its class) and the table's other
    columns. If the table has a column `id`, the text's id is in `text_id`.
    """
    if not recipe.data.sets_test_apart or _holds(run.test_texts, corpus):
        return
    import pyarrow.parquet as pq

    write_file(run.test_texts, lambda path: pq.write_table(_test_table(recipe, corpus), path))
    log.info("%s, set apart from %s: %s", counted(len(corpus.test), "test text"), recipe.data.train, run.test_texts)


def _test_table(recipe: Recipe, corpus: Corpus) -> pa.Table:
    import pyarrow as pa

    data, test = recipe.data, corpus.test
    assert test.rows is not None
    columns = _selected(data.train, test.rows) if has_columns(data.train) else {}
    columns[data.text] = test.texts
    columns[data.label] = [corpus.classes[label] for label in test.labels]
    first = {"text_id" if "id" in columns else "id": test.ids.astype(str).tolist()}
    return pa.table({name: _array(values) for name, values in (first | columns).items()})


def _selected(source: str, rows: np.ndarray) -> dict[str, list[Any]]:
    """All columns of some rows of a source; a row that lacks a column has None there."""
    found: dict[str, list[Any]] = {}
    start = taken = 0
    for block in column_blocks(source):
        inside = (rows[(rows >= start) & (rows < start + len(block))] - start).tolist()
        for name, values in block.values.items():
            found.setdefault(name, [None] * taken).extend(values[row] for row in inside)
        start, taken = start + len(block), taken + len(inside)
        for values in found.values():
            values += [None] * (taken - len(values))
    return found


def _array(values: list[Any]) -> pa.Array:
    """The values as a column, as text if they have several types."""
    import pyarrow as pa

    try:
        return pa.array(values, from_pandas=True)
    except (pa.ArrowException, OverflowError):
        return pa.array([None if value is None else str(value) for value in values])


def _holds(path: Path, corpus: Corpus) -> bool:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        name = "text_id" if "text_id" in pq.read_schema(path).names else "id"
        kept = pq.read_table(path, columns=[name])[name].to_pylist()
    except (OSError, pa.ArrowException):
        return False
    return bool(kept == corpus.test.ids.astype(str).tolist())
