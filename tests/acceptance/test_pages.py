"""Every code block of the documentation is executed, in order, with small things standing in for what it names."""

from __future__ import annotations

import csv
import dataclasses
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import WORDS, leave_out_clock, write_model
from fake_hub import CARD, TOKEN, FakeHub
from pages import CHECKED, PAGES, ROOT, Block, Command, agrees, blocks, commands
from understudy.cli.main import main
from understudy.data import sources
from understudy.recipe.recipe import Recipe
from understudy.run import pipeline
from understudy.run.inputs import Materials, gather

pytestmark = pytest.mark.acceptance

ENCODER = "sentence-transformers/all-MiniLM-L6-v2"
HUB_ENCODERS = ("google-bert/bert-base-uncased", "distilbert/distilbert-base-uncased")
HUB_DATA = "stanfordnlp/imdb"
RUNS = {
    "docs/deploying.md": ("quickstart",),
    "docs/performance.md": ("quickstart",),
    "docs/reading-the-report.md": ("quickstart", "longer"),
    "docs/sharing.md": ("reviews",),
}
"""Finished runs that a page presumes."""

ADDED = {
    # Tiny random models lose a lot in int8.
    "export": ["--max-flips", "1", "--max-accuracy-loss", "1", "--max-ece-rise", "1", "--max-batch-flips", "64"],
    "benchmark": ["--rounds", "1", "--latency-texts", "4"],
}
"""Flags that a command gets besides."""

STATUS = {"frontier": (0, 3)}
"""Where 0 is not the only exit status of a command: no tiny random student is as accurate as one may ask for."""


def write_table(path: Path, columns: list[str], rows: list[list[str]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if path.suffix == ".parquet":
        pq.write_table(pa.table(dict(zip(columns, zip(*rows, strict=True), strict=True))), path)
        return
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([columns, *rows])


def made_up(count: int, classes: list[str], seed: int) -> list[list[str]]:
    """Texts with their labels; a class has a word of its own."""
    random = np.random.default_rng(seed)
    labels = [classes[row % len(classes)] for row in range(count)]
    return [[" ".join([*random.choice(WORDS, 12), WORDS[classes.index(label)]]), label] for label in labels]


def write_stand_ins(folder: Path) -> None:
    write_model(folder / ENCODER, layers=6, positions=512)
    feelings, teams = ["negative", "positive"], ["billing", "delivery", "technical"]
    write_table(folder / "reviews.csv", ["text", "label"], made_up(160, feelings, 1))
    write_table(folder / "held-out.csv", ["text", "label"], made_up(60, feelings, 2))
    write_table(folder / "million.parquet", ["text"], [row[:1] for row in made_up(50, feelings, 3)])
    write_table(folder / "tickets.csv", ["message", "team"], made_up(150, teams, 4))
    leak = ["The invoice shows the wrong amount.", "delivery"]
    write_table(folder / "tickets-test.csv", ["message", "team"], [leak, *made_up(59, teams, 5)])
    write_table(folder / "tickets-new.csv", ["message", "team"], made_up(30, teams, 6))
    write_table(folder / "monday.csv", ["id", "message"], [["1", "good film"], ["2", "bad film"]])
    write_table(folder / "old-tickets.parquet", ["message"], [row[:1] for row in made_up(40, teams, 7)])
    write_table(folder / "scores.csv", ["text", *feelings], [])


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeHub]:
    import datasets

    root = tmp_path_factory.mktemp("hub")
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["neg", "pos"])})
    (root / "data" / "plain_text").mkdir(parents=True)
    (root / "data" / "README.md").write_text(CARD)
    for split, count in (("train", 1100), ("test", 24)):
        texts, labels = zip(*made_up(count, ["neg", "pos"], count), strict=True)
        table = datasets.Dataset.from_dict(
            {"text": texts, "label": [int(label == "pos") for label in labels]}, features
        )
        table.to_parquet(root / "data" / "plain_text" / f"{split}-00000-of-00001.parquet")
    with FakeHub() as hub:
        hub.add(HUB_DATA, root / "data", kind="datasets")
        for name in HUB_ENCODERS:
            hub.add(name, write_model(root / name, positions=512))
        yield hub


def gather_fewer_reviews(recipe: Recipe, cache: Path) -> Materials:
    """For training: fewer of the reviews that ship with understudy. `check` sees them all.

    Half of the training reviews leave 50 for validation, on which a student can be chosen.
    """
    shipped = sources._shipped_reviews

    def fewer(source: str, with_labels: bool) -> sources.Table:
        table = shipped(source, with_labels)
        step = 2 if source.endswith(":train") else 10
        return dataclasses.replace(table, texts=table.texts[::step], labels=table.labels and table.labels[::step])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sources, "_shipped_reviews", fewer)
        return gather(recipe, cache)


