"""Tables of texts in any format that predict reads and writes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from understudy.data import files

FORMATS = ["csv", "tsv", "jsonl", "parquet"]
TEXTS = ["good film", 'a "bad", dull\nstory', "was\tvery fine 🎬", "awful", "the film is not good and the story is bad"]


def write(path: Path, frame: pd.DataFrame) -> str:
    if path.name.endswith(".parquet"):
        frame.to_parquet(path)
    elif ".jsonl" in path.name:
        frame.to_json(path, orient="records", lines=True, force_ascii=False)
    else:
        frame.to_csv(path, index=False, sep="\t" if ".tsv" in path.name else ",")
    return str(path)


def read(path: Path) -> pd.DataFrame:
    if path.suffix == ".parquet":
        return pd.read_parquet(path)
    if path.suffix == ".jsonl":
        return pd.DataFrame([json.loads(line) for line in path.read_text("utf-8").splitlines()])
    return pd.read_csv(path, sep="\t" if path.suffix == ".tsv" else ",")


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    for chunk in files.chunks(path):
        yield from (dict(zip(chunk, values, strict=True)) for values in zip(*chunk.values(), strict=True))


def entries(folder: Path) -> list[str]:
    """Everything in a folder, hidden files included."""
    return sorted(path.name for path in folder.iterdir())
