"""The model card: what it says, and that no name from a user can break it."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from cards import Run
from understudy.evaluation.results import Abstention, Answered, Controls, Metrics
from understudy.recipe.recipe import Recipe
from understudy.reporting.card import addressed
from understudy.reporting.markdown import plain

NASTY = [
    "a|b",
    "**bold** _i_ `code`",
    "<script>alert(1)</script>",
    "---\nlicense: mit\n---",
    "# head",
    "[x](http://x) ![y](z)",
    "``` fence",
    "back\\slash &amp; $x$ ~s~",
    "yes: {no: [null",
    "\u200b\x1b[31m ünïcode 日本",
]


# Prose


def test_the_body_says_what_is_asked_of_a_card(run: Run) -> None:
    card = run.card()
    sections = ["Evidence", "By class", "Intended use", "Limits", "How to load it", "How it was made"]
    assert card.headings == ["reviews", *sections]
    assert run.metrics.verdict.text in card.text
    assert "![Accuracy, size and speed of teacher, student and controls](../report/dashboard.png)" in card.text
    header, *rows = card.tables[0]
    assert header == ["", "teacher", "student", "student / teacher", "no distillation", "linear"]
    assert rows[0] == ["accuracy", "0.9211", "0.9111", "98.9 % [98.6, 99.2]", "0.9063", "0.8931"]
    assert card.line("distillation gain").endswith("+0.48 points of accuracy [+0.18, +0.78], p = 0.002")
    assert 'pipeline("text-classification", model="OWNER/NAME", truncation=True)' in card.text
    assert "understudy.load(" in card.text


def test_on_the_hub_a_card_speaks_of_its_repository(run: Run) -> None:
    card = addressed(run.card().text, "me/small")
    assert "OWNER/NAME" not in card and 'pipeline("text-classification", model="me/small", truncation=True)' in card
    assert "](report/dashboard.png)" in card and "](metrics.json)" in card and "../" not in card


def test_classes_stand_from_the_worst_on(run: Run) -> None:
    card = run.card()
    assert card.tables[1][1:] == [["positive", "4", "50.0 %", "100.0 %"], ["negative", "6", "83.3 %", "100.0 %"]]
    assert card.line("Its worst class is positive: it recognises 50.0 % of the 4 test texts.")


def test_a_class_without_test_texts_is_named(run: Run) -> None:
    run.manifest["classes"] = ["negative", "positive", "neutral"]
    assert run.card().line("No test text has the class") == "No test text has the class neutral."


def test_of_many_classes_the_worst_are_shown(run: Run) -> None:
    run.name_classes([f"class {number:02}" for number in range(50)])
    card = run.card()
    assert len(card.tables[1]) == 1 + 20
    assert card.line("The worst class comes first.").endswith("30 better classes are left out.")
    assert "and 30 more" in card.line("A small text classifier")


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({"temperature": 1.234, "ece_before": 0.08, "ece_after": 0.02}, "a temperature of 1.234"),
        ({"left": "12 validation texts are fewer than 50"}, "not calibrated: 12 validation texts are fewer"),
        (None, "are not calibrated."),
    ],
)
def test_calibration(run: Run, found: dict[str, Any] | None, said: str) -> None:
    if found is not None:
        run.calibrated(**found)
    line = run.card().line("Its probabilities are")
    assert said in line
    assert line.endswith("On the test texts its calibration error is 0.0187; the teacher's is 0.0213.")


def test_the_audits_findings_are_limits_without_their_texts(run: Run) -> None:
    cut = "train: 7 of 90 texts (7.8%) cut after 256 tokens."
    run.manifest["audit"] = [
        {
            "level": "warning",
            "code": "leaked_texts",
            "message": "5 of 10 texts of 'a|b' <b>",
            "rows": [{"split": "test", "row": 1, "text": "private"}],
            "count": 5,
        },
        {"level": "note", "code": "truncated_texts", "message": cut, "rows": [], "count": 7},
    ]
    card = run.card()
    assert card.line("Data audit") == "Data audit, warning: 5 of 10 texts of 'a|b' <b>"
    assert card.line("It reads at most 256 tokens of a text.").endswith(cut)
    assert "private" not in card.text


def test_how_it_was_made(run: Run) -> None:
    card = run.card()
    made = dict(card.tables[-1][1:])
    assert made["teacher"] == "encoder, weights with SHA-256 5a5a"
    assert made["train texts"] == "90 from train.csv"
    assert made["data"] == "digest f00d"
    assert "torch 2.13.0" in made["versions"]
    fences = [token for token in card.tokens if token.type == "fence"]
    assert [fence.info for fence in fences] == ["python", "python", "toml"]
    assert 'model = "encoder"' in fences[-1].content


def test_nothing_tells_where_things_are_on_this_machine(run: Run) -> None:
    run.options["data"] |= {"validation": "/home/me/secret/validation.csv", "unlabelled": "/home/me/secret/*.jsonl"}
    assert "/home/me" not in run.card().text


@pytest.mark.parametrize("folder", ["models/mine", "~/mine", "a/b/mine/", "mine"])
def test_a_folder_is_named_without_its_path_however_it_was_given(run: Run, folder: str) -> None:
    run.options |= {"teacher": {"model": [folder, "owner/encoder", "linear"]}, "student": {"model": folder}}
    theirs = [run.origin(folder), run.origin("owner/encoder", "hub"), "linear"]
    run.manifest["models"] = {"teacher": theirs, "student": run.origin(folder)}
    card = run.card()
    (recipe,) = [token.content for token in card.tokens if token.type == "fence" and token.info == "toml"]
    assert 'model = ["mine", "owner/encoder", "linear"]' in recipe and 'model = "mine"' in recipe
    assert folder == "mine" or folder not in card.text


def test_a_model_that_was_not_looked_for_may_be_a_folder(run: Run) -> None:
    run.options["teacher"] = {"scores": "scores.csv", "model": "models/mine"}
    run.options["student"] = {"model": "owner/small"}
    run.manifest["models"] = {"teacher": {"scores": "scores.csv", "texts": 110}}
    run.manifest["models"]["student"] = run.origin("owner/small", "cache")
    card = run.card()
    assert 'model = "owner/small"' in card.text and "models/mine" not in card.text


# Missing figures


def test_a_run_without_an_audit(run: Run) -> None:
    del run.manifest["audit"]
    assert run.card().line("It reads at most").endswith(" tokens of a text.")


def test_a_teacher_whose_scores_were_given(run: Run, scores_given: Metrics) -> None:
    run.metrics = scores_given
    run.options["teacher"] = {"scores": "/home/me/scores.csv", "model": "/home/me/models/encoder"}
    run.manifest["models"] = {"teacher": {"scores": "/home/me/scores.csv", "texts": 110}, "student": None}
    run.manifest["models"]["student"] = run.origin("/home/me/models/encoder")
    card = run.card()
    rows = {row[0]: row for row in card.tables[0]}
    assert rows["parameters"][1:4] == ["-", "67.0 M", "-"]
    assert card.line("speedup: unknown")
    assert card.line("A small text classifier").endswith("It has 66,955,010 parameters.")
    assert dict(card.tables[-1][1:])["teacher"] == "given probabilities (scores.csv)"
    assert "/home/me" not in card.text


def test_cards_of_all_kinds_of_metrics(run: Run, case: Any) -> None:
    run.metrics = case.metrics
    card = run.card()
    controls = sum(control is not None for control in asdict(case.metrics.controls).values())
    assert {len(row) for row in card.tables[0]} == {4 + controls}
    assert case.metrics.verdict.text in card.text
    assert "None" not in card.text and not {"nan", "nan %", "inf"} & {cell for row in card.tables[0] for cell in row}


def test_without_controls_and_auc(run: Run) -> None:
    student = replace(run.metrics.student, auc=None)
    run.metrics = replace(run.metrics, controls=Controls(), student=student, distillation_gain=None)
    card = run.card()
    assert card.data["metrics"] == ["accuracy", "f1"]
    assert card.line("distillation gain: not measured")


def test_a_threshold_is_part_of_the_use(run: Run) -> None:
    assert "the threshold above" not in run.card().text
    answered = Answered(0.98, 0.7)
    run.metrics = replace(run.metrics, abstention=Abstention(0.98, 0.91, answered, answered))
    card = run.card()
    assert "unless you use the threshold above." in card.line("Use it for single texts")
    assert "--threshold 0.91" in card.line("abstention")


# Names from users


def test_names_of_classes_are_shown_as_they_are(run: Run) -> None:
    run.name_classes(NASTY)
    card = run.card()
    cells = [row[0] for row in card.tables[1][1:]]
    expected = [" ".join("".join(sign if sign.isprintable() else " " for sign in name).split()) for name in NASTY]
    assert sorted(cells) == sorted(expected)
    assert {len(row) for row in card.tables[1]} == {4}
    assert len(card.headings) == 7
    assert not [token for token in card.tokens if token.type == "html_block"]
    assert "license" not in card.data


@pytest.mark.parametrize("name", NASTY)
def test_names_of_files_break_nothing(run: Run, name: str) -> None:
    file = name.replace("/", " ") + ".csv"
    run.options["data"] |= {"train": f"/home/me/{file}", "test": f"/home/me/{file}"}
    run.manifest["models"]["teacher"]["name"] = f"/home/me/{file}"
    run.options["data"]["labels"] = [name, "other"]
    card = run.card()
    (model,) = card.data["model-index"]
    assert model["results"][0]["dataset"]["name"] == file
    assert "license" not in card.data and "/home/me" not in card.text
    assert len(card.headings) == 7 and len(card.tables) == 3
    (recipe,) = (token.content for token in card.tokens if token.type == "fence" and token.info == "toml")
    assert Recipe.load(written(run.place.root / "again.toml", recipe)).data.labels == [name, "other"]


def written(path: Path, content: str) -> Path:
    path.write_text(content, encoding="utf-8")
    return path


def test_plain_is_one_line() -> None:
    assert plain(" a\n\tb ") == "a b"
    assert plain("a_b [c]") == r"a\_b \[c\]"
