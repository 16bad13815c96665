"""A prediction that was stopped resumes, and its output is the same as without a stop."""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from stopping import ROWS, WINDOW, Job, parts_of, write_texts
from tables import FORMATS
from understudy.inference.classifier import Classifier
from understudy.inference.opening import open_classifier
from understudy.models.linear import LinearModel


@pytest.mark.parametrize("windows", [1, 3, 5])
@pytest.mark.parametrize("output", FORMATS)
def test_the_same_command_resumes(
    output: str,
    windows: int,
    classifier: Classifier,
    job: Job,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    path = job.folder / f"out.{output}"
    job.stopped(classifier, path, windows)
    assert not path.exists()
    assert caplog.messages == [f"predict: {windows * WINDOW} of {ROWS} rows are done and kept"]
    caplog.clear()
    assert job.predict(classifier, path) == ROWS
    assert caplog.messages == [f"predict: {windows * WINDOW} of {ROWS} rows were done before"]
    assert sum(job.computed) == ROWS - windows * WINDOW
    assert path.read_bytes() == job.undisturbed(classifier, path)
    assert not parts_of(path).exists()


def test_another_threshold_resumes_too(classifier: Classifier, job: Job) -> None:
    path = job.folder / "out.csv"
    job.stopped(classifier, path, 3)
    assert job.predict(classifier, path, threshold=1.0) == ROWS
    assert sum(job.computed) == ROWS - 3 * WINDOW
    found = pd.read_csv(path)
    assert found["label"].isna().all() and len(found) == ROWS
    job.predict(classifier, job.folder / "all.csv")
    columns = ["probability_negative", "probability_positive"]
    assert (found[columns] == pd.read_csv(job.folder / "all.csv")[columns]).all(axis=None)


def test_it_can_be_stopped_again_and_again(classifier: Classifier, job: Job) -> None:
    path = job.folder / "out.parquet"
    for _ in range(5):
        job.stopped(classifier, path, 1)
    job.predict(classifier, path)
    assert job.computed == [ROWS - 5 * WINDOW]
    assert path.read_bytes() == job.undisturbed(classifier, path)


def test_an_older_output_stays_until_the_new_one_is_complete(classifier: Classifier, job: Job) -> None:
    path = job.folder / "out.csv"
    path.write_text("of yesterday")
    job.stopped(classifier, path, 2)
    assert path.read_text() == "of yesterday"
    job.predict(classifier, path)
    assert path.read_bytes() == job.undisturbed(classifier, path)


def test_a_stop_before_the_first_window_says_nothing(
    classifier: Classifier, job: Job, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    job.stopped(classifier, job.folder / "out.csv", 0)
    assert caplog.messages == []
    assert not parts_of(job.folder / "out.csv").exists()


def test_a_linear_model_resumes_too(job: Job) -> None:
    texts = pd.read_csv(job.source)["text"].tolist()
    LinearModel.fit(texts, np.arange(ROWS) % 2, 2, names=["negative", "positive"]).save(job.folder / "model")
    linear = open_classifier(job.folder / "model")
    job.stopped(linear, job.folder / "out.jsonl", 2)
    job.predict(linear, job.folder / "out.jsonl")
    assert sum(job.computed) == ROWS - 2 * WINDOW
    assert (job.folder / "out.jsonl").read_bytes() == job.undisturbed(linear, job.folder / "out.jsonl")


def test_several_files_with_other_columns(classifier: Classifier, job: Job) -> None:
    write_texts(job.folder / "in2.csv", 6, seed=1)
    pd.DataFrame({"text": ["good", "bad"], "more": ["x", "y"]}).to_csv(job.folder / "in3.csv", index=False)
    several, path = replace(job, source=job.folder / "in*.csv"), job.folder / "out.parquet"
    several.stopped(classifier, path, 6)
    assert several.predict(classifier, path) == ROWS + 8
    assert path.read_bytes() == several.undisturbed(classifier, path)
    found = pd.read_parquet(path)
    assert found["id"].dropna().astype(int).tolist() == [*range(ROWS), *range(6)]
    assert found["text"].tolist()[-2:] == ["good", "bad"]


@pytest.mark.parametrize("damage", [lambda content: content[:40], lambda content: b"", lambda content: content[::-1]])
def test_a_damaged_part_is_computed_again(
    damage: Any,
    classifier: Classifier,
    job: Job,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = job.folder / "out.parquet"
    job.stopped(classifier, path, 4)
    part = parts_of(path) / "00000001.part"
    part.write_bytes(damage(part.read_bytes()))
    job.predict(classifier, path)
    assert f"{part} is damaged; its rows are computed again" in caplog.messages
    assert job.computed == [WINDOW, WINDOW, ROWS - 5 * WINDOW]
    assert path.read_bytes() == job.undisturbed(classifier, path)


def test_a_copied_or_touched_input_is_the_same(classifier: Classifier, job: Job) -> None:
    job.stopped(classifier, job.folder / "out.csv", 4)
    (job.folder / "moved").mkdir()
    moved = job.source.rename(job.folder / "moved" / job.source.name)
    os.utime(moved, (1, 1))
    replace(job, source=moved).predict(classifier, job.folder / "out.csv")
    assert sum(job.computed) == ROWS - 4 * WINDOW
