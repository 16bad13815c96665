"""Settings that follow the data: the rules, and what a run makes of them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from understudy import Run, distill
from understudy.errors import RunDirectoryError
from understudy.recipe.base import AUTO
from understudy.recipe.recipe import Recipe
from understudy.run import auto
from understudy.run.auto import FOLLOWING, Facts, resolved, with_validation

FACTS = Facts(
    texts=10_000,
    transfer=10_000,
    classes=77,
    validation=1000,
    lengths=np.array([10, 12, 30]),
    longest=512,
    teacher_width=384,
    student_width=384,
)


@pytest.mark.parametrize(
    ("texts", "wanted"),
    [(10, 2), (400, 80), (500, 100), (800, 100), (5000, 500), (10_003, 1000), (25_000, 2000), (10**6, 2000), (2, 1)],
)
def test_validation_texts_are_a_tenth_within_bounds(texts: int, wanted: int) -> None:
    assert auto.validation_texts(texts).value == wanted


@pytest.mark.parametrize(
    ("lengths", "longest", "wanted"),
    [
        ([10] * 100, 512, 32),
        ([10] * 99 + [500], 512, 32),
        ([10] * 98 + [33, 500], 512, 48),
        ([40] * 100, 512, 48),
        ([200] * 100, 512, 256),
        ([3000] * 100, 512, 512),
        ([3000] * 100, 8192, 512),
        ([3000] * 100, None, 512),
        ([3000] * 100, 128, 128),
        ([60] * 100, 50, 50),
        ([10] * 100, 20, 20),
    ],
)
def test_the_maximum_length_holds_nearly_all_texts(lengths: list[int], longest: int | None, wanted: int) -> None:
    assert auto.max_length(np.array(lengths), longest).value == wanted


@pytest.mark.parametrize(
    ("texts", "wanted"),
    [(100, 10), (400, 9), (900, 7), (3600, 4), (5000, 4), (10_000, 3), (24_000, 2), (100_000, 1), (10**7, 1), (1, 10)],
)
def test_fewer_texts_get_more_epochs(texts: int, wanted: int) -> None:
    assert auto.epochs(texts).value == wanted


@pytest.mark.parametrize(
    ("texts", "mean_length", "wanted"), [(499, 20.0, 16), (500, 20.0, 32), (50_000, 300.0, 16), (50_000, 60.0, 32)]
)
def test_long_or_few_texts_come_in_small_batches(texts: int, mean_length: float, wanted: int) -> None:
    assert auto.batch_size(texts, mean_length).value == wanted


@pytest.mark.parametrize(
    ("width", "batch", "wanted"),
    [(384, 32, 2e-4), (384, 16, 1.4e-4), (768, 32, 5e-5), (768, 16, 3.5e-5), (1024, 32, 2.8e-5), (32, 32, 5e-4)],
)
def test_wide_encoders_get_low_rates(width: int, batch: int, wanted: float) -> None:
    assert auto.learning_rate(width, batch).value == wanted


@pytest.mark.parametrize(
    ("epochs", "validation", "wanted"), [(2, 2000, 0), (3, 499, 0), (3, 500, 2), (10, 100, 0), (4, 1000, 2)]
)
def test_training_stops_early_only_where_validation_can_tell(epochs: int, validation: int, wanted: int) -> None:
    assert auto.early_stopping(epochs, validation).value == wanted


@pytest.fixture
def automatic(make_recipe: Callable[..., Recipe]) -> Recipe:
    """A recipe in which everything follows the data."""
    options = make_recipe(evaluation={"controls": ["frozen"]}).model_dump(exclude_none=True)
    for option in FOLLOWING:
        section, name = option.split(".")
        options[section].pop(name)
    return Recipe.from_mapping(options)


def test_nothing_is_auto_after_the_rules(automatic: Recipe) -> None:
    found = resolved(with_validation(automatic, 10_000), FACTS)
    assert AUTO not in {found.flat()[option] for option in FOLLOWING}
    assert (found.data.validation, found.data.max_length) == (1000, 32)
    assert (found.teacher.epochs, found.teacher.learning_rate, found.teacher.batch_size) == (3, 2e-4, 32)
    assert (found.distillation.temperature, found.distillation.alpha) == (2.0, 0.5)


def test_what_the_recipe_says_stays_and_the_other_rules_follow_it(automatic: Recipe) -> None:
    options = automatic.model_dump(exclude_none=True)
    options["teacher"] |= {"batch_size": 8, "epochs": 2}
    options["data"]["validation"] = 0.3
    given = Recipe.from_mapping(options)
    found = resolved(with_validation(given, 10_000), FACTS)
    assert (found.data.validation, found.teacher.batch_size, found.teacher.epochs) == (0.3, 8, 2)
    assert (found.teacher.learning_rate, found.teacher.early_stopping) == (1e-4, 0)


def test_every_value_is_logged_with_its_reason(automatic: Recipe, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="understudy"):
        resolved(with_validation(automatic, 10_000), FACTS)
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == len(FOLLOWING)
    assert "auto: data.validation = 1000 (10.0% of 10,000 labelled texts)" in lines
    assert "auto: data.max_length = 32 (holds 100.0% of the texts)" in lines
    assert "auto: teacher.learning_rate = 0.0002 (hidden size 384, batches of 32)" in lines
    assert all("(" in line for line in lines)


def run(recipe: Recipe, folder: Path, **more: Any) -> Run:
    return distill(recipe, folder / "run", device="cpu", cache_dir=folder / "cache", **more)


@pytest.mark.usefixtures("no_clock")
def test_a_run_keeps_its_settings_and_finds_them_again(
    automatic: Recipe, tmp_path: Path, trained: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    first = run(automatic, tmp_path)
    assert AUTO not in {first.recipe.flat()[option] for option in FOLLOWING}
    assert first.recipe.data.validation == 24
    written = (tmp_path / "run" / "recipe.toml").read_bytes()
    made = list(trained)
    with caplog.at_level(logging.INFO, logger="understudy"):
        run(automatic, tmp_path)
        run(first.recipe, tmp_path)
    assert trained == made
    assert (tmp_path / "run" / "recipe.toml").read_bytes() == written
    assert "changed since the last run" not in caplog.text


@pytest.mark.usefixtures("no_clock")
def test_another_value_than_the_automatic_one_is_another_teacher(automatic: Recipe, tmp_path: Path) -> None:
    first = run(automatic, tmp_path)
    epochs = int(first.recipe.teacher.epochs) + 1
    teacher = automatic.teacher.model_copy(update={"epochs": epochs})
    with pytest.raises(RunDirectoryError, match=f"teacher.epochs: {epochs} here"):
        run(automatic.model_copy(update={"teacher": teacher}), tmp_path)
