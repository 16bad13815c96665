"""The command line: exit status, what goes to stdout and what to stderr, and how flags reach the library."""

from __future__ import annotations

import dataclasses
import errno
import json
import logging
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from understudy import cli
from understudy.cli import main
from understudy.errors import DataError, GateRefused, UnderstudyError
from understudy.recipe import Recipe, presets

COMMANDS = [
    *("run", "frontier", "recipes", "check", "predict", "export", "evaluate"),
    *("report", "compare", "benchmark", "push"),
]


def replace(monkeypatch: pytest.MonkeyPatch, command: str, does: Any) -> None:
    monkeypatch.setitem(cli._COMMANDS, command, (does, "a stand-in"))


def raising(error: BaseException) -> Any:
    def command(_: Any) -> None:
        raise error

    return command


def user_error(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The message of a command that the user has to mend: status 2, one line of prefix, no traceback, clean stdout."""
    assert main(list(arguments)) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("understudy: ")
    assert "Traceback" not in err
    return err.removeprefix("understudy: ").rstrip("\n")


# Help


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert list(cli._COMMANDS) == COMMANDS
    for command in COMMANDS:
        assert f"\n    {command} " in out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_the_common_flags(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith(f"usage: understudy {command} ")
    assert all(f"  {flag}" in out for flag in ("--device", "--threads", "--engine", "--json"))
    assert err == ""


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    from importlib.metadata import version

    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"understudy {version('understudy')}\n"


@pytest.mark.parametrize(
    ("arguments", "status"),
    [(["--help"], 0), (["recipes"], 0), (["run", "nosuch"], 2), (["run", "--seed", "x"], 2), (["predict"], 2)],
)
def test_these_answer_without_the_heavy_packages(arguments: list[str], status: int) -> None:
    heavy = ["torch", "transformers", "datasets", "pandas", "sklearn", "matplotlib"]
    heavy += [] if arguments[0] == "run" else ["pydantic_settings"]
    code = (
        f"import sys; from understudy.cli import main; status = main({arguments}); "
        f"loaded = [name for name in {heavy} if name in sys.modules]; print(status, loaded, file=sys.stderr)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stderr.splitlines()[-1] == f"{status} []"


# Exit status


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (DataError("got a, expected b: do c."), 2),
        (GateRefused("got a, expected b: do c."), 3),
        (UnderstudyError("got a, expected b: do c."), 1),
    ],
)
def test_what_understudy_raises_is_a_message_and_a_status(
    error: UnderstudyError, status: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    replace(monkeypatch, "recipes", raising(error))
    assert main(["recipes"]) == status
    out, err = capsys.readouterr()
    assert (out, err) == ("", "understudy: got a, expected b: do c.\n")


def test_an_interrupt_says_that_the_work_goes_on(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    replace(monkeypatch, "recipes", raising(KeyboardInterrupt()))
    assert main(["recipes"]) == 130
    err = capsys.readouterr().err
    assert "interrupted" in err
    assert "Traceback" not in err


@pytest.mark.parametrize("error", [ZeroDivisionError("oh"), FileNotFoundError(errno.ENOENT, "oh", "x")])
def test_a_defect_shows_its_traceback(
    error: Exception, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    replace(monkeypatch, "recipes", raising(error))
    assert main(["recipes"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "defect of understudy" in err
    assert "Traceback (most recent call last)" in err and type(error).__name__ in err


@pytest.mark.parametrize("number", [errno.EACCES, errno.ENOSPC, errno.EROFS])
def test_what_the_machine_refuses_is_the_users_to_mend(
    number: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    replace(monkeypatch, "recipes", raising(OSError(number, "refused", "/somewhere")))
    assert user_error(capsys, "recipes").startswith("/somewhere: refused")


def test_a_reader_that_leaves_is_no_error() -> None:
    """As in `understudy recipes | head -0`: no traceback, and nothing from Python's own flush at exit."""
    code = (
        "import os, sys; read, write = os.pipe(); os.close(read); os.dup2(write, 1); "
        "from understudy.cli import main; sys.exit(main(['recipes']))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (found.returncode, found.stderr) == (0, "")


# Wrong arguments


def test_an_unknown_flag_comes_with_what_was_meant(capsys: pytest.CaptureFixture[str]) -> None:
    expected = (
        "no such flag --student.layer; did you mean --student.layers? `understudy run --help` lists what there is."
    )
    assert user_error(capsys, "run", "--student.layer", "3") == expected
    assert user_error(capsys, "run", "imdb", "--student.layer=3") == expected


@pytest.mark.parametrize(
    ("flag", "meant"), [("--dev", "--device"), ("--thread", "--threads"), ("--overw", "--overwrite")]
)
def test_an_abbreviated_flag_is_refused(flag: str, meant: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert user_error(capsys, "run", flag, "x").startswith(f"no such flag {flag}; did you mean {meant}?")


def test_an_abbreviated_flag_before_the_command_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert user_error(capsys, "--js", "recipes").startswith("no such flag --js")


def test_a_whole_table_is_no_flag(capsys: pytest.CaptureFixture[str]) -> None:
    assert user_error(capsys, "run", "--data", '{"train": "a.csv"}').startswith("no such flag --data;")


def test_one_argument_too_many(capsys: pytest.CaptureFixture[str]) -> None:
    assert user_error(capsys, "run", "imdb", "quickstart").startswith("got 'quickstart' beyond what it takes.")


def test_an_unknown_command(capsys: pytest.CaptureFixture[str]) -> None:
    text = user_error(capsys, "rum")
    assert "'rum'" in text and "'run'" in text and "`understudy --help`" in text


def test_no_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert "COMMAND" in user_error(capsys)


@pytest.mark.parametrize("value", ["0", "-1", "two", "1.5", ""])
@pytest.mark.parametrize("arguments", [["--threads", "VALUE", "recipes"], ["recipes", "--threads", "VALUE"]])
def test_threads_are_counted_from_one(arguments: list[str], value: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = user_error(capsys, *(value if argument == "VALUE" else argument for argument in arguments))
    assert text.startswith("argument --threads: expected ")


def test_a_wrong_recipe_reports_all_its_errors(capsys: pytest.CaptureFixture[str]) -> None:
    text = user_error(capsys, "run", "--teacher.epochs", "0", "--data.validation", "2.5", "--student.layers", "none")
    assert text.splitlines() == [
        "3 problems in recipe 'quickstart' with the options given:",
        "  data.validation: expected a share between 0 and 1, a number of texts from 1, or a source, got '2.5'",
        "  teacher.epochs: expected a whole number from 1, got '0'",
        "  student: expected one of student.model and student.layers, got neither",
    ]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["model", "a text", "--input", "texts.csv"], "predict got texts and --input: give one or the other."),
        (["model", "a text", "--output", "x.csv"], "predict got --output without --input"),
    ],
)
def test_predict_refuses_what_contradicts_itself(
    arguments: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert user_error(capsys, "predict", *arguments).startswith(text)


def test_predict_names_only_what_it_needs(capsys: pytest.CaptureFixture[str]) -> None:
    assert user_error(capsys, "predict").startswith("the following arguments are required: MODEL. ")


@pytest.mark.parametrize("value", ["1.5", "-0.1", "sure", "nan"])
def test_a_threshold_is_a_share(value: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert f"argument --threshold: expected a {'number' if value == 'sure' else 'share'}" in user_error(
        capsys, "predict", "model", "a text", "--threshold", value
    )


# Answers


def test_recipes_lists_them_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes"]) == 0
    out, err = capsys.readouterr()
    assert [line.split()[0] for line in out.splitlines()] == list(presets())
    assert err == ""


@pytest.mark.parametrize("arguments", [["recipes", "--json"], ["--json", "recipes"]])
def test_json_is_all_there_is_on_stdout(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 0
    assert [entry["name"] for entry in json.loads(capsys.readouterr().out)] == list(presets())


def test_what_is_logged_goes_to_stderr(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    replace(monkeypatch, "recipes", lambda _: logging.getLogger("understudy.pipeline").info("for people"))
    assert main(["recipes"]) == 0
    assert capsys.readouterr() == ("", "for people\n")


@dataclasses.dataclass(frozen=True)
class _Found:
    agreement: float = 0.97


def test_run_passes_its_flags_on_and_answers_in_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Any] = []

    def distill(recipe: Recipe, out: Path, **options: Any) -> SimpleNamespace:
        calls.append((recipe, out, options))
        return SimpleNamespace(metrics=_Found(), directory=out, page=out / "report.html")

    monkeypatch.setitem(sys.modules, "understudy.pipeline", SimpleNamespace(distill=distill))
    monkeypatch.setattr("understudy.report.terminal.show_metrics", lambda _, console, title: console.print("table"))
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
    options = {"device": "cpu", "threads": 2, "engine": "pytorch", "cache_dir": tmp_path, "overwrite": True}
    options["report_to"] = "tensorboard,wandb"
    assert calls == [(Recipe.load("imdb", seed=4), Path("here"), options)]
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
    monkeypatch.setitem(sys.modules, "understudy.pipeline", SimpleNamespace(examine=lambda *_: found))
    assert main(["check", "--json"]) == 2
    out, err = capsys.readouterr()
    assert json.loads(out) == {"findings": [{"code": "leak"}]}
    assert err.splitlines()[:3] == [
        "ERROR  leak: a text twice",
        "    test row 3: so",
        "1 errors, 0 warnings, 0 notes",
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

    monkeypatch.setitem(sys.modules, "understudy.benchmark", SimpleNamespace(benchmark=benchmark))
    monkeypatch.setattr(
        "understudy.report.benchmark_table.show_benchmark", lambda _, console, title: console.print("table")
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
    assert text == "benchmark got --engine, but it measures every runtime there is. Leave --engine out."
    assert measured == []


def test_a_benchmark_of_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert user_error(capsys, "benchmark", str(tmp_path)).startswith(f"{tmp_path} holds no run: expected recipe.toml")
