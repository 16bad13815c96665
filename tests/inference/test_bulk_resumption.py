"""A prediction that was stopped goes on where it was, and its output is what it would have been."""

from __future__ import annotations

import importlib.metadata
import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import killing
from conftest import WORDS
from understudy.cli.main import main
from understudy.data import files
from understudy.errors import DataError
from understudy.inference import bulk
from understudy.inference.bulk import predict_file
from understudy.inference.classifier import Classifier
from understudy.inference.opening import open_classifier
from understudy.models.linear import LinearModel

NAMES = ["negative", "positive"]
ROWS, WINDOW = 23, 4
FORMATS = ["csv", "tsv", "jsonl", "parquet"]


@pytest.fixture(autouse=True)
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "CHUNK_ROWS", 3)
    monkeypatch.setattr(bulk, "WINDOW", WINDOW)


@pytest.fixture
def classifier(make_model: Callable[..., Path]) -> Classifier:
    return open_classifier(make_model("model", NAMES), device="cpu")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_texts(tmp_path / "in.csv", ROWS)


class Computed(list[int]):
    """How many rows the model answered, a window each; it stops before the window whose number is set."""

    stop: int | None = None


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> Computed:
    found = Computed()
    answer = Classifier.predict_proba

    def counted(self: Classifier, texts: list[str], *rest: Any) -> np.ndarray:
        if len(found) == found.stop:
            raise KeyboardInterrupt
        found.append(len(texts))
        return answer(self, texts, *rest)

    monkeypatch.setattr(Classifier, "predict_proba", counted)
    return found


def write_texts(path: Path, rows: int, seed: int = 0, longest: int = 12) -> Path:
    random = np.random.default_rng(seed)
    texts = [" ".join(random.choice(WORDS, random.integers(1, longest))) for _ in range(rows)]
    pd.DataFrame({"id": range(rows), "text": texts}).to_csv(path, index=False)
    return path


def stopped(classifier: Classifier, source: Path, output: Path, computed: Computed, windows: int) -> None:
    """Leaves so many finished windows behind."""
    computed.stop = windows
    with pytest.raises(KeyboardInterrupt):
        predict_file(classifier, str(source), output)
    computed.clear()
    computed.stop = None


def undisturbed(classifier: Classifier, source: Path, output: Path, computed: Computed, text: str = "text") -> bytes:
    path = output.with_stem("undisturbed")
    predict_file(classifier, str(source), path, text)
    computed.clear()
    return path.read_bytes()


def folder_of(output: Path) -> Path:
    return output.with_name(f".{output.name}.parts")


# Going on


