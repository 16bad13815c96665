"""What exports need, without converting a model for each."""

from __future__ import annotations

from typing import Any

import pytest

from conftest import ANYTHING_GOES, write_reviews
from understudy.exporting.graphs import OpenVinoGraph
from understudy.exporting.limits import Limits


@pytest.fixture
def anything_goes() -> Limits:
    return ANYTHING_GOES


@pytest.fixture(scope="session")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A source with enough texts for two halves: 100 are quantisation texts, 200 are validation texts."""
    path = tmp_path_factory.mktemp("labelled") / "labelled.csv"
    return str(write_reviews(path, 300, ["negative", "positive"], seed=3))


@pytest.fixture
def converted(finished: Any, monkeypatch: pytest.MonkeyPatch, converted_once: OpenVinoGraph) -> None:
    """Skips the conversion, which takes seconds: every model counts as the finished run's student."""
    monkeypatch.setattr(OpenVinoGraph, "of", classmethod(lambda cls, model: converted_once))
