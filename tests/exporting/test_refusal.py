"""Exports that the gate refuses, and graphs that do not compute what the model does."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from understudy.cli.main import main
from understudy.errors import DataError, GateRefused, ModelError
from understudy.exporting.export import export
from understudy.exporting.gate import Referee
from understudy.exporting.graphs import OpenVinoGraph
from understudy.exporting.limits import Limits
from understudy.inference.openvino_engine import OpenVinoEngine


def refusing(monkeypatch: pytest.MonkeyPatch, wrong: list[bool]) -> list[str]:
    """Makes quantised graphs wrong or right, in this order; returns the names of the called methods."""
    called: list[str] = []

    def instead(name: str) -> Callable[..., Any]:
        def made(self: OpenVinoGraph, *_: Any) -> OpenVinoGraph:
            called.append(name)
            graph = OpenVinoGraph(self.program, self.classes)
            if wrong.pop(0):
                plain = graph.engine

                def engine(*arguments: Any) -> Any:
                    found = plain(*arguments)
                    forward = found.forward
                    found.forward = lambda batch: -forward(batch)  # type: ignore[method-assign]
                    return found

                graph.engine = engine  # type: ignore[method-assign]
            return graph

        return made

    for name in ("quantised", "restored"):
        monkeypatch.setattr(OpenVinoGraph, name, instead(name))
    return called


@pytest.mark.usefixtures("converted")
def test_no_operator_is_blamed_for_flips_within_a_batch(
    finished: Any, labelled: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called = refusing(monkeypatch, [False, False])
    monkeypatch.setattr(Referee, "_batch_flips", lambda self, engine: (64, 3))
    with pytest.raises(GateRefused, match="3 of 64 texts change their label in a batch with 31 other texts"):
        export(finished.out, "int8", out=tmp_path / "out", data=labelled)
    assert called == ["quantised"]


@pytest.mark.usefixtures("converted")
def test_an_export_that_passes_is_not_searched(
    finished: Any, labelled: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called = refusing(monkeypatch, [False])
    export(finished.out, "int8", out=tmp_path / "out", data=labelled)
    assert called == ["quantised"]


@pytest.mark.usefixtures("converted")
def test_operators_go_back_to_float_until_it_passes(
    finished: Any, labelled: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called = refusing(monkeypatch, [True, False])
    found = export(finished.out, "int8", out=tmp_path / "out", data=labelled)
    assert called == ["quantised", "restored"]
    assert found.comparison is not None and found.comparison.flips == 0
    gate = found.manifest.gate
    assert gate is not None and gate["judged"] == gate["texts"] and gate["searched"] + gate["judged"] == 200


@pytest.mark.usefixtures("converted")
def test_int8_is_refused_where_too_few_texts_can_judge_it(
    finished: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called = refusing(monkeypatch, [])
    with pytest.raises(DataError, match=r"12 validation texts cannot judge an export.*Give 150 or more .*--data"):
        export(finished.out, "int8", out=tmp_path / "out")
    assert called == [] and list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("converted")
def test_fp32_is_written_unjudged_where_too_few_texts_can_judge_it(
    finished: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = export(finished.out, out=tmp_path / "out")
    assert found.comparison is not None and (found.comparison.texts, found.comparison.judged) == (12, 0)
    assert "export: not judged: 12 validation texts cannot judge an export" in caplog.text


@pytest.mark.usefixtures("converted")
def test_an_export_that_does_not_pass_is_not_written(
    finished: Any, labelled: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusing(monkeypatch, [True, True])
    with pytest.raises(GateRefused, match=r"100\.00% of the labels flip \(at most 1\.00% may\);.*Nothing was written"):
        export(finished.out, "int8", out=tmp_path / "out", data=labelled)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.acceptance
@pytest.mark.usefixtures("converted")
def test_the_search_puts_operators_back(
    finished: Any, labelled: str, tmp_path: Path, anything_goes: Limits, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On real graphs: an int8 export that must not differ at all ends up with fewer quantised operators."""
    # In bf16 the operators that are put back flip labels of a tiny random model, too.
    monkeypatch.setattr("understudy.exporting.gate.openvino_dtype", lambda: "fp32")
    strict = Limits(flips=0.0, accuracy_loss=0.0, ece_rise=1.0, batch_flips=64)
    loose = export(finished.out, "int8", out=tmp_path / "loose", limits=anything_goes, data=labelled)
    assert loose.comparison is not None
    if not loose.comparison.flips:
        pytest.skip("int8 flips no labels here")
    found = export(finished.out, "int8", out=tmp_path / "strict", limits=strict, data=labelled)
    assert found.comparison is not None and found.comparison.flips == 0
    quantised = [
        (tmp_path / name / "openvino_model.xml").read_text().count("FakeQuantize") for name in ("strict", "loose")
    ]
    if quantised[0] > quantised[1]:
        pytest.skip("without SmoothQuant, as in the search, int8 flips no labels here")
    assert quantised[0] < quantised[1]


@pytest.mark.usefixtures("converted")
def test_a_graph_that_computes_something_else_is_refused(
    finished: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = OpenVinoEngine.forward
    monkeypatch.setattr(
        OpenVinoEngine, "forward", lambda self, batch: plain(self, batch) + (batch["input_ids"].shape[1] == 1)
    )
    with pytest.raises(ModelError, match=r"does not compute what the model does: for texts of \(1,\) tokens"):
        export(finished.out, out=tmp_path / "out")


@pytest.mark.usefixtures("converted")
def test_a_shape_that_the_graph_does_not_take_is_refused(
    finished: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = OpenVinoEngine.forward

    def forward(self: OpenVinoEngine, batch: Any) -> np.ndarray:
        if batch["input_ids"].shape[0] == 5:
            raise RuntimeError("shape mismatch")
        return plain(self, batch)

    monkeypatch.setattr(OpenVinoEngine, "forward", forward)
    with pytest.raises(ModelError, match=r"\(40, 9, 2, 1, 1\) tokens.*shape mismatch"):
        export(finished.out, out=tmp_path / "out")


@pytest.mark.usefixtures("converted")
def test_one_token_the_longest_text_and_several_texts_are_compared(
    finished: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes: set[tuple[int, ...]] = set()
    plain = OpenVinoEngine.forward

    def forward(self: OpenVinoEngine, batch: Any) -> np.ndarray:
        shapes.add(batch["input_ids"].shape)
        return plain(self, batch)

    monkeypatch.setattr(OpenVinoEngine, "forward", forward)
    shutil.copytree(finished.out / "student", tmp_path / "student")
    export(tmp_path / "student", out=tmp_path / "out")  # without texts nothing else is computed
    assert shapes >= {(1, 1), (1, 64), (2, 5), (5, 40)}


# On the command line


@pytest.mark.usefixtures("converted")
def test_a_refusal_is_exit_status_3(
    finished: Any, labelled: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    refusing(monkeypatch, [True, True])
    assert (
        main(["export", str(finished.out), "--precision", "int8", "--out", str(tmp_path / "out"), "--data", labelled])
        == 3
    )
    assert "of the labels flip" in capfd.readouterr().err


@pytest.mark.usefixtures("converted")
def test_limits_come_from_the_flags(
    finished: Any, labelled: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    refusing(monkeypatch, [True, True])
    flags = ["--max-flips", "1", "--max-accuracy-loss", "1", "--max-ece-rise", "1", "--max-batch-flips", "64"]
    assert (
        main(
            [
                "export",
                str(finished.out),
                "--precision",
                "int8",
                "--out",
                str(tmp_path / "out"),
                "--data",
                labelled,
                *flags,
            ]
        )
        == 0
    )
