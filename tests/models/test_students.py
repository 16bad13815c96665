from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification

from families import FAMILIES, write_family
from understudy.errors import ModelError
from understudy.models.loading import load_classifier, parameter_count
from understudy.models.students import check_layers, from_layers, taken_layers

CLASSES = ["negative", "neutral", "positive"]


@pytest.fixture(scope="module", params=FAMILIES)
def teacher(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A classifier of 4 layers of each family, and the prefix of its layers."""
    folder = tmp_path_factory.mktemp(request.param)
    return FAMILIES[request.param], write_family(folder, request.param, CLASSES)


def logits(model: Any) -> torch.Tensor:
    ids = torch.tensor([[5, 6, 7, 8, 9, 10], [11, 12, 13, 14, 2, 2]])
    mask = torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0]])
    with torch.no_grad():
        return model(input_ids=ids, attention_mask=mask).logits


@pytest.mark.parametrize(
    ("teacher_layers", "student_layers", "taken"),
    [
        (6, 3, [0, 2, 4]),
        (12, 6, [0, 2, 4, 6, 8, 10]),
        (6, 4, [0, 1, 3, 4]),
        (12, 4, [0, 3, 6, 9]),
        (12, 1, [0]),
        (6, 6, [0, 1, 2, 3, 4, 5]),
        (1, 1, [0]),
    ],
)
def test_spread(teacher_layers: int, student_layers: int, taken: list[int]) -> None:
    assert taken_layers(teacher_layers, student_layers, "spread") == taken


@pytest.mark.parametrize(
    ("which", "taken"), [("first", [0, 1, 2]), ("last", [3, 4, 5]), ("spread", [0, 2, 4]), ([0, 4, 5], [0, 4, 5])]
)
def test_which_layers(which: Any, taken: list[int]) -> None:
    assert taken_layers(6, 3, which) == taken


@pytest.mark.parametrize("teacher_layers", range(1, 25))
def test_spread_takes_each_layer_at_most_once(teacher_layers: int) -> None:
    for student_layers in range(1, teacher_layers + 1):
        taken = taken_layers(teacher_layers, student_layers, "spread")
        assert len(set(taken)) == student_layers
        assert taken == sorted(taken)
        assert taken[0] == 0 and taken[-1] < teacher_layers


@pytest.mark.parametrize(("layers", "taken"), [(1, [0]), (2, [0, 2]), (3, [0, 1, 2]), (4, [0, 1, 2, 3])])
def test_exactly_these_layers_and_all_the_rest(teacher: tuple[str, Path], layers: int, taken: list[int]) -> None:
    prefix, folder = teacher
    source = AutoModelForSequenceClassification.from_pretrained(folder).state_dict()
    student = from_layers(folder, layers, CLASSES, seed=0).state_dict()
    expected = {name: value for name, value in source.items() if not name.startswith(f"{prefix}.")}
    assert any("embeddings" in name for name in expected) and any("classifier" in name for name in expected)
    for place, layer in enumerate(taken):
        weights = {name: value for name, value in source.items() if name.startswith(f"{prefix}.{layer}.")}
        assert weights
        expected |= {name.replace(f".{layer}.", f".{place}.", 1): value for name, value in weights.items()}
    assert student.keys() == expected.keys()
    assert [name for name in expected if not torch.equal(student[name], expected[name])] == []


def test_all_layers_give_the_same_logits(teacher: tuple[str, Path]) -> None:
    _, folder = teacher
    source = AutoModelForSequenceClassification.from_pretrained(folder)
    assert torch.equal(logits(from_layers(folder, 4, CLASSES, seed=0)), logits(source))


def test_fewer_layers_give_other_logits(teacher: tuple[str, Path]) -> None:
    _, folder = teacher
    four, two = (logits(from_layers(folder, layers, CLASSES, seed=0)) for layers in (4, 2))
    assert not torch.allclose(four, two, atol=1e-3)


def test_saved_and_opened_by_plain_transformers(teacher: tuple[str, Path], tmp_path: Path) -> None:
    _, folder = teacher
    student = from_layers(folder, 2, CLASSES, seed=0)
    student.save_pretrained(tmp_path / "student")
    again = AutoModelForSequenceClassification.from_pretrained(tmp_path / "student")
    assert torch.equal(logits(again), logits(student))
    assert again.config.num_hidden_layers == 2
    assert again.config.id2label == dict(enumerate(CLASSES))
    assert parameter_count(again) == parameter_count(student)


def test_attention_dropout(teacher: tuple[str, Path]) -> None:
    _, folder = teacher
    name = "attention_dropout" if "distilbert" in folder.name else "attention_probs_dropout_prob"
    assert getattr(from_layers(folder, 2, CLASSES, 0).config, name) == 0.1
    student = from_layers(folder, 2, CLASSES, 0, attention_dropout=0.0)
    assert getattr(student.config, name) == 0.0
    others = [module.p for label, module in student.named_modules() if isinstance(module, torch.nn.Dropout)]
    assert 0.1 in others  # the rest of the dropout stays


def test_an_encoder_gets_a_head_by_the_seed(teacher: tuple[str, Path], tmp_path: Path) -> None:
    family = AutoConfig.from_pretrained(teacher[1]).model_type
    folder = write_family(tmp_path / "encoder", family, None)
    first, same, other = (from_layers(folder, 2, CLASSES, seed).state_dict() for seed in (0, 0, 1))
    differing = [name for name in first if not torch.equal(first[name], other[name])]
    assert [name for name in first if not torch.equal(first[name], same[name])] == []
    assert "classifier.weight" in differing or "classifier.out_proj.weight" in differing
    assert not any("encoder" in name or "embeddings" in name or "transformer." in name for name in differing)


def test_the_source_may_be_trained_on_without_the_student_noticing(teacher: tuple[str, Path]) -> None:
    _, folder = teacher
    student = from_layers(folder, 2, CLASSES, seed=0)
    before = copy.deepcopy(logits(student))
    other = from_layers(folder, 2, CLASSES, seed=0)
    for parameter in other.parameters():
        torch.nn.init.zeros_(parameter)
    assert torch.equal(logits(student), before)
    assert not student.training


@pytest.mark.parametrize("layers", [0, 5, 100])
def test_more_layers_than_there_are(tmp_path: Path, layers: int) -> None:
    folder = write_family(tmp_path / "teacher", "bert", CLASSES)
    for refuse in (lambda: check_layers(folder, layers), lambda: from_layers(folder, layers, CLASSES, 0)):
        with pytest.raises(ModelError, match=f"student.layers = {layers}: .* has 4 layers; choose 1 to 4"):
            refuse()


@pytest.mark.parametrize(("which", "taken"), [("first", [0, 1]), ("last", [2, 3]), ([1, 3], [1, 3])])
def test_a_student_has_the_layers_that_were_asked_for(tmp_path: Path, which: Any, taken: list[int]) -> None:
    folder = write_family(tmp_path / "teacher", "bert", CLASSES)
    source = load_classifier(folder).state_dict()
    student = from_layers(folder, 2, CLASSES, seed=0, which=which).state_dict()
    for place, layer in enumerate(taken):
        name = "bert.encoder.layer.{}.attention.self.query.weight"
        assert torch.equal(student[name.format(place)], source[name.format(layer)])


def test_a_layer_that_is_not_there(tmp_path: Path) -> None:
    folder = write_family(tmp_path / "teacher", "bert", CLASSES)
    with pytest.raises(ModelError, match=r"from_layers = \[1, 4\]: .* has 4 layers; choose numbers from 0 to 3"):
        check_layers(folder, 2, [1, 4])


@pytest.mark.parametrize("family", ["gpt2", "modernbert", "albert"])
def test_other_families_are_refused_by_name(tmp_path: Path, family: str) -> None:
    AutoConfig.for_model(family).save_pretrained(tmp_path)
    with pytest.raises(ModelError) as error:
        check_layers(tmp_path, 2)
    assert f"cannot take layers from a '{family}' model" in str(error.value)
    assert "bert, deberta-v2, distilbert" in str(error.value) and "student.model" in str(error.value)


@pytest.mark.parametrize("family", FAMILIES)
def test_supported_families_pass(tmp_path: Path, family: str) -> None:
    AutoConfig.for_model(family).save_pretrained(tmp_path)
    check_layers(tmp_path, 1)


@pytest.mark.parametrize(
    ("family", "parameters"), [("bert", 109_483_778), ("distilbert", 66_955_010)]
)  # as published; both configs' defaults are those of the base models
def test_published_parameter_counts(family: str, parameters: int) -> None:
    config = AutoConfig.for_model(family, vocab_size=30522)
    with torch.device("meta"):
        model = AutoModelForSequenceClassification.from_config(config)
    assert parameter_count(model) == parameters


def test_six_layers_of_bert_base_are_larger_than_distilbert_by_its_extras() -> None:
    config = AutoConfig.for_model("bert", num_hidden_layers=6)
    with torch.device("meta"):
        model = AutoModelForSequenceClassification.from_config(config)
    token_types = 2 * 768
    assert parameter_count(model) == 66_955_010 + token_types


def test_a_student_of_a_checkpoint_is_the_checkpoint(tmp_path: Path) -> None:
    folder = write_family(tmp_path / "student", "distilbert", CLASSES, layers=2)
    whole = load_classifier(folder, CLASSES)
    assert torch.equal(logits(whole), logits(from_layers(folder, 2, CLASSES, 0)))
