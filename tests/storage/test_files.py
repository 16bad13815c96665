from __future__ import annotations

import threading
from pathlib import Path

import pytest

from understudy.storage.files import (
    copy_folder,
    file_sha256,
    fingerprint,
    folder_digest,
    write_file,
    write_folder,
    write_json,
    write_text,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# files


def test_a_file_is_written_whole(tmp_path: Path) -> None:
    write_text(tmp_path / "new" / "a.txt", "naïve")
    assert (tmp_path / "new" / "a.txt").read_text(encoding="utf-8") == "naïve"
    assert names(tmp_path / "new") == ["a.txt"]


def test_a_writer_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def fail(temporary: Path) -> None:
        temporary.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_file(tmp_path / "a.txt", fail)
    assert names(tmp_path) == []


def test_a_writer_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "old")

    def fail(temporary: Path) -> None:
        temporary.write_text("half")
        assert (tmp_path / "a.txt").read_text() == "old"  # untouched while the new one is written
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_file(tmp_path / "a.txt", fail)
    assert names(tmp_path) == ["a.txt"] and (tmp_path / "a.txt").read_text() == "old"


def test_the_temporary_name_keeps_the_suffix_and_is_hidden(tmp_path: Path) -> None:
    seen: list[Path] = []
    write_file(tmp_path / "a.csv.gz", lambda temporary: (seen.append(temporary), temporary.touch()))
    assert seen[0].name.endswith("a.csv.gz") and seen[0].name.startswith(".") and seen[0].parent == tmp_path


def test_two_threads_may_write_the_same_file(tmp_path: Path) -> None:
    both = threading.Barrier(2, timeout=10)
    errors: list[BaseException] = []

    def write(content: str) -> None:
        def fill(temporary: Path) -> None:
            temporary.write_text(content)
            both.wait()

        try:
            write_file(tmp_path / "a.txt", fill)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(letter * 1000,)) for letter in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert names(tmp_path) == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() in ("a" * 1000, "b" * 1000)


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_json_has_only_finite_numbers(tmp_path: Path, number: float) -> None:
    with pytest.raises(ValueError):
        write_json(tmp_path / "a.json", {"x": number})
    assert names(tmp_path) == []


# folders


def test_a_folder_takes_the_old_ones_place_whole(tmp_path: Path) -> None:
    for content in ("one", "two"):
        with write_folder(tmp_path / "model") as folder:
            assert names(folder) == []
            (folder / content).write_text(content)
            (folder / "sub").mkdir()
            (folder / "sub" / "x").touch()
    assert names(tmp_path) == ["model"]
    assert names(tmp_path / "model") == ["sub", "two"]


@pytest.mark.parametrize("before", [True, False])
def test_a_folder_that_fails_leaves_what_was_there(tmp_path: Path, before: bool) -> None:
    if before:
        with write_folder(tmp_path / "model") as folder:
            (folder / "old").touch()
    with pytest.raises(KeyboardInterrupt), write_folder(tmp_path / "model") as folder:
        (folder / "half").touch()
        raise KeyboardInterrupt
    assert names(tmp_path) == (["model"] if before else [])
    assert not before or names(tmp_path / "model") == ["old"]


def test_a_folder_that_cannot_be_moved_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with write_folder(tmp_path / "model") as folder:
        (folder / "old").touch()
    rename = Path.rename

    def refuse(self: Path, target: Path) -> Path:
        if "-new-" in self.name:
            raise OSError("no")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(OSError, match="no"), write_folder(tmp_path / "model") as folder:
        (folder / "new").touch()
    assert names(tmp_path) == ["model"] and names(tmp_path / "model") == ["old"]


def test_copy_folder_replaces(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").write_text("x")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "stale").touch()
    copy_folder(tmp_path / "a", tmp_path / "b")
    assert names(tmp_path / "b") == ["x"] and names(tmp_path) == ["a", "b"]


# digests


def test_a_fingerprint_never_changes() -> None:
    """Caches on people's disks are found by it: this literal must stay."""
    parts = {"kind": "teacher", "n": 1, "rate": 5e-5, "classes": ["näh", "gut"], "options": {"b": None, "a": True}}
    assert fingerprint(**parts) == "9c9a9e0d8b22f6dd02b41a2ae31b153d"


def test_a_fingerprint_does_not_depend_on_the_order_of_names_only() -> None:
    assert fingerprint(a=1, b={"x": 1, "y": 2}) == fingerprint(b={"y": 2, "x": 1}, a=1)
    assert len({fingerprint(a=1), fingerprint(a="1"), fingerprint(b=1), fingerprint(a=[1]), fingerprint(a=1.5)}) == 5
    assert fingerprint(a=[1, 2]) != fingerprint(a=[2, 1])


def test_sha256_is_that_of_the_standard(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert file_sha256(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def model_folder(folder: Path) -> Path:
    folder.mkdir()
    for name in ("model.safetensors", "config.json", "tokenizer.json", "vocab.txt", "spiece.model"):
        (folder / name).write_text(name)
    return folder


def test_a_folders_digest_ignores_its_card(tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "model")
    before = folder_digest(folder)
    (folder / "README.md").write_text("card")
    assert folder_digest(folder) == before


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json", "vocab.txt", "spiece.model"])
@pytest.mark.parametrize("change", ["content", "missing", "renamed"])
def test_a_folders_digest_holds_all_that_makes_a_model(tmp_path: Path, name: str, change: str) -> None:
    folder = model_folder(tmp_path / "model")
    before = folder_digest(folder)
    if change == "content":
        (folder / name).write_text("other")
    elif change == "missing":
        (folder / name).unlink()
    else:
        (folder / name).rename(folder / f"x{name}")
    assert folder_digest(folder) != before
