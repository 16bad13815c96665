"""What somebody with a table could use instead of understudy: the sides of `tables.py`.

Every side takes training texts and labels and returns models that answer texts. All encoders start from the same
MiniLM-L6. Settings are those of each tool's own tutorial; where a side needs a cap to end in time, it is stated here.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

SETFIT_STEPS = 1_000
"""SetFit's default is one epoch over all pairs of texts, which would take days; this many batches of 16 pairs."""


@dataclass(frozen=True)
class Job:
    """What one side does.

    Attributes:
        train: Parquet file with the columns text and label (strings).
        test: Likewise; a side may not read it before its models are finished.
        encoder: Folder of MiniLM-L6.
        seed: Of everything that is drawn.
        folder: Where a side may write.
    """

    train: Path
    test: Path
    encoder: Path
    seed: int
    folder: Path

    def rows(self) -> tuple[list[str], list[str]]:
        """The training texts and their labels."""
        import pyarrow.parquet as pq

        table = pq.read_table(self.train)
        return table["text"].to_pylist(), table["label"].to_pylist()


@dataclass(frozen=True)
class Shipped:
    """A model that could be shipped.

    Attributes:
        predict: From texts to labels.
        megabytes: Size on disk, 10**6 bytes.
        more: Further figures.
    """

    predict: Callable[[list[str]], Sequence[str]]
    megabytes: float
    more: dict[str, Any]


Models = dict[str, Shipped]


def tfidf(job: Job) -> Models:
    """TF-IDF of words and characters with logistic regression, scikit-learn's usual strong baseline."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline, make_union

    texts, labels = job.rows()
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    characters = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True, min_df=2)
    model = make_pipeline(make_union(words, characters), LogisticRegression(C=20, max_iter=1000))
    model.fit(texts, labels)
    return {"tfidf": Shipped(model.predict, _pickled(model, job), {})}


def frozen(job: Job) -> Models:
    """Logistic regression on the sentence embeddings of the frozen MiniLM-L6, as sentence-transformers gives them."""
    from sentence_transformers import SentenceTransformer
    from sklearn.linear_model import LogisticRegression

    texts, labels = job.rows()
    encoder = SentenceTransformer(str(job.encoder), device="cpu")
    head = LogisticRegression(C=10, max_iter=2000).fit(encoder.encode(texts, show_progress_bar=False), labels)

    def predict(asked: list[str]) -> Sequence[str]:
        return head.predict(encoder.encode(asked, show_progress_bar=False))

    return {"frozen_lr": Shipped(predict, _folder_megabytes(job.encoder) + _pickled(head, job), {})}


def setfit(job: Job) -> Models:
    """SetFit's defaults, with its number of steps capped."""
    from datasets import Dataset
    from setfit import SetFitModel, Trainer, TrainingArguments

    texts, labels = job.rows()
    names = sorted(set(labels))
    model = SetFitModel.from_pretrained(str(job.encoder), labels=names, device="cpu")
    rows = Dataset.from_dict({"text": texts, "label": [names.index(label) for label in labels]})
    settings = TrainingArguments(
        output_dir=str(job.folder), batch_size=16, max_steps=SETFIT_STEPS, seed=job.seed, save_strategy="no"
    )
    Trainer(model=model, args=settings, train_dataset=rows).train()
    model.save_pretrained(str(job.folder / "shipped"))
    predict = lambda asked: [str(label) for label in model.predict(asked)]  # noqa: E731
    return {"setfit": Shipped(predict, _folder_megabytes(job.folder / "shipped"), {"steps": SETFIT_STEPS})}


def model2vec(job: Job) -> Models:
    """model2vec's trained classifier on embeddings that it distils from the same encoder."""
    from model2vec.distill import distill
    from model2vec.train import StaticModelForClassification

    texts, labels = job.rows()
    model = StaticModelForClassification.from_static_model(model=distill(str(job.encoder)))
    model.fit(texts, labels)
    pipeline = model.to_pipeline()
    pipeline.save_pretrained(str(job.folder / "shipped"))
    return {"model2vec": Shipped(pipeline.predict, _folder_megabytes(job.folder / "shipped"), {})}


def fasttext(job: Job) -> Models:
    """fastText with the settings at which its tutorial arrives: 25 epochs, rate 1.0, bigrams."""
    import fasttext as library

    texts, labels = job.rows()
    names = sorted(set(labels))
    lines = (f"__label__{names.index(label)} {_one_line(text)}" for text, label in zip(texts, labels, strict=True))
    (job.folder / "train.txt").write_text("\n".join(lines), encoding="utf-8")
    model = library.train_supervised(
        input=str(job.folder / "train.txt"), epoch=25, lr=1.0, wordNgrams=2, seed=job.seed, verbose=0
    )
    model.save_model(str(job.folder / "model.bin"))

    def predict(asked: list[str]) -> Sequence[str]:
        # Its `predict` asks NumPy 1 for an array without a copy; the function below it does not.
        found = model.f.multilinePredict([_one_line(text) + "\n" for text in asked], 1, 0.0, "strict")[0]
        return [names[int(best[0].removeprefix("__label__"))] for best in found]

    return {"fasttext": Shipped(predict, (job.folder / "model.bin").stat().st_size / 1e6, {})}


