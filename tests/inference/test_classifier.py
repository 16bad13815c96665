"""A finished classifier: what it opens, predicts and refuses."""

from __future__ import annotations

import itertools
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

import understudy
from understudy.errors import ModelError, UserError
from understudy.inference.classifier import Classifier
from understudy.inference.opening import open_classifier

NAMES = ["negative", "neutral", "positive"]
TEXTS = ["good film", "bad", "the story is dull and the film was awful", "", "never seen words", "very very great"]


@pytest.fixture
def model(make_model: Callable[..., Path]) -> Path:
    return make_model("model", NAMES)


@pytest.fixture
def classifier(model: Path) -> Classifier:
    return open_classifier(model, device="cpu")


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


# Opening


def test_load_is_public(model: Path) -> None:
    assert understudy.load(model, device="cpu").classes == NAMES
    assert understudy.load(str(model)).predict(["good"]) == open_classifier(model).predict(["good"])


def test_a_run_directory_opens_its_student(finished: Any) -> None:
    from_run = open_classifier(finished.out, device="cpu")
    from_folder = open_classifier(finished.out / "student", device="cpu")
    assert from_run.classes == ["negative", "positive"]
    assert from_run.max_length == from_folder.max_length == 16
    assert np.array_equal(from_run.predict_proba(TEXTS), from_folder.predict_proba(TEXTS))


def test_a_classifier_counts_as_the_path_of_its_folder(model: Path, classifier: Classifier) -> None:
    assert os.fspath(classifier) == str(model) and Path(classifier) == model
    assert np.array_equal(
        open_classifier(classifier, device="cpu").predict_proba(TEXTS), classifier.predict_proba(TEXTS)
    )
    assert understudy.load(classifier, device="cpu").folder == model


def test_a_run_without_a_student(finished: Any, tmp_path: Path) -> None:
    shutil.copy(finished.out / "manifest.json", tmp_path)
    with pytest.raises(ModelError, match=r"has no student yet\. Finish it first: understudy run .*recipe\.toml --out"):
        open_classifier(tmp_path)


def test_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"No model at .*gone"):
        open_classifier(tmp_path / "gone")


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"expected config\.json and model\.safetensors"):
        open_classifier(tmp_path)


def test_an_encoder(make_model: Callable[..., Path]) -> None:
    with pytest.raises(ModelError, match=r"is an encoder, not a text classifier\. Fine-tune it first"):
        open_classifier(make_model("encoder"))


def test_weights_that_could_run_code(model: Path) -> None:
    (model / "model.safetensors").rename(model / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"pytorch_model\.bin\) can run code"):
        open_classifier(model)


def test_no_tokenizer(model: Path) -> None:
    for path in model.glob("tokenizer*"):
        path.unlink()
    with pytest.raises(ModelError, match="tokenizer"):
        open_classifier(model)


@pytest.mark.parametrize("problem", ["multi_label_classification", "regression"])
def test_other_kinds_of_classifiers(model: Path, problem: str) -> None:
    edit(model / "config.json", problem_type=problem)
    with pytest.raises(ModelError, match=f"problem_type = {problem} and 3 outputs. Expected a classifier"):
        open_classifier(model)


def test_a_single_output(make_model: Callable[..., Path]) -> None:
    with pytest.raises(ModelError, match="1 outputs"):
        open_classifier(make_model("score", ["score"]))


def test_unknown_precision_and_device(model: Path) -> None:
    with pytest.raises(UserError, match="precision = 'int3': expected one of auto, fp32, bf16, fp16"):
        open_classifier(model, precision="int3")
    with pytest.raises(UserError, match="no such device"):
        open_classifier(model, device="abacus")


def test_labels_without_names(make_model: Callable[..., Path]) -> None:
    classifier = open_classifier(make_model("unnamed", ["LABEL_0", "LABEL_1"]), device="cpu")
    assert classifier.classes == ["LABEL_0", "LABEL_1"]
    assert set(classifier.predict(TEXTS)) <= {"LABEL_0", "LABEL_1"}


# Predictions


def test_shapes_and_order(classifier: Classifier) -> None:
    probabilities = classifier.predict_proba(TEXTS)
    assert probabilities.shape == (len(TEXTS), 3)
    assert probabilities.dtype == np.float64
    assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-12)
    assert np.allclose(classifier.predict_proba(TEXTS[::-1]), probabilities[::-1], atol=1e-6)
    assert classifier.predict(TEXTS) == [NAMES[index] for index in probabilities.argmax(axis=1)]
    assert len(set(classifier.predict(TEXTS))) > 1


def test_nothing_to_classify(classifier: Classifier) -> None:
    assert classifier.predict([]) == []
    assert classifier.predict_proba([]).shape == (0, 3)
    assert list(classifier.stream([])) == []


@pytest.mark.parametrize("kind", [tuple, np.array, iter], ids=["tuple", "array", "iterator"])
def test_texts_in_other_containers(kind: Callable[[list[str]], Any], classifier: Classifier) -> None:
    expected = classifier.predict_proba(TEXTS)
    assert np.array_equal(classifier.predict_proba(kind(TEXTS)), expected)
    assert len(classifier.predict(kind(TEXTS))) == len(TEXTS)


def test_probabilities_are_those_of_plain_transformers(classifier: Classifier, model: Path) -> None:
    plain = AutoModelForSequenceClassification.from_pretrained(model).eval()
    batch = AutoTokenizer.from_pretrained(model)(
        TEXTS, padding=True, truncation=True, max_length=64, return_tensors="pt"
    )
    with torch.no_grad():
        expected = torch.softmax(plain(**batch).logits.double(), dim=-1).numpy()
    assert np.allclose(classifier.predict_proba(TEXTS), expected, atol=1e-6)


