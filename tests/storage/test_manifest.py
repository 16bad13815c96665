from __future__ import annotations

import json
from pathlib import Path

import pytest

from understudy.errors import RunDirectoryError
from understudy.storage.manifest import Manifest


def test_a_manifest_is_saved_after_every_stage(tmp_path: Path) -> None:
    manifest = Manifest(tmp_path / "manifest.json")
    manifest.finish("teacher", "abc", 1.234, {"digest": "d"})
    again = Manifest(tmp_path / "manifest.json")
    assert again.fingerprint("teacher") == "abc"
    assert again.details("teacher") == {"digest": "d"}
    assert again.seconds() == {"teacher": 1.23}
    assert again.fingerprint("student") is None and again.details("student") == {}
    again.forget("teacher")
    assert Manifest(tmp_path / "manifest.json").fingerprint("teacher") is None


def test_a_manifest_knows_which_machine_did_which_stage(tmp_path: Path) -> None:
    manifest = Manifest(tmp_path / "manifest.json")
    manifest.content["machine"] = {"cores": 1}
    manifest.finish("data", "abc", 1, {})
    manifest.maker = {"machine": {"cores": 2}}
    manifest.finish("teacher", "abc", 1, {})
    manifest.maker = {"machine": {"cores": 8}}
    manifest.finish("student", "abc", 1, {})
    manifest.finish("report", "abc", 1, {}, made=False)
    again = Manifest(tmp_path / "manifest.json")
    machines = again.machines(["data", "teacher", "student"])
    # A manifest from before stages named theirs has the last one's only.
    assert machines == [({"cores": 8}, ["data", "student"]), ({"cores": 2}, ["teacher"])]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "3",
        "null",
        '"stages"',
        "{}",
        '{"stages": []}',
        '{"stages": {"teacher": 3}}',
        '{"stages": {"teacher": {}}}',
        '{"stages": {"teacher": {"fingerprint": "a", "seconds": 1, "details": 2}}}',
        '{"name": "web-app", "icons": []}',
        "\xff\xfe",
    ],
)
def test_a_foreign_or_broken_manifest_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "manifest.json"
    path.write_bytes(content.encode("latin1"))
    with pytest.raises(RunDirectoryError, match="--overwrite"):
        Manifest(path)
    assert path.read_bytes() == content.encode("latin1")


def test_a_manifest_of_another_schema_is_refused(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps({"schema_version": 99, "stages": {}}))
    with pytest.raises(RunDirectoryError, match="schema version 99"):
        Manifest(tmp_path / "manifest.json")
