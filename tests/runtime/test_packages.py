"""What understudy needs, read from the metadata of a distribution."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import pytest

from understudy.runtime.packages import DISTRIBUTION, Need, installed, needs, own_version, versions

METADATA = """\
Metadata-Version: 2.4
Name: invented
Version: 1.0
Requires-Dist: tool>=2
Requires-Dist: elsewhere; sys_platform == "nowhere"
Requires-Dist: absent>=1; extra == "more"
Requires-Dist: Old.Tool>=3,<4; extra == "more"
Requires-Dist: hidden; extra == "more" and sys_platform == "nowhere"
Requires-Dist: tool>=2; extra == "some-thing"
Provides-Extra: more
Provides-Extra: some_thing
Provides-Extra: nothing
"""


@pytest.fixture
def invented(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, version in (("tool", "2.1rc1"), ("old_tool", "2.9")):
        folder = tmp_path / f"{name}-{version}.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\n")
    (tmp_path / "invented-1.0.dist-info").mkdir()
    (tmp_path / "invented-1.0.dist-info" / "METADATA").write_text(METADATA)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])


@pytest.mark.usefixtures("invented")
def test_needs_are_those_of_the_metadata() -> None:
    assert needs("invented") == (
        Need("tool", ">=2", "", "2.1rc1", True),
        Need("absent", ">=1", "more", None, False),
        Need("Old.Tool", "<4,>=3", "more", "2.9", False),
        Need("tool", ">=2", "some-thing", "2.1rc1", True),
    )


def test_without_metadata_nothing_is_needed() -> None:
    assert needs("no-such-distribution") == ()
    assert installed("no-such-distribution") is None


def test_the_distribution_is_the_projects() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["name"] == DISTRIBUTION
    found = {(need.extra, need.name): need for need in needs()}  # of the installed metadata, which may be older
    assert found["", "numpy"].met and ("distill", "torch") in found


def test_versions_leave_out_what_is_missing_and_call_this_project_understudy() -> None:
    found = versions(["understudy", "numpy", "no-such-package"])
    assert found == {"understudy": installed(DISTRIBUTION), "numpy": installed("numpy")}


def test_a_source_tree_has_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    assert own_version() == installed(DISTRIBUTION)
    monkeypatch.setattr("understudy.runtime.packages.DISTRIBUTION", "no-such-distribution")
    assert own_version() == "unknown (not installed)"
