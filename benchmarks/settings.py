"""Automatic settings against others, on a part of a table's training texts that no model saw. Prints JSON.

It is for the rules of `understudy.run.auto`. It never reads a test set: `--data` is a training
file, of which `--held` texts stand in for the test set and `--texts` others for the training set.

    python benchmarks/settings.py --data trec/train.parquet --texts 1000 --held 1000 --threads 1 \\
        --setting '{"name": "automatic"}' --setting '{"name": "random head", "teacher": {"head": "initial"}}'

A setting is a name and options of the recipe, by section. Teacher and student are MiniLM-L6 and three of its layers.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from understudy import Recipe, distill
from understudy.recipe.files import merged
from understudy.run.auto import FOLLOWING


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="parquet file with training texts")
    parser.add_argument("--texts", type=int, default=1000)
    parser.add_argument("--held", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0, help="of the choice of texts")
    parser.add_argument("--setting", type=json.loads, action="append", default=[], help="a JSON object")
    parser.add_argument("--cache", type=Path, help="keeps what several settings share")
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        files = split(options.data, options.texts, options.held, options.seed, place)
        found = [
            measured(files, dict(setting), place / str(number), options.cache or place / "cache", options.threads)
            for number, setting in enumerate(options.setting or [{"name": "automatic"}])
        ]
    about = {"data": options.data.parent.name, "texts": options.texts, "held": options.held, "seed": options.seed}
    json.dump({**about, "settings": found}, sys.stdout, indent=1)
    print()


def split(data: Path, texts: int, held: int, seed: int, folder: Path) -> dict[str, str]:
    """Writes the training and the held texts to files of their own."""
    table = pq.read_table(data, columns=["text", "label"])
    rows = np.random.default_rng(seed).permutation(len(table))
    parts = {"test": rows[:held], "train": rows[held : held + texts]}
    files = {name: str(folder / f"{name}.parquet") for name in parts}
    for name, chosen in parts.items():
        pq.write_table(table.take(pa.array(chosen)), files[name])
    return files


def measured(files: dict[str, str], setting: dict[str, Any], out: Path, cache: Path, threads: int | None) -> Any:
    """The accuracies on the held texts of everything that a run trains, with the settings that it found."""
    name = setting.pop("name")
    base = {
        "data": files,
        "teacher": {"model": "sentence-transformers/all-MiniLM-L6-v2"},
        "student": {"layers": 3},
        "evaluation": {"speed_texts": 1},
    }
    run = distill(Recipe.from_mapping(merged(base, setting)), out, device="cpu", threads=threads, cache_dir=cache)
    metrics, values = run.metrics, run.recipe.flat()
    models = {"teacher": metrics.teacher, "student": metrics.student, **vars(metrics.controls)}
    return {
        "name": name,
        "accuracy": {name: round(model.accuracy, 4) for name, model in models.items() if model is not None},
        "values": {option: values[option] for option in sorted(FOLLOWING)},
    }


if __name__ == "__main__":
    main()
