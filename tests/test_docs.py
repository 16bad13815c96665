"""The documentation says what the code does: what is quick to check. `acceptance/test_pages.py` executes it."""

from __future__ import annotations

import io
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt

from pages import CHECKED, KINDS, PAGES, ROOT, Block, agrees, blocks, commands, recipe_error
from understudy.evaluation.results import Metrics
from understudy.evaluation.verdict import Case, Rival, judge
from understudy.recipe.recipe import Recipe
from understudy.recipe.reference import EXAMPLE, reference
from understudy.recipe.wording import options

FORMULA = "a formula"
NOT_EXECUTED = {
    ("docs/distillation.md", "alpha · T² · KL(softmax(t / T) ‖ softmax(s / T)) + (1 - alpha) · CE(s, y)"): FORMULA,
    (
        "docs/distillation.md",
        "T = argmin over T of - Σᵢ log softmax(zᵢ / T)[yᵢ] - (m / n) Σᵢ Σₖ softmax(zᵢ)[k] log softmax(zᵢ / T)[k]",
    ): FORMULA,
    (
        "docs/distillation.md",
        "softmax(t / distillation.temperature) = softmax(z / (T · distillation.temperature))",
    ): FORMULA,
    (
        "docs/distillation.md",
        "gain = Σᵢⱼ (Sᵢⱼ - Cᵢⱼ) / (n k)        retention = mean over j of accuracy(Sⱼ) / accuracy(teacher)",
    ): FORMULA,
    (
        "docs/distillation.md",
        "coverage(h) = share of texts with max p ≥ h        precision(h) = share of these whose label is right",
    ): FORMULA,
    ("docs/reading-the-report.md", "runs/quickstart"): "a table, compared below with what the code prints",
}
"""The blocks that are not executed, by page and first line, and why; commands that are not: `pages.CHECKED`."""

EVERY = [block for page in PAGES for block in blocks(page)]
COMMANDS = [(block, command) for block in EVERY if block.kind in ("bash", "console") for command in commands(block)]
SHOWN = ROOT / "benchmarks" / "results" / "quickstart" / "metrics.json"
"""The run whose figures the page about the report shows."""


def of_kind(*kinds: str) -> list[Any]:
    return [pytest.param(block, id=block.name) for block in EVERY if block.kind in kinds]


# The recipe reference


def test_recipe_reference_is_current() -> None:
    written = (ROOT / "docs" / "recipe.md").read_text(encoding="utf-8")
    assert written == reference(), "run: python -m understudy.recipe.reference > docs/recipe.md"


def test_recipe_reference_names_every_option_once() -> None:
    lines = reference().splitlines()
    for option in options(Recipe):
        assert lines.count(f"### `{option.name}`") == 1
        assert lines.count(f"- flag: `{option.flag}`") == 1
        assert option.help in lines


def test_the_references_example_is_a_recipe(tmp_path: Path) -> None:
    path = tmp_path / "reviews.toml"
    path.write_text(EXAMPLE, encoding="utf-8")
    recipe = Recipe.load(path)
    assert (recipe.name, recipe.teacher.epochs, recipe.student.layers) == ("reviews", 2, 3)
    assert f"```toml\n{EXAMPLE}```" in reference()


# Code blocks


@pytest.mark.parametrize("block", [pytest.param(block, id=block.name) for block in EVERY])
def test_every_block_is_of_a_kind_that_is_executed(block: Block) -> None:
    assert block.kind in KINDS, f"{block.name}: no way to execute `{block.kind}`; the kinds are {', '.join(KINDS)}"
    assert (block.kind == "text") == ((block.page, block.first) in NOT_EXECUTED)


def test_what_is_not_executed_is_there() -> None:
    assert set(NOT_EXECUTED) <= {(block.page, block.first) for block in EVERY}


@pytest.mark.parametrize(("block", "command"), [pytest.param(*each, id=each[0].name) for each in COMMANDS])
def test_commands_are_what_the_command_line_takes(
    block: Block, command: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if command.words[0] != "understudy":
        assert command.words[0] in CHECKED, f"{block.name}: no way to check `{command.words[0]}`"
        CHECKED[command.words[0]].check(command.words)
        return
    for each in blocks(block.page):
        if each.kind == "toml" and each.title:
            (tmp_path / each.title).write_text(each.code, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    error = recipe_error(command.words)
    if error is not None:
        assert command.printed is not None, f"{block.name}: {error}"
        assert agrees(command.printed, error.splitlines()), error


@pytest.mark.parametrize("block", of_kind("toml"))
def test_recipes_are_recipes(block: Block) -> None:
    Recipe.from_mapping(tomllib.loads(block.code))


@pytest.mark.parametrize("block", of_kind("python"))
def test_python_is_python(block: Block) -> None:
    compile(block.code, block.name, "exec")


@pytest.mark.parametrize("block", of_kind("json"))
def test_json_is_an_excerpt_of_the_run_that_is_shown(block: Block) -> None:
    shown = json.loads(SHOWN.read_text(encoding="utf-8"))
    excerpt = json.loads(block.code)
    assert excerpt == {name: shown[name] for name in excerpt}


def test_the_table_is_that_of_the_run_that_is_shown() -> None:
    from rich.console import Console

    from understudy.reporting.terminal import show_metrics

    out = io.StringIO()
    show_metrics(Metrics.load(SHOWN), Console(file=out, width=100), "runs/quickstart")
    (block,) = (block for block in EVERY if block.page == "docs/reading-the-report.md" and block.kind == "text")
    assert block.code.splitlines() == [line.rstrip() for line in out.getvalue().splitlines()]


def test_the_verdicts_words_are_those_of_today() -> None:
    shown = Metrics.load(SHOWN)
    p_value = float(re.findall(r"p = ([\d.e-]+\d)", shown.verdict.text)[-1])
    assert shown.controls.linear is not None
    case = Case(
        teacher=shown.teacher,
        student=shown.student,
        rivals=(Rival("linear", shown.controls.linear.accuracy, over_student=p_value, over_teacher=1.0),),
        retention=shown.retention,
        gain=shown.gain,
        teacher_majority=0.0,
        majority=0.5,
        texts=160,
    )
    page = (ROOT / "docs" / "reading-the-report.md").read_text(encoding="utf-8")
    quoted = " ".join(line.removeprefix("> ") for line in page.splitlines() if line.startswith("> "))
    assert quoted == judge(case, 0.97).text


# Links; those within docs/ are checked by mkdocs build --strict


@pytest.mark.parametrize("page", ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"])
def test_links_lead_somewhere(page: str) -> None:
    tokens = MarkdownIt("commonmark").parse((ROOT / page).read_text(encoding="utf-8"))
    inline = [child for token in tokens for child in token.children or []]
    links = [str(child.attrs.get("href") or child.attrs.get("src") or "") for child in inline]
    for link in filter(None, links):
        assert (ROOT / link.partition("#")[0]).exists(), link


def test_the_site_asks_no_other_host() -> None:
    settings = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert "font: false" in settings
    assert "http" not in settings
