"""Pruning the cache: by age and size, and only what is old."""

from __future__ import annotations

import json
import time
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from caches import DAY, KINDS, age, make, strange
from conftest import user_error
from understudy.cli.main import main
from understudy.errors import UserError
from understudy.storage import cache as module
from understudy.storage.cache import list_cache, prune
from understudy.storage.usage import marker, note_use

MONTH = timedelta(days=30)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    folder = tmp_path / "cache"
    folder.mkdir()
    return folder


def test_pruning_needs_a_limit(cache: Path) -> None:
    with pytest.raises(UserError, match="Give --older-than"):
        prune(cache)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("days", "limit", "force", "outcome"),
    [
        (31, 30, False, "removed"),
        (29, 30, False, "kept"),
        (29, 30, True, "kept"),
        (0.5, 0.25, False, "in use"),
        (0.5, 0.25, True, "removed"),
        (1.1, 0.25, False, "removed"),
        (0, 0, True, "removed"),
        (-1, 0, True, "kept"),  # a clock that was wrong
    ],
)
def test_by_age(kind: str, days: float, limit: float, force: bool, outcome: str, cache: Path) -> None:
    path = make(cache, kind, days=days)
    pruned = prune(cache, older_than=timedelta(days=limit), force=force)
    assert path.exists() == (outcome != "removed")
    assert [entry.path for entry in pruned.removed] == ([path] if outcome == "removed" else [])
    assert [entry.path for entry in pruned.in_use] == ([path] if outcome == "in use" else [])
    assert pruned.freed == (1000 if outcome == "removed" else 0)
    if outcome == "removed":
        assert list((cache / kind).iterdir()) == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_use_makes_an_old_entry_young(kind: str, cache: Path) -> None:
    path = make(cache, kind)
    note_use(path)
    assert prune(cache, older_than=MONTH).removed == ()
    for place in (path, marker(path)):
        age(place, 60)
    assert len(prune(cache, older_than=MONTH).removed) == 1
    assert list((cache / kind).iterdir()) == []


@pytest.mark.parametrize(
    ("limit", "gone"),
    [(4000, []), (3999, [4]), (3000, [4]), (2999, [4, 3]), (1, [4, 3, 2]), (0, [4, 3, 2])],
)
def test_by_size_the_last_used_stay(limit: int, gone: list[int], cache: Path) -> None:
    """The first was used within the last day, so that it stays whatever the limit is."""
    paths = [make(cache, KINDS[number], number, days=number + 0.5, size=1000) for number in range(4)]
    pruned = prune(cache, larger_than=limit)
    assert [entry.path for entry in pruned.removed] == [paths[number - 1] for number in gone]
    assert [path.exists() for path in paths] == [number not in gone for number in range(1, 5)]
    assert len(pruned.in_use) == (limit < 1000)


def test_age_first_and_size_of_what_is_left(cache: Path) -> None:
    old, middle, young = (make(cache, "teachers", days, days=days, size=1000) for days in (90, 10, 5))
    pruned = prune(cache, older_than=MONTH, larger_than=2000)
    assert [entry.path for entry in pruned.removed] == [old]
    assert middle.exists() and young.exists()


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    entries=st.lists(st.tuples(st.sampled_from(KINDS), st.floats(0, 100), st.integers(10, 5000)), max_size=6),
    older=st.none() | st.floats(0, 100),
    larger=st.none() | st.integers(0, 20_000),
    force=st.booleans(),
)
def test_what_pruning_promises(
    entries: list[tuple[str, float, int]],
    older: float | None,
    larger: int | None,
    force: bool,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    if older is None and larger is None:
        return
    cache = tmp_path_factory.mktemp("cache")
    for number, (kind, days, size) in enumerate(entries):
        make(cache, kind, number, days, size)
    others = strange(cache)
    before = list_cache(cache)
    pruned = prune(cache, older_than=None if older is None else timedelta(days=older), larger_than=larger, force=force)
    after = list_cache(cache)
    assert all(path.exists() for path in others)
    assert before.bytes == after.bytes + pruned.freed
    assert {entry.path for entry in before.entries} == {entry.path for entry in (*after.entries, *pruned.removed)}
    assert pruned.failed == ()
    now = time.time()
    known = [entry for entry in after.entries if entry.kind != "other"]
    recent = [entry for entry in known if now - entry.last_used.timestamp() < DAY]
    if not force:
        assert all(now - entry.last_used.timestamp() > DAY - 60 for entry in pruned.removed)
    settled = [entry for entry in known if force or entry not in recent]
    if older is not None:
        assert all(now - entry.last_used.timestamp() <= older * DAY + 60 for entry in settled)
    if larger is not None and settled:
        # What is left and could go was used later than all that is gone, unless its age alone was the reason.
        assert sum(entry.bytes for entry in known) <= larger
        if older is None and pruned.removed:
            latest = max(entry.last_used for entry in pruned.removed)
            assert all(entry.last_used >= latest for entry in known)


def test_an_entry_that_a_run_found_meanwhile_is_kept(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make(cache, "teachers")
    listing = list_cache(cache)
    note_use(path)
    monkeypatch.setattr(module, "list_cache", lambda _: listing)
    pruned = prune(cache, older_than=MONTH)
    assert (pruned.removed, len(pruned.in_use)) == ((), 1)
    assert path.exists()


def test_what_cannot_be_removed_is_said(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [make(cache, kind) for kind in ("teachers", "logits")]

    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(module.shutil, "rmtree", refuse)
    pruned = prune(cache, older_than=MONTH)
    assert {entry.path for entry in pruned.failed} == set(paths)
    assert (pruned.removed, pruned.freed) == ((), 0)


# The command


def test_the_command_lists_and_prunes(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, young = make(cache, "teachers", 1), make(cache, "logits", 2, days=3)
    where = ["--cache-dir", str(cache)]
    assert main(["cache", *where]) == 0
    out, err = capsys.readouterr()
    assert "teachers" in out and "2 entries, 2.0 kB" in out and err == ""
    assert main(["cache", *where, "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [entry["kind"] for entry in listed["entries"]] == ["logits", "teachers"]
    assert (listed["cache"], listed["bytes"]) == (str(cache), 2000)
    assert set(listed["entries"][0]) == {"kind", "path", "bytes", "last_used", "runs"}
    assert main(["cache", *where, "--prune", "--older-than", "30d", "--json"]) == 0
    pruned = json.loads(capsys.readouterr().out)
    assert ([entry["path"] for entry in pruned["removed"]], pruned["freed"]) == ([str(old)], 1000)
    assert main(["cache", *where, "--prune", "--larger-than", "0GB"]) == 0
    assert "Removed 1 entry" in capsys.readouterr().out
    assert not old.exists() and not young.exists()


def test_the_command_looks_at_the_users_cache(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("UNDERSTUDY_CACHE", str(cache))
    make(cache, "teachers")
    assert main(["cache", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["cache"] == str(cache)


@pytest.mark.parametrize(
    "flags", [["--older-than", "30d"], ["--larger-than", "0GB"], ["--force"], ["--older-than", "0d"]]
)
def test_limits_without_prune_are_refused(flags: list[str], cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = make(cache, "teachers")
    assert "Add --prune" in user_error(capsys, "cache", "--cache-dir", str(cache), *flags)
    assert path.exists()


def test_prune_without_limits_is_refused(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = make(cache, "teachers")
    assert "Give --older-than" in user_error(capsys, "cache", "--cache-dir", str(cache), "--prune")
    assert path.exists()
