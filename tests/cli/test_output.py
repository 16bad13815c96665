"""What the command line makes of its surroundings: encodings, full disks, and arguments in any order."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import user_error
from understudy.cli.main import COMMANDS, main, parsed
from understudy.errors import UserError


@pytest.mark.acceptance
def test_utf8_in_and_out_whatever_the_locale(make_model: Callable[..., Path]) -> None:
    model = make_model("model", ["🙂", "🙁"])
    done = subprocess.run(
        [sys.executable, "-m", "understudy", "predict", str(model), "--json"],
        input="schön".encode(),
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.decode("utf-8"))["label"] in ("🙂", "🙁")


@pytest.mark.parametrize(
    "arguments",
    [
        ["RUN", "--json", "one", "two"],
        ["--json", "RUN", "one", "two"],
        ["RUN", "one", "two", "--json"],
        ["RUN", "one", "--json", "two"],
        ["RUN", "one", "--threads", "1", "--json", "two"],
        ["RUN", "--json", "--", "one", "two"],
    ],
)
def test_texts_and_flags_come_in_any_order(arguments: list[str]) -> None:
    options = parsed(["predict", *arguments])
    assert (options.model, options.texts, options.json) == ("RUN", ["one", "two"], True)


def test_a_text_may_begin_with_a_dash_after_two() -> None:
    assert parsed(["predict", "RUN", "--json", "--", "-x"]).texts == ["-x"]
    with pytest.raises(UserError, match="no such flag -x"):
        parsed(["predict", "RUN", "--json", "-x"])


def test_runs_of_a_comparison_come_after_flags_too() -> None:
    assert parsed(["compare", "a", "--json", "b"]).runs == ["a", "b"]


def test_other_commands_still_refuse_more_arguments() -> None:
    with pytest.raises(UserError, match="unexpected argument 'two'"):
        parsed(["report", "one", "--json", "two"])


@pytest.mark.parametrize(
    "error",
    [
        OSError(27, "File too large", "/somewhere"),
        Exception("Error while serializing: I/O error: File too large (os error 27)"),
        Exception("No space left on device (os error 28)"),
        RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0"),
    ],
)
def test_a_full_disk_is_the_users_to_free(
    error: Exception, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise error

    monkeypatch.setattr(COMMANDS["recipes"], "run", fail)
    assert "Free it, or name another place." in user_error(capsys, "recipes")


def test_weights_that_do_not_fit_on_the_disk(make_model: Callable[..., Path], tmp_path: Path) -> None:
    """A limit on the size of files stands in for a full disk."""
    import numpy as np
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(SafetensorError, match=r"\(os error 27\)"):
            save_file({"weights": np.zeros(10_000)}, tmp_path / "model.safetensors")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert main(["recipes"]) == 0