@pytest.mark.parametrize("windows", [1, 3, 5])
@pytest.mark.parametrize("output", FORMATS)
def test_the_same_command_goes_on(
    output: str,
    windows: int,
    classifier: Classifier,
    source: Path,
    computed: Computed,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    path = tmp_path / f"out.{output}"
    stopped(classifier, source, path, computed, windows)
    assert not path.exists()
    assert caplog.messages == [f"predict: {windows * WINDOW} of {ROWS} rows are done and kept"]
    caplog.clear()
    assert predict_file(classifier, str(source), path) == ROWS
    assert caplog.messages == [f"predict: {windows * WINDOW} of {ROWS} rows were done before"]
    assert sum(computed) == ROWS - windows * WINDOW
    assert path.read_bytes() == undisturbed(classifier, source, path, computed)
    assert not folder_of(path).exists()


def test_what_is_kept_serves_another_threshold(
    classifier: Classifier, source: Path, computed: Computed, tmp_path: Path
) -> None:
    path = tmp_path / "out.csv"
    stopped(classifier, source, path, computed, 3)
    assert predict_file(classifier, str(source), path, threshold=1.0) == ROWS
    assert sum(computed) == ROWS - 3 * WINDOW
    found = pd.read_csv(path)
    assert found["label"].isna().all() and len(found) == ROWS
    predict_file(classifier, str(source), tmp_path / "all.csv")
    columns = ["probability_negative", "probability_positive"]
    assert (found[columns] == pd.read_csv(tmp_path / "all.csv")[columns]).all(axis=None)


def test_it_may_be_stopped_again_and_again(
    classifier: Classifier, source: Path, computed: Computed, tmp_path: Path
) -> None:
    path = tmp_path / "out.parquet"
    for _ in range(5):
        stopped(classifier, source, path, computed, 1)
    predict_file(classifier, str(source), path)
    assert computed == [ROWS - 5 * WINDOW]
    assert path.read_bytes() == undisturbed(classifier, source, path, computed)


def test_an_older_output_stays_until_the_new_one_is_whole(
    classifier: Classifier, source: Path, computed: Computed, tmp_path: Path
) -> None:
    path = tmp_path / "out.csv"
    path.write_text("of yesterday")
    stopped(classifier, source, path, computed, 2)
    assert path.read_text() == "of yesterday"
    predict_file(classifier, str(source), path)
    assert path.read_bytes() == undisturbed(classifier, source, path, computed)


def test_nothing_is_said_where_nothing_was_done(
    classifier: Classifier, source: Path, computed: Computed, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    stopped(classifier, source, tmp_path / "out.csv", computed, 0)
    assert caplog.messages == []
    assert not folder_of(tmp_path / "out.csv").exists()


def test_a_linear_model_goes_on_as_well(source: Path, computed: Computed, tmp_path: Path) -> None:
    texts = pd.read_csv(source)["text"].tolist()
    LinearModel.fit(texts, np.arange(ROWS) % 2, 2, names=NAMES).save(tmp_path / "model")
    linear = open_classifier(tmp_path / "model")
    stopped(linear, source, tmp_path / "out.jsonl", computed, 2)
    predict_file(linear, str(source), tmp_path / "out.jsonl")
    assert sum(computed) == ROWS - 2 * WINDOW
    assert (tmp_path / "out.jsonl").read_bytes() == undisturbed(linear, source, tmp_path / "out.jsonl", computed)


def test_several_files_with_other_columns(
    classifier: Classifier, source: Path, computed: Computed, tmp_path: Path
) -> None:
    write_texts(tmp_path / "in2.csv", 6, seed=1)
    pd.DataFrame({"text": ["good", "bad"], "more": ["x", "y"]}).to_csv(tmp_path / "in3.csv", index=False)
    several, path = tmp_path / "in*.csv", tmp_path / "out.parquet"
    stopped(classifier, several, path, computed, 6)
    assert predict_file(classifier, str(several), path) == ROWS + 8
    assert path.read_bytes() == undisturbed(classifier, several, path, computed)
    found = pd.read_parquet(path)
    assert found["id"].dropna().astype(int).tolist() == [*range(ROWS), *range(6)]
    assert found["text"].tolist()[-2:] == ["good", "bad"]


@pytest.mark.parametrize("damage", [lambda content: content[:40], lambda content: b"", lambda content: content[::-1]])
def test_a_damaged_part_is_computed_again(
    damage: Any,
    classifier: Classifier,
    source: Path,
    computed: Computed,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = tmp_path / "out.parquet"
    stopped(classifier, source, path, computed, 4)
    part = folder_of(path) / "00000001.part"
    part.write_bytes(damage(part.read_bytes()))
    predict_file(classifier, str(source), path)
    assert f"{part} is damaged; its rows are computed again" in caplog.messages
    assert computed == [WINDOW, WINDOW, ROWS - 5 * WINDOW]
    assert path.read_bytes() == undisturbed(classifier, source, path, computed)


def test_a_copied_or_touched_input_is_the_same(
    classifier: Classifier, source: Path, computed: Computed, tmp_path: Path
) -> None:
    stopped(classifier, source, tmp_path / "out.csv", computed, 4)
    (tmp_path / "moved").mkdir()
    moved = source.rename(tmp_path / "moved" / source.name)
    os.utime(moved, (1, 1))
    predict_file(classifier, str(moved), tmp_path / "out.csv")
    assert sum(computed) == ROWS - 4 * WINDOW


# Other work


def _another_input(source: Path, _: Path, __: pytest.MonkeyPatch) -> dict[str, Any]:
    before = source.stat()
    source.write_bytes(source.read_bytes()[:-2] + b"x\n")
    os.utime(source, ns=(before.st_atime_ns, before.st_mtime_ns))  # of the same size and time
    return {}


def _another_model(_: Path, model: Path, __: pytest.MonkeyPatch) -> dict[str, Any]:
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "layer_norm_eps": 1e-3}))
    return {}


