"""Shared by all tests: no network, and tiny random models in Hugging Face folders."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from understudy.cli.main import main
from understudy.exporting.limits import Limits
from understudy.recipe.recipe import Recipe

os.environ["HF_HUB_OFFLINE"] = "1"

WORDS = [
    "good", "bad", "film", "story", "the", "a", "is", "was",
    "not", "very", "great", "awful", "fine", "dull", "and", "but",
]  # fmt: skip


@pytest.fixture(autouse=True)
def _logger_as_it_was() -> Iterator[None]:
    """The command line takes the package's logger for itself, which would hide later messages from caplog."""
    logger = logging.getLogger("understudy")
    before = (logger.handlers, logger.level, logger.propagate)
    yield
    logger.handlers, logger.level, logger.propagate = before


@pytest.fixture
def make_model(tmp_path: Path) -> Callable[..., Path]:
    """Makes a folder with a random BERT and a word-piece tokenizer: an encoder, or with classes a classifier."""

    def make(name: str = "model", classes: list[str] | None = None, **options: Any) -> Path:
        return write_model(tmp_path / name, classes, **options)

    return make


def write_model(
    folder: Path,
    classes: list[str] | None = None,
    layers: int = 2,
    hidden: int = 16,
    seed: int = 0,
    words: list[str] = WORDS,
    positions: int = 64,
) -> Path:
    import torch
    from transformers import BertConfig, BertForSequenceClassification, BertModel, BertTokenizerFast
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=2 * hidden,
        max_position_embeddings=positions,
        initializer_range=0.5,  # wide enough for logits that differ between texts
    )
    if classes is not None:
        config.id2label = dict(enumerate(classes))
        config.label2id = {label: index for index, label in enumerate(classes)}
    torch.manual_seed(seed)
    kind = BertModel if classes is None else BertForSequenceClassification
    kind(config).save_pretrained(folder)
    BertTokenizerFast(vocab={word: index for index, word in enumerate(vocabulary)}).save_pretrained(folder)
    return folder


