"""The model card as a part of a finished run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cards import Card
from conftest import Finished, leave_out_clock
from understudy.evaluation.results import Metrics
from understudy.reporting.card import write_card
from understudy.run.pipeline import distill
from understudy.storage.files import folder_digest
from understudy.storage.layout import RunDirectory


def test_a_finished_run_has_a_card_beside_its_student(finished: Finished) -> None:
    run = RunDirectory(finished.out)
    card = Card(run.card)
    metrics = Metrics.load(run.metrics)
    assert metrics.verdict.text in card.text
    assert str(Path(finished.recipe.data.train).parent) not in card.text
    others = [path for path in finished.out.rglob("README.md") if path != run.card]
    assert others == []


def test_the_card_is_no_part_of_the_model_and_written_the_same_again(finished_copy: Finished) -> None:
    run = RunDirectory(finished_copy.out)
    before, digest = run.card.read_bytes(), folder_digest(run.student)
    run.card.unlink()
    assert folder_digest(run.student) == digest
    write_card(run)
    assert run.card.read_bytes() == before
    assert folder_digest(run.student) == digest


def test_a_finished_run_gets_only_a_card_that_is_missing(
    finished_copy: Finished, trained: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_out_clock(monkeypatch)
    run = RunDirectory(finished_copy.out)
    metrics, edited = run.metrics.read_bytes(), "edited by hand"
    before = run.card.read_bytes()

    def again() -> None:
        distill(finished_copy.recipe, finished_copy.out, device="cpu", cache_dir=finished_copy.cache)

    run.card.write_text(edited)
    again()
    assert run.card.read_text() == edited
    run.card.unlink()
    again()
    assert run.card.read_bytes() == before
    assert trained == [] and run.metrics.read_bytes() == metrics


def test_a_card_does_not_outlive_its_figures(
    finished_copy: Finished, no_clock: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from understudy.run import testing

    def stopped(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    run = RunDirectory(finished_copy.out)
    (run.control("linear") / "linear.json").unlink()
    monkeypatch.setattr(testing, "assemble_metrics", stopped)
    with pytest.raises(KeyboardInterrupt):
        distill(finished_copy.recipe, finished_copy.out, device="cpu", cache_dir=finished_copy.cache)
    assert not run.metrics.exists() and not run.card.exists()


def test_the_cards_code_answers_as_understudy_does(finished: Finished, capsys: pytest.CaptureFixture[str]) -> None:
    import understudy

    run = RunDirectory(finished.out)
    code = next(token.content for token in Card(run.card).tokens if token.type == "fence")
    names: dict[str, Any] = {}
    exec(code.replace("OWNER/NAME", str(run.student)), names)
    long = "good film " * 100
    (found,) = names["classify"](long)
    probabilities = understudy.load(finished.out, device="cpu").predict_proba([long])[0]
    assert found["label"] == ["negative", "positive"][probabilities.argmax()]
    assert found["score"] == pytest.approx(probabilities.max(), abs=1e-5)
