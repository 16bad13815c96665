"""The official IMDb distribution as a source."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

import pytest

from understudy.data.sources import read
from understudy.errors import DataError


def write(path: Path, content: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
    return path


def refused(source: str | Path, **options: Any) -> str:
    with pytest.raises(DataError) as error:
        read(str(source), **options)
    return str(error.value)


REVIEWS = {
    "train/neg/0_3.txt": "Dull.",
    "train/neg/10_1.txt": "Awful.",
    "train/pos/0_9.txt": "Fine.<br />Really.",
    "train/unsup/0_0.txt": "Unrated.",
    "train/urls_neg.txt": "http://",
    "train/labeledBow.feat": "9 0:1",
    "test/neg/0_2.txt": "Café closed.",
    "test/pos/0_10.txt": "Great.",
    "README": "read me",
}


@pytest.fixture(params=["folder", "tar.gz"])
def imdb(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "folder":
        for name, content in REVIEWS.items():
            write(tmp_path / "aclImdb" / name, content)
        return str(tmp_path / "aclImdb")
    with tarfile.open(tmp_path / "aclImdb_v1.tar.gz", "w:gz") as tar:
        for name, content in reversed(REVIEWS.items()):
            member = tarfile.TarInfo(f"aclImdb/{name}")
            member.size = len(content.encode())
            tar.addfile(member, io.BytesIO(content.encode()))
    return str(tmp_path / "aclImdb_v1.tar.gz")


def test_imdb_splits(imdb: str) -> None:
    train, test = read(f"{imdb}:train"), read(f"{imdb}:test")
    assert train.texts == ["Dull.", "Awful.", "Fine.<br />Really."]
    assert train.labels == ["neg", "neg", "pos"]
    assert (test.texts, test.labels) == (["Café closed.", "Great."], ["neg", "pos"])


def test_imdb_unlabelled(imdb: str) -> None:
    table = read(f"{imdb}:unsup")
    assert (table.texts, table.labels) == (["Unrated."], None)
    assert read(f"{imdb}:train", label=None).labels is None


@pytest.mark.parametrize("split", ["", ":", ":validation", ":unsupervised"])
def test_imdb_wrong_split(imdb: str, split: str) -> None:
    assert f"splits train, test and unsup. Write {imdb}:train" in refused(imdb + split)


def test_imdb_archive_that_is_not_there(tmp_path: Path) -> None:
    message = refused(f"{tmp_path}/aclImdb_v1.tar.gz:train")
    assert "No file" in message and "aclImdb_v1.tar.gz" in message


def test_imdb_damaged_header(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for name in ("neg/0_1", "pos/0_9", "pos/1_9"):
            tar.addfile(tarfile.TarInfo(f"aclImdb/train/{name}.txt"))
    content = bytearray((tmp_path / "a.tar").read_bytes())
    content[512] ^= 0xFF
    (tmp_path / "a.tar").write_bytes(content)
    assert "damaged in the middle" in refused(f"{tmp_path}/a.tar:train")


@pytest.mark.parametrize("damage", ["truncated", "flipped", "other", "empty"])
def test_imdb_damaged_archive(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "aclImdb_v1.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for number in range(200):
            content = f"{number * 7919 % 10007} {number}".encode()
            member = tarfile.TarInfo(f"aclImdb/train/pos/{number}_9.txt")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    content = bytearray(path.read_bytes())
    if damage == "flipped":
        content[len(content) // 2] ^= 0xFF
    kept = {"truncated": content[: len(content) // 2], "flipped": content, "other": b"<html></html>", "empty": b""}
    path.write_bytes(kept[damage])
    assert "cannot be read as a tar archive" in refused(f"{path}:train")


def test_imdb_archive_of_something_else(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "other.tar", "w") as tar:
        tar.addfile(tarfile.TarInfo("other/file.txt"))
    assert "has no train/neg|pos/*.txt" in refused(f"{tmp_path}/other.tar:train")


def test_imdb_text_that_is_not_utf8(tmp_path: Path) -> None:
    write(tmp_path / "aclImdb/train/pos/0_9.txt", "fine")
    (tmp_path / "aclImdb/train/pos/1_9.txt").write_bytes(b"caf\xe9")
    assert "pos/1_9.txt is not UTF-8" in refused(f"{tmp_path}/aclImdb:train")