def user_error(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The message of a command that the user has to mend: status 2, one line of prefix, no traceback, clean stdout."""
    assert main(list(arguments)) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("understudy: ")
    assert "Traceback" not in err
    return err.removeprefix("understudy: ").rstrip("\n")


# Whole runs: a teacher of 4 layers, a student of 2, and texts of 12 words from the vocabulary above.

FIXED = {"epochs": 1, "class_weights": "none", "early_stopping": 0, "head": "initial"}
"""Options of a short training that does not follow the data."""


def write_reviews(path: Path, rows: int, classes: list[str], seed: int = 0) -> Path:
    """A csv file with as many texts of each class; a class has a word of its own, which is in most of its texts."""
    random = np.random.default_rng(seed)
    lines = ["text,label"]
    for row in range(rows):
        words = random.choice(WORDS, 12)
        if row % 5:
            words[random.integers(12)] = words[0] = WORDS[row % len(classes) % len(WORDS)]
        lines.append(f"{' '.join(words)},{classes[row % len(classes)]}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def make_recipe(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Recipe]:
    """Makes a recipe that takes a second or two; keywords are sections, whose options beat the ones here."""
    folder = tmp_path_factory.mktemp("recipe")
    write_model(folder / "encoder", layers=4, hidden=32)
    write_reviews(folder / "train.csv", 120, ["negative", "positive"], seed=1)
    write_reviews(folder / "test.csv", 60, ["negative", "positive"], seed=2)
    training = {**FIXED, "batch_size": 8, "learning_rate": 1e-3, "precision": "fp32"}
    sources = {"train": str(folder / "train.csv"), "test": str(folder / "test.csv")}
    base: dict[str, Any] = {
        "name": "tiny",
        "data": {**sources, "text": "text", "label": "label", "validation": 0.1, "max_length": 16},
        "teacher": {"model": str(folder / "encoder"), **training},
        "student": {"layers": 2},
        "distillation": {**training, "temperature": 2.0, "alpha": 0.5},
        "evaluation": {"resamples": 200, "speed_texts": 8, "static": False},
    }

    def make(**changes: Any) -> Recipe:
        options = {name: dict(value) if isinstance(value, dict) else value for name, value in base.items()}
        for name, value in changes.items():
            options[name] = {**options.get(name, {}), **value} if isinstance(value, dict) else value
        if "model" in options["student"]:
            options["student"].pop("layers")
        return Recipe.from_mapping(options)

    return make


@dataclass(frozen=True)
class Finished:
    """A finished run: its recipe, its run directory and the cache it used."""

    recipe: Recipe
    out: Path
    cache: Path


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, make_recipe: Callable[..., Recipe]) -> Finished:
    """A whole run, to be read only."""
    from understudy.run.pipeline import distill

    folder, recipe = tmp_path_factory.mktemp("finished"), make_recipe()
    distill(recipe, folder / "run", device="cpu", cache_dir=folder / "cache")
    return Finished(recipe, folder / "run", folder / "cache")


ANYTHING_GOES = Limits(flips=1.0, accuracy_loss=1.0, ece_rise=1.0, batch_flips=64)
"""A tiny random model loses a lot in int8, which most tests do not care about."""


@pytest.fixture(scope="session")
def converted_once(finished: Finished) -> Any:
    """The graph of the finished run's student in OpenVINO's format. Converting it takes seconds."""
    from understudy.exporting.graphs import OpenVinoGraph
    from understudy.models.loading import load_classifier

    return OpenVinoGraph.of(load_classifier(finished.out / "student"))


@pytest.fixture(scope="session")
def exported(finished: Finished, tmp_path_factory: pytest.TempPathFactory, converted_once: Any) -> Callable[..., Any]:
    """Gives the export of the finished run's student in a precision and a format; tests must not change it."""
    from understudy.exporting.export import Export, export
    from understudy.exporting.graphs import OpenVinoGraph

    made: dict[tuple[str, str], Export] = {}

    def get(precision: Any, format: Any = "openvino") -> Export:
        key = (precision, format)
        if key not in made:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(OpenVinoGraph, "of", classmethod(lambda cls, model: converted_once))
                folder = tmp_path_factory.mktemp("exports") / "-".join(key)
                made[key] = export(finished.out, precision, format, folder, limits=ANYTHING_GOES)
        return made[key]

    return get


@pytest.fixture
def finished_copy(finished: Finished, tmp_path: Path) -> Finished:
    """The same run once more, to be changed."""
    shutil.copytree(finished.out, tmp_path / "run")
    shutil.copytree(finished.cache, tmp_path / "cache")
    return Finished(finished.recipe, tmp_path / "run", tmp_path / "cache")


@pytest.fixture
def no_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves out of a run what takes time and is not what the test is about: speed, dashboard and report."""
    leave_out_clock(monkeypatch)


def leave_out_clock(patch: pytest.MonkeyPatch) -> None:
    """The same for fixtures of another scope."""
    from understudy.evaluation.results import BatchTime, Latency, ModelSpeed, Speed
    from understudy.reporting import render
    from understudy.run import testing
    from understudy.storage.files import write_text

    side = ModelSpeed(10.0, Latency(1.0, 2.0))
    speed = Speed("cpu", 1, "fp32", 16, BatchTime(2.0, 1.0), 2.0, side, side)
    patch.setattr(testing, "measure_speed", lambda *_, **__: speed)

    def draw(_: object, path: Path, __: str) -> None:
        for each in (path, path.with_suffix(".svg")):
            write_text(each, "a picture")

    patch.setattr(render, "draw_dashboard", draw)
    patch.setattr(render, "write_report", lambda _, path: write_text(path, "a page"))


@pytest.fixture
def no_charts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves out of a report what takes time and is the same whatever the figures are."""
    from understudy.reporting import charts, slices

    chart = charts.Chart("<svg></svg>", "A chart.", charts.Grid(("a", "b"), (("1", "2"),)))
    for name in ("quality", "reliability", "learning"):
        monkeypatch.setattr(charts, f"{name}_chart", lambda *_: chart)
    for name in ("confusion", "length", "class"):
        monkeypatch.setattr(slices, f"{name}_chart", lambda *_: chart)


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the models that are trained."""
    from understudy.training import student, teacher

    done: list[str] = []
    train = student.train

    def counted(*arguments: Any, **options: Any) -> Any:
        done.append(options["context"].description)
        return train(*arguments, **options)

    monkeypatch.setattr(student, "train", counted)
    monkeypatch.setattr(teacher, "train", counted)
    return done
