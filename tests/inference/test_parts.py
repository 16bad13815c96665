"""The stored parts of an unfinished prediction: only complete ones count, and only those of the same work."""

from __future__ import annotations

import errno
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from understudy.errors import UserError
from understudy.inference.parts import Parts, parts_folder

WORK: dict[str, Any] = {"text": "text", "model": "abc", "classes": ["negative", "positive"]}
FIRST = np.array([[0.1, 0.9], [1 / 3, 2 / 3]])
SECOND = np.array([[1e-300, 1.0]])


def kept(folder: Path) -> None:
    """Two finished windows, left behind by a killed process."""
    folder.mkdir()
    parts = Parts(folder, WORK)
    parts.put(0, FIRST)
    parts.put(1, SECOND)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# Parts


def test_a_part_comes_back_bit_by_bit(tmp_path: Path) -> None:
    kept(tmp_path / "parts")
    parts = Parts(tmp_path / "parts", WORK)
    assert parts.rows == 3
    for number, wanted in enumerate((FIRST, SECOND)):
        found = parts.get(number)
        assert found is not None
        assert (found.dtype, found.shape, found.tobytes()) == (np.float64, wanted.shape, wanted.tobytes())
    assert parts.get(2) is None


def test_the_rows_are_counted(tmp_path: Path) -> None:
    parts = Parts(tmp_path, WORK)
    assert parts.rows == 0
    parts.put(4, FIRST)
    assert parts.rows == 2


@pytest.mark.parametrize("length", [0, 1, 31, 32, 33, 48, 63])
def test_a_part_that_is_cut_off_is_removed(length: int, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    kept(tmp_path / "parts")
    path = tmp_path / "parts" / "00000000.part"
    path.write_bytes(path.read_bytes()[:length])
    parts = Parts(tmp_path / "parts", WORK)
    assert parts.rows == 1
    assert parts.get(0) is None
    assert not path.exists()
    assert caplog.messages == [f"{path} is damaged; its rows are computed again"]


@pytest.mark.parametrize("place", [0, 31, 32, 50, 63])
def test_a_part_with_a_flipped_bit_is_removed(place: int, tmp_path: Path) -> None:
    kept(tmp_path / "parts")
    path = tmp_path / "parts" / "00000000.part"
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    assert Parts(tmp_path / "parts", WORK).rows == 1
    assert not path.exists()


def test_a_part_that_is_damaged_later_is_not_used(tmp_path: Path) -> None:
    kept(tmp_path / "parts")
    parts = Parts(tmp_path / "parts", WORK)
    (tmp_path / "parts" / "00000000.part").write_bytes(b"x")
    assert parts.get(0) is None


def test_a_part_under_another_number_is_removed(tmp_path: Path) -> None:
    kept(tmp_path / "parts")
    (tmp_path / "parts" / "00000001.part").rename(tmp_path / "parts" / "00000000.part")
    assert Parts(tmp_path / "parts", WORK).rows == 0


def test_a_part_of_other_work_is_removed(tmp_path: Path) -> None:
    kept(tmp_path / "parts")
    other = Parts(tmp_path / "parts", {**WORK, "model": "def"})
    other.put(0, FIRST)
    content = (tmp_path / "parts" / "00000000.part").read_bytes()
    Parts(tmp_path / "parts", WORK)
    (tmp_path / "parts" / "00000000.part").write_bytes(content)
    assert Parts(tmp_path / "parts", WORK).rows == 0


def test_half_written_files_of_a_killed_process_are_removed(tmp_path: Path) -> None:
    kept(tmp_path / "parts")
    for name in (".01234567-00000002.part", ".01234567-out.csv"):
        (tmp_path / "parts" / name).write_text("half")
    assert Parts(tmp_path / "parts", WORK).rows == 3
    assert names(tmp_path / "parts") == ["00000000.part", "00000001.part", "work.json"]


def test_other_work_starts_over_and_says_why(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "parts"
    kept(folder)
    assert Parts(folder, {**WORK, "model": "def", "text": "review"}).rows == 0
    assert names(folder) == ["work.json"]
    assert caplog.messages == [f"{folder} belongs to other work and is removed: different text, model"]


@pytest.mark.parametrize("description", ["", "{", "[]", "null"])
def test_parts_without_a_description_are_removed(
    description: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "parts"
    kept(folder)
    (folder / "work.json").write_text(description)
    assert Parts(folder, WORK).rows == 0
    assert names(folder) == ["work.json"]
    assert caplog.messages == [f"{folder} belongs to other work and is removed: its description cannot be read"]


def test_the_first_attempt_logs_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    Parts(tmp_path, WORK)
    assert caplog.messages == []


# The folder and its lock


def test_the_folder_is_next_to_the_output_and_is_removed_when_empty(tmp_path: Path) -> None:
    with parts_folder(tmp_path / "new" / "out.csv") as folder:
        assert folder == tmp_path / "new" / ".out.csv.parts"
        parts = Parts(folder, WORK)
        parts.put(0, FIRST)
        parts.clear()
    assert names(tmp_path / "new") == []


def test_the_folder_stays_with_its_parts(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), parts_folder(tmp_path / "out.csv") as folder:
        Parts(folder, WORK).put(0, FIRST)
        raise KeyboardInterrupt
    assert names(folder) == ["00000000.part", "work.json"]
    with parts_folder(tmp_path / "out.csv") as folder:
        assert Parts(folder, WORK).rows == 2


def test_an_output_is_for_one_process_at_a_time(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from understudy.inference.parts import parts_folder\n"
        "with parts_folder(Path(sys.argv[1])): print('in', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "out.csv")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None and other.stdin is not None
        assert other.stdout.readline() == "in\n"
        refusal = rf"--output .*out\.csv: another process \({other.pid}\) is writing it\. Wait until it ends, or give"
        with pytest.raises(UserError, match=refusal), parts_folder(tmp_path / "out.csv"):
            pass
        with parts_folder(tmp_path / "another.csv"):
            pass
        assert names(tmp_path) == [".out.csv.lock", ".out.csv.parts"]  # the refused process removes nothing
        other.kill()
    with parts_folder(tmp_path / "out.csv") as folder:  # a lock ends with its process
        assert (folder / "owner").read_text() == str(os.getpid())
    assert names(tmp_path) == []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not remove an open file")
def test_a_lock_whose_file_was_removed_meanwhile_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its last owner ends after this process opens the lock's file, and before it locks it."""
    import fcntl

    path, flock = tmp_path / ".out.csv.lock", fcntl.flock

    def late(*arguments: Any) -> None:
        path.unlink()
        flock(*arguments)

    monkeypatch.setattr(fcntl, "flock", late)
    with pytest.raises(UserError, match=r"another process \(unknown\) is writing it"):
        parts_folder(tmp_path / "out.csv").__enter__()
    monkeypatch.undo()
    with parts_folder(tmp_path / "out.csv"):
        assert path.exists()


def test_a_file_in_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / ".out.csv.parts").write_text("mine")
    with pytest.raises(UserError, match=r"\.out\.csv\.parts is a file; expected a folder or nothing"):
        parts_folder(tmp_path / "out.csv").__enter__()
    assert names(tmp_path) == [".out.csv.parts"]


def test_a_disk_without_locks_gives_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fcntl = pytest.importorskip("fcntl")

    def refuses(*_: Any) -> None:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", refuses)
    caplog.set_level(logging.WARNING)
    with parts_folder(tmp_path / "out.csv"):
        pass
    assert "cannot be locked (Operation not supported)" in caplog.text
