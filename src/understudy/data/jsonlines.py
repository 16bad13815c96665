"""Reads jsonl files: one JSON object per line."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from understudy.data.decoding import open_text
from understudy.data.tables import choose_columns
from understudy.errors import DataError

_SPACE = " \t\r\n"  # all that JSON allows
# The number of the line, the line itself without white space around it, and the object.
Record = tuple[int, str, dict[str, Any]]


def record_chunks(path: Path, size: int, parse_float: Callable[[str], float] | None = None) -> Iterator[list[Record]]:
    """Yields a file's objects, at most `size` at a time; blank lines are skipped.

    Args:
        path: The file.
        size: Objects per chunk, at most.
        parse_float: Makes a number of the text of one with a fraction or an exponent; None gives floats.

    Raises:
        DataError: A line is not a JSON object, repeats a key, or holds half a character.
    """
    decoder = json.JSONDecoder(object_pairs_hook=_object, parse_float=parse_float)
    records: list[Record] = []
    with open_text(path) as text, text.lines("") as file:
        for number, line in enumerate(file, start=1):
            if line := line.strip(_SPACE):
                records.append((number, line, _record(decoder, line, path, number)))
                if len(records) == size:
                    yield records
                    records = []
    if records:
        yield records


def jsonl_chunks(path: Path, columns: list[str] | None, size: int) -> Iterator[dict[str, list[Any]]]:
    """Yields a file's values by key. A key that a line lacks has the value None there.

    Args:
        path: The file.
        columns: Keys to read; None reads all that the first chunk has.
        size: Rows per chunk, at most.

    Raises:
        DataError: As `record_chunks`; a key is missing, or first occurs after the first chunk.
    """
    present: dict[str, None] = {}
    for place, records in enumerate(record_chunks(path, size)):
        if place == 0:
            present = keys_of(records)
        elif columns is None:
            for number, _, record in records:
                if new := next((key for key in record if key not in present), None):
                    raise DataError(
                        f"{path} line {number} has the key '{new}', which none of the first {size} rows has. "
                        "Add it to the first row, for example as null."
                    )
        chosen = choose_columns(list(present) if columns is None else columns, list(present), path)
        yield {name: [record.get(name) for _, _, record in records] for name in chosen}
    if not present:
        raise no_rows(path)


def keys_of(records: list[Record]) -> dict[str, None]:
    """The keys of some objects, in the order of their first appearance."""
    return dict.fromkeys(key for _, _, record in records for key in record)


def no_rows(path: Path) -> DataError:
    """The error for a file without objects, or whose objects have no keys."""
    return DataError(f"{path} has no rows: expected one JSON object per line. Write the file again.")


class _Repeated(Exception):
    """An object has a key twice."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise _Repeated(next(name for name in names if names.count(name) > 1))
    return found


def _record(decoder: json.JSONDecoder, line: str, path: Path, number: int) -> dict[str, Any]:
    try:
        record = decoder.decode(line)
        if not isinstance(record, dict):
            raise ValueError(f"got {type(record).__name__}")
        if "\\ud" in line.lower():  # an escape that may be half of a surrogate pair
            json.dumps(record, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise DataError(
            f"{path} line {number} holds half of a surrogate pair (\\ud800 to \\udfff), which is not a character. "
            "Write the text again with valid Unicode."
        ) from None
    except _Repeated as error:
        raise DataError(f"{path} line {number} has the key '{error}' more than once. Keep one of them.") from None
    except (ValueError, RecursionError) as error:
        remedy = "Fix that line."
        if number == 1 and (line == "{" or line.startswith("[")):  # one JSON document over several lines
            remedy = f"Convert the file, for example with: jq -c '{'.' if line == '{' else '.[]'}' {path.name}"
        reason = f"{error.msg}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else error
        raise DataError(f"{path} line {number}: expected one JSON object per line ({reason}). {remedy}") from None
    return record
