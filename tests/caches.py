"""Cache folders as the stages leave them, without models: entries of any size and age."""

from __future__ import annotations

import os
import time
from pathlib import Path

DAY = 86400
KINDS = ("teachers", "linear", "logits", "tokens")


def key(number: int) -> str:
    return f"{number:032x}"


def age(path: Path, days: float) -> None:
    """Lets a file or a whole folder be that old."""
    moment = time.time() - days * DAY
    for place in [*path.rglob("*"), path] if path.is_dir() and not path.is_symlink() else [path]:
        os.utime(place, (moment, moment), follow_symlinks=False)


def make(cache: Path, kind: str, number: int = 1, days: float = 60, size: int = 1000) -> Path:
    """An entry as the stages leave it: of `size` bytes, last used `days` ago."""
    path = cache / kind / (f"{key(number)}.arrow" if kind == "tokens" else key(number))
    contents = {
        "teachers": {"model/model.safetensors": size - 2, "training.json": 2},
        "linear": {"model/model.npz": size - 2, "training.json": 2},
        "logits": {f"{'e' * 64}.npy": size - 2, "key.json": 2},
        "tokens": {"": size - 2},
    }[kind]
    for name, count in contents.items():
        file = path / name if name else path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x" * count)
    parts = [path]
    if kind == "tokens":
        parts.append(path.with_suffix(".sha256"))
        parts[1].write_bytes(b"xx")
    for part in parts:
        age(part, days)
    return path


def strange(cache: Path) -> list[Path]:
    """Things that understudy does not make, old and large."""
    places = {
        cache / "notes.txt": None,
        cache / "photos": "picture.png",
        cache / "teachers" / "notes": "x",
        cache / "teachers" / "README.md": None,
        cache / "teachers" / key(50): "thesis.tex",
        cache / "teachers" / key(51).upper().replace("0", "A"): "training.json",
        cache / "logits" / key(52): "notes.npy",
        cache / "tokens" / f"{key(53)}.txt": None,
        cache / "tokens" / "abc.arrow": None,
        cache / "tokens" / f"{key(54)}.arrow": "a folder",
        cache / ".12345678-new-x": "x",
    }
    for path, content in places.items():
        file = path / content if content else path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x" * 100_000)
    for path in places:
        age(path, 400)
    return list(places)
