"""No JSON file that is read back can be spoiled unnoticed: a key too few, a key too many, a value of another type.

Each file is a whole one at first; then one place of it is changed as a slip of an editor could.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable, Collection, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from understudy.errors import ModelError, RunDirectoryError
from understudy.evaluation.results import Metrics
from understudy.evaluation.tradeoff import Tradeoff
from understudy.inference.exported import ExportManifest
from understudy.models.linear import LinearModel
from understudy.models.ngrams import NGrams
from understudy.storage.files import write_json
from understudy.storage.manifest import Manifest
from understudy.storage.records import load_record
from understudy.timing.figures import Benchmark
from understudy.training import linear, teacher
from understudy.training.calibration import Calibration
from understudy.training.checkpoints import Marker

RESULTS = Path(__file__).parents[1] / "benchmarks" / "results" / "imdb-compact"
OTHERS = [None, True, 3, 0.5, "text", [], [1], {}, {"key": 1}]

Place = tuple[str | int, ...]


@dataclass(frozen=True)
class Case:
    """A file that is read back.

    Attributes:
        write: Fills a folder, and returns the file in it.
        read: Reads the file.
        error: What that raises.
        maps: Keys of objects whose own keys are free.
        free: Keys of values that may hold anything, so that nothing in them is touched.
        optional: Keys that may be missing.
    """

    write: Callable[[Path], Path]
    read: Callable[[Path], object]
    error: type[Exception]
    maps: Collection[str] = ()
    free: Collection[str] = ()
    optional: Collection[str] = ()


def copied(name: str) -> Callable[[Path], Path]:
    return lambda folder: Path(shutil.copy(RESULTS / name, folder))


def written(content: Any) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        write_json(folder / "record.json", content)
        return folder / "record.json"

    return write


def export(folder: Path) -> Path:
    files = {"openvino_model.xml": "", "openvino_model.bin": "", "tokenizer.json": "", "config.json": ""}
    ExportManifest("openvino", "int8", ["a", "b"], 256, 0, 5, {}, {}, {}, 9, files, {}).save(folder)
    return folder / "understudy.json"


def linear_model(folder: Path) -> Path:
    ngrams = [NGrams("binary_words", ["good", "bad"])]
    LinearModel(ngrams, np.ones((1, 2), np.float32), np.ones(1, np.float32), ["no", "yes"]).save(folder)
    return folder / "linear.json"


def manifest(folder: Path) -> Path:
    found = Manifest(folder / "manifest.json")
    found.maker = {"understudy": "1.0", "versions": {"torch": "2"}, "machine": {"cores": 2}}
    found.content |= {"folder": ".", "models": {"student": None}, "classes": ["a", "b"], "audit": [{"count": 3}]}
    found.finish("data", "abc", 1.5, {"texts": 3})
    return found.path


HISTORY = [{"loss": 0.5, "grad_norm": None, "step": 3}]
CASES = {
    "metrics": Case(
        copied("metrics.json"),
        Metrics.load,
        RunDirectoryError,
        maps={"seconds"},
        optional={"no_distillation", "linear", "seeds", "abstention", "students"},
    ),
    "frontier": Case(copied("frontier.json"), Tradeoff.load, RunDirectoryError, maps={"models"}),
    "benchmark": Case(
        copied("benchmark.json"),
        Benchmark.load,
        RunDirectoryError,
        maps={"versions"},
        free={"machine"},
        optional={"padded"},
    ),
    "export": Case(
        export,
        lambda path: ExportManifest.read(path.parent),
        ModelError,
        maps={"versions", "files"},
        free={"source", "quantisation", "gate"},
    ),
    "linear": Case(
        linear_model,
        lambda path: LinearModel.load(path.parent),
        ModelError,
        maps={"ngrams"},
        free={"choice"},
        optional={"features", "c", "scale"},
    ),
    "manifest": Case(
        manifest,
        Manifest,
        RunDirectoryError,
        maps={"stages", "versions"},
        free={"details", "machine", "models", "audit"},
        optional={"understudy", "versions", "machine", "folder", "models", "classes", "audit"},
    ),
    "teacher": Case(
        written(asdict(teacher._Record("abc", 1.0, HISTORY, Calibration(2.0, 0.1, 0.05, None)))),
        lambda path: load_record(teacher._Record, path),
        ValueError,
        free={"history"},
        optional={"nll_before", "nll_after", "head"},
    ),
    "cached linear": Case(
        written(asdict(linear._Record(1.0, {}))),
        lambda path: load_record(linear._Record, path),
        ValueError,
        free={"choice"},
    ),
    "checkpoint": Case(
        written(asdict(Marker(1.0, {"a": "b"}))),
        lambda path: load_record(Marker, path),
        ValueError,
        maps={"files"},
    ),
}


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


@pytest.fixture(scope="module")
def file(case: Case, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return case.write(tmp_path_factory.mktemp("whole"))


def places(content: Any, case: Case, above: Place = ()) -> Iterator[tuple[Place, Any]]:
    """Every place of a document that has a type of its own, with its value."""
    inner = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in inner:
        yield (*above, key), value
        if key not in case.free:
            yield from places(value, case, (*above, key))


def slips(content: Any, case: Case) -> Iterator[tuple[str, Place, Any]]:
    """What can be done to a document that must be noticed: what, where, and the new value."""
    for place, value in places(content, case):
        key, above = place[-1], place[-2] if len(place) > 1 else None
        if value is not None:  # null leaves open what else there could be
            yield from (("replace", place, other) for other in OTHERS if is_another_type(other, value))
        if isinstance(key, str) and above not in case.maps and key not in case.optional:
            yield "remove", place, None
        if isinstance(value, dict) and key not in (*case.maps, *case.free):
            yield "add", (*place, "another"), 1


def is_another_type(one: Any, other: Any) -> bool:
    """Whether two values have different types; a whole number will do for any number."""
    return type(one) is not type(other) and not (type(one) is int and type(other) is float)


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_slip_is_an_error_that_names_its_place(data: st.DataObject, case: Case, file: Path) -> None:
    whole = file.read_text(encoding="utf-8")
    content = json.loads(whole)
    what, place, value = data.draw(st.sampled_from(list(slips(content, case))))
    *above, key = place
    holder = content
    for part in above:
        holder = holder[part]
    if what == "remove":
        del holder[key]
    else:
        holder[key] = value
    try:
        file.write_text(json.dumps(content), encoding="utf-8")
        if value is None and what == "replace":
            with contextlib.suppress(case.error):  # some may be null
                case.read(file)
        else:
            with pytest.raises(case.error) as caught:
                case.read(file)
            assert ".".join(map(str, place)) in str(caught.value) or key == "schema_version"
    finally:
        file.write_text(whole, encoding="utf-8")


def test_the_whole_file_is_read(case: Case, file: Path) -> None:
    case.read(file)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"3", b"\xff", b'{"a": NaN}', b"[" * 100_000])
def test_another_file_is_an_error(content: bytes, case: Case, file: Path) -> None:
    whole = file.read_bytes()
    try:
        file.write_bytes(content)
        with pytest.raises(case.error):
            case.read(file)
    finally:
        file.write_bytes(whole)
