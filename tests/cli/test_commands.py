"""The commands: how flags reach the library, and what is answered."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from conftest import user_error
from understudy.cli.main import main
from understudy.recipe.recipe import Recipe, presets
from understudy.run.settings import Settings


def test_recipes_lists_them_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes"]) == 0
    out, err = capsys.readouterr()
    assert [line.split()[0] for line in out.splitlines()] == list(presets())
    assert err == ""


@pytest.mark.parametrize("arguments", [["recipes", "--json"], ["--json", "recipes"]])
def test_json_is_all_there_is_on_stdout(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 0
    assert [entry["name"] for entry in json.loads(capsys.readouterr().out)] == list(presets())


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["model", "a text", "--input", "texts.csv"], "predict got both texts and --input. Give one of them."),
        (["model", "a text", "--output", "x.csv"], "predict got --output without --input"),
    ],
)
def test_predict_refuses_what_contradicts_itself(
    arguments: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert user_error(capsys, "predict", *arguments).startswith(text)


@dataclasses.dataclass(frozen=True)
class _Found:
    agreement: float = 0.97


def test_run_passes_its_flags_on_and_answers_in_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Any] = []

    def distill(recipe: Recipe, out: Path, *, settings: Settings) -> SimpleNamespace:
        calls.append((recipe, out, settings))
        return SimpleNamespace(metrics=_Found(), directory=out, page=out / "report.html")

    monkeypatch.setitem(sys.modules, "understudy.run.pipeline", SimpleNamespace(distill=distill))
    monkeypatch.setattr("understudy.reporting.terminal.show_metrics", lambda _, console, title: console.print("table"))
    flags = [
        "--threads",
        "2",
        "--device",
        "cpu",
        "--engine",
        "pytorch",
        "--overwrite",
        "--cache-dir",
        str(tmp_path),
        "--seed",
        "4",
        "--report-to",
        "tensorboard,wandb",
    ]
    assert main(["--json", "run", "imdb", "--out", "here", *flags]) == 0
    settings = Settings("cpu", 2, "pytorch", tmp_path, True, "tensorboard,wandb")
    assert calls == [(Recipe.load("imdb", seed=4), Path("here"), settings)]
    out, err = capsys.readouterr()
    assert json.loads(out) == {"run": "here", "agreement": 0.97}
    assert err.splitlines() == ["table", f"report: {Path('here/report.html')}"]


def test_a_check_that_finds_errors_answers_and_exits_with_2(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    finding = SimpleNamespace(
        level="error", code="leak", message="a text twice", rows=[SimpleNamespace(split="test", row=3, text="so")]
    )
    found = SimpleNamespace(
        findings=[finding], errors=[finding], warnings=[], notes=[], to_json=lambda: [{"code": "leak"}]
    )
    calls: list[Settings] = []

    def examine(_: Recipe, *, settings: Settings) -> SimpleNamespace:
        calls.append(settings)
        return found

    monkeypatch.setitem(sys.modules, "understudy.run.pipeline", SimpleNamespace(examine=examine))
    assert main(["check", "--json", "--cache-dir", "there"]) == 2
    assert calls == [Settings(cache_dir=Path("there"))]
    out, err = capsys.readouterr()
    assert json.loads(out) == {"findings": [{"code": "leak"}]}
    assert err.splitlines()[:3] == [
        "ERROR  leak: a text twice",
        "    test row 3: so",
        "1 error, 0 warnings, 0 notes",
    ]


# benchmark


class _Figures:
    def to_json(self) -> dict[str, Any]:
        return {"threads": 2}


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    calls: list[Any] = []

    def benchmark(run: Path, **options: Any) -> _Figures:
        calls.append((run, options))
        return _Figures()

    monkeypatch.setitem(sys.modules, "understudy.run.benchmark", SimpleNamespace(benchmark=benchmark))
    monkeypatch.setattr(
        "understudy.reporting.benchmark_table.show_benchmark", lambda _, console, title: console.print("table")
    )
    return calls


def test_benchmark_has_these_defaults(measured: list[Any]) -> None:
    assert main(["benchmark", "here"]) == 0
    options = {"exports": ["fp32", "int8"], "texts": 256, "latency_texts": 100, "rounds": 3}
    assert measured == [(Path("here"), {**options, "device": None, "threads": None})]


def test_benchmark_passes_its_flags_on_and_answers_in_json(
    measured: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    flags = [
        "--texts",
        "8",
        "--latency-texts",
        "3",
        "--rounds",
        "2",
        "--threads",
        "1",
        "--device",
        "cpu",
        "--export",
        "int8",
        "--json",
    ]
    assert main(["benchmark", "here", *flags]) == 0
    options = {"exports": ["int8"], "texts": 8, "latency_texts": 3, "rounds": 2, "device": "cpu", "threads": 1}
    assert measured == [(Path("here"), options)]
    out, err = capsys.readouterr()
    assert json.loads(out) == {"run": "here", "threads": 2}
    places = f"figures: {Path('here/benchmark.json')}, chart: {Path('here/report/benchmark.png')}"
    assert err.splitlines() == ["table", places]


def test_benchmark_without_exports(measured: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["benchmark", "here", "--no-export"]) == 0
    assert measured[0][1]["exports"] == []
    capsys.readouterr()
    assert "not allowed with" in user_error(capsys, "benchmark", "here", "--no-export", "--export", "int8")


def test_benchmark_takes_every_engine(measured: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    text = user_error(capsys, "benchmark", "here", "--engine", "pytorch")
    assert text == "benchmark measures every runtime. Leave out --engine."
    assert measured == []


def test_a_benchmark_of_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert user_error(capsys, "benchmark", str(tmp_path)).startswith(f"{tmp_path} holds no run: expected recipe.toml")
