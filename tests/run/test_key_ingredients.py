"""Whatever a result depends on changes its key, one ingredient at a time; everything else does not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from conftest import WORDS, write_model
from understudy.models.loading import Origin
from understudy.run import keys
from understudy.run.keys import Key
from understudy.runtime.hardware import Hardware
from understudy.training.student import Start

CPU = Hardware("cpu", 1)


def corpus(train: str = "t", validation: str = "v", classes: tuple[str, ...] = ("a", "b")) -> Any:
    return SimpleNamespace(
        train=SimpleNamespace(digest=train), validation=SimpleNamespace(digest=validation), classes=list(classes)
    )


def folder(path: Path, content: str = "x") -> Path:
    path.mkdir(parents=True, exist_ok=True)
    (path / "model.safetensors").write_text(content)
    return path


def all_differ(found: list[str]) -> bool:
    return len(set(found)) == len(found)


def edited(model: Path, name: str, **changes: Any) -> None:
    path = model / name
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.fixture
def asked_for(tmp_path: Path, make_recipe: Callable[..., Any]) -> Callable[..., Key]:
    """A teacher's key; every call has another folder, so that nothing is remembered."""

    def key(
        sections: dict[str, Any] | None = None,
        weights: str = "w",
        config: dict[str, Any] | None = None,
        words: list[str] = WORDS,
        seed: int = 0,
        labels: list[str] | None = None,
        **data: Any,
    ) -> Key:
        model = write_model(tmp_path / f"model{len(list(tmp_path.iterdir()))}", labels, words=words)
        edited(model, "config.json", **(config or {}))
        origin = Origin("name", "folder", model, None, weights)
        return keys.teacher_key(make_recipe(**(sections or {})), corpus(**data), origin, CPU, seed)

    return key


def test_a_trained_teacher(asked_for: Callable[..., Key]) -> None:
    base = asked_for()
    others = [
        asked_for(weights="other"),
        asked_for(config={"layer_norm_eps": 0.5}),
        asked_for(words=[*WORDS[1:], "new"]),
        asked_for(train="other"),
        asked_for(validation="other"),
        asked_for(classes=("a", "c")),
        asked_for({"data": {"max_length": 17}}),
        asked_for({"teacher": {"epochs": 9}}),
        asked_for(seed=1),
    ]
    assert all_differ([key.asked for key in (base, *others)])
    assert asked_for().asked == base.asked
    assert asked_for({"teacher": {"checkpoint_steps": 7}, "distillation": {"epochs": 9}}).asked == base.asked
    assert base.made_with["device"] == "cpu" and base.made_with["code"] == keys.CODE["training"]
    assert base.made_with["dtype"] == "fp32"
    assert {"torch", "transformers", "tokenizers"} <= set(base.made_with["versions"])


def test_a_ready_made_teacher_depends_on_no_training_text(asked_for: Callable[..., Key]) -> None:
    base = asked_for(labels=["a", "b"])
    others = [
        asked_for(labels=["a", "b"], weights="other"),
        asked_for(labels=["a", "b"], config={"layer_norm_eps": 0.5}),
        asked_for(labels=["a", "b"], words=[*WORDS[1:], "new"]),
        asked_for({"data": {"max_length": 17}}, labels=["a", "b"]),
        asked_for(labels=["a", "b"], classes=("b", "a")),
        asked_for(),
    ]
    assert all_differ([key.asked for key in (base, *others)])
    assert asked_for(labels=["a", "b"], train="other", validation="other", seed=1).asked == base.asked
    assert set(base.made_with["versions"]) == {"transformers"}


def test_linear_models_and_given_scores() -> None:
    linear = [keys.linear_key(corpus()), keys.linear_key(corpus(train="other")), keys.linear_key(corpus(classes="xy"))]
    scores: list[Any] = [SimpleNamespace(digest="one"), SimpleNamespace(digest="two")]
    given = [keys.scores_key(each, ["a", "b"]) for each in scores] + [keys.scores_key(scores[0], ["a", "c"])]
    student = [keys.linear_student_key(Key("one", {"dtype": "bf16"})), keys.linear_student_key(Key("two"))]
    assert all_differ([key.asked for key in (*linear, *given, *student)])
    assert keys.linear_key(corpus(validation="other")).asked == linear[0].asked
    assert set(linear[0].made_with["versions"]) == {"numpy", "scikit-learn", "scipy"}
    assert linear[0].made_with["code"] == keys.CODE["linear"]
    assert student[0].made_with["soft_labels"] == {"dtype": "bf16"} and student[0].made_with["code"]


