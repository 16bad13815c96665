"""The model card's metadata, which the Hub reads."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest
import yaml

from cards import Run


def test_the_metadata_has_what_was_measured(run: Run) -> None:
    data = run.card().data
    assert data["library_name"] == "transformers"
    assert data["pipeline_tag"] == "text-classification"
    assert {"understudy", "knowledge-distillation"} <= set(data["tags"])
    (model,) = data["model-index"]
    (result,) = model["results"]
    assert model["name"] == "reviews"
    assert result["task"]["type"] == "text-classification"
    assert result["dataset"] == {"name": "test.csv", "type": "custom"}
    student = asdict(run.metrics.student)
    found = {metric["type"]: metric["value"] for metric in result["metrics"]}
    assert found == {
        "accuracy": student["accuracy"],
        "f1": student["f1"],
        "roc_auc": student["auc"],
        "ece": student["ece"],
    }


def test_what_nobody_knows_is_left_out_of_the_metadata(run: Run) -> None:
    data = run.card().data
    assert data.keys() == {"library_name", "metrics", "pipeline_tag", "tags", "model-index"}


def test_hub_datasets_are_named(run: Run) -> None:
    run.options["data"] |= {
        "train": "stanfordnlp/imdb:train",
        "unlabelled": "stanfordnlp/imdb:plain_text:unsupervised",
        "test": "stanfordnlp/imdb:plain_text:test",
    }
    card = run.card()
    assert card.data["datasets"] == ["stanfordnlp/imdb"]
    (result,) = card.data["model-index"][0]["results"]
    expected = {"type": "stanfordnlp/imdb", "name": "stanfordnlp/imdb", "config": "plain_text", "split": "test"}
    assert result["dataset"] == expected
    assert "stanfordnlp/imdb:plain_text:test" in card.line("On 10 test texts")


def test_a_base_model_from_the_hub_brings_its_licence_and_language(run: Run, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("---\nlanguage: en\nlicense: apache-2.0\ndatasets: [x/y]\n---\n# Theirs\n")
    run.manifest["models"]["teacher"] = run.origin("owner/encoder", "cache", tmp_path)
    data = run.card().data
    assert (data["base_model"], data["license"], data["language"]) == ("owner/encoder", "apache-2.0", ["en"])
    assert "datasets" not in data


@pytest.mark.parametrize(
    "theirs",
    [None, "no metadata", "---\nlicense: [\n---\n", "---\nlicense: 'a: b'\nlanguage: {a: b}\n---\n", "---\n- x\n---\n"],
)
def test_a_base_models_card_that_says_nothing(run: Run, tmp_path: Path, theirs: str | None) -> None:
    if theirs is not None:
        (tmp_path / "README.md").write_text(theirs)
    run.manifest["models"]["teacher"] = run.origin("owner/encoder", "hub", tmp_path)
    data = run.card().data
    assert data["base_model"] == "owner/encoder"
    assert not data.keys() & {"license", "language"}


def test_the_base_model_is_what_the_student_is_made_of(run: Run) -> None:
    run.options["student"] = {"model": "owner/small"}
    run.manifest["models"]["student"] = run.origin("owner/small", "hub")
    assert run.card().data["base_model"] == "owner/small"
    run.options |= {"student": {"layers": 2}, "teacher": {"model": ["linear", "owner/encoder"]}}
    run.manifest["models"] = {"teacher": ["linear", run.origin("owner/encoder", "package")], "student": None}
    card = run.card()
    assert card.data["base_model"] == "owner/encoder"
    made = dict(card.tables[-1][1:])
    assert made["student starts from"].startswith("2 layers (spread) of owner/encoder, revision abc123")


def test_the_metadata_stays_one_block(run: Run) -> None:
    block = run.card().text.split("\n---\n", 1)[0].removeprefix("---\n")
    assert yaml.safe_load(block)["model-index"][0]["name"] == "reviews"