def trainer(job: Job) -> Models:
    """The stock Trainer as transformers' text-classification tutorial uses it, with 3 epochs."""
    import torch
    from datasets import Dataset
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
        Trainer,
        TrainingArguments,
    )

    texts, labels = job.rows()
    names = sorted(set(labels))
    tokenizer = AutoTokenizer.from_pretrained(job.encoder)
    tokenizer.model_max_length = 512
    torch.manual_seed(job.seed)
    model = AutoModelForSequenceClassification.from_pretrained(job.encoder, num_labels=len(names))
    rows = Dataset.from_dict({"text": texts, "label": [names.index(label) for label in labels]})
    rows = rows.map(lambda batch: tokenizer(batch["text"], truncation=True), batched=True)
    settings = TrainingArguments(
        output_dir=str(job.folder),
        learning_rate=2e-5,
        per_device_train_batch_size=16,
        num_train_epochs=3,
        weight_decay=0.01,
        save_strategy="no",
        report_to="none",
        seed=job.seed,
        use_cpu=not torch.cuda.is_available(),
        disable_tqdm=True,
    )
    collator = DataCollatorWithPadding(tokenizer)
    Trainer(model, settings, train_dataset=rows, data_collator=collator, processing_class=tokenizer).train()
    model.eval()
    model.save_pretrained(job.folder / "shipped")

    def predict(asked: list[str]) -> Sequence[str]:
        found: list[str] = []
        with torch.inference_mode():
            for start in range(0, len(asked), 32):
                part = tokenizer(asked[start : start + 32], truncation=True, padding=True, return_tensors="pt")
                found += [names[place] for place in model(**part.to(model.device)).logits.argmax(dim=-1).tolist()]
        return found

    return {"trainer": Shipped(predict, _folder_megabytes(job.folder / "shipped"), {})}


def autogluon(job: Job) -> Models:
    """AutoGluon's text predictor on the same encoder."""
    import pandas as pd
    from autogluon.multimodal import MultiModalPredictor

    texts, labels = job.rows()
    predictor = MultiModalPredictor(label="label", path=str(job.folder / "shipped"))
    predictor.fit(
        pd.DataFrame({"text": texts, "label": labels}),
        hyperparameters={"model.hf_text.checkpoint_name": str(job.encoder)},
        seed=job.seed,
    )
    predict = lambda asked: predictor.predict(pd.DataFrame({"text": asked})).tolist()  # noqa: E731
    return {"autogluon": Shipped(predict, _folder_megabytes(job.folder / "shipped"), {})}


def understudy(job: Job) -> Models:
    """`understudy run TABLE` with its defaults; every model of the run, and the one that it recommends."""
    run = job.folder / "run"
    # The test file is only read for the run's last stage; the figures here are read from the models again.
    options = ["--data.test", str(job.test), "--seed", str(job.seed), "--out", str(run)]
    command = [sys.executable, "-m", "understudy", "run", str(job.train), *options]
    done = subprocess.run(
        [*command, "--cache-dir", str(job.folder / "cache"), "--json"], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    found = {}
    for name in ("teacher", "student", "linear", "frozen", "static", "best"):
        folder = _folder_of(run, name, metrics)
        if folder.is_dir():
            said = metrics["recommendation"]["model"] if name == "best" else name
            found[f"understudy_{name}"] = _opened(folder, {"model": said, "verdict": metrics["verdict"]["code"]})
    return found


SIDES: dict[str, Callable[[Job], Models]] = {
    side.__name__: side for side in (understudy, tfidf, frozen, trainer, setfit, model2vec, fasttext, autogluon)
}


def _folder_of(run: Path, name: str, metrics: dict[str, Any]) -> Path:
    if name == "best":
        return run / metrics["recommendation"]["folder"]
    if name == "static":
        return run / "students" / name
    return run / name if name in ("teacher", "student") else run / "controls" / name


def _opened(folder: Path, more: dict[str, Any]) -> Shipped:
    from understudy import load

    return Shipped(load(folder).predict, _folder_megabytes(folder), more)


def _one_line(text: str) -> str:
    return " ".join(text.lower().split())


def _pickled(model: Any, job: Job) -> float:
    import joblib

    with tempfile.TemporaryDirectory(dir=job.folder) as folder:
        return sum(Path(path).stat().st_size for path in joblib.dump(model, Path(folder) / "model")) / 1e6


def _folder_megabytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def as_labels(found: Sequence[Any]) -> np.ndarray:
    """Labels as strings, shape (texts,)."""
    return np.array([str(label) for label in found])
