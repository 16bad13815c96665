"""Reading records: nothing is converted, and what is wrong is said in plain words."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from understudy.errors import ModelError
from understudy.storage.files import write_json
from understudy.storage.records import load_record, read_record


@dataclass(frozen=True)
class Inner:
    share: float
    ends: tuple[float, float] = (0.0, 1.0)


@dataclass(frozen=True)
class Outer:
    name: str
    count: Annotated[int, Field(ge=0)] = 0
    sure: bool = True
    kind: Literal["a", "b"] = "a"
    inner: Inner | None = None
    many: tuple[Inner, ...] = ()
    machine: dict[str, str | int] = field(default_factory=dict)
    names: Annotated[list[str], Field(min_length=2)] = field(default_factory=list)


def read(path: Path) -> Outer:
    return read_record(Outer, path, error=ModelError, remedy="Make it again.")


def refused(path: Path, content: Any) -> str:
    """What is said about a record, after its path."""
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ModelError) as caught:
        read(path)
    return str(caught.value).replace(str(path), "PATH")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "record.json"


def test_dataclasses_and_tuples_come_back(path: Path) -> None:
    content = {"name": "x", "inner": {"share": 1}, "many": [{"share": 0.1, "ends": [0, 0.3]}], "machine": {"cores": 2}}
    write_json(path, {"schema_version": 1, **content})
    assert read(path) == Outer("x", inner=Inner(1.0), many=(Inner(0.1, (0.0, 0.3)),), machine={"cores": 2})
    write_json(path, content)
    assert load_record(Outer, path).inner == Inner(1.0)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"name": 3}, "name: expected text, got 3"),
        ({"count": "3"}, "count: expected a whole number, got '3'"),
        ({"count": True}, "count: expected a whole number, got True"),
        ({"count": 3.0}, "count: expected a whole number, got 3.0"),
        ({"count": -1}, "count: expected 0 or more, got -1"),
        ({"sure": 1}, "sure: expected true or false, got 1"),
        ({"kind": "c"}, "kind: expected 'a' or 'b', got 'c'"),
        ({"inner": 3}, "inner: expected an object, got 3"),
        ({"inner": {}}, "inner.share: missing"),
        ({"inner": {"share": "x"}}, "inner.share: expected a number, got 'x'"),
        ({"inner": {"share": 1, "other": 1}}, "inner.other: unknown key"),
        ({"inner": {"share": 1, "ends": [1]}}, "inner.ends.1: missing"),
        ({"inner": {"share": 1, "ends": [1, 2, 3]}}, "inner.ends: expected 2 items at most, got [1, 2, 3]"),
        ({"many": {}}, "many: expected a list, got {}"),
        ({"many": [{"share": 1}, {"share": None}]}, "many.1.share: expected a number, got None"),
        ({"machine": {"cores": [2]}}, "machine.cores: expected text or a whole number, got [2]"),
        ({"names": ["a"]}, "names: expected 2 or more items, got ['a']"),
        ({"other": 1}, "other: unknown key"),
        ({"name": 1, "sure": 1}, "name: expected text, got 1; sure: expected true or false, got 1"),
        ({"a": 1, "b": 1, "c": 1, "d": 1, "e": 1}, "a: unknown key; b: unknown key; c: unknown key; 2 more"),
    ],
)
def test_a_problem_is_named_by_its_place(changes: dict[str, Any], problem: str, path: Path) -> None:
    assert refused(path, {"schema_version": 1, "name": "x", **changes}) == f"PATH: {problem}. Make it again."


def test_a_missing_key_is_named(path: Path) -> None:
    assert refused(path, {"schema_version": 1}) == "PATH: name: missing. Make it again."


def test_a_long_value_is_shortened(path: Path) -> None:
    assert len(refused(path, {"schema_version": 1, "name": ["long " * 1000] * 1000})) < 300


def test_a_missing_file(path: Path) -> None:
    with pytest.raises(ModelError) as caught:
        read(path)
    assert str(caught.value) == f"No {path}. Make it again."
    with pytest.raises(ModelError) as caught:
        read_record(Outer, path, error=ModelError, remedy="Make it again.", missing="nothing was made. Make it.")
    assert str(caught.value) == f"No {path}: nothing was made. Make it."


def test_a_file_that_cannot_be_read(path: Path) -> None:
    path.mkdir()
    with pytest.raises(ModelError, match=r"cannot be read \(Is a directory\)\. Make it again"):
        read(path)
    with pytest.raises(OSError, match="Is a directory"):
        load_record(Outer, path)


@pytest.mark.parametrize("version", [2, "1", True, 1.0, None, [1]])
def test_another_schema_version(version: Any, path: Path) -> None:
    expected = f"PATH has schema version {version!r}, this understudy reads 1. Make it again."
    assert refused(path, {"schema_version": version, "name": "x"}) == expected


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"3", b"null", b"\xff", b"{}", b"[" * 100_000, b"9" * 5000])
def test_what_is_something_else(content: bytes, path: Path) -> None:
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"is not a file that understudy wrote\. Make it again"):
        read(path)
    with pytest.raises(ValueError, match=r"not JSON|expected an object, got|missing"):
        load_record(Outer, path)


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"1e999"])
def test_a_number_that_is_not_finite(number: bytes, path: Path) -> None:
    path.write_bytes(b'{"schema_version": 1, "name": "x", "inner": {"share": ' + number + b"}}")
    with pytest.raises(ModelError, match=r"expected a finite number|that understudy wrote"):
        read(path)
    path.write_bytes(b'{"name": "x", "inner": {"share": ' + number + b"}}")
    with pytest.raises(ValueError, match=r"inner\.share: expected a finite number"):
        load_record(Outer, path)


@given(share=st.floats(allow_nan=False, allow_infinity=False), name=st.text(st.characters(exclude_categories=["Cs"])))
def test_numbers_and_texts_come_back_exactly(share: float, name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("exact") / "record.json"
    write_json(path, {"schema_version": 1, "name": name, "inner": {"share": share}})
    found = read(path)
    assert found.name == name and found.inner is not None
    assert found.inner.share.hex() == share.hex()
