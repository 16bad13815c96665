import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from understudy.errors import ModelError
from understudy.models import ngrams
from understudy.models.linear import LinearModel, LinearSettings
from understudy.models.ngrams import NGrams

GOOD = ["a good film", "good and warm", "very good", "warm, good acting"]
BAD = ["a bad film", "bad and cold", "very bad", "cold, bad acting"]
TEXTS = GOOD + BAD
LABELS = np.array([1] * 4 + [0] * 4)


@pytest.fixture(scope="module")
def model() -> LinearModel:
    return LinearModel.fit(TEXTS, LABELS, 2)


def known(model: LinearModel) -> list[str]:
    return [ngram for each in model._ngrams for ngram in each.ngrams]


def topics(classes: int, each: int, seed: int = 0) -> tuple[list[str], np.ndarray]:
    """Texts of one telling word among shared ones."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(classes), each)
    filler = np.array(["the", "of", "and", "card", "please", "my"])
    return [f"{' '.join(rng.choice(filler, 4))} topic{label} now" for label in labels], labels


def test_two_classes_are_learned_and_positive_is_index_1(model):
    probabilities = model.predict_proba(["what a good one", "bad bad bad", "zzz"])

    assert probabilities.dtype == np.float64
    assert probabilities[0, 1] > 0.6
    assert probabilities[1, 0] > 0.6
    assert probabilities[2] == pytest.approx([0.5, 0.5], abs=0.05)


def test_weights_are_naive_bayes_ratios_times_logistic_regression():
    # x is in all texts and carries nothing; u: p = 3/6 against q = 1/6, and for v the same turned round.
    texts, labels = ["x u", "x u", "x v", "x v"], np.array([1, 1, 0, 0])
    fitted = LinearModel.fit(texts, labels, 2)

    assert known(fitted) == ["u", "v", "x u", "x v"]  # that of x is exactly zero, and is gone
    ratio = np.log(3)
    # By symmetry u, v, x u and x v have the same LR coefficient w, the intercept is 0, and w minimises
    # 4 w^2 / 2 + 4 log(1 + exp(-2 ratio w)).
    grid = np.linspace(0, 3, 300_001)
    w = grid[np.argmin(2 * grid**2 + 4 * np.log1p(np.exp(-2 * ratio * grid)))]
    assert fitted._weights == pytest.approx(np.array([[1, -1, 1, -1]]) * w * ratio, abs=1e-3)
    assert fitted._intercepts == pytest.approx([0], abs=1e-3)


def test_counts_are_binary(model):
    assert np.array_equal(model.predict_proba(["good zzz good zzz good"]), model.predict_proba(["good"]))


def test_up_to_three_words_are_seen_together():
    texts = ["not at all bad", "not at all good", "so bad at all", "so good at all"] * 5
    labels = np.array([1, 0, 0, 1] * 5)
    fitted = LinearModel.fit(texts, labels, 2)

    assert (fitted.predict_proba(texts[:4]).argmax(axis=1) == labels[:4]).all()
    assert "at all bad" in known(fitted)


def test_small_sets_need_an_ngram_twice_and_large_ones_three_times(monkeypatch):
    texts, labels = ["aa"] * 3 + ["bb"] * 3 + ["cc"] * 2 + ["dd"], np.array([0, 0, 0, 1, 1, 1, 0, 0, 1])
    small = LinearModel.fit(texts, labels, 2)
    monkeypatch.setattr(ngrams, "_LARGE", 9)
    large = LinearModel.fit(texts, labels, 2)

    assert known(small) == ["aa", "bb", "cc"]
    assert known(large) == ["aa", "bb"]


def test_parameters_are_the_coefficients_that_are_not_zero(model):
    weights = np.array([[0.5, 0.0], [0.0, 0.25], [1, 1]], np.float32)
    fitted = LinearModel([NGrams("binary_words", ["a", "b"])], weights, np.array([0, 1, 2], np.float32), "xyz")

    assert fitted.parameters == 4 + 2
    assert model.parameters == len(known(model)) + np.count_nonzero(model._intercepts)


def test_seventy_seven_classes_of_few_texts_each():
    texts, labels = topics(77, 6)
    fitted = LinearModel.fit(texts, labels, 77)
    fresh, expected = topics(77, 2, seed=1)
    probabilities = fitted.predict_proba(fresh)

    assert probabilities.shape == (154, 77)
    assert np.abs(probabilities.sum(axis=1) - 1).max() < 1e-12
    assert (probabilities.argmax(axis=1) == expected).mean() > 0.95


def test_classes_without_a_text_get_little_and_never_nan():
    fitted = LinearModel.fit(TEXTS, LABELS * 2, 4)
    probabilities = fitted.predict_proba(["good", "bad", ""])

    assert probabilities[:2].argmax(axis=1).tolist() == [2, 0]
    assert (probabilities[:2, [1, 3]] < 0.25).all()
    assert np.isfinite(probabilities).all()


def test_one_class_only_is_the_smoothed_prior():
    fitted = LinearModel.fit(GOOD, np.ones(4, int), 2)

    assert fitted.parameters == 1
    assert fitted.predict_proba(["bad"]) == pytest.approx(np.array([[1 / 6, 5 / 6]]))


@pytest.mark.parametrize("texts", [["", "", ""], ["?!", "...", "*"], ["a b", "c d", "e f"]])
def test_texts_that_share_no_word_give_the_prior(texts):
    fitted = LinearModel.fit(texts, np.array([0, 1, 1]), 2)

    assert fitted.predict_proba(["a"]) == pytest.approx(np.array([[0.4, 0.6]]))  # (1 + 1) : (2 + 1)


def test_a_single_text():
    assert LinearModel.fit(["hello"], np.array([0]), 2).predict_proba(["hello"])[0, 0] > 0.5


def test_scores_far_out_stay_probabilities():
    weights = np.array([[-5e3], [-9e3], [-9e3]], np.float32)
    fitted = LinearModel([NGrams("binary_words", ["w"])], weights, np.zeros(3, np.float32), "xyz")

    assert fitted.predict_proba(["w", ""]) == pytest.approx(np.array([[1, 0, 0], [1 / 3, 1 / 3, 1 / 3]]))


def test_a_text_of_weight_two_counts_like_two_texts():
    texts, labels = TEXTS * 2, np.tile(LABELS, 2)  # every n-gram stands in two texts, so the vocabulary stays the same
    weights = np.array([2, 1, 1, 1, 1, 3, 1, 1] * 2)
    weighted = LinearModel.fit(texts, labels, 2, sample_weight=weights)
    repeated = LinearModel.fit(list(np.repeat(texts, weights)), np.repeat(labels, weights), 2)
    plain = LinearModel.fit(texts, labels, 2)

    assert weighted.predict_proba(TEXTS) == pytest.approx(repeated.predict_proba(TEXTS), abs=1e-3)
    assert np.abs(plain.predict_proba(TEXTS) - weighted.predict_proba(TEXTS)).max() > 0.02


def test_soft_labels_that_are_sure_are_hard_labels():
    soft = np.eye(2)[LABELS]
    assert np.array_equal(
        LinearModel.fit_soft(TEXTS, soft).predict_proba(TEXTS), LinearModel.fit(TEXTS, LABELS, 2).predict_proba(TEXTS)
    )


@pytest.mark.parametrize("classes", [2, 3])
def test_a_soft_label_counts_like_weighted_hard_labels(classes):
    texts = TEXTS * 2
    soft = np.random.default_rng(0).dirichlet(np.ones(classes), len(texts))
    fitted = LinearModel.fit_soft(iter(texts), soft)
    repeated = [text for text in texts for _ in range(classes)]
    labels = np.tile(np.arange(classes), len(texts))
    hard = LinearModel.fit(repeated, labels, classes, sample_weight=soft.reshape(-1))

    assert fitted.predict_proba(TEXTS) == pytest.approx(hard.predict_proba(TEXTS), abs=2e-3)
    assert np.abs(fitted.predict_proba(TEXTS) - 1 / classes).max() > 0.05


def test_soft_labels_for_another_number_of_texts():
    with pytest.raises(ValueError, match="Got 8 texts and 3 rows"):
        LinearModel.fit_soft(TEXTS, np.ones((3, 2)) / 2)


def test_names_are_kept(tmp_path):
    LinearModel.fit(TEXTS, LABELS, 2, names=["bad", "good"]).save(tmp_path)
    assert LinearModel.load(tmp_path).names == ["bad", "good"]


@given(st.lists(st.tuples(st.text(max_size=20), st.integers(0, 2)), min_size=1, max_size=12), st.sampled_from([3, 5]))
@settings(max_examples=25, deadline=None)
def test_whatever_the_texts_rows_sum_to_one_without_a_warning(rows, classes):
    texts, labels = [text for text, _ in rows], np.array([label for _, label in rows])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        probabilities = LinearModel.fit(texts, labels, classes).predict_proba([*texts, ""])

    assert probabilities.shape == (len(rows) + 1, classes)
    assert probabilities.sum(axis=1) == pytest.approx(1, abs=1e-12)


def test_a_text_alone_and_among_others_gets_the_same(model):
    assert np.array_equal(model.predict_proba(TEXTS)[3:4], model.predict_proba(TEXTS[3:4]))
    assert model.predict_proba([]).shape == (0, 2)


def test_fitting_again_gives_the_same_bits_and_leaves_the_global_generator_alone():
    np.random.seed(1)
    state = np.random.get_state()[1].copy()
    first, second = (LinearModel.fit(TEXTS, LABELS, 2) for _ in range(2))

    assert np.array_equal(first._weights, second._weights)
    assert np.array_equal(state, np.random.get_state()[1])


@pytest.mark.parametrize("classes", [2, 3])
def test_saved_and_loaded_is_the_same_to_the_last_bit(tmp_path, classes):
    texts = [*TEXTS, "größer als naïve Übermut", "größer 日本語 naïve"]
    labels = np.append(LABELS, [classes - 1] * 2)
    fitted = LinearModel.fit(texts, labels, classes)
    fitted.save(tmp_path / "new" / "linear")
    loaded = LinearModel.load(tmp_path / "new" / "linear")

    assert "grösser" in known(loaded)
    assert np.array_equal(loaded.predict_proba(texts), fitted.predict_proba(texts))
    assert (loaded.parameters, loaded.classes) == (fitted.parameters, classes)


def test_a_model_without_ngrams_can_be_saved(tmp_path):
    fitted = LinearModel.fit(["", "?"], np.array([0, 1]), 2)
    fitted.save(tmp_path)

    assert np.array_equal(LinearModel.load(tmp_path).predict_proba(["x"]), fitted.predict_proba(["x"]))


def test_a_folder_holds_two_files_and_the_same_bytes_each_time(model, tmp_path):
    for name in ("one", "two"):
        model.save(tmp_path / name)

    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == ["linear.json", "linear.safetensors"]
    for name in ("linear.json", "linear.safetensors"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def drop(name: str):
    return lambda folder: (folder / name).unlink()


def cut(name: str):
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:-9])


def flip(folder: Path) -> None:
    content = bytearray((folder / "linear.safetensors").read_bytes())
    content[-1] ^= 1
    (folder / "linear.safetensors").write_bytes(content)


def edit(**changes):
    def change(folder: Path) -> None:
        settings = json.loads((folder / "linear.json").read_text("utf-8"))
        (folder / "linear.json").write_text(json.dumps({**settings, **changes}), "utf-8")

    return change


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (drop("linear.json"), r"No linear\.json .*expected"),
        (drop("linear.safetensors"), r"No linear\.safetensors .*expected"),
        (cut("linear.json"), r"linear\.json: this is not JSON"),
        (cut("linear.safetensors"), "SHA-256 differs"),
        (flip, "SHA-256 differs"),
        (edit(format=3), "format 3: expected format 4.* Delete the folder and run the same command again"),
        (edit(format="3"), "format: expected 4, got '3'"),
        (edit(ngrams={"binary_words": ["good"]}), r"holds .*expected .*\(1, 1\)"),
        (edit(ngrams={"binary_words": ["good", "good"]}), "ngrams.binary_words: expected each one once"),
        (edit(ngrams={"words": ["good"]}), "ngrams: expected binary_words, got words"),
        (edit(ngrams={}), "ngrams: expected binary_words, got none"),
        (edit(ngrams=None), "ngrams: expected "),
        (edit(ngrams={"binary_words": [1]}), r"ngrams\.binary_words\.0: expected text, got 1"),
        (edit(names=["a", "b", "c"]), r"expected .*\(3,\)"),
        (edit(names=["a"]), "names: expected "),
        (lambda folder: (folder / "linear.json").write_text("[]"), "expected an object"),
        (lambda folder: (folder / "linear.json").write_bytes(b"\xff\xfe"), "this is not JSON"),
    ],
)
def test_a_damaged_folder_is_refused(model, tmp_path, damage, message):
    model.save(tmp_path)
    damage(tmp_path)

    with pytest.raises(ModelError, match=message) as refused:
        LinearModel.load(tmp_path)
    assert "again" in str(refused.value)


@pytest.mark.parametrize(
    ("texts", "labels", "classes", "weight"),
    [
        ([], [], 2, None),
        (["a"], [0, 1], 2, None),
        (["a", "b"], [0, 1], 2, [1.0]),
        (["a", "b"], [0, 2], 2, None),
        (["a", "b"], [0, -100], 2, None),
        (["a", "b"], [0, 0], 1, None),
    ],
)
def test_what_cannot_be_fitted_is_refused(texts, labels, classes, weight):
    with pytest.raises(ValueError, match=r"Got .*expected"):
        LinearModel.fit(texts, np.array(labels), classes, sample_weight=weight)


@pytest.mark.parametrize(
    ("good", "bad", "filler"),
    [
        ("很棒", "很恶", "山花鱼书桌衣云窗园轮雨水"),
        ("ดี", "แย่", "กขคงจชซฐณตถท"),
        ("良い", "悪い", "あかさたなはまやらわん"),
    ],
)
def test_texts_without_spaces_are_read(good, bad, filler):
    rng = np.random.default_rng(0)
    labels = np.arange(80) % 2

    def text(label):
        before, after = ("".join(rng.choice(list(filler), 5)) for _ in range(2))
        return f"{before}{good if label else bad}{after}"

    fitted = LinearModel.fit([text(label) for label in labels], labels, 2)
    assert (fitted.predict_proba([text(label) for label in labels]).argmax(axis=1) == labels).all()


def test_vowel_signs_are_read():
    fitted = LinearModel.fit(["फिल्म की", "फिल्म की", "फिल्म को", "फिल्म को"], np.array([1, 1, 0, 0]), 2)
    assert fitted.predict_proba(["की", "को"]).argmax(axis=1).tolist() == [1, 0]


@pytest.mark.parametrize("features", ["tfidf", "stacked"])
@pytest.mark.parametrize("classes", [2, 3])
def test_words_and_characters_are_saved_and_read_as_they_were_fitted(tmp_path, features, classes):
    labels = LABELS if classes == 2 else np.array([0, 0, 1, 1, 2, 2, 2, 2])
    fitted = LinearModel.fit(TEXTS, labels, classes, settings=LinearSettings(features, 2.0, 1.5))
    fitted.save(tmp_path, {"texts": 8})
    loaded = LinearModel.load(tmp_path)

    asked = [*TEXTS, "", "gooooood", "日本語"]
    assert np.array_equal(loaded.predict_proba(asked), fitted.predict_proba(asked))
    assert all(
        np.array_equal(loaded.predict_proba([text])[0], row)
        for text, row in zip(asked, fitted.predict_proba(asked), strict=True)
    )
    assert loaded.settings == fitted.settings == LinearSettings(features, 2.0, 1.5)
    assert json.loads((tmp_path / "linear.json").read_text("utf-8"))["choice"] == {"texts": 8}


def test_tfidf_is_scikit_learns_apart_from_its_length():
    from sklearn.feature_extraction.text import TfidfVectorizer

    texts = [*TEXTS, "good, warm", "bad? cold!"] * 2
    for kind, options in {
        "words": {"ngram_range": (1, 2), "token_pattern": r"\w+"},
        "characters": {"ngram_range": (3, 5), "analyzer": "char_wb"},
    }.items():
        reference = TfidfVectorizer(sublinear_tf=True, min_df=2, **options)
        expected = reference.fit_transform(texts).toarray()
        found, features = NGrams.fit(kind, texts)
        order = [reference.vocabulary_[name] for name in found.ngrams]
        assert len(order) == expected.shape[1]
        assert features.toarray() / 20**0.5 == pytest.approx(expected[:, order], abs=1e-6)
        assert found.features(texts[:3]).toarray() == pytest.approx(features.toarray()[:3])


def test_the_scale_changes_probabilities_and_no_label():
    plain = LinearModel.fit(TEXTS, LABELS, 2).predict_proba(TEXTS)
    sharp = LinearModel.fit(TEXTS, LABELS, 2, settings=LinearSettings(scale=2.0)).predict_proba(TEXTS)

    logits = np.log(plain[:, 1] / plain[:, 0])
    assert np.log(sharp[:, 1] / sharp[:, 0]) == pytest.approx(2 * logits, abs=1e-4)


def test_operations_are_two_for_each_known_ngram_of_a_text(model):
    assert model.operations(["good", "zzz"]) == 1.0
    assert model.operations([]) == 0.0
