"""The versions of installed packages (`runtime/packages.py`)."""

from __future__ import annotations

from importlib.metadata import version

from understudy.runtime.packages import DISTRIBUTION, installed, versions


def test_a_package_that_is_missing_has_no_version() -> None:
    assert installed("no-such-package") is None
    assert installed("numpy") == version("numpy")


def test_versions_leave_out_what_is_missing_and_call_this_project_understudy() -> None:
    found = versions(["understudy", "numpy", "no-such-package"])
    assert found == {"understudy": version(DISTRIBUTION), "numpy": version("numpy")}
