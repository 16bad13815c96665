from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification

from understudy.errors import ModelError
from understudy.models.loading import (
    classifier_labels,
    load_classifier,
    load_config,
    load_tokenizer,
    longest_input,
    parameter_count,
    unnamed,
)

MakeModel = Callable[..., Path]


def change_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], Any]) -> None:
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def change_config(folder: Path, **changes: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))


# Configs


@pytest.mark.parametrize(
    "changes",
    [
        {"model_type": "nonsense"},
        {"model_type": None},
        {"model_type": ["bert"]},
        {"hidden_size": "wide"},
        {"id2label": 3},
    ],
)
def test_a_config_that_transformers_cannot_open(make_model: MakeModel, changes: dict[str, Any]) -> None:
    folder = make_model()
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))
    with pytest.raises(ModelError, match=r"The config\.json in .* cannot be opened"):
        load_config(folder)


# Tokenizers


def test_a_tokenizer(make_model: MakeModel) -> None:
    assert load_tokenizer(make_model()).is_fast


@pytest.mark.parametrize("content", ["", "{", "[]", '{"model": {"type": "nonsense"}}'])
def test_a_damaged_tokenizer(make_model: MakeModel, content: str) -> None:
    folder = make_model()
    (folder / "tokenizer.json").write_text(content)
    with pytest.raises(ModelError, match=r"The tokenizer in .* cannot be opened"):
        load_tokenizer(folder)


def test_no_tokenizer(make_model: MakeModel) -> None:
    folder = make_model()
    for path in folder.glob("tokenizer*"):
        path.unlink()
    with pytest.raises(ModelError, match="tokenizer"):
        load_tokenizer(folder)


def test_a_tokenizer_without_padding(make_model: MakeModel) -> None:
    folder = make_model()
    config = json.loads((folder / "tokenizer_config.json").read_text())
    config |= {"tokenizer_class": "PreTrainedTokenizerFast"}
    config.pop("pad_token", None)
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="no padding token"):
        load_tokenizer(folder)


# Classifiers


def test_a_classifier_is_opened_as_it_is(make_model: MakeModel) -> None:
    folder = make_model(classes=["no", "yes"])
    model = load_classifier(folder)
    plain = AutoModelForSequenceClassification.from_pretrained(folder)
    assert [
        name for name, value in plain.state_dict().items() if not torch.equal(value, model.state_dict()[name])
    ] == []
    assert model.config.id2label == {0: "no", 1: "yes"}
    assert model.dtype == torch.float32 and not model.training


def test_an_encoder_gets_a_head_by_the_seed(make_model: MakeModel) -> None:
    folder = make_model()
    first, same, other = (load_classifier(folder, ["a", "b", "c"], seed).state_dict() for seed in (0, 0, 1))
    assert first["classifier.weight"].shape == (3, 16)
    assert torch.equal(first["classifier.weight"], same["classifier.weight"])
    assert not torch.equal(first["classifier.weight"], other["classifier.weight"])
    encoder = load_file(folder / "model.safetensors")
    assert all(torch.equal(first[f"bert.{name}"], value) for name, value in encoder.items())


def test_another_number_of_classes_gets_a_new_head(make_model: MakeModel) -> None:
    folder = make_model(classes=["no", "yes"])
    model = load_classifier(folder, ["a", "b", "c"])
    assert model.config.id2label == {0: "a", 1: "b", 2: "c"}
    assert model.config.label2id == {"a": 0, "b": 1, "c": 2}
    assert model.classifier.weight.shape == (3, 16)
    assert torch.equal(
        model.state_dict()["bert.pooler.dense.weight"],
        load_file(folder / "model.safetensors")["bert.pooler.dense.weight"],
    )


def test_the_same_number_of_classes_keeps_the_head(make_model: MakeModel) -> None:
    folder = make_model(classes=["LABEL_0", "LABEL_1"])
    model = load_classifier(folder, ["no", "yes"])
    assert torch.equal(model.classifier.weight, load_file(folder / "model.safetensors")["classifier.weight"])
    assert model.config.id2label == {0: "no", 1: "yes"}


@pytest.mark.parametrize("classes", [None, ["no", "yes"]])
def test_a_head_that_is_missing_is_not_made_up(make_model: MakeModel, classes: list[str] | None) -> None:
    folder = make_model(classes=["no", "yes"])
    change_weights(folder, lambda weights: [weights.pop(f"classifier.{name}") for name in ("weight", "bias")])
    with pytest.raises(
        ModelError, match=r"wrong shape, for classifier\.bias and 1 more\. Expected a classifier with 2"
    ):
        load_classifier(folder, classes)


@pytest.mark.parametrize("classes", [None, ["a", "b"], ["a", "b", "c"]])
def test_a_head_that_does_not_fit_the_names(make_model: MakeModel, classes: list[str] | None) -> None:
    folder = make_model(classes=["no", "yes"])
    change_config(folder, id2label={"0": "a", "1": "b", "2": "c"})
    with pytest.raises(
        ModelError, match=r"names 3 classes, but the head has 2|a classifier with 3 classes, as id2label"
    ):
        load_classifier(folder, classes)


def test_a_language_model_has_no_pooler(make_model: MakeModel) -> None:
    folder = make_model()
    change_weights(folder, lambda weights: [weights.pop(f"pooler.dense.{name}") for name in ("weight", "bias")])
    assert load_classifier(folder, ["a", "b"]).config.num_labels == 2


