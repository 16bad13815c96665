from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from drawn_evidence import evidence
from understudy.evaluation.results import Metrics
from understudy.reporting.sections import calibration_table, durations


@pytest.mark.parametrize(
    "changes, why",
    [
        ({}, "not requested"),
        ({"models": {"teacher": [{"name": "an/encoder"}, "linear"]}}, "a committee: its members are calibrated one"),
        ({"calibration": {"temperature": None, "left": "7 validation texts are fewer than 100"}}, "7 validation texts"),
    ],
)
def test_why_a_model_has_no_temperature_stands_beside_it(
    imdb: Metrics, tmp_path: Path, changes: dict[str, Any], why: str
) -> None:
    found = evidence(imdb, tmp_path)
    content = found.manifest.content
    content["stages"]["teacher"]["details"]["calibration"] = changes.get("calibration")
    content["models"] = changes.get("models", content["models"])
    table = calibration_table(found)
    rows = {row[0]: row for row in table.rows}
    assert table.headings[-1] == "why not calibrated"
    assert rows["Teacher"][1:3] == ("-", "-") and rows["Teacher"][-1].startswith(why)
    assert rows["Student"][1] == "2.000" and rows["Student"][-1] == ""


def test_where_every_model_has_a_temperature_there_is_no_column_for_the_reason(imdb: Metrics, tmp_path: Path) -> None:
    found = evidence(imdb, tmp_path)
    found = dataclasses.replace(found, probabilities={"student": found.probabilities["student"]})
    assert calibration_table(found).headings == ("model", "temperature", "ECE before", "ECE")


def test_what_was_in_the_cache_is_marked_beside_its_time(imdb: Metrics, tmp_path: Path) -> None:
    seconds = {"data": 1.0, "teacher": 60.0, "soft_labels": 2.0, "student": 3.0}
    found = evidence(dataclasses.replace(imdb, seconds=seconds), tmp_path)
    stages = found.manifest.content["stages"]
    stages["teacher"]["details"]["reused"] = True
    stages["student"]["details"]["reused"] = False
    stages["soft_labels"] = {"fingerprint": "s", "seconds": 2.0, "details": {"computed": 10, "reused": 1_990}}
    rows = {row[0]: row[1:] for row in durations(found).rows}
    assert rows == {
        "data": ("1 s", ""),
        "teacher": ("60 s", "yes; the time is of the first computation"),
        "soft labels": ("2 s", "1,990 of 2,000 texts"),
        "student": ("3 s", ""),
        "total": ("66 s", ""),
    }
