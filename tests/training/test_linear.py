from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from understudy.run.keys import linear_key
from understudy.storage.files import folder_digest
from understudy.training.linear import train_linear


def entry_of(workshop: Any, folder: Path) -> Path:
    return folder / "cache" / "linear" / linear_key(workshop.corpus).entry


def test_the_second_time_it_comes_from_the_cache(workshop: Any, tmp_path: Path) -> None:
    first = train_linear(workshop.corpus, entry_of(workshop, tmp_path), tmp_path / "first", "linear")
    again = train_linear(workshop.corpus, entry_of(workshop, tmp_path), tmp_path / "again", "linear")
    assert (first.reused, again.reused) == (False, True)
    assert (again.digest, again.seconds) == (first.digest, first.seconds)
    assert folder_digest(tmp_path / "again") == first.digest


@pytest.mark.parametrize(
    "damage",
    [
        lambda entry: (entry / "training.json").unlink(),
        lambda entry: (entry / "training.json").write_text("{"),
        lambda entry: (entry / "training.json").write_text('{"seconds": "3", "choice": {}}'),
        lambda entry: (entry / "training.json").write_text('{"seconds": NaN, "choice": {}}'),
        lambda entry: (entry / "model" / "linear.json").write_text("[]"),
        lambda entry: (entry / "model" / "linear.safetensors").write_bytes(b""),
    ],
    ids=["no record", "broken record", "text", "not finite", "model", "weights"],
)
def test_a_damaged_cache_entry_is_made_again(
    workshop: Any, tmp_path: Path, damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    first = train_linear(workshop.corpus, entry_of(workshop, tmp_path), tmp_path / "first", "linear")
    (entry,) = (tmp_path / "cache" / "linear").iterdir()
    damage(entry)
    with caplog.at_level(logging.WARNING):
        again = train_linear(workshop.corpus, entry_of(workshop, tmp_path), tmp_path / "again", "linear")
    assert not again.reused and again.digest == first.digest
    assert f"{entry} is damaged; making it again" in caplog.text
    assert train_linear(workshop.corpus, entry_of(workshop, tmp_path), tmp_path / "third", "linear").reused
