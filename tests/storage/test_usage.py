"""Who uses a cache entry: noted next to it, and never at the price of the work."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest

from understudy.storage import usage
from understudy.storage.usage import marker, note_use, runs_of, used_by


@pytest.fixture(params=["folder", "file"])
def entry(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "cache" / "kind" / ("a" * 32)
    path.parent.mkdir(parents=True)
    if request.param == "folder":
        path.mkdir()
    else:
        path = path.with_suffix(".arrow")
        path.write_text("tokens")
    return path


def test_a_use_names_the_run(entry: Path, tmp_path: Path) -> None:
    with used_by(tmp_path / "run"):
        note_use(entry)
        note_use(entry)
    assert runs_of(marker(entry)) == [str(tmp_path / "run")]


def test_the_marker_is_in_a_folder_and_next_to_a_file(entry: Path) -> None:
    note_use(entry)
    expected = entry / "used.json" if entry.is_dir() else entry.with_name(f"{'a' * 32}.used.json")
    assert marker(entry) == expected and expected.is_file()


def test_runs_are_named_once_and_the_last_user_last(entry: Path, tmp_path: Path) -> None:
    for name in ("one", "two", "one"):
        with used_by(tmp_path / name):
            note_use(entry)
    assert runs_of(marker(entry)) == [str(tmp_path / "two"), str(tmp_path / "one")]


def test_a_use_without_a_run_keeps_the_names_and_renews_the_time(entry: Path, tmp_path: Path) -> None:
    with used_by(tmp_path / "run"):
        note_use(entry)
    os.utime(marker(entry), (0, 0))
    note_use(entry)
    assert runs_of(marker(entry)) == [str(tmp_path / "run")]
    assert marker(entry).stat().st_mtime > 0


def test_the_list_does_not_grow_without_end(entry: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "_MOST_RUNS", 3)
    for name in "abcde":
        with used_by(tmp_path / name):
            note_use(entry)
    assert runs_of(marker(entry)) == [str(tmp_path / name) for name in "cde"]


def test_a_run_in_a_run_and_afterwards(entry: Path, tmp_path: Path) -> None:
    with used_by(tmp_path / "outer"):
        with used_by(tmp_path / "inner"):
            note_use(entry)
        assert runs_of(marker(entry)) == [str(tmp_path / "inner")]
        note_use(entry)
    note_use(entry)
    assert runs_of(marker(entry)) == [str(tmp_path / "inner"), str(tmp_path / "outer")]


def test_another_thread_is_not_the_run(entry: Path, tmp_path: Path) -> None:
    with used_by(tmp_path / "run"):
        thread = threading.Thread(target=note_use, args=[entry])
        thread.start()
        thread.join()
    assert runs_of(marker(entry)) == []


def test_what_is_not_there_is_not_made(tmp_path: Path) -> None:
    note_use(tmp_path / "cache" / "kind" / "none")
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("error", [OSError("read-only"), UnicodeEncodeError("utf-8", "\udcff", 0, 1, "surrogate")])
def test_a_failure_does_not_break_the_work(error: Exception, entry: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(usage, "write_json", fail)
    note_use(entry)
    assert not marker(entry).exists()


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"runs": 3}', '{"runs": [1, null]}', "\x00"])
def test_a_damaged_marker_is_replaced(content: str, entry: Path, tmp_path: Path) -> None:
    marker(entry).write_text(content)
    assert runs_of(marker(entry)) == []
    with used_by(tmp_path / "run"):
        note_use(entry)
    assert json.loads(marker(entry).read_text()) == {"runs": [str(tmp_path / "run")]}


def test_many_writers_leave_a_whole_marker(entry: Path, tmp_path: Path) -> None:
    def use(number: int) -> None:
        for _ in range(10):
            with used_by(tmp_path / str(number)):
                note_use(entry)

    threads = [threading.Thread(target=use, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(runs_of(marker(entry))) <= {str(tmp_path / str(number)) for number in range(4)}
    assert runs_of(marker(entry))
    assert not list(entry.parent.rglob(".*used.json"))
