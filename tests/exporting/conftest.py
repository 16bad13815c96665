"""What exports need, without converting a model for each."""

from __future__ import annotations

from typing import Any

import pytest

from conftest import ANYTHING_GOES
from understudy.exporting.graphs import OpenVinoGraph
from understudy.exporting.limits import Limits


@pytest.fixture
def anything_goes() -> Limits:
    return ANYTHING_GOES


@pytest.fixture
def converted(finished: Any, monkeypatch: pytest.MonkeyPatch, converted_once: OpenVinoGraph) -> None:
    """Skips the conversion, which takes seconds: every model counts as the finished run's student."""
    monkeypatch.setattr(OpenVinoGraph, "of", classmethod(lambda cls, model: converted_once))
