"""One model on one labelled source: labels match classes by number or by name, and figures are scikit-learn's."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, f1_score, roc_auc_score

from understudy.data.frames import as_table
from understudy.data.sources import read
from understudy.data.tables import Table
from understudy.errors import DataError
from understudy.evaluation.single import SingleEvaluation, evaluate, evaluate_model, matched_labels
from understudy.inference.classifier import Classifier
from understudy.inference.opening import open_classifier

TEXTS = ["good film", "bad story", "the film was very dull", "great", "awful and bad", "fine but not great"] * 4
NAMES = ["negative", "positive"]


@pytest.fixture
def classifier(make_model: Callable[..., Path]) -> Classifier:
    return open_classifier(make_model("model", NAMES), device="cpu")


def labels(number: int, classes: int) -> list[int]:
    return np.random.default_rng(0).integers(0, classes, number).tolist()


def write(path: Path, values: list[Any]) -> str:
    rows = [json.dumps({"text": text, "label": value}) for text, value in zip(TEXTS, values, strict=True)]
    path.write_text("\n".join(rows) + "\n")
    return str(path)


def measure(classifier: Classifier, data: str | Table, **columns: str) -> SingleEvaluation:
    return evaluate_model(classifier, data, name="model", **columns)


def test_figures_are_those_of_scikit_learn(classifier: Classifier, tmp_path: Path) -> None:
    true = labels(24, 2)
    found = measure(classifier, write(tmp_path / "data.jsonl", true))
    probabilities = classifier.predict_proba(TEXTS)
    predicted = probabilities.argmax(axis=1)
    assert 0 < found.metrics.accuracy < 1
    assert found.metrics.accuracy == pytest.approx(accuracy_score(true, predicted))
    assert found.metrics.f1 == pytest.approx(f1_score(true, predicted))
    assert found.metrics.auc == pytest.approx(roc_auc_score(true, probabilities[:, 1]))
    low, high = found.accuracy_ci95
    assert low < found.metrics.accuracy < high
    assert (found.model, found.texts, found.dtype) == ("model", 24, "fp32")
    assert found.metrics.parameters == sum(parameter.numel() for parameter in classifier.model.parameters())
    assert found.metrics.bytes == 4 * found.metrics.parameters


def test_three_classes_have_macro_figures(make_model: Callable[..., Path], tmp_path: Path) -> None:
    classifier = open_classifier(make_model("three", ["a", "b", "c"], seed=1), device="cpu")
    true = labels(24, 3)
    found = measure(classifier, write(tmp_path / "data.jsonl", true))
    predicted = classifier.predict_proba(TEXTS).argmax(axis=1)
    assert found.metrics.f1 == pytest.approx(
        f1_score(true, predicted, labels=[0, 1, 2], average="macro", zero_division=0)
    )


def test_integers_match_classes_by_number_and_strings_by_name(classifier: Classifier, tmp_path: Path) -> None:
    true = labels(24, 2)
    by_number = measure(classifier, write(tmp_path / "numbers.jsonl", true))
    by_name = measure(classifier, write(tmp_path / "names.jsonl", [NAMES[label] for label in true]))
    by_digit = measure(classifier, write(tmp_path / "digits.jsonl", [str(label) for label in true]))
    assert by_number.metrics == by_name.metrics == by_digit.metrics
    swapped = measure(classifier, write(tmp_path / "swapped.jsonl", [1 - label for label in true]))
    assert swapped.metrics.accuracy == pytest.approx(1 - by_number.metrics.accuracy)


def test_a_source_with_one_class_only(classifier: Classifier, tmp_path: Path) -> None:
    found = measure(classifier, write(tmp_path / "data.jsonl", ["positive"] * 24))
    assert found.metrics.auc is None


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("neutral", "data.jsonl row 3 has the label 'neutral': expected one of negative, positive"),
        (None, "data.jsonl row 3 has no label"),
        ("", "data.jsonl row 3 has no label"),
        (0.5, "label 0.5"),
        ([0, 1], r"label \[0, 1\]"),
    ],
)
def test_labels_that_the_model_does_not_have(value: Any, message: str, classifier: Classifier, tmp_path: Path) -> None:
    values: list[Any] = ["negative", "positive"] * 12
    values[2] = value
    with pytest.raises(DataError, match=message):
        measure(classifier, write(tmp_path / "data.jsonl", values))


def test_integers_that_the_model_does_not_have(classifier: Classifier, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has the label 2"):
        measure(classifier, write(tmp_path / "data.jsonl", [0, 1, 2] * 8))


def test_strings_and_integers_together(classifier: Classifier, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected one type"):
        measure(classifier, write(tmp_path / "data.jsonl", ["negative", 1] * 12))


def test_a_source_without_rows_or_without_the_column(classifier: Classifier, tmp_path: Path) -> None:
    (tmp_path / "empty.csv").write_text("text,label\n")
    with pytest.raises(DataError, match="has no rows"):
        measure(classifier, str(tmp_path / "empty.csv"))
    (tmp_path / "other.csv").write_text("review,stars\ngood,1\n")
    with pytest.raises(DataError, match="no column 'text'"):
        measure(classifier, str(tmp_path / "other.csv"))


def test_columns_can_be_named(classifier: Classifier, tmp_path: Path) -> None:
    (tmp_path / "other.csv").write_text("review,stars\ngood,1\nbad,0\n")
    assert measure(classifier, str(tmp_path / "other.csv"), text="review", label="stars").texts == 2


def test_nothing_is_computed_before_the_labels_are_known_to_be_good(
    classifier: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*_: Any) -> None:
        raise AssertionError("the model was asked")

    monkeypatch.setattr(Classifier, "predict_proba", forbidden)
    with pytest.raises(DataError):
        measure(classifier, write(tmp_path / "data.jsonl", ["neutral"] * 24))


# Tables that are already read, and their own class names


def named(names: list[str], values: list[Any] | None) -> Table:
    return Table("hub", TEXTS, values, names)


def test_the_same_names_in_another_order_are_matched_by_name(classifier: Classifier, tmp_path: Path) -> None:
    true = labels(24, 2)
    expected = measure(classifier, write(tmp_path / "data.jsonl", true))
    found = measure(classifier, named(["positive", "negative"], [1 - label for label in true]))
    assert (found.data, found.metrics) == ("hub", expected.metrics)


@pytest.mark.parametrize(
    ("classes", "values", "expected"),
    [
        (["1", "2"], [1, 2] * 12, [0, 1] * 12),
        (["1", "2"], [1] * 24, [0] * 24),
        (["1", "2"], ["2", "1"] * 12, [1, 0] * 12),
        (["1", "0"], [0, 1] * 12, [1, 0] * 12),
        (["1", "-1"], [-1.0, 1.0] * 12, [1, 0] * 12),
        (["True", "False"], [True, False] * 12, [0, 1] * 12),
    ],
)
def test_integers_that_are_class_names_are_matched_by_name(
    classes: list[str], values: list[Any], expected: list[int], tmp_path: Path
) -> None:
    table = read(write(tmp_path / "data.jsonl", values))
    assert matched_labels(table, "data", classes, "model").tolist() == expected


def test_integers_of_which_only_some_are_class_names_are_refused() -> None:
    with pytest.raises(DataError, match=r"class names \(1\), and others are not \(0\)"):
        matched_labels(Table("data", TEXTS, [0, 1] * 12), "data", ["1", "2"], "model")


def test_a_source_that_names_some_classes_is_matched_by_name(caplog: pytest.LogCaptureFixture) -> None:
    table = named(["positive", "negative"], [0, 1] * 12)
    with caplog.at_level(logging.WARNING, "understudy"):
        assert matched_labels(table, "hub", ["neutral", *NAMES], "model").tolist() == [2, 1] * 12
    assert not caplog.records
    with pytest.raises(DataError, match="has the label 'neutral'"):
        matched_labels(named(["neutral", *NAMES], [0, 1] * 12), "hub", NAMES, "model")


@pytest.mark.parametrize("kind", ["Int64", "int8", "Float64"])
def test_numbers_of_pandas(kind: str) -> None:
    frame = pd.DataFrame({"text": TEXTS, "label": pd.array([1, 2] * 12, dtype=kind)})
    assert matched_labels(as_table(frame), "frame", ["2", "1"], "model").tolist() == [1, 0] * 12
    frame.loc[2, "label"] = pd.NA if kind != "int8" else 3
    with pytest.raises(DataError, match=r"row 3 has no label|others are not \(3\)"):
        matched_labels(as_table(frame), "frame", ["2", "1"], "model")


def test_a_table_without_labels_or_rows_is_refused(classifier: Classifier) -> None:
    with pytest.raises(DataError, match="hub row 1 has no label"):
        measure(classifier, named(NAMES, None))
    with pytest.raises(DataError, match="empty has no rows"):
        measure(classifier, Table("empty", [], []))


def test_other_names_are_matched_by_number_with_a_warning(
    classifier: Classifier, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    true = labels(24, 2)
    expected = measure(classifier, write(tmp_path / "data.jsonl", true))
    with caplog.at_level(logging.WARNING, "understudy"):
        assert measure(classifier, named(["neg", "pos"], true)).metrics == expected.metrics
    message = "The classes of hub are neg, pos, those of model are negative, positive. They are matched by number;"
    assert message in caplog.text


def test_a_model_without_names_is_matched_by_number_with_a_warning(
    make_model: Callable[..., Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    classifier = open_classifier(make_model("unnamed", ["LABEL_0", "LABEL_1"]), device="cpu")
    with caplog.at_level(logging.WARNING, "understudy"):
        found = measure(classifier, write(tmp_path / "data.jsonl", labels(24, 2)))
    assert found.texts == 24
    assert "model has no class names; labels are matched by number." in caplog.text


# The public function


def test_a_model_may_be_a_path_or_open_and_the_data_in_memory(make_model: Callable[..., Path], tmp_path: Path) -> None:
    folder, rows = (
        make_model("model", NAMES),
        {"body": ["good film", "bad story", "fine"], "kind": [NAMES[0], NAMES[1], NAMES[0]]},
    )
    (tmp_path / "rows.jsonl").write_text(
        "".join(json.dumps({"body": text, "kind": kind}) + "\n" for text, kind in zip(*rows.values(), strict=True))
    )
    from_file = evaluate(folder, tmp_path / "rows.jsonl", text="body", label="kind", device="cpu")
    in_memory = evaluate(folder, rows, text="body", label="kind", device="cpu")
    opened = evaluate(open_classifier(folder, device="cpu"), rows, text="body", label="kind")
    assert from_file.metrics == in_memory.metrics == opened.metrics
    assert (from_file.model, from_file.texts, opened.model) == (str(folder), 3, str(folder))
    with pytest.raises(TypeError, match="got an open classifier and threads"):
        evaluate(open_classifier(folder), rows, threads=1)