def test_a_prediction_does_not_depend_on_the_batch(classifier: Classifier) -> None:
    others = [" ".join(["film", "good", "bad", "very"][row % 4 :] * (row + 1)) for row in range(31)]
    alone = classifier.predict_proba(["the story is dull"])
    assert np.allclose(
        classifier.predict_proba([*others[:15], "the story is dull", *others[15:]])[15], alone, atol=1e-5
    )


def test_a_long_text_is_cut(model: Path) -> None:
    edit(model / "tokenizer_config.json", model_max_length=10)
    classifier = open_classifier(model, device="cpu")
    assert classifier.max_length == 10
    words = ["good", "bad", "film", "story", "the", "a", "is", "was"]
    cut = classifier.predict_proba([" ".join([*words, *["awful"] * 1000])])
    assert np.allclose(cut, classifier.predict_proba([" ".join(words)]), atol=1e-6)


def test_a_tokenizer_without_a_limit_takes_the_models(model: Path) -> None:
    edit(model / "tokenizer_config.json", model_max_length=int(1e30))
    assert open_classifier(model, device="cpu").max_length == 64


def test_progress_is_reported(classifier: Classifier) -> None:
    done: list[int] = []
    classifier.predict_proba(TEXTS, done.append)
    assert sum(done) == len(TEXTS)


# Identity


def test_the_identity_covers_what_decides_the_predictions(model: Path, make_model: Callable[..., Path]) -> None:
    def identity(folder: Path, **options: Any) -> dict[str, Any]:
        return open_classifier(folder, device="cpu", **options).identity

    first = identity(model)
    assert (first["device"], first["dtype"], first["engine"]) == ("cpu", "fp32", "pytorch")
    assert identity(model, threads=1) == identity(shutil.copytree(model, model.with_name("copy"))) == first
    assert identity(model, precision="bf16")["dtype"] == "bf16"
    assert identity(model, engine="openvino")["engine"] == "openvino"
    assert identity(make_model("other", NAMES, seed=1))["model"] != first["model"]
    (model / "README.md").write_text("a model card")
    assert identity(model) == first
    edit(model / "tokenizer_config.json", model_max_length=8)
    assert identity(model)["model"] != first["model"]


# Refusals


def test_one_string_is_refused(classifier: Classifier) -> None:
    for ask in (classifier.predict, classifier.predict_proba, lambda text: list(classifier.stream(text))):
        with pytest.raises(TypeError, match="got one string"):
            ask("good film")


@pytest.mark.parametrize(("value", "name"), [(None, "NoneType"), (float("nan"), "float"), (3, "int"), (b"x", "bytes")])
def test_values_that_are_not_strings_are_refused(value: Any, name: str, classifier: Classifier) -> None:
    with pytest.raises(TypeError, match=f"got {name} at position 1"):
        classifier.predict(["good", value])


# Streams


def test_a_stream_predicts_in_order(classifier: Classifier) -> None:
    found = list(classifier.stream(iter(TEXTS), chunk=2))
    probabilities = classifier.predict_proba(TEXTS)
    assert [prediction.label for prediction in found] == classifier.predict(TEXTS)
    assert all(list(prediction.probabilities) == NAMES for prediction in found)
    given = [list(prediction.probabilities.values()) for prediction in found]
    assert np.allclose(given, probabilities, atol=1e-6)


def test_a_stream_leaves_unsure_texts_without_a_label(classifier: Classifier) -> None:
    top = classifier.predict_proba(TEXTS).max(axis=1)
    threshold = float(np.median(top)) - 1e-6
    found = list(classifier.stream(TEXTS, chunk=2, threshold=threshold))
    expected = [
        label if sure else None for label, sure in zip(classifier.predict(TEXTS), top >= threshold, strict=True)
    ]
    assert [prediction.label for prediction in found] == expected and None in expected
    assert all(list(prediction.probabilities) == NAMES for prediction in found)
    with pytest.raises(UserError, match="threshold = 50: expected a probability from 0 to 1"):
        list(classifier.stream(TEXTS, threshold=50))


def test_a_stream_is_lazy(classifier: Classifier) -> None:
    taken = 0

    def endless() -> Iterator[str]:
        nonlocal taken
        for text in itertools.cycle(TEXTS):
            taken += 1
            yield text

    stream = classifier.stream(endless(), chunk=4)
    assert taken == 0
    assert [answer.label for answer in itertools.islice(stream, 3)] == classifier.predict(TEXTS[:3])
    assert taken == 4


# scikit-learn


def test_it_is_a_fitted_estimator(classifier: Classifier) -> None:
    from sklearn.frozen import FrozenEstimator
    from sklearn.model_selection import cross_val_predict, cross_val_score

    texts = TEXTS * 3
    labels = classifier.predict(texts)
    frozen = FrozenEstimator(classifier)
    assert classifier.classes_.tolist() == NAMES
    assert cross_val_score(frozen, texts, labels, cv=2).tolist() == [1.0, 1.0]
    assert cross_val_predict(frozen, texts, labels, cv=2).tolist() == labels
    wrong = [NAMES[NAMES.index(label) - 1] for label in labels[3:6]]
    assert classifier.score(TEXTS, [*labels[:3], *wrong]) == 0.5
