"""Reads model cards, and makes run directories with only what a card needs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from huggingface_hub import ModelCard
from markdown_it import MarkdownIt

from understudy.evaluation.results import Metrics
from understudy.recipe.recipe import Recipe
from understudy.reporting.card import write_card
from understudy.storage.layout import SCHEMA_VERSION, RunDirectory


class Card:
    """A card as the Hub reads it: the metadata, and the body as Markdown."""

    def __init__(self, path: Path) -> None:
        self.text = path.read_text(encoding="utf-8")
        self.data: dict[str, Any] = ModelCard.load(path).data.to_dict()
        body = self.text.split("\n---\n", 1)[1]
        self.tokens = MarkdownIt("commonmark").enable("table").parse(body)

    @property
    def headings(self) -> list[str]:
        return [
            after.content for token, after in zip(self.tokens, self.tokens[1:], strict=False) if opens(token, "heading")
        ]

    @property
    def tables(self) -> list[list[list[str]]]:
        """The cells of all tables, as a reader sees them."""
        tables: list[list[list[str]]] = []
        for token, after in zip(self.tokens, self.tokens[1:], strict=False):
            if opens(token, "table"):
                tables.append([])
            elif opens(token, "tr"):
                tables[-1].append([])
            elif opens(token, "th") or opens(token, "td"):
                tables[-1][-1].append(shown(after))
        return tables

    @property
    def lines(self) -> list[str]:
        """All text that a reader sees, block by block."""
        return [shown(token) for token in self.tokens if token.type == "inline"]

    def line(self, start: str) -> str:
        (found,) = (line for line in self.lines if line.startswith(start))
        return found


def opens(token: Any, kind: str) -> bool:
    return bool(token.type == f"{kind}_open")


def shown(inline: Any) -> str:
    """What a reader sees of a block's content."""
    return "".join(token.content for token in inline.children if token.type not in ("softbreak", "html_inline"))


class Run:
    """A run directory with only what a card needs; tests change its attributes before `card` writes it."""

    def __init__(self, root: Path, metrics: Metrics) -> None:
        self.place = RunDirectory(root)
        self.metrics = metrics
        self.options: dict[str, Any] = {
            "name": "reviews",
            "data": {
                "train": "/home/me/secret/train.csv",
                "test": "/home/me/secret/test.csv",
                "validation": 0.1,
                "max_length": 256,
            },
            "teacher": {"model": "/home/me/models/encoder"},
            "student": {"layers": 2},
            "distillation": {"epochs": 1, "learning_rate": 5e-5, "temperature": 2.0, "alpha": 0.5},
        }
        self.labels = ["negative"] * 6 + ["positive"] * 4
        self.student = ["negative"] * 5 + ["positive"] * 3 + ["negative"] * 2
        self.manifest: dict[str, Any] = {
            "schema_version": SCHEMA_VERSION,
            "understudy": "0.1.0",
            "versions": {"python": "3.11.7", "torch": "2.13.0"},
            "models": {"teacher": self.origin("/home/me/models/encoder"), "student": None},
            "classes": ["negative", "positive"],
            "audit": [],
            "stages": {
                "data": self.stage({"texts": {"train": 90, "validation": 10, "test": 10}}),
                "student": self.stage({"digest": "d1", "calibration": None}),
            },
        }

    def origin(self, name: str, kind: str = "folder", path: Path | None = None) -> dict[str, Any]:
        revision = None if kind == "folder" else "abc123"
        return {"name": name, "kind": kind, "path": str(path or name), "revision": revision, "sha256": "5a5a"}

    def stage(self, details: dict[str, Any]) -> dict[str, Any]:
        return {"fingerprint": "f00d", "seconds": 1.0, "details": details}

    def name_classes(self, names: list[str]) -> None:
        self.manifest["classes"] = self.labels = self.student = names

    def calibrated(self, **found: Any) -> None:
        nothing = {"temperature": None, "ece_before": None, "ece_after": None, "left": None}
        self.manifest["stages"]["student"]["details"]["calibration"] = nothing | found

    def card(self) -> Card:
        place = self.place
        place.student.mkdir(parents=True, exist_ok=True)
        place.manifest.write_text(json.dumps(self.manifest))
        place.recipe.write_text(Recipe.from_mapping(self.options).to_toml())
        self.metrics.save(place.metrics)
        columns = {"label": self.labels, "student_label": self.student, "teacher_label": self.labels}
        pq.write_table(pa.table(columns), place.predictions)
        write_card(place)
        return Card(place.card)