class Stage:
    """Executes a page's blocks in the working directory."""

    def __init__(self, folder: Path, hub: FakeHub, capsys: pytest.CaptureFixture[str]) -> None:
        self._folder, self._hub, self._capsys = folder, hub, capsys
        self.printed: list[tuple[Block, list[str]]] = []

    def execute(self, block: Block) -> None:
        self._capsys.readouterr()
        if block.kind in ("bash", "console"):
            for command in commands(block):
                self._command(block, command)
        elif block.kind == "python" and "understudy.push(" in block.code:
            status, lines = self._with_hub("-c", block.code)
            assert status == 0, "\n".join([block.name, *lines])
        elif block.kind == "python":
            exec(compile(block.code, block.name, "exec"), {})
            self.printed.append((block, self._capsys.readouterr().out.splitlines()))
        elif block.kind == "toml" and block.title:
            (self._folder / block.title).write_text(block.code, encoding="utf-8")
        elif block.kind == "csv":
            self._table(block)

    def _command(self, block: Block, command: Command) -> None:
        name, *arguments = command.words
        if name != "understudy":
            CHECKED[name].check(command.words)
            return
        arguments += ADDED.get(arguments[0], [])
        if arguments[0] == "push" or (arguments[1:2] and re.fullmatch(r"imdb(-\w+)?", arguments[1])):
            status, lines = self._with_hub("-m", "understudy", *arguments)
        else:
            status = main(arguments)
            out, err = self._capsys.readouterr()
            lines = (err + out).splitlines()
        said = "\n".join([f"{block.name}: {' '.join(command.words)}", *lines])
        assert status in (STATUS.get(arguments[0], (0,)) if command.printed is None else (0, 2)), said
        assert command.printed is None or agrees(command.printed, lines), said

    def _with_hub(self, *arguments: str) -> tuple[int, list[str]]:
        """Python with these arguments, in a process that takes the fake Hub for the Hub."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
        environment = {"HF_ENDPOINT": self._hub.url, "HF_HOME": str(self._folder / "home")}
        environment |= {"HF_TOKEN": TOKEN, "HF_HUB_DISABLE_XET": "1"}
        done = subprocess.run(
            [sys.executable, *arguments],
            capture_output=True,
            text=True,
            env=kept | environment,
            timeout=600,
        )
        return done.returncode, (done.stderr + done.stdout).splitlines()

    def _table(self, block: Block) -> None:
        from understudy.data.sources import read

        path = self._folder / block.title
        columns, *rows = csv.reader(block.code.splitlines())
        with path.open(encoding="utf-8", newline="") as file:
            there, *others = csv.reader(file)
        assert there == columns, f"{block.name}: the stand-in has other columns"
        write_table(path, columns, rows + others)
        assert read(str(path), columns[0], label=None).texts[: len(rows)] == [row[0] for row in rows]


@pytest.fixture
def stage(
    finished: Any, hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[str], Stage]:
    """Executes a page."""

    def execute(page: str) -> Stage:
        write_stand_ins(tmp_path)
        for run in RUNS.get(page, ()):
            shutil.copytree(finished.out, tmp_path / "runs" / run)
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("UNDERSTUDY_CACHE", str(tmp_path / "cache"))
        leave_out_clock(monkeypatch)
        monkeypatch.setattr(pipeline, "gather", gather_fewer_reviews)
        stage = Stage(tmp_path, hub, capsys)
        for block in blocks(page):
            stage.execute(block)
        return stage

    return execute


@pytest.mark.parametrize("page", [page for page in PAGES if page != "docs/deploying.md"])
def test_every_block_runs(page: str, stage: Callable[[str], Stage]) -> None:
    stage(page)


def test_all_ways_to_open_an_export_agree(stage: Callable[[str], Stage]) -> None:
    from understudy.inference.opening import open_classifier

    texts = ["A triumph.", "Two hours I will not get back."]
    printed = [lines for _, lines in stage("docs/deploying.md").printed]
    folder = Path("runs/quickstart/export")
    int8, fp32 = (open_classifier(folder / name).predict(texts) for name in ("int8", "onnx-fp32"))
    assert [lines[0] for lines in printed[:3]] == [str(int8), str(int8), str(fp32)]
    assert fp32[0] in printed[3][0]


# The site


class _Sources(HTMLParser):
    """What a page makes the browser load."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        loads = tag in ("script", "img", "iframe", "source") or (tag == "link" and given.get("rel") != "canonical")
        if loads:
            self.found += [value for name in ("src", "href") if (value := given.get(name))]


def test_the_site_builds_strictly_and_asks_no_other_host(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) == len(PAGES)  # the home page, one for each other page of docs/, and 404
    for page in pages:
        sources = _Sources()
        sources.feed(page.read_text(encoding="utf-8"))
        assert sources.found
        assert not [source for source in sources.found if re.match(r"(https?:)?//", source)], page.name
    for style in (tmp_path / "site").rglob("*.css"):
        assert not re.search(r"(url\(|@import)\s*[\"']?(https?:)?//", style.read_text(encoding="utf-8")), style.name


def test_the_figures_are_drawn(tmp_path: Path) -> None:
    subprocess.run([sys.executable, ROOT / "docs" / "figures.py", tmp_path], check=True, timeout=300)
    drawn = {path.name for path in tmp_path.iterdir()}
    assert drawn == {path.name for path in (ROOT / "docs").glob("*.svg")}
