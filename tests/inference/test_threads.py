"""Threads that share a classifier: each gets its own answers, the same as alone, to the last bit."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import WORDS, write_model
from understudy.data.tokens import tokenise
from understudy.evaluation.single import evaluate
from understudy.inference.classifier import Classifier
from understudy.inference.opening import open_classifier
from understudy.models.linear import LinearModel
from understudy.runtime.hardware import fused_attention

KINDS = ["pytorch", "converted", "openvino", "onnx", "linear", "static"]
THREADS = 8
TEXTS = [" ".join(WORDS[(row + place) % len(WORDS)] for place in range(row % 17)) for row in range(64)]
NAMES = ["negative", "positive"]


def write_static(folder: Path) -> Path:
    from transformers import AutoTokenizer

    from understudy.models.static import StaticConfig, StaticForSequenceClassification

    tokenizer = AutoTokenizer.from_pretrained(write_model(folder.with_name("encoder")))
    tokenizer.save_pretrained(folder)
    config = StaticConfig(len(tokenizer), 16, id2label=dict(enumerate(NAMES)), label2id={"negative": 0, "positive": 1})
    StaticForSequenceClassification(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folders(exports: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("kinds")
    labels = np.array([int("good" in text) for text in TEXTS])
    LinearModel.fit(TEXTS, labels, 2, names=NAMES).save(folder / "linear")
    encoder = write_model(folder / "model", NAMES)
    own = {"linear": folder / "linear", "static": write_static(folder / "static")}
    return {**exports, **own, "pytorch": encoder, "converted": encoder}


@pytest.fixture(params=KINDS)
def opened(request: pytest.FixtureRequest, folders: dict[str, Path]) -> Callable[[], Classifier]:
    """Opens a classifier of a kind; its engine is opened by its first use."""
    options: Any = {"engine": "openvino"} if request.param == "converted" else {}
    return lambda: open_classifier(folders[request.param], threads=1, **options)


def at_once(*asked: Callable[[], Any]) -> list[Any]:
    """The answers to questions that start together, each in a thread of its own."""
    start = threading.Barrier(len(asked))

    def ask(question: Callable[[], Any]) -> Any:
        start.wait()
        return question()

    with ThreadPoolExecutor(len(asked)) as pool:
        return list(pool.map(ask, asked))


def test_single_texts(opened: Callable[[], Classifier]) -> None:
    classifier = opened()
    alone = [classifier.predict_proba([text]) for text in TEXTS]
    assert len({answer.tobytes() for answer in alone}) > 10
    with ThreadPoolExecutor(THREADS) as pool:
        together = list(pool.map(lambda text: classifier.predict_proba([text]), TEXTS * 4))
    assert np.array_equal(together, alone * 4)


def test_batches_and_every_method_at_the_first_use(opened: Callable[[], Classifier]) -> None:
    alone, classifier = opened(), opened()
    parts = [TEXTS[start : start + 3 + 5 * start] for start in range(THREADS)]
    asked: list[Callable[[Classifier], Any]] = []
    for part in parts:
        asked += [
            lambda model, part=part: model.predict_proba(part).tolist(),
            lambda model, part=part: model.predict(part),
            lambda model, part=part: list(model.stream(part, chunk=4)),
        ]
    wanted = [ask(alone) for ask in asked]
    for _ in range(3):
        assert at_once(*[lambda ask=ask: ask(classifier) for ask in asked]) == wanted


@pytest.fixture(scope="module")
def quick(folders: dict[str, Path]) -> list[Classifier]:
    """Open classifiers that answer within a millisecond."""
    return [open_classifier(folders[kind], threads=1) for kind in ("linear", "static", "openvino")]


@given(batches=st.lists(st.lists(st.text("good bad\0é好ดี🙂", max_size=40), max_size=5), min_size=2, max_size=THREADS))
@settings(max_examples=20, deadline=None)
def test_any_batches(quick: list[Classifier], batches: list[list[str]]) -> None:
    for classifier in quick:
        alone = [classifier.predict_proba(batch).tolist() for batch in batches]
        together = at_once(*[partial(classifier.predict_proba, batch) for batch in batches])
        assert [answers.tolist() for answers in together] == alone


def test_an_engine_is_opened_once(exports: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    from understudy.inference import exported

    opened: list[Path] = []
    plain = exported.open_graph
    monkeypatch.setattr(exported, "open_graph", lambda folder, *rest: opened.append(folder) or plain(folder, *rest))
    classifier = open_classifier(exports["openvino"])
    found = at_once(*[lambda: classifier.engine] * THREADS)
    assert len(opened) == 1 and len(set(map(id, found))) == 1


def test_many_batches_at_once(exports: dict[str, Path]) -> None:
    """Enough for OpenVINO to give each batch a thread."""
    classifier = open_classifier(exports["openvino"], threads=2)
    many = TEXTS * 100
    wanted = classifier.predict_proba(many)
    for found in at_once(*[lambda: classifier.predict_proba(many)] * 4):
        assert np.array_equal(found, wanted)


def test_evaluations_at_once(folders: dict[str, Path]) -> None:
    classifier = open_classifier(folders["openvino"], threads=1)
    data = {"text": TEXTS, "label": [NAMES[row % 2] for row in range(len(TEXTS))]}
    wanted = evaluate(classifier, data)
    assert at_once(*[lambda: evaluate(classifier, data)] * 4) == [wanted] * 4


def test_one_tokenizer_cuts_at_several_lengths_at_once(folders: dict[str, Path]) -> None:
    tokenizer: Any = open_classifier(folders["openvino"]).tokenizer  # type: ignore[attr-defined]
    many = ["good film " * 20] * 8

    def lengths(longest: int) -> set[int]:
        return {int(length) for _ in range(100) for length in tokenise(many, tokenizer, longest).lengths}

    assert at_once(*[lambda longest=longest: lengths(longest) for longest in (8, 12, 16)]) == [{8}, {12}, {16}]


def test_the_last_thread_restores_the_kernels_of_attention() -> None:
    """PyTorch's choice belongs to the whole process."""
    from torch.backends.cuda import cudnn_sdp_enabled

    before, second, end = cudnn_sdp_enabled(), threading.Event(), threading.Event()

    def other() -> None:
        with fused_attention("cuda"):
            second.set()
            end.wait(10)

    thread = threading.Thread(target=other)
    with fused_attention("cuda"):
        thread.start()
        assert second.wait(10) and not cudnn_sdp_enabled()
    assert not cudnn_sdp_enabled()
    end.set()
    thread.join()
    assert cudnn_sdp_enabled() == before
