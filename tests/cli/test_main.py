"""The command line: help, exit status, what goes to stdout and what to stderr, and wrong arguments."""

from __future__ import annotations

import errno
import logging
import subprocess
import sys
from typing import Any

import pytest

from conftest import user_error
from understudy.cli.main import COMMANDS, main
from understudy.errors import DataError, GateRefused, UnderstudyError

NAMES = [
    *("run", "frontier", "check", "recipes"),
    *("predict", "evaluate", "export", "benchmark"),
    *("report", "compare", "push"),
    *("doctor", "cache"),
]


def replace(monkeypatch: pytest.MonkeyPatch, command: str, does: Any) -> None:
    monkeypatch.setattr(COMMANDS[command], "run", does)


def raising(error: BaseException) -> Any:
    def command(_: Any) -> None:
        raise error

    return command


# Help


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert list(COMMANDS) == NAMES
    for command in NAMES:
        assert f"\n    {command} " in out


@pytest.mark.parametrize("command", NAMES)
def test_every_command_has_help_with_the_common_flags(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith(f"usage: understudy {command} ")
    assert all(f"  {flag}" in out for flag in ("-h, --help", "--json"))
    assert err == ""


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    from importlib.metadata import version

    from understudy.runtime.packages import DISTRIBUTION

    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"understudy {version(DISTRIBUTION)}\n"


HEAVY = ["torch", "transformers", "datasets", "pandas", "sklearn", "matplotlib"]


def loaded_after(heavy: list[str], *commands: list[str]) -> str:
    """The statuses of commands in a fresh process, and which of some modules they imported."""
    code = (
        f"import sys; from understudy.cli.main import main; statuses = [main(each) for each in {list(commands)}]; "
        f"loaded = [name for name in {heavy} if name in sys.modules]; print(statuses, loaded, file=sys.stderr)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return found.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "status"),
    [(["recipes"], 0), (["cache"], 0), (["run", "nosuch"], 2), (["run", "--seed", "x"], 2), (["predict"], 2)],
)
def test_these_answer_without_the_heavy_packages(arguments: list[str], status: int) -> None:
    assert loaded_after(HEAVY, arguments) == f"[{status}] []"


def test_help_needs_no_heavy_package() -> None:
    # The limits of the export's gate stand in a module that computes with NumPy.
    others = [[name, "--help"] for name in NAMES if name not in ("run", "frontier", "check", "export")]
    heavy = [*HEAVY, "numpy", "rich", "openvino", "pydantic_settings"]
    assert loaded_after(heavy, ["--help"], *others) == f"{[0] * (len(others) + 1)} []"
    rest = [[name, "--help"] for name in ("run", "frontier", "check", "export")]
    assert loaded_after(HEAVY, *rest) == f"{[0] * len(rest)} []"


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


def test_an_interrupt_says_how_to_resume(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    replace(monkeypatch, "recipes", raising(KeyboardInterrupt()))
    assert main(["recipes"]) == 130
    err = capsys.readouterr().err
    assert err == "\nunderstudy: Interrupted. Run the same command again to resume.\n"
    assert "Traceback" not in err


@pytest.mark.parametrize("error", [ZeroDivisionError("oh"), FileNotFoundError(errno.ENOENT, "oh", "x")])
def test_a_defect_shows_its_traceback(
    error: Exception, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    replace(monkeypatch, "recipes", raising(error))
    assert main(["recipes"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    first, second, *_, last = err.splitlines()
    assert first == "understudy: Internal error. Please report this traceback."
    assert second == "Traceback (most recent call last):" and type(error).__name__ in err
    assert last == "Include the output of `understudy doctor`."


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
        "from understudy.cli.main import main; sys.exit(main(['recipes']))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (found.returncode, found.stderr) == (0, "")


def test_what_is_logged_goes_to_stderr(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    replace(monkeypatch, "recipes", lambda _: logging.getLogger("understudy.run.pipeline").info("for people"))
    assert main(["recipes"]) == 0
    assert capsys.readouterr() == ("", "for people\n")


# Wrong arguments


def test_an_unknown_flag_comes_with_what_was_meant(capsys: pytest.CaptureFixture[str]) -> None:
    expected = (
        "no such flag --student.layer; did you mean --student.layers? `understudy run --help` lists the arguments."
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
    assert user_error(capsys, "run", "imdb", "quickstart").startswith(
        "unexpected argument 'quickstart'. `understudy run --help`"
    )


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


def test_predict_names_only_what_it_needs(capsys: pytest.CaptureFixture[str]) -> None:
    assert user_error(capsys, "predict").startswith("the following arguments are required: MODEL. ")


@pytest.mark.parametrize("value", ["1.5", "-0.1", "sure", "nan"])
def test_a_threshold_is_a_share(value: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert f"argument --threshold: expected a {'number' if value == 'sure' else 'share'}" in user_error(
        capsys, "predict", "model", "a text", "--threshold", value
    )
