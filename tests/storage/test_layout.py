from __future__ import annotations

from pathlib import Path

import pytest

from understudy.errors import RunDirectoryError
from understudy.storage.layout import RunDirectory, default_cache, read_recipe
from understudy.storage.manifest import Manifest


def test_a_folder_without_a_manifest_is_no_run(tmp_path: Path) -> None:
    assert not RunDirectory(tmp_path).is_run()
    Manifest(tmp_path / "manifest.json").save()
    assert RunDirectory(tmp_path).is_run()


def test_reading_the_recipe_of_no_run(tmp_path: Path) -> None:
    with pytest.raises(RunDirectoryError, match=r"recipe\.toml"):
        read_recipe(RunDirectory(tmp_path))


def test_where_the_cache_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNDERSTUDY_CACHE", str(tmp_path / "own"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert default_cache() == tmp_path / "own"
    monkeypatch.delenv("UNDERSTUDY_CACHE")
    assert default_cache() == tmp_path / "xdg" / "understudy"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_cache() == tmp_path / ".cache" / "understudy"
