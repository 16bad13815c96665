"""Exports of the finished run's student, made once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conftest import write_reviews
from understudy.exporting.export import Export, export
from understudy.exporting.graphs import OpenVinoGraph
from understudy.exporting.limits import Limits
from understudy.models.loading import load_classifier

ANYTHING_GOES = Limits(flips=1.0, accuracy_loss=1.0, ece_rise=1.0, batch_flips=64)
"""A tiny random model loses a lot in int8, which most tests do not care about."""


@pytest.fixture
def anything_goes() -> Limits:
    return ANYTHING_GOES


@pytest.fixture(scope="session")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A source with enough texts for two halves: 100 are quantisation texts, 200 are validation texts."""
    path = tmp_path_factory.mktemp("labelled") / "labelled.csv"
    return str(write_reviews(path, 300, ["negative", "positive"], seed=3))


@pytest.fixture(scope="session")
def exported(finished: Any, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Export]:
    """Gives the export of a precision and a format; tests must not change it."""
    made: dict[tuple[str, str], Export] = {}

    def get(precision: str, format: str = "openvino") -> Export:
        key = (precision, format)
        if key not in made:
            folder: Path = tmp_path_factory.mktemp("exports") / "-".join(key)
            made[key] = export(finished.out, precision, format, folder, limits=ANYTHING_GOES)  # type: ignore[arg-type]
        return made[key]

    return get


@pytest.fixture
def converted(finished: Any, monkeypatch: pytest.MonkeyPatch, converted_once: OpenVinoGraph) -> None:
    """Skips the conversion, which takes seconds: every model counts as the finished run's student."""
    monkeypatch.setattr(OpenVinoGraph, "of", classmethod(lambda cls, model: converted_once))


@pytest.fixture(scope="session")
def converted_once(finished: Any) -> OpenVinoGraph:
    return OpenVinoGraph.of(load_classifier(finished.out / "student"))
