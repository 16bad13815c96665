"""Which packages understudy needs, by its own metadata, and which of them are installed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, metadata, version

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

DISTRIBUTION = "understudy-distill"
"""What pip calls understudy."""


@dataclass(frozen=True)
class Need:
    """A package that understudy or one of its extras needs.

    Attributes:
        name: The package.
        versions: The accepted versions, such as `>=2.6`; empty for any.
        extra: The extra that needs it; empty for the base install.
        installed: Its version here; None if it is missing.
        met: Whether an accepted version is installed.
    """

    name: str
    versions: str
    extra: str
    installed: str | None
    met: bool


def installed(package: str) -> str | None:
    """The version of an installed package; None if it is missing."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def own_version() -> str:
    """The version of understudy; a source tree that was not installed has none."""
    return installed(DISTRIBUTION) or "unknown (not installed)"


def versions(packages: Iterable[str]) -> dict[str, str]:
    """The versions of those packages that are installed. `understudy` is this project, whatever pip calls it."""
    found = {name: installed(DISTRIBUTION if name == "understudy" else name) for name in packages}
    return {name: each for name, each in found.items() if each is not None}


def needs(distribution: str = DISTRIBUTION) -> tuple[Need, ...]:
    """Everything that a distribution needs on this machine, the base install first; nothing if it is not installed."""
    try:
        described = metadata(distribution)
    except PackageNotFoundError:
        return ()
    requirements = [Requirement(line) for line in described.get_all("Requires-Dist") or []]
    extras = [canonicalize_name(extra) for extra in described.get_all("Provides-Extra") or []]
    base = [each for each in requirements if _applies(each, "")]
    found = [_need(each, "") for each in base]
    for extra in extras:
        found += [_need(each, extra) for each in requirements if each not in base and _applies(each, extra)]
    return tuple(found)


def _applies(requirement: Requirement, extra: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def _need(requirement: Requirement, extra: str) -> Need:
    here = installed(requirement.name)
    met = here is not None and requirement.specifier.contains(here, prereleases=True)
    return Need(requirement.name, str(requirement.specifier), extra, here, met)