def test_soft_labels(tmp_path: Path) -> None:
    one, other = folder(tmp_path / "one"), folder(tmp_path / "other", "y")
    computed = {"dtype": "fp32", "engine": "pytorch"}
    found = [
        keys.soft_labels_key([one], "data", computed),
        keys.soft_labels_key([other], "data", computed),
        keys.soft_labels_key([one, other], "data", computed),
        keys.soft_labels_key([one], "other", computed),
    ]
    assert all_differ([key.asked for key in found])
    in_bf16 = keys.soft_labels_key([one], "data", {"dtype": "bf16", "engine": "openvino"})
    assert in_bf16.asked == found[0].asked and in_bf16.entry != found[0].entry
    assert in_bf16.made_with["engine"] == "openvino" and "openvino" in in_bf16.made_with["versions"]
    assert keys.soft_labels_key([], "data", {}).made_with == {}


def test_where_a_student_starts(tmp_path: Path) -> None:
    one, other = folder(tmp_path / "one"), folder(tmp_path / "other", "y")
    kept: Any = SimpleNamespace(kept=np.array([0, 1, 2]))
    fewer: Any = SimpleNamespace(kept=np.array([0, 2]))
    starts = [
        Start(one, 2),
        Start(other, 2),
        Start(one, 3),
        Start(one, None),
        Start(one, 2, "first"),
        Start(one, 2, vocabulary=kept),
        Start(one, 2, vocabulary=fewer),
        Start(one, 2, static=True),
    ]
    assert all_differ([keys.start_key(start) for start in starts])


def test_students_and_controls(tmp_path: Path, make_recipe: Callable[..., Any], finished: Any) -> None:
    start, soft = Start(finished.out / "teacher", 2), Key("soft", {"dtype": "bf16"})

    def key(
        sections: dict[str, Any] | None = None, data: str = "d", of: Key | None = soft, start: Start = start
    ) -> Key:
        return keys.student_key(make_recipe(**(sections or {})), data, CPU, start, of)

    base, control = key(), key(of=None)
    others = [
        key(data="other"),
        key(of=Key("other")),
        control,
        key(start=Start(finished.out / "teacher", 1)),
        key({"data": {"max_length": 17}}),
        key({"distillation": {"epochs": 9}}),
        key({"distillation": {"temperature": 7.0}}),
        key({"seed": 5}),
    ]
    assert all_differ([each.asked for each in (base, *others)])
    assert key(of=Key("soft", {"dtype": "fp32"})).asked == base.asked
    assert base.made_with["soft_labels"] == {"dtype": "bf16"} and "soft_labels" not in control.made_with
    for option, value in (("temperature", 7.0), ("alpha", 0.1), ("objective", "mse")):
        assert key({"distillation": {option: value}}, of=None).asked == control.asked
    assert key({"distillation": {"epochs": 9}}, of=None).asked != control.asked


def test_the_figures(tmp_path: Path, make_recipe: Callable[..., Any]) -> None:
    one, other = folder(tmp_path / "one"), folder(tmp_path / "other", "y")
    computed = {"dtype": "fp32", "engine": "pytorch"}
    found = [
        keys.evaluation_key(make_recipe(), "data", {"student": one}, computed),
        keys.evaluation_key(make_recipe(), "other", {"student": one}, computed),
        keys.evaluation_key(make_recipe(), "data", {"student": other}, computed),
        keys.evaluation_key(make_recipe(), "data", {"teacher": one}, computed),
        keys.evaluation_key(make_recipe(evaluation={"resamples": 300}), "data", {"student": one}, computed),
    ]
    assert all_differ([key.asked for key in found])
    assert found[0].made_with["figures"] == keys.CODE["figures"]
    assert {"dtype", "engine", "code", "versions"} <= set(found[0].made_with)


def test_every_kind_of_result_has_a_name_of_its_own(
    monkeypatch: pytest.MonkeyPatch, asked_for: Callable[..., Key]
) -> None:
    monkeypatch.setattr(keys, "fingerprint", lambda **parts: parts.get("kind"))
    named: list[Any] = [keys.linear_key(corpus()).asked, keys.linear_student_key(Key("x")).asked]
    named.append(keys.scores_key(SimpleNamespace(digest="x"), []).asked)  # type: ignore[arg-type]
    named += [asked_for().asked, asked_for(labels=["a", "b"]).asked]
    assert named == ["linear", "linear student", "scores", "teacher", "teacher"]


def test_the_kernel_is_that_of_training(monkeypatch: pytest.MonkeyPatch, make_recipe: Callable[..., Any]) -> None:
    """In bf16 on a CPU, training takes another kernel than answering."""
    monkeypatch.setattr(keys, "load_config", lambda path: None)
    monkeypatch.setattr(keys, "supports_per_text", lambda config: False)
    options = make_recipe(distillation={"precision": "bf16", "attention": "auto"}).distillation
    assert keys._training(options, Path(), CPU)["attention"] == "eager"
    monkeypatch.setattr(keys, "supports_per_text", lambda config: True)
    assert keys._training(options, Path(), CPU)["attention"] == "per_text"