def _another_text(*_: Any) -> dict[str, Any]:
    return {"text": "id"}


def _another_precision(*_: Any) -> dict[str, Any]:
    return {"precision": "bf16", "engine": "pytorch"}  # where the processor has bf16, the engine would be another, too


def _another_engine(*_: Any) -> dict[str, Any]:
    return {"engine": "openvino"}


def _another_window(_: Path, __: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setattr(bulk, "WINDOW", 5)
    return {}


def _another_version(_: Path, __: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    version = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0" if name == "torch" else version(name))
    return {}


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (_another_input, "input"),
        (_another_model, "model"),
        (_another_text, "text"),
        (_another_precision, "dtype"),
        (_another_engine, "engine"),
        (_another_window, "window"),
        (_another_version, "versions"),
    ],
)
def test_other_work_starts_afresh(
    change: Any,
    name: str,
    make_model: Callable[..., Path],
    source: Path,
    computed: Computed,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    model, path = make_model("model", NAMES), tmp_path / "out.csv"
    stopped(open_classifier(model, device="cpu"), source, path, computed, 3)
    options = change(source, model, monkeypatch)
    text = options.pop("text", "text")
    classifier = open_classifier(model, device="cpu", **options)
    predict_file(classifier, str(source), path, text)
    assert f"{folder_of(path)} belongs to other work and is removed: different {name}" in caplog.messages
    assert sum(computed) == ROWS
    assert path.read_bytes() == undisturbed(classifier, source, path, computed, text)


def test_an_input_that_changes_meanwhile_is_refused(
    classifier: Classifier, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = Classifier.predict_proba

    def changing(self: Classifier, texts: list[str], *rest: Any) -> np.ndarray:
        with source.open("a") as file:
            file.write("99,good\n")
        return answer(self, texts, *rest)

    monkeypatch.setattr(Classifier, "predict_proba", changing)
    with pytest.raises(DataError, match=r"in\.csv changed while it was read"):
        predict_file(classifier, str(source), tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()
    assert not folder_of(tmp_path / "out.csv").exists()


# The command line


def test_a_second_process_is_refused(
    source: Path, make_model: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from understudy.inference.parts import parts_folder

    command = ["predict", str(make_model("model", NAMES)), "--input", str(source), "--device", "cpu", "--output"]
    with parts_folder(tmp_path / "out.csv"):
        assert main([*command, str(tmp_path / "out.csv")]) == 2
    assert f"another process ({os.getpid()}) is writing it" in capsys.readouterr().err
    assert main([*command, str(tmp_path / "out.csv")]) == 0


def test_interrupted(
    source: Path,
    make_model: Callable[..., Path],
    computed: Computed,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = ["predict", str(make_model("model", NAMES)), "--input", str(source), "--device", "cpu"]
    command += ["--output", str(tmp_path / "out.csv")]
    computed.stop = 2
    assert main(command) == 130
    told = capsys.readouterr().err
    assert f"{2 * WINDOW} of {ROWS} rows are done and kept" in told and "the same command goes on" in told
    computed.stop = None
    assert main(command) == 0
    assert f"{2 * WINDOW} of {ROWS} rows were done before" in capsys.readouterr().err


@pytest.mark.acceptance
def test_killed_at_random_moments(make_model: Callable[..., Path], tmp_path: Path) -> None:
    """SIGKILL, in other processes."""
    model = make_model("model", NAMES)
    source = write_texts(tmp_path / "in.csv", 2000)
    script, undisturbed, output = Path(killing.__file__), tmp_path / "undisturbed.parquet", tmp_path / "out.parquet"
    command = [sys.executable, *map(str, (script, model, source, undisturbed, output)), "4", "1", "64"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    parts = json.loads(done.stdout)
    assert len(parts) == 4
    assert len(set(parts)) > 1  # there was something to go on from
    assert output.read_bytes() == undisturbed.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.csv", "model", "out.parquet", "undisturbed.parquet"]
