"""Curves of training, as trackers show them and as the training log has them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

Curve = list[tuple[int, float]]


def curves(folder: Path) -> dict[str, Curve]:
    """What TensorBoard shows of one stage."""
    found = EventAccumulator(str(folder)).Reload()
    return {tag: [(event.step, event.value) for event in found.Scalars(tag)] for tag in found.Tags()["scalars"]}


def logged(history: list[dict[str, Any]], name: str) -> Curve:
    return [(entry["step"], pytest.approx(entry[name])) for entry in history if name in entry]
