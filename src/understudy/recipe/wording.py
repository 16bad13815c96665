"""A recipe's options in words: which values they accept, and what is wrong with a given value.

The flags' help, `docs/recipe.md` and the error messages all use this module, so they agree.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

_NOUNS = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}
_METAVARS = {str: "TEXT", int: "INTEGER", float: "NUMBER", bool: "true|false"}
_LONGEST_VALUE = 80


@dataclass(frozen=True)
class Takes:
    """Annotation for an option whose type alone does not tell which values it accepts.

    Attributes:
        words: Follows "expected" in messages.
        metavar: Follows the flag in the help.
    """

    words: str
    metavar: str


@dataclass(frozen=True)
class Option:
    """One option of a recipe.

    Attributes:
        section: The table that it is in; empty for the top of the file.
        name: Its dotted name, which is also its flag.
        takes: The values that it accepts, in words.
        metavar: The same in one word, for the flag.
        default: Its default; None also if it is required.
        required: Whether it must be given.
        help: Its docstring on one line.
    """

    section: str
    name: str
    takes: str
    metavar: str
    default: Any
    required: bool
    help: str

    @property
    def flag(self) -> str:
        return f"--{self.name} {self.metavar}"

    @property
    def default_words(self) -> str:
        if self.default is None:
            return "none"
        if isinstance(self.default, bool):
            return str(self.default).lower()
        if isinstance(self.default, list):
            return ",".join(self.default)
        return str(self.default) or "empty"


def sections(model: type[BaseModel]) -> dict[str, type[BaseModel]]:
    """The tables of a recipe, in order."""
    found = {name: field.annotation for name, field in model.model_fields.items()}
    return {name: kind for name, kind in found.items() if isinstance(kind, type) and issubclass(kind, BaseModel)}


def options(model: type[BaseModel]) -> list[Option]:
    """All options of a recipe: those at the top, then table by table."""
    tables = sections(model)
    top = [_option("", name, field) for name, field in model.model_fields.items() if name not in tables]
    return top + [
        _option(section, name, field)
        for section, content in tables.items()
        for name, field in content.model_fields.items()
    ]


def accepts(annotation: Any, kind: type) -> bool:
    """Whether an annotation includes exactly this type."""
    return any(part is kind for part, _ in _alternatives(annotation))


def suggestion(name: str, known: Iterable[str]) -> str:
    """A clause with the most similar known name; empty if none is similar."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def explain(error: ValidationError, model: type[BaseModel], origin: str) -> str:
    """All problems of a recipe, one line per option: its dotted name, what was expected and what was given."""
    problems: dict[str, str] = {}
    for problem in error.errors():
        for place, text in _problems(problem, model):
            problems.setdefault(place, text)
    lines = "\n".join(f"  {place}: {text}" for place, text in problems.items())
    return f"{len(problems)} problem{'s' if len(problems) > 1 else ''} in {origin}:\n{lines}"


def _problems(problem: Any, model: type[BaseModel]) -> Iterator[tuple[str, str]]:
    kind, given = problem["type"], problem["input"]
    tables, known = sections(model), {option.name: option for option in options(model)}
    # After a table's option the location continues with list indices and the members of unions.
    parts = [str(part) for part in problem["loc"]]
    place = ".".join(parts[: 2 if parts[0] in tables else 1])
    if kind == "extra_forbidden":
        yield place, "no such option" + _meant(place, known, tables)
    elif place in known:
        option = known[place]
        yield (
            place,
            f"required: {option.help}" if kind == "missing" else f"expected {option.takes}, got {_value(given)}",
        )
    elif kind == "missing":
        required = [option for option in known.values() if option.section == place and option.required]
        for option in required:
            yield option.name, f"required: {option.help}"
        if not required:
            yield place, f"required: {documentation(tables[place])}"
    elif kind == "value_error":
        yield (
            place,
            problem["msg"].removeprefix("Value error, ") if isinstance(given, dict) else _no_table(place, given),
        )
    else:
        yield place, _no_table(place, given)


def documentation(model: type[BaseModel]) -> str:
    """The docstring of a section."""
    return inspect.cleandoc(model.__doc__ or "")


def _no_table(section: str, given: Any) -> str:
    return f"expected a table of options under [{section}], got {_value(given)}"


def _meant(place: str, known: dict[str, Option], tables: Iterable[str]) -> str:
    section, _, name = place.rpartition(".")
    elsewhere = [option for option in known if option.rpartition(".")[2] == name]
    if elsewhere:
        return f"; did you mean {' or '.join(elsewhere)}?"
    if section:
        same = {option.name.rpartition(".")[2]: option.name for option in known.values() if option.section == section}
        close = difflib.get_close_matches(name, same, n=1)
        return f"; did you mean {same[close[0]]}?" if close else f"; [{section}] has {', '.join(same)}"
    return suggestion(place, [*tables, *known]) or f"; the tables are {', '.join(tables)}"


def _value(given: Any) -> str:
    if given is None:
        return "none"
    if isinstance(given, dict):
        return "a table"
    if isinstance(given, bool):
        return str(given).lower()
    text = repr(given)
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 3] + "..."


def _option(section: str, name: str, field: FieldInfo) -> Option:
    takes, metavar = _takes(field.annotation, field.metadata)
    if _accepts_auto(field.annotation) and not metavar.startswith(("{auto", "auto")):
        takes, metavar = f"{takes}, or auto", f"{metavar}|auto"
    if accepts(field.annotation, NoneType):
        takes += ", or none"
    return Option(
        section=section,
        name=f"{section}.{name}" if section else name,
        takes=takes,
        metavar=metavar,
        default=None if field.is_required() else field.default,
        required=field.is_required(),
        help=" ".join((field.description or "").split()),
    )


def _accepts_auto(annotation: Any) -> bool:
    return any(get_origin(kind) is Literal and get_args(kind) == ("auto",) for kind, _ in _alternatives(annotation))


def _takes(annotation: Any, metadata: Iterable[Any]) -> tuple[str, str]:
    for item in metadata:
        if isinstance(item, Takes):
            return item.words, item.metavar
    kind, limits = next((kind, limits) for kind, limits in _alternatives(annotation) if kind is not NoneType)
    if get_origin(kind) is Literal:
        choices = [str(choice) for choice in get_args(kind)]
        return "one of " + ", ".join(choices), "{" + ",".join(choices) + "}"
    return _NOUNS[kind] + _range([*metadata, *limits]), _METAVARS[kind]


def _alternatives(annotation: Any, metadata: tuple[Any, ...] = ()) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """The members of a union, each with the limits in its annotation."""
    origin = get_origin(annotation)
    if origin is Annotated:
        kind, *extra = get_args(annotation)
        found = [item for entry in extra for item in (entry.metadata if isinstance(entry, FieldInfo) else [entry])]
        yield from _alternatives(kind, (*metadata, *found))
    elif origin in (Union, UnionType):
        for member in get_args(annotation):
            yield from _alternatives(member, metadata)
    else:
        yield annotation, metadata


def _range(limits: Iterable[Any]) -> str:
    bounds = {name: getattr(item, name) for item in limits for name in ("ge", "gt", "le", "lt") if hasattr(item, name)}
    words = ""
    if "ge" in bounds:
        words = f" from {bounds['ge']}"
    elif "gt" in bounds:
        words = f" above {bounds['gt']}"
    if "le" in bounds:
        words += f" to {bounds['le']}" if "ge" in bounds else f", at most {bounds['le']}"
    elif "lt" in bounds:
        words += f", below {bounds['lt']}"
    return words