def test_half_precision_weights_become_fp32(make_model: MakeModel) -> None:
    folder = make_model()
    change_weights(folder, lambda weights: weights.update({name: value.half() for name, value in weights.items()}))
    model = load_classifier(folder, ["a", "b"])
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_attention_dropout(make_model: MakeModel, dropout: float) -> None:
    folder = make_model()
    assert load_classifier(folder, ["a", "b"]).config.attention_probs_dropout_prob == 0.1
    model = load_classifier(folder, ["a", "b"], attention_dropout=dropout)
    assert model.config.attention_probs_dropout_prob == dropout
    assert model.bert.encoder.layer[0].attention.self.dropout.p == dropout
    assert not hasattr(model.config, "attention_dropout")


def test_an_encoder_without_classes_is_no_classifier(make_model: MakeModel) -> None:
    with pytest.raises(
        ModelError,
        match=r"weights are missing, or have the wrong shape, for classifier\.bias and 1 more\. Expected a fine-tuned",
    ):
        load_classifier(make_model())


@pytest.mark.parametrize("classes", [None, ["no", "yes"], ["a", "b", "c"]])
def test_weights_that_are_not_there_are_not_made_up(make_model: MakeModel, classes: list[str] | None) -> None:
    folder = make_model(classes=["no", "yes"])
    name = "bert.encoder.layer.1.output.dense.weight"
    change_weights(folder, lambda weights: weights.pop(name))
    with pytest.raises(ModelError, match=f"weights are missing, or have the wrong shape, for {name}"):
        load_classifier(folder, classes)


def test_weights_of_another_size_are_not_made_up(make_model: MakeModel) -> None:
    folder = make_model()
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"vocab_size": config["vocab_size"] + 5}))
    with pytest.raises(
        ModelError, match=r"weights are missing, or have the wrong shape, for bert\.embeddings\.word_embeddings\.weight"
    ):
        load_classifier(folder, ["a", "b"])


@pytest.mark.parametrize("kept", [0, 7, 100, -10])
def test_truncated_weights(make_model: MakeModel, kept: int) -> None:
    folder = make_model(classes=["no", "yes"])
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ModelError, match="cannot be opened as a text classifier"):
        load_classifier(folder)


def test_a_family_that_classifies_no_text(make_model: MakeModel) -> None:
    from transformers import ViTConfig

    folder = make_model()
    ViTConfig().save_pretrained(folder)
    with pytest.raises(ModelError, match="cannot be opened as a text classifier"):
        load_classifier(folder, ["a", "b"])


# Small ones


def test_classifier_labels(make_model: MakeModel) -> None:
    assert classifier_labels(make_model("encoder")) is None
    assert classifier_labels(make_model("classifier", classes=["b", "a", "c"])) == ["b", "a", "c"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"id2label": {"1": "no", "2": "yes"}}, "has the numbers 1, 2; expected 0 to 1"),
        ({"id2label": {"0": "no", "2": "yes"}}, "has the numbers 0, 2; expected 0 to 1"),
        ({"id2label": {"-1": "no", "0": "yes"}}, "has the numbers -1, 0; expected 0 to 1"),
        ({"id2label": {"0": "no", "00": "yes"}}, "has the numbers 0, 00; expected 0 to 1"),
        ({"id2label": {}}, "has the numbers none; expected 0 to 0"),
        ({"id2label": {"0": "no", "1": "no"}}, "names two classes 'no'; expected different names"),
        ({"num_labels": 3}, "has the numbers 0, 1 and num_labels = 3; expected 0 to 2"),
        ({"id2label": {"0": "no", "1": " "}}, "has the name ' '; expected a string"),
        ({"id2label": {"0": 0, "1": 1}}, "has the name 0; expected a string"),
    ],
)
def test_classes_that_are_not_named_properly(make_model: MakeModel, changes: dict[str, Any], words: str) -> None:
    folder = make_model(classes=["no", "yes"])
    change_config(folder, **changes)
    for opened in (classifier_labels, load_classifier, lambda folder: load_classifier(folder, ["no", "yes"])):
        with pytest.raises(ModelError, match=f"config.json: id2label {words}.* Correct it there"):
            opened(folder)


def test_an_encoders_names_are_not_looked_at(make_model: MakeModel) -> None:
    folder = make_model()
    change_config(folder, id2label={"1": "no", "2": "no"})
    assert classifier_labels(folder) is None
    assert load_classifier(folder, ["a", "b"]).config.id2label == {0: "a", 1: "b"}


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["LABEL_0", "LABEL_1"], True),
        (["LABEL_1", "LABEL_0"], False),
        (["LABEL_0", "yes"], False),
        (["no", "yes"], False),
    ],
)
def test_unnamed(labels: list[str], expected: bool) -> None:
    assert unnamed(labels) is expected


def test_parameter_count() -> None:
    shared = torch.nn.Linear(3, 2)
    assert parameter_count(torch.nn.ModuleList([shared, torch.nn.Linear(2, 2), shared])) == 8 + 6  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("config", "longest"),
    [
        (SimpleNamespace(model_type="bert", max_position_embeddings=512), 512),
        (SimpleNamespace(model_type="roberta", max_position_embeddings=514, pad_token_id=1), 512),
        (SimpleNamespace(model_type="mpnet", max_position_embeddings=514, pad_token_id=1), 512),
        (SimpleNamespace(model_type="xlnet"), None),
    ],
    ids=lambda value: getattr(value, "model_type", ""),
)
def test_longest_input(config: Any, longest: int | None) -> None:
    assert longest_input(config) == longest


def test_robertas_longest_input_is_what_it_can_take() -> None:
    from transformers import RobertaConfig, RobertaModel

    config = RobertaConfig(
        vocab_size=10, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8,
        max_position_embeddings=20, pad_token_id=1,
    )  # fmt: skip
    model = RobertaModel(config)
    longest = longest_input(config)
    assert longest == 18
    model(torch.full((1, longest), 5))
    with pytest.raises((IndexError, RuntimeError)):
        model(torch.full((1, longest + 1), 5))
