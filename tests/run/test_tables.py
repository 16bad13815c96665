"""A table becomes a run: its columns, its test set, its name, and the file that keeps the test set."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from conftest import WORDS, user_error
from understudy.cli.main import main
from understudy.data.corpus import build_corpus, read_tables
from understudy.errors import DataError
from understudy.exporting.texts import ExportTexts
from understudy.recipe.recipe import Recipe
from understudy.reporting.evidence import Evidence
from understudy.run.pipeline import Run, distill, examine
from understudy.run.request import asked, named_recipe
from understudy.run.tables import draft, keep_test, settle
from understudy.storage.layout import RunDirectory
from understudy.storage.manifest import Manifest

MakeRecipe = Callable[..., Recipe]


def frame(rows: int = 90) -> pd.DataFrame:
    """Texts that differ, with an id, a date and another number of words each."""
    random = np.random.default_rng(0)
    notes = [f"{' '.join(random.choice(WORDS, 10))} {WORDS[row % 3]} {row}" for row in range(rows)]
    days = [f"2024-02-{row % 9 + 1:02}" for row in range(rows)]
    return pd.DataFrame(
        {"id": range(rows), "day": days, "note": notes, "queue": [f"q{row % 3}" for row in range(rows)]}
    )


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    frame().to_csv("tickets.csv", index=False)
    return Path("tickets.csv")


def small(make_recipe: MakeRecipe, table: str, **data: Any) -> Recipe:
    """The recipe of a table with a model that trains in a second."""
    tiny = make_recipe()
    options = {name: getattr(tiny, name).model_dump() for name in ("teacher", "student", "distillation", "evaluation")}
    return named_recipe(table, {**options, "data": {"max_length": 16, **data}})


def test_settling(table: Path) -> None:
    recipe = named_recipe(table, {})
    settled = settle(recipe, described=True)
    assert (settled.data.text, settled.data.label, settled.data.test) == ("note", "queue", 18)
    assert (settled.name, settled.description) == ("tickets", "tickets.csv: 90 texts, 3 classes")
    assert settle(settled) == settled
    corpora = [build_corpus(read_tables(each.data), settle(each).data, each.seed) for each in (recipe, settled)]
    assert corpora[0].digest == corpora[1].digest


def test_what_is_given_stays(table: Path) -> None:
    frame(30).to_csv("held-out.csv", index=False)
    recipe = named_recipe(table, {"data": {"test": "held-out.csv", "text": "day", "label": "id"}})
    assert settle(recipe) == recipe


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (frame(5), r"no column can be the label"),
        (frame(5).rename(columns={"note": "text", "queue": "label"}), r"has 5 texts, too few texts to set a test set"),
        (frame().assign(queue="only"), r"no column can be the label"),
        (frame()[["id", "day", "queue"]], r"no column can be the text"),
    ],
)
def test_tables_that_cannot_be_run(content: pd.DataFrame, message: str, table: Path) -> None:
    content.to_csv(table, index=False)
    with pytest.raises(DataError, match=message):
        settle(named_recipe(table, {}))


def test_a_hub_dataset_brings_its_splits(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("understudy.data.hub.split_names", lambda _: ["train", "validation", "test", "unsupervised"])
    monkeypatch.setattr("understudy.data.corpus.find_columns", lambda *_: ("text", "label"))
    data = settle(named_recipe("owner/tickets", {})).data
    assert (data.train, data.test, data.validation) == (
        "owner/tickets:train", "owner/tickets:test", "owner/tickets:validation"
    )  # fmt: skip
    data = settle(named_recipe("owner/tickets", {"data": {"test": "tickets.csv", "validation": 30}})).data
    assert (data.test, data.validation) == ("tickets.csv", 30)
    monkeypatch.setattr("understudy.data.hub.split_names", lambda _: ["dev", "all"])
    with pytest.raises(DataError, match=r"has the splits dev, all; expected one called train\. Name one: owner/t:dev"):
        settle(named_recipe("owner/t", {}))


def test_the_kept_test_texts_have_every_column(table: Path, tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "run")
    recipe = settle(named_recipe(table, {}))
    corpus = build_corpus(read_tables(recipe.data), recipe.data, recipe.seed)
    keep_test(recipe, corpus, run)
    kept = pd.read_parquet(run.test_texts)
    assert list(kept.columns) == ["text_id", "id", "day", "note", "queue"]
    assert kept["text_id"].tolist() == corpus.test.ids.astype(str).tolist()
    whole = frame().astype({"id": str}).set_index("id")
    assert whole.loc[kept["id"], ["day", "note", "queue"]].reset_index(drop=True).equals(kept[["day", "note", "queue"]])
    before = run.test_texts.stat().st_mtime_ns
    keep_test(recipe, corpus, run)
    assert run.test_texts.stat().st_mtime_ns == before
    run.test_texts.write_bytes(b"damaged")
    keep_test(recipe, corpus, run)
    assert pd.read_parquet(run.test_texts).equals(kept)


def test_the_kept_test_texts_of_odd_columns(tmp_path: Path) -> None:
    lines = [
        f'{{"note": "word number {row} here", "team": {row % 2}, "x": {["1", "[1]"][row % 2]}}}' for row in range(40)
    ]
    (tmp_path / "t.jsonl").write_text("\n".join(lines))
    recipe = settle(named_recipe(tmp_path / "t.jsonl", {}))
    corpus = build_corpus(read_tables(recipe.data), recipe.data, recipe.seed)
    run = RunDirectory(tmp_path / "run")
    keep_test(recipe, corpus, run)
    kept = pd.read_parquet(run.test_texts)
    assert list(kept.columns) == ["id", "note", "team", "x"]
    assert set(kept["team"]) == {"0", "1"} and set(kept["x"]) == {"1", "[1]"}


def test_a_run_of_a_table(
    table: Path, make_recipe: MakeRecipe, no_clock: None, caplog: pytest.LogCaptureFixture
) -> None:
    recipe = small(make_recipe, str(table))
    with caplog.at_level("INFO", "understudy"):
        run = distill(recipe, device="cpu", cache_dir="cache")
    assert run.directory == Path("runs/tickets")
    assert "the texts are in the column 'note', the labels in 'queue'" in caplog.text
    layout, resolved = RunDirectory(run.directory), run.recipe
    assert (resolved.data.test, resolved.description) == (18, "tickets.csv: 90 texts, 3 classes")
    details = Manifest(layout.manifest).details("data")
    assert details["texts"]["test"] == 18 and details["test_set_apart_from"] == "tickets.csv"
    kept = pd.read_parquet(layout.test_texts)
    assert kept["text_id"].tolist() == pd.read_parquet(layout.predictions)["id"].tolist()
    assert Evidence.read(run.directory).texts == kept["note"].tolist()
    assert "18 set apart from tickets.csv" in layout.card.read_text(encoding="utf-8")
    texts = ExportTexts.of_run(layout, ["q0", "q1", "q2"])
    assert not set(kept["note"]) & {*texts.quantisation.texts, *texts.validation.texts}
    # The same table and the run's own recipe resume the run.
    before = run.metrics
    layout.test_texts.unlink()
    for again in (recipe, Recipe.load(layout.recipe)):
        assert distill(again, run.directory, device="cpu", cache_dir="cache").metrics == before
    assert pd.read_parquet(layout.test_texts).equals(kept)
    assert Run(run.directory).recipe == resolved


def test_the_doctor_looks_at_the_test_set_that_will_be(table: Path, make_recipe: MakeRecipe) -> None:
    found = examine(small(make_recipe, str(table)), "cache")
    assert found.of("tiny_test")[0].count == 18
    assert [finding.count for finding in found.of("balance")] == [72, 18]


def test_a_frame_needs_no_recipe() -> None:
    request = asked(frame(), {})
    assert (request.recipe.name, request.recipe.description) == ("data", "data in memory")
    assert request.names_only_its_table


# init


def test_a_draft_is_the_recipe_with_comments(table: Path) -> None:
    recipe = named_recipe(table, {"student": {"layers": 2}})
    Path("t.toml").write_text(text := draft(recipe), encoding="utf-8")
    assert Recipe.load("t.toml") == settle(recipe, described=True)
    assert text.startswith("# What understudy found in tickets.csv: 90 texts, 3 classes\n")
    assert "# - columns: 'note' has the texts, 'queue' the labels\n# - classes: q0 30, q1 30, q2 30\n" in text
    assert "# - test texts: 18, set apart from these texts\n" in text
    assert max(map(len, text.splitlines())) <= 100


def test_init_writes_a_recipe_once(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "tickets.csv", "--student.layers", "2"]) == 0
    assert Recipe.load("tickets.toml").student.layers == 2
    capsys.readouterr()
    assert user_error(capsys, "init", "tickets.csv").startswith("tickets.toml is there already. Give another --out")
    assert main(["init", "--data.train", "tickets.csv", "--overwrite"]) == 0
    assert Recipe.load("tickets.toml").student.layers == 3
    capsys.readouterr()
    assert user_error(capsys, "init").startswith("init got no table.")
    assert not Path("runs").exists()
