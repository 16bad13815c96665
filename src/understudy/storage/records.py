"""Records: JSON files that are read back into the dataclasses that wrote them.

Pydantic validates them and converts nothing: "3" is not a number, true is not a whole number, and NaN is refused. An
unknown key is refused too, in every object that a dataclass describes.
"""

from __future__ import annotations

import reprlib
from collections.abc import Hashable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic_core import from_json, to_json

from understudy.errors import UserError
from understudy.storage.layout import SCHEMA_VERSION

Record = TypeVar("Record")

_OBJECT, _LIST = "an object", "a list"
# What each of pydantic's complaints expected instead.
_EXPECTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "dataclass_type": _OBJECT,
    "dict_type": _OBJECT,
    "list_type": _LIST,
    "tuple_type": _LIST,
    "literal_error": "{expected}",
    "greater_than_equal": "{ge} or more",
    "too_short": "{min_length} or more items",
    "too_long": "{max_length} items at most",
}
_SHOWN = 3


def load_record(kind: type[Record], path: Path) -> Record:
    """Reads a record that has no schema version.

    Args:
        kind: The dataclass, or another type that pydantic can validate.
        path: The file.

    Raises:
        OSError: The file cannot be read.
        ValueError: It holds something else; the message names up to three problems by their place.
    """
    return _validated(kind, path.read_bytes())


def read_record(
    kind: type[Record],
    path: Path,
    *,
    error: type[UserError],
    remedy: str,
    missing: str | None = None,
    version: int = SCHEMA_VERSION,
) -> Record:
    """Reads a record that has a schema version next to the fields of its dataclass.

    Args:
        kind: The dataclass.
        path: The file.
        error: What to raise.
        remedy: What to do about a file that cannot be used.
        missing: What it means that the file is missing, and what to do; by default `remedy`.
        version: The schema version that this understudy reads.

    Raises:
        UserError: As `error`; the file is missing, has another schema version or holds something else.
    """
    try:
        content = from_json(path.read_bytes(), allow_inf_nan=False)
        found = content.pop("schema_version")
    except FileNotFoundError:
        raise error(f"No {path}: {missing}" if missing else f"No {path}. {remedy}") from None
    except OSError as problem:
        raise error(f"{path} cannot be read ({problem.strerror}). {remedy}") from None
    except (AttributeError, KeyError, TypeError, ValueError):  # not JSON, not an object, or without a version
        raise error(f"{path} is not a file that understudy wrote. {remedy}") from None
    if type(found) is not int or found != version:
        raise error(f"{path} has schema version {reprlib.repr(found)}, this understudy reads {version}. {remedy}")
    try:
        # Pydantic's strict mode makes tuples and dataclasses from JSON alone, not from Python's lists and dicts.
        return _validated(kind, to_json(content))
    except ValueError as problem:
        raise error(f"{path}: {problem}. {remedy}") from None


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    # A dataclass takes on the configuration of the type that holds it. It cannot be given one directly.
    return TypeAdapter(kind | None, config=ConfigDict(strict=True, extra="forbid", allow_inf_nan=False))


def _validated(kind: type[Record], content: bytes) -> Record:
    try:
        found: Record | None = _adapter(cast(Hashable, kind)).validate_json(content)  # mypy takes no class for hashable
    except ValidationError as error:
        raise ValueError(_in_words(error, content)) from None
    if found is None:
        raise ValueError(f"expected {_OBJECT}, got null")
    return found


def _in_words(error: ValidationError, content: bytes) -> str:
    """The first problems, each with its dotted place."""
    problems: dict[str, list[Any]] = {}
    for problem in error.errors(include_url=False):
        if problem["type"] == "json_invalid":
            return "this is not JSON"
        problems.setdefault(_place(problem, content), []).append(problem)
    lines = [(f"{place}: " if place else "") + _complaint(found) for place, found in problems.items()]
    rest = [f"{len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
    return "; ".join([*lines[:_SHOWN], *rest])


def _place(problem: Mapping[str, Any], content: bytes) -> str:
    """The dotted place of a problem. Pydantic's goes on with the members of a union, which are no places."""
    value, parts = from_json(content), []
    for part in problem["loc"]:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            if problem["type"] != "missing":
                break
        parts.append(str(part))
    return ".".join(parts)


def _complaint(problems: list[Any]) -> str:
    """What is wrong in one place; several problems there come from the members of a union."""
    first = problems[0]
    if first["type"] == "missing":
        return "missing"
    if first["type"] == "unexpected_keyword_argument":
        return "unknown key"
    expected = [_EXPECTED[each["type"]].format(**each.get("ctx", {})) for each in problems if each["type"] in _EXPECTED]
    if not expected:
        return str(first["msg"])
    return f"expected {' or '.join(dict.fromkeys(expected))}, got {reprlib.repr(first['input'])}"
