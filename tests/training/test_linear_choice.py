"""The choice of the linear model's settings by cross-validation."""

from __future__ import annotations

import numpy as np
import pytest

from understudy.models.linear import LinearSettings
from understudy.training import linear_choice
from understudy.training.linear_choice import LinearChoice, choose_settings


def words_and_endings(rows: int) -> tuple[list[str], np.ndarray]:
    """The ending of a word that occurs once tells the class, so only characters can."""
    random = np.random.default_rng(0)
    labels = np.arange(rows) % 2
    names = ["".join(random.choice(list("bcdfgklmnprst"), 6)) for _ in range(rows)]
    return [f"the {name}{'inga' if label else 'ette'} came" for name, label in zip(names, labels, strict=True)], labels


def test_characters_are_chosen_where_words_say_nothing() -> None:
    texts, labels = words_and_endings(90)
    choice = choose_settings(texts, labels, 2)

    assert choice.settings.features == "tfidf"
    assert choice.accuracy is not None and choice.accuracy > 0.95
    assert choice.learned and choice.majority == 0.5 and choice.texts == 90
    words = next(each for each in choice.tried if each.features == "nb_words")
    assert words.accuracy < 0.7
    assert choice.record()["settings"]["features"] == "tfidf"
    assert choice.record()["tried"][0]["folds"] == 3


def test_the_same_texts_give_the_same_choice() -> None:
    texts, labels = words_and_endings(60)
    assert choose_settings(texts, labels, 2) == choose_settings(texts, labels, 2)


def test_texts_without_features_teach_nothing() -> None:
    choice = choose_settings(["", "?", "!"] * 20, np.arange(60) % 2, 2)
    assert not choice.learned
    assert choice.settings.features == "nb_words"


def test_labels_by_chance_teach_nothing() -> None:
    texts, _ = words_and_endings(90)
    labels = np.random.default_rng(3).integers(0, 2, 90)
    choice = choose_settings([f"{text} {row % 7}" for row, text in enumerate(texts)], labels, 2)
    assert choice.accuracy is not None and choice.accuracy < 0.65


@pytest.mark.parametrize("labels", [[0, 0, 0], [0, 1], [1]])
def test_too_few_texts_to_try_keep_the_default(labels: list[int]) -> None:
    choice = choose_settings(["good film", "bad film", "a film"][: len(labels)], np.array(labels), 2)
    assert choice.settings == LinearSettings() and choice.accuracy is None and choice.tried == ()


def test_classes_of_one_text_are_no_obstacle() -> None:
    texts, labels = words_and_endings(60)
    labels = labels.copy()
    labels[:2] = [2, 3]
    assert choose_settings(texts, labels, 5).accuracy is not None


def test_equal_and_nearly_equal_texts_share_a_fold() -> None:
    texts, labels = words_and_endings(60)
    copies = [*texts, *(text.upper() for text in texts)]
    folds = linear_choice._folds(copies, np.tile(labels, 2))

    assert (folds[:60] == folds[60:]).all()
    for label in (0, 1):
        counts = np.bincount(folds[:60][labels == label], minlength=3)
        assert counts.max() - counts.min() <= 1


@pytest.mark.parametrize(("classes", "most"), [(2, 5000), (77, 2597), (150, 2000)])
def test_many_texts_are_sampled(classes: int, most: int) -> None:
    labels = np.arange(12_000) % classes
    rows = linear_choice._sample(labels, classes)

    assert len(rows) == most
    counts = np.bincount(labels[rows], minlength=classes)
    assert counts.max() - counts.min() <= 1


def test_the_scale_calibrates_held_out_scores() -> None:
    random = np.random.default_rng(0)
    logits = random.normal(0, 2, 4000)
    truth = (random.random(4000) < 1 / (1 + np.exp(-logits))).astype(int)

    assert linear_choice._scale(logits[:, None] / 2, truth) == pytest.approx(2, abs=0.15)
    assert linear_choice._scale(logits[:40, None], truth[:40]) == 1.0


@pytest.mark.parametrize(("accuracy", "learned"), [(0.5, False), (0.51, False), (0.6, True), (None, True)])
def test_a_model_that_is_no_better_than_the_majority_has_not_learned(accuracy: float | None, learned: bool) -> None:
    assert LinearChoice(LinearSettings(), accuracy, 0.5, 400, ()).learned is learned
