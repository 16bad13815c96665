"""The model card: what it says, and that nothing that users name can break it."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from huggingface_hub import ModelCard
from markdown_it import MarkdownIt

from conftest import Finished, leave_out_clock
from understudy.artifacts import SCHEMA_VERSION, RunDirectory, folder_digest
from understudy.evaluation.results import Abstention, Answered, Controls, Metrics
from understudy.pipeline import distill
from understudy.recipe import Recipe
from understudy.report.card import plain, write_card

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


class Card:
    """A card as the Hub reads it: the metadata, and the body as Markdown."""

    def __init__(self, path: Path) -> None:
        self.text = path.read_text(encoding="utf-8")
        self.data: dict[str, Any] = ModelCard.load(path).data.to_dict()
        body = self.text.split("\n---\n", 1)[1]
        self.tokens = MarkdownIt("commonmark").enable("table").parse(body)

    @property
    def headings(self) -> list[str]:
        return [
            after.content for token, after in zip(self.tokens, self.tokens[1:], strict=False) if opens(token, "heading")
        ]

    @property
    def tables(self) -> list[list[list[str]]]:
        """Cells of all tables, as they are read."""
        tables: list[list[list[str]]] = []
        for token, after in zip(self.tokens, self.tokens[1:], strict=False):
            if opens(token, "table"):
                tables.append([])
            elif opens(token, "tr"):
                tables[-1].append([])
            elif opens(token, "th") or opens(token, "td"):
                tables[-1][-1].append(shown(after))
        return tables

    @property
    def lines(self) -> list[str]:
        """All that is read as text, block for block."""
        return [shown(token) for token in self.tokens if token.type == "inline"]

    def line(self, start: str) -> str:
        (found,) = (line for line in self.lines if line.startswith(start))
        return found


def opens(token: Any, kind: str) -> bool:
    return bool(token.type == f"{kind}_open")


def shown(inline: Any) -> str:
    """What a reader sees of a block's content."""
    return "".join(token.content for token in inline.children if token.type not in ("softbreak", "html_inline"))


class Run:
    """A run directory with only what a card is made of; attributes are changed before `card` writes it."""

    def __init__(self, root: Path, metrics: Metrics) -> None:
        self.place = RunDirectory(root)
        self.metrics = metrics
        self.options: dict[str, Any] = {
            "name": "reviews",
            "data": {"train": "/home/me/secret/train.csv", "test": "/home/me/secret/test.csv"},
            "teacher": {"model": "/home/me/models/encoder"},
            "student": {"layers": 2},
        }
        self.labels = ["negative"] * 6 + ["positive"] * 4
        self.student = ["negative"] * 5 + ["positive"] * 3 + ["negative"] * 2
        self.manifest: dict[str, Any] = {
            "schema_version": SCHEMA_VERSION,
            "understudy": "0.1.0",
            "versions": {"python": "3.11.7", "torch": "2.13.0"},
            "models": {"teacher": self.origin("/home/me/models/encoder"), "student": None},
            "classes": ["negative", "positive"],
            "audit": [],
            "stages": {
                "data": self.stage({"texts": {"train": 90, "validation": 10, "test": 10}}),
                "student": self.stage({"digest": "d1", "calibration": None}),
            },
        }

    def origin(self, name: str, kind: str = "folder", path: Path | None = None) -> dict[str, Any]:
        revision = None if kind == "folder" else "abc123"
        return {"name": name, "kind": kind, "path": str(path or name), "revision": revision, "sha256": "5a5a"}

    def stage(self, details: dict[str, Any]) -> dict[str, Any]:
        return {"fingerprint": "f00d", "seconds": 1.0, "details": details}

    def name_classes(self, names: list[str]) -> None:
        self.manifest["classes"] = self.labels = self.student = names

    def calibrated(self, **found: Any) -> None:
        nothing = {"temperature": None, "ece_before": None, "ece_after": None, "left": None}
        self.manifest["stages"]["student"]["details"]["calibration"] = nothing | found

    def card(self) -> Card:
        place = self.place
        place.student.mkdir(parents=True, exist_ok=True)
        place.manifest.write_text(json.dumps(self.manifest))
        place.recipe.write_text(Recipe.from_mapping(self.options).to_toml())
        self.metrics.save(place.metrics)
        columns = {"label": self.labels, "student_label": self.student, "teacher_label": self.labels}
        pq.write_table(pa.table(columns), place.predictions)
        write_card(place)
        return Card(place.card)


