"""The run's manifest: what is finished, and what it was made of."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from understudy.errors import RunDirectoryError
from understudy.storage.files import write_json
from understudy.storage.layout import SCHEMA_VERSION
from understudy.storage.records import read_record


@dataclass(frozen=True)
class _Stage:
    fingerprint: str
    seconds: float
    details: dict[str, Any]
    machine: dict[str, Any] = field(default_factory=dict)  # manifests from before stages named theirs have none


@dataclass(frozen=True)
class _Content:
    """What `manifest.json` holds; only `stages` is there from the start."""

    stages: dict[str, _Stage]
    understudy: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    machine: dict[str, Any] = field(default_factory=dict)
    folder: str = ""
    models: dict[str, Any] = field(default_factory=dict)
    classes: list[str] = field(default_factory=list)
    audit: list[dict[str, Any]] = field(default_factory=list)


class Manifest:
    """What a run has finished: per stage its fingerprint, what that was made of, and its seconds.

    Saved after every stage, so it never claims more than is on disk.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.maker: dict[str, Any] = {}  # goes into the manifest when it has made something
        self.content: dict[str, Any] = {"schema_version": SCHEMA_VERSION, "stages": {}}
        if path.is_file():
            remedy = "Give another --out, or --overwrite to start afresh."
            read_record(_Content, path, error=RunDirectoryError, remedy=remedy)
            # The JSON itself is kept, so that saving it again leaves the rest of the file as it is.
            self.content = json.loads(path.read_text(encoding="utf-8"))

    def fingerprint(self, stage: str) -> str | None:
        found: str | None = self.content["stages"].get(stage, {}).get("fingerprint")
        return found

    def seconds(self) -> dict[str, float]:
        return {name: stage["seconds"] for name, stage in self.content["stages"].items()}

    def details(self, stage: str) -> dict[str, Any]:
        found: dict[str, Any] = self.content["stages"].get(stage, {}).get("details", {})
        return found

    def threads(self, stage: str) -> int | None:
        """With how many threads a stage was done; None if that is not known."""
        found: int | None = self.content["stages"].get(stage, {}).get("machine", {}).get("threads")
        return found

    def machines(self, stages: Iterable[str]) -> list[tuple[dict[str, Any], list[str]]]:
        """The machines on which stages were done, each with those that were; a run can go on on another machine."""
        found: list[tuple[dict[str, Any], list[str]]] = []
        for stage in stages:
            machine = self.content["stages"][stage].get("machine") or self.content.get("machine", {})
            known = next((names for each, names in found if each == machine), None)
            if known is None:
                found.append((machine, [stage]))
            else:
                known.append(stage)
        return found

    def finish(self, stage: str, fingerprint: str, seconds: float, details: dict[str, Any], made: bool = True) -> None:
        """Notes a stage, and with what and where if it `made` something and does not only show what others made."""
        if made:
            self.content |= self.maker
        self.content["stages"][stage] = {
            "fingerprint": fingerprint,
            "seconds": round(seconds, 2),
            "machine": self.maker.get("machine", {}),
            "details": details,
        }
        self.save()

    def forget(self, stage: str) -> None:
        if self.content["stages"].pop(stage, None) is not None:
            self.save()

    def save(self) -> None:
        write_json(self.path, self.content)
