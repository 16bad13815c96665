"""Labels of a committee: the opinion pool, cross-fitting, and what comes from the cache."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from understudy.data.corpus import Corpus, Split
from understudy.data.scores import Scores
from understudy.data.tokens import text_ids
from understudy.data.unlabelled import select_unlabelled
from understudy.inference.logits import softmax
from understudy.models.linear import LinearModel
from understudy.run import labelling
from understudy.run.labelling import Labeller, cross_fitted
from understudy.run.teacher import opinion_pool
from understudy.runtime.hardware import Hardware

CLASSES = ["bad", "good"]


def split(rows: int, prefix: str) -> Split:
    labels = np.arange(rows) % 2
    texts = [f"{CLASSES[label]} film {prefix}{row}" for row, label in enumerate(labels)]
    return Split(texts, text_ids(texts), labels)


@pytest.fixture
def corpus() -> Corpus:
    unlabelled = select_unlabelled(lambda: [["a good one", "bad it was"], ["film"]], {})
    return Corpus(CLASSES, split(20, "a"), split(8, "b"), split(8, "c"), unlabelled)


@pytest.fixture
def labeller(corpus: Corpus, tmp_path: Path) -> Labeller:
    return Labeller(corpus, 16, Hardware("cpu", 1), tmp_path / "cache", 0)


@pytest.fixture
def linear(corpus: Corpus, tmp_path: Path) -> Path:
    LinearModel.fit(corpus.train.texts, corpus.train.labels, 2).save(tmp_path / "linear")
    return tmp_path / "linear"


def test_the_pool_is_the_normalised_geometric_mean() -> None:
    first, second = np.array([[0.9, 0.1]]), np.array([[0.5, 0.5]])
    pooled = softmax(opinion_pool([np.log(first), np.log(second)], [1.0, 1.0]))
    expected = np.sqrt(first * second)
    assert pooled == pytest.approx(expected / expected.sum(), abs=1e-6)


def test_a_temperature_softens_its_member() -> None:
    logits = np.array([[4.0, 0.0]])
    pooled = softmax(opinion_pool([logits, logits], [2.0, 4.0]))
    # (4/2 + 4/4) / 2 = 1.5 is the difference of the pooled logits
    assert pooled[0, 0] == pytest.approx(1 / (1 + np.exp(-1.5)), abs=1e-6)


def test_each_training_text_is_labelled_by_a_model_that_did_not_see_it(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted: list[list[str]] = []
    fit = LinearModel.fit

    def spy(texts: list[str], *arguments: Any, **options: Any) -> LinearModel:
        model = fit(texts, *arguments, **options)
        fitted.append(texts)
        predict = model.predict_proba

        def unseen(asked: list[str]) -> np.ndarray:
            assert not set(asked) & set(texts)
            return predict(asked)

        monkeypatch.setattr(model, "predict_proba", unseen)
        return model

    monkeypatch.setattr(LinearModel, "fit", spy)
    logits = cross_fitted(corpus, seed=0)
    assert len(fitted) == 5
    assert logits.shape == (20, 2)
    assert softmax(logits).argmax(axis=1).tolist() == corpus.train.labels.tolist()


def test_a_repeated_text_is_in_one_fold_only(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    repeated = corpus.train.select(np.tile(np.arange(20), 2))
    fit = LinearModel.fit

    def spy(texts: list[str], *arguments: Any, **options: Any) -> LinearModel:
        assert len(texts) == 2 * len(set(texts)) == 32
        return fit(texts, *arguments, **options)

    monkeypatch.setattr(LinearModel, "fit", spy)
    logits = cross_fitted(Corpus(CLASSES, repeated, repeated, repeated), seed=0)
    assert (logits[:20] == logits[20:]).all()


def test_a_class_with_few_texts_has_fewer_folds() -> None:
    rare = Split(["good a", "bad b", "good c"], text_ids(["good a", "bad b", "good c"]), np.array([1, 0, 1]))
    assert cross_fitted(Corpus(CLASSES, rare, rare, rare), seed=0).shape == (3, 2)


def test_given_probabilities_are_labels_as_logarithms(labeller: Labeller) -> None:
    ids = np.unique(np.concatenate([labeller.corpus.transfer_ids, labeller.corpus.test.ids]))
    answers = np.tile(np.array([[0.25, 0.75]], dtype=np.float32), (len(ids), 1))
    answers[ids == labeller.corpus.test.ids[0]] = [0.0, 1.0]
    found = labeller.given(Scores("scores.csv", ids, answers), "test")
    assert found.logits.dtype == np.float32
    assert found.logits[0].tolist() == pytest.approx([np.log(1e-12), 0.0])
    assert found.logits[1] == pytest.approx(np.log([0.25, 0.75]))
    assert len(labeller.given(Scores("scores.csv", ids, answers), "transfer").logits) == 23


def test_the_linear_models_labels_come_from_the_cache(
    labeller: Labeller, linear: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = labeller.linear(linear, "transfer", "labels")
    assert (first.computed, first.reused) == (23, 0)
    model = LinearModel.load(linear)
    others = np.log(model.predict_proba(["a good one", "bad it was", "film"]))
    assert first.logits[20:] == pytest.approx(others, abs=1e-5)
    assert first.logits[:20] == pytest.approx(cross_fitted(labeller.corpus, 0), abs=1e-6)
    assert not np.allclose(first.logits[:20], np.log(model.predict_proba(labeller.corpus.train.texts)), atol=1e-3)

    monkeypatch.setattr(labelling, "cross_fitted", lambda *_: pytest.fail("labelled again"))
    again = labeller.linear(linear, "transfer", "labels")
    assert (again.computed, again.reused) == (0, 23)
    assert (again.logits == first.logits).all()
    test = labeller.linear(linear, "test", "testing").logits
    assert test == pytest.approx(np.log(model.predict_proba(labeller.corpus.test.texts)), abs=1e-5)
