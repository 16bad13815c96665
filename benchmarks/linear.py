"""The linear control against TF-IDF with logistic regression, on tables of texts with labels.

    python benchmarks/linear.py --data FOLDER trec subjectivity reuters8 clinc150

`FOLDER/TABLE` holds `train.parquet` and `test.parquet` with the columns `text` and `label`. `tfidf` is what a
scikit-learn user writes first: n-grams of one and two words and of three to five characters, logistic regression with
C = 20. `understudy` chooses its settings by cross-validation within the training texts. Each side trains on the whole
training set, or on `--texts` of it, and answers the test set once. Prints one line of JSON a table; `seconds` are the
process's CPU time, because other work may share the machine.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from understudy.evaluation.metrics import quality
from understudy.models.linear import LinearModel
from understudy.training.linear_choice import choose_settings

Side = Callable[[list[str], np.ndarray, list[str], int], tuple[np.ndarray, dict[str, Any]]]


def tfidf(texts: list[str], labels: np.ndarray, test: list[str], classes: int) -> tuple[np.ndarray, dict[str, Any]]:
    """Probabilities of the test texts, shape (texts, classes)."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline, make_union

    words, characters = TfidfVectorizer(ngram_range=(1, 2)), TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5))
    model = make_pipeline(make_union(words, characters), LogisticRegression(C=20, max_iter=1000))
    return np.asarray(model.fit(texts, labels).predict_proba(test)), {}


def understudy(
    texts: list[str], labels: np.ndarray, test: list[str], classes: int
) -> tuple[np.ndarray, dict[str, Any]]:
    """The same of the linear control, and how its settings were chosen."""
    start = time.process_time()
    choice = choose_settings(texts, labels, classes)
    chosen = time.process_time() - start
    model = LinearModel.fit(texts, labels, classes, settings=choice.settings)
    fitted = time.process_time() - start - chosen
    more = {"choosing": round(chosen, 1), "fitting": round(fitted, 1), "parameters": model.parameters}
    return model.predict_proba(test), {**more, "choice": choice.record()}


SIDES: dict[str, Side] = {"understudy": understudy, "tfidf": tfidf}


def read(path: Path, classes: list[Any] | None = None) -> tuple[list[str], np.ndarray, list[Any]]:
    """Texts, class indices and classes of a table; those of the training set number the test set."""
    table = pq.read_table(path, columns=["text", "label"]).to_pydict()
    found = sorted(set(table["label"])) if classes is None else classes
    return table["text"], np.array([found.index(label) for label in table["label"]]), found


def compared(folder: Path, sides: list[str], texts: int | None) -> dict[str, Any]:
    """The figures of one table."""
    train, labels, classes = read(folder / "train.parquet")
    test, truth, _ = read(folder / "test.parquet", classes)
    if texts is not None and texts < len(train):
        rows = np.sort(np.random.default_rng(0).permutation(len(train))[:texts])
        train, labels = [train[row] for row in rows], labels[rows]
    found: dict[str, Any] = {"table": folder.name, "train": len(train), "test": len(test), "classes": len(classes)}
    for name in sides:
        start = time.process_time()
        probabilities, more = SIDES[name](train, labels, test, len(classes))
        reached = quality(probabilities, truth)
        figures = {"accuracy": round(reached.accuracy, 4), "ece": round(reached.ece, 4)}
        found[name] = {**figures, "seconds": round(time.process_time() - start, 1), **more}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("tables", nargs="+", help="folders in DATA")
    parser.add_argument("--data", type=Path, required=True, help="folder with the tables")
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=list(SIDES))
    parser.add_argument("--texts", type=int, help="train on this many texts")
    options = parser.parse_args()
    for table in options.tables:
        print(json.dumps(compared(options.data / table, options.sides, options.texts)), flush=True)


if __name__ == "__main__":
    main()
