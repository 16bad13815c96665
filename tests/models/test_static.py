from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoModelForSequenceClassification

from families import write_family
from understudy.models.loading import classifier_labels, load_classifier
from understudy.models.students import static_student

CLASSES = ["bad", "good"]


def test_logits_are_those_of_the_mean_embedding(tmp_path: Path) -> None:
    model = static_student(write_family(tmp_path, "bert", CLASSES), CLASSES, seed=0, dimensions=8)
    ids = torch.tensor([[5, 6, 7, 0], [8, 9, 0, 0]])
    mask = torch.tensor([[1, 1, 1, 0], [1, 1, 0, 0]])
    weight = model.get_input_embeddings().weight
    expected = torch.stack([weight[[5, 6, 7]].mean(dim=0), weight[[8, 9]].mean(dim=0)])
    with torch.no_grad():
        got = model(input_ids=ids, attention_mask=mask).logits
        assert torch.allclose(got, model.classifier(expected), atol=1e-6)


def test_embeddings_keep_what_tells_tokens_apart(tmp_path: Path) -> None:
    """All components are kept here, so distances between tokens are those of the encoder, up to one factor."""
    folder = write_family(tmp_path, "bert", CLASSES)
    words = load_classifier(folder).get_input_embeddings().weight.detach()[1:]
    static = static_student(folder, CLASSES, seed=0, dimensions=100)
    reduced = static.get_input_embeddings().weight.detach()[1:]
    assert reduced.shape == words.shape
    ratio = torch.cdist(reduced, reduced)[0, 1:] / torch.cdist(words, words)[0, 1:]
    assert torch.allclose(ratio, ratio[0].expand_as(ratio), rtol=1e-3)
    assert torch.equal(static.get_input_embeddings().weight[0], torch.zeros(16))  # padding


def test_it_opens_like_any_classifier(tmp_path: Path) -> None:
    model = static_student(write_family(tmp_path / "encoder", "bert", CLASSES), CLASSES, seed=0)
    model.save_pretrained(tmp_path / "static")
    assert classifier_labels(tmp_path / "static") == CLASSES
    for opened in (
        load_classifier(tmp_path / "static"),
        AutoModelForSequenceClassification.from_pretrained(tmp_path / "static"),
    ):
        assert all(torch.equal(value, opened.state_dict()[name]) for name, value in model.state_dict().items())


def test_the_same_seed_gives_the_same_student(tmp_path: Path) -> None:
    folder = write_family(tmp_path, "bert", CLASSES)
    first, again, other = (static_student(folder, CLASSES, seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(value, again[name]) for name, value in first.items())
    assert not torch.equal(first["classifier.weight"], other["classifier.weight"])
