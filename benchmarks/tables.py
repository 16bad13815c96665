"""What a stranger's table gives with `understudy run TABLE`, and with the tools that they could use instead.

    python benchmarks/tables.py --data FOLDER [--tables NAME ...] [--sides NAME ...] [--seeds N] [--out FILE]

FOLDER has one folder a table with `train.parquet` and `test.parquet` (columns text and label) below `tables/`, and
`imdb/`. Of IMDb samples of 1,000 and 5,000 training texts are taken, one a seed, and the same 5,000 test texts.

Every side runs in a process of its own and gets all of the machine. Its seconds go from the table to the finished
models; imports count, reading the test set does not. A side that takes longer than --cap seconds is stopped and says
so. What is finished is kept in --out, so the script can be stopped and started again. SetFit, model2vec, fastText and
AutoGluon need not be in understudy's environment: --peers names the Python that has them.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from table_sides import SIDES, Job, Shipped, as_labels

TABLES = ("trec", "subjectivity", "reuters8", "newsgroups", "clinc150", "imdb-1000", "imdb-5000")
PEERS = {"setfit": "setfit", "model2vec": "model2vec", "fasttext": "fasttext", "autogluon": "autogluon.multimodal"}
IMDB_TEST = 5_000
TIMED = 200
"""Texts that are answered one by one for the milliseconds a text."""


def main() -> None:
    options = _arguments()
    if options.job:
        print(json.dumps(_measured(Job(**json.loads(options.job)), options.side)))
        return
    kept: dict[str, Any] = json.loads(options.out.read_text()) if options.out.is_file() else {}
    kept["machine"] = _machine()
    kept["cap"] = options.cap
    found: dict[str, Any] = kept.setdefault("found", {})
    for table in options.tables:
        for side in options.sides:
            for seed in range(options.seeds):
                name = f"{table}/{side}/{seed}"
                if name in found or _was_slow(found, table, side):
                    continue
                found[name] = _run(options, table, side, seed)
                print(f"{name}: {_short(found[name])}", file=sys.stderr, flush=True)
                options.out.parent.mkdir(parents=True, exist_ok=True)
                options.out.write_text(json.dumps(kept, indent=1) + "\n")
    print(json.dumps({**kept, "table": _table(found)}))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder with the tables")
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=list(TABLES))
    parser.add_argument("--sides", nargs="+", choices=list(SIDES), default=list(SIDES))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--cap", type=int, default=3600, help="seconds after which a side is stopped")
    parser.add_argument("--peers", default=sys.executable, help="Python that has SetFit, model2vec and fastText")
    parser.add_argument("--out", type=Path, default=Path("tables.json"), help="where finished figures are kept")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    parser.add_argument("--side", choices=list(SIDES), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not options.job and not options.data:
        parser.error("--data FOLDER is needed")
    return options


def _was_slow(found: dict[str, Any], table: str, side: str) -> bool:
    """Whether the first seed needed more than 20 minutes; a side that did runs with one seed."""
    first = found.get(f"{table}/{side}/0", {})
    return "failed" in first or first.get("seconds", 0) > 1200


def _run(options: argparse.Namespace, table: str, side: str, seed: int) -> dict[str, Any]:
    from understudy.models.loading import resolve

    with tempfile.TemporaryDirectory() as folder:
        train, test = _split(options.data, table, seed, Path(folder))
        encoder = str(resolve("sentence-transformers/all-MiniLM-L6-v2").path)
        job = {"train": train, "test": test, "encoder": encoder, "seed": seed, "folder": folder}
        python = options.peers if side in PEERS else sys.executable
        command = [python, __file__, "--side", side, "--job", json.dumps(job)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=options.cap)
        except subprocess.TimeoutExpired:
            return {"failed": f"took longer than {options.cap} s"}
    if done.returncode:
        return {"failed": done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"exit {done.returncode}"}
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def _split(data: Path, table: str, seed: int, folder: Path) -> tuple[str, str]:
    """The files with training and test texts; labels are strings."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    source = data / "imdb" if table.startswith("imdb") else data / "tables" / table
    files = []
    for split in ("train", "test"):
        rows = pq.read_table(source / f"{split}.parquet", columns=["text", "label"])
        if table.startswith("imdb"):
            size, drawn = (int(table.partition("-")[2]), seed) if split == "train" else (IMDB_TEST, 0)
            rows = rows.take(np.random.default_rng(drawn).permutation(len(rows))[:size])
        rows = rows.set_column(1, "label", rows["label"].cast(pa.string()))
        files.append(str(folder / f"{split}.parquet"))
        pq.write_table(rows, files[-1])
    return files[0], files[1]


def _measured(job: Job, side: str) -> dict[str, Any]:
    import pyarrow.parquet as pq

    job = Job(Path(job.train), Path(job.test), Path(job.encoder), job.seed, Path(job.folder))
    if side in PEERS and importlib.util.find_spec(PEERS[side].partition(".")[0]) is None:
        raise SystemExit(f"{PEERS[side]} is not installed here")
    start = time.perf_counter()
    models = SIDES[side](job)
    seconds = time.perf_counter() - start
    test = pq.read_table(job.test)
    texts, labels = test["text"].to_pylist(), as_labels(test["label"].to_pylist())
    return {
        "seconds": round(seconds, 1),
        "models": {name: _figures(model, texts, labels) for name, model in models.items()},
    }


def _figures(model: Shipped, texts: list[str], labels: np.ndarray) -> dict[str, Any]:
    from sklearn.metrics import f1_score

    predicted = as_labels(model.predict(texts))
    times = []
    for text in texts[:TIMED]:
        start = time.perf_counter()
        model.predict([text])
        times.append(time.perf_counter() - start)
    return {
        "accuracy": round(float((predicted == labels).mean()), 4),
        "macro_f1": round(float(f1_score(labels, predicted, average="macro")), 4),
        "megabytes": round(model.megabytes, 2),
        "milliseconds_a_text": round(statistics.median(times) * 1e3, 2),
        "right": int((predicted == labels).sum()),
        "texts": len(texts),
        **model.more,
    }


def _table(found: dict[str, Any]) -> dict[str, Any]:
    """Means over the seeds, by table and model; accuracy with the interval of all its answers (Wilson)."""
    from scipy.stats import binomtest

    rows: dict[str, Any] = {}
    for name, result in found.items():
        table, side, _ = name.split("/")
        if "failed" in result:
            rows.setdefault(table, {})[side] = result
            continue
        for model, figures in result["models"].items():
            rows.setdefault(table, {}).setdefault(model, []).append({**figures, "seconds": result["seconds"]})
    for models in rows.values():
        for model, each in models.items():
            if isinstance(each, list):
                names = ("accuracy", "macro_f1", "seconds", "megabytes", "milliseconds_a_text")
                means = {name: round(statistics.mean(row[name] for row in each), 4) for name in names}
                # The seeds share one test set: more seeds do not make the interval narrower.
                right, texts = round(statistics.mean(row["right"] for row in each)), each[0]["texts"]
                limits = binomtest(right, texts).proportion_ci(method="wilson")
                models[model] = {**means, "ci95": [round(limits.low, 4), round(limits.high, 4)], "seeds": len(each)}
    return rows


def _short(result: dict[str, Any]) -> str:
    if "failed" in result:
        return str(result["failed"])
    each = ", ".join(f"{name} {figures['accuracy']}" for name, figures in result["models"].items())
    return f"{result['seconds']} s; {each}"


def _machine() -> dict[str, Any]:
    from harness import description

    return description()


if __name__ == "__main__":
    main()
