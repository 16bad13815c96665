from __future__ import annotations

import logging
import time
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from understudy.runtime import progress as module
from understudy.runtime.progress import duration, progress


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Any:
    class Clock:
        now = 100.0

        def monotonic(self) -> float:
            return self.now

    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (45.4, "45 s"), (89, "89 s"), (90, "2 min"), (720, "12 min"), (5399, "1 h 30 min"), (4800, "80 min"),
     (7200, "2 h 00 min"), (4 * 3600 + 300, "4 h 05 min")],
)  # fmt: skip
def test_durations_as_people_say_them(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_without_a_terminal_a_line_now_and_then(clock: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with progress("teacher", 100, "steps") as advance:
        clock.now += 29
        advance(10)
        assert caplog.messages == []
        clock.now += 1
        advance(10)
        clock.now += 10
        advance(1)
    assert caplog.messages == [
        "teacher: 20 of 100 steps (20 %), 0.67 steps/s, about 2 min left"  # 30 s for 20, so 120 s for 80
    ]


def test_what_was_done_before_does_not_count_towards_the_speed(clock: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with progress("teacher", 100, "steps", already=80) as advance:
        clock.now += 40
        advance(10)
    assert caplog.messages == ["teacher: 90 of 100 steps (90 %), 0.25 steps/s, about 40 s left"]


def test_more_than_was_expected(clock: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with progress("predict", 4) as advance:
        clock.now += 30
        advance(5)
    assert caplog.messages == ["predict: 5 of 4 texts (125 %), 0.17 texts/s, about 0 s left"]


def test_nobody_knows_how_much_there_is(clock: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with progress("predict", None) as advance:
        clock.now += 30
        advance(45_000)
    assert caplog.messages == ["predict: 45000 texts, 1,500 texts/s"]


def test_on_a_terminal_a_bar(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(module.sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    with progress("teacher", 10, "steps", already=4) as advance:
        advance(1)
        time.sleep(0.01)  # a speed needs two moments
        advance(2)
    captured = capsys.readouterr()
    assert all(shown in captured.err for shown in ("teacher", "7/10", "70%", "steps/s"))
    assert captured.out == ""


def test_in_a_notebook_a_bar_that_is_drawn_anew() -> None:
    """A real kernel: the bar is one output of the cell, the last state of which stays."""
    source = """
import time
from understudy.runtime.progress import progress
with progress("teacher", 10, "steps", already=4) as advance:
    advance(1)
    time.sleep(0.6)
    advance(2)
    print("half")
    advance(1)
"""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    messages: list[str] = []
    client = NotebookClient(notebook, timeout=60, on_cell_executed=None)
    process = client.process_message

    def noted(msg: Any, *rest: Any) -> Any:
        messages.append(msg["msg_type"])
        return process(msg, *rest)

    client.process_message = noted  # type: ignore[method-assign]
    client.execute()
    bar, text = notebook.cells[0].outputs
    assert all(shown in bar["data"]["text/html"] for shown in ("teacher", "8/10", "80%", "steps/s"))
    assert text["text"] == "half\n"
    assert messages.count("display_data") == 1
    assert messages.count("update_display_data") == 2  # half a second later, and at the end


def test_a_bar_in_a_notebook_shows_how_far_a_failure_came(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    class Handle:
        def update(self, bar: Any) -> None:
            seen.append(f"{bar.tasks[0].completed}/{bar.tasks[0].total}")

    monkeypatch.setattr(module, "_in_notebook", lambda: True)
    monkeypatch.setattr("IPython.display.display", lambda *_, **__: Handle())
    with pytest.raises(KeyError), progress("teacher", 10, "steps") as advance:
        advance(3)
        raise KeyError
    assert seen == ["3/10"]


def test_ipython_in_a_terminal_or_none_is_no_notebook() -> None:
    assert not module._in_notebook()
