"""Which packages are installed, and what pip calls understudy."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version

DISTRIBUTION = "understudy-distill"
"""What pip calls understudy."""


def installed(package: str) -> str | None:
    """The version of an installed package; None if it is missing."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def versions(packages: Iterable[str]) -> dict[str, str]:
    """The versions of those packages that are installed. `understudy` is this project, whatever pip calls it."""
    found = {name: installed(DISTRIBUTION if name == "understudy" else name) for name in packages}
    return {name: each for name, each in found.items() if each is not None}