@pytest.fixture
def run(tmp_path: Path, imdb: Metrics) -> Run:
    return Run(tmp_path / "run", imdb)


# Metadata


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
    run.options["data"] = {
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
    assert made["student made of"].startswith("2 layers (spread) of owner/encoder, revision abc123")


# Prose


def test_the_body_says_what_is_asked_of_a_card(run: Run) -> None:
    card = run.card()
    sections = ["Evidence", "By class", "Intended use", "Limits", "How to load it", "How it was made"]
    assert card.headings == ["reviews", *sections]
    assert run.metrics.verdict.text in card.text
    assert "![Accuracy, size and speed of teacher, student and controls](report/dashboard.png)" in card.text
    header, *rows = card.tables[0]
    assert header == ["", "teacher", "student", "student / teacher", "no distillation", "linear"]
    assert rows[0] == ["accuracy", "0.9211", "0.9111", "98.9 % [98.6, 99.2]", "0.9063", "0.8931"]
    assert card.line("distillation gain").endswith("+0.48 points of accuracy [+0.18, +0.78], p = 0.002")
    assert 'pipeline("text-classification", model="OWNER/NAME", truncation=True)' in card.text
    assert "understudy.load(" in card.text


def test_classes_stand_from_the_worst_on(run: Run) -> None:
    card = run.card()
    assert card.tables[1][1:] == [["positive", "4", "50.0 %", "100.0 %"], ["negative", "6", "83.3 %", "100.0 %"]]
    assert card.line("Its worst class is positive: 50.0 % of the 4 test texts")


def test_a_class_without_test_texts_is_named(run: Run) -> None:
    run.manifest["classes"] = ["negative", "positive", "neutral"]
    assert run.card().line("No test text has the class") == "No test text has the class neutral."


def test_of_many_classes_the_worst_are_shown(run: Run) -> None:
    run.name_classes([f"class {number:02}" for number in range(50)])
    card = run.card()
    assert len(card.tables[1]) == 1 + 20
    assert card.line("The worst class comes first.").endswith("30 better ones are left out.")
    assert "and 30 more" in card.line("A small text classifier")


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({"temperature": 1.234, "ece_before": 0.08, "ece_after": 0.02}, "a temperature of 1.234"),
        ({"left": "12 validation texts are fewer than 50"}, "not calibrated: 12 validation texts are fewer"),
        (None, "were not calibrated."),
    ],
)
def test_calibration(run: Run, found: dict[str, Any] | None, said: str) -> None:
    if found is not None:
        run.calibrated(**found)
    line = run.card().line("Its probabilities were")
    assert said in line
    assert line.endswith("On the test texts its calibration error is 0.0187, the teacher's 0.0213.")


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
    assert card.line("A text is read up to 256 tokens").endswith(cut)
    assert "private" not in card.text


def test_how_it_was_made(run: Run) -> None:
    card = run.card()
    made = dict(card.tables[-1][1:])
    assert made["teacher"] == "encoder, weights with SHA-256 5a5a"
    assert made["train texts"] == "90, of train.csv"
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


# Figures that are not there


def test_a_run_without_an_audit(run: Run) -> None:
    del run.manifest["audit"]
    assert run.card().line("A text is read up to").endswith(" tokens.")


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
    assert dict(card.tables[-1][1:])["teacher"] == "probabilities that were given (scores.csv)"
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
    assert "unless the threshold" not in run.card().text
    answered = Answered(0.98, 0.7)
    run.metrics = replace(run.metrics, abstention=Abstention(0.98, 0.91, answered, answered))
    card = run.card()
    assert "unless the threshold above is used" in card.line("For single texts")
    assert "--threshold 0.91" in card.line("abstention")


# Names that users give


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
    run.options["data"] = {"train": f"/home/me/{file}", "test": f"/home/me/{file}"}
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


def test_the_metadata_stays_one_block(run: Run) -> None:
    block = run.card().text.split("\n---\n", 1)[0].removeprefix("---\n")
    assert yaml.safe_load(block)["model-index"][0]["name"] == "reviews"


# As a part of a run


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
    from understudy import stages

    def stopped(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    run = RunDirectory(finished_copy.out)
    (run.control("linear") / "linear.json").unlink()
    monkeypatch.setattr(stages, "evaluate", stopped)
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
