"""A smaller vocabulary: what is kept, that kept words read as before, and that anything can load the result."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedTokenizerFast

from families import write_family
from understudy.errors import ModelError
from understudy.models.loading import load_classifier, load_tokenizer
from understudy.models.vocabulary import prune_embeddings, prune_vocabulary

CLASSES = ["bad", "good"]
TEXTS = ["the good film was good", "a bad story, not a good one", "der gute Film war ein schöner Film"] * 3
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
KINDS = ["wordpiece", "bpe", "unigram"]


def trained(kind: str) -> PreTrainedTokenizerFast:
    """A tokenizer of its kind, trained on more words than the texts have; as RoBERTa and XLM-RoBERTa have it."""
    corpus = [*TEXTS, "unread words nobody ever writes again", "zebra zigzag quartz fjord"] * 5
    trainer: Any
    if kind == "bpe":
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(vocab_size=500, special_tokens=SPECIAL, initial_alphabet=alphabet)
    elif kind == "unigram":
        tokenizer = Tokenizer(models.Unigram())
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
        trainer = trainers.UnigramTrainer(vocab_size=120, special_tokens=SPECIAL, unk_token="<unk>")
    else:
        tokenizer = Tokenizer(models.WordPiece(unk_token="<unk>"))
        tokenizer.normalizer = normalizers.Lowercase()
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        trainer = trainers.WordPieceTrainer(vocab_size=300, special_tokens=SPECIAL)
    tokenizer.train_from_iterator(corpus, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    names = dict(zip(("bos_token", "pad_token", "eos_token", "unk_token", "mask_token"), SPECIAL, strict=True))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)


def counts(tokenizer: Any, texts: Sequence[str]) -> np.ndarray:
    ids = np.concatenate([tokenizer(text)["input_ids"] for text in texts])
    return np.bincount(ids, minlength=len(tokenizer))


@pytest.mark.parametrize("kind", KINDS)
def test_texts_whose_tokens_are_kept_read_as_before(kind: str) -> None:
    tokenizer = trained(kind)
    pruned = prune_vocabulary(tokenizer, counts(tokenizer, TEXTS), len(tokenizer))
    assert len(pruned.tokenizer) == len(pruned.kept) < len(tokenizer)
    for text in TEXTS:
        assert pruned.tokenizer.tokenize(text) == tokenizer.tokenize(text)
        assert pruned.kept[pruned.tokenizer(text)["input_ids"]].tolist() == tokenizer(text)["input_ids"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_word_that_lost_its_token_falls_apart_into_kept_ones(kind: str) -> None:
    tokenizer = trained(kind)
    pruned = prune_vocabulary(tokenizer, counts(tokenizer, TEXTS), len(tokenizer)).tokenizer
    word = "zebra"
    assert len(pruned.tokenize(word)) > len(tokenizer.tokenize(word))
    assert pruned.unk_token not in pruned.tokenize(word)
    assert "".join(pruned.tokenize(word)).replace("##", "").strip("\N{LOWER ONE EIGHTH BLOCK}") == word


@pytest.mark.parametrize("kind", KINDS)
def test_fewer_than_are_used_keeps_the_most_used(kind: str) -> None:
    tokenizer = trained(kind)
    used = counts(tokenizer, TEXTS)
    smallest = len(prune_vocabulary(tokenizer, np.zeros(len(tokenizer)), len(tokenizer)).kept)
    pruned = prune_vocabulary(tokenizer, used, smallest + 40)
    assert len(pruned.kept) <= smallest + 40
    assert int(used.argmax()) in pruned.kept
    assert used[pruned.kept].sum() > 0.7 * used.sum()
    assert pruned.tokenizer.unk_token_id not in pruned.tokenizer(TEXTS[0])["input_ids"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_number_too_small_for_the_characters(kind: str) -> None:
    tokenizer = trained(kind)
    with pytest.raises(ModelError, match=r"student.vocabulary = 6 is too small: \d+ special tokens"):
        prune_vocabulary(tokenizer, counts(tokenizer, TEXTS), 6)


def test_the_special_tokens_of_bert_stay(make_model: Callable[..., Path]) -> None:
    tokenizer = load_tokenizer(make_model())
    pruned = prune_vocabulary(tokenizer, counts(tokenizer, ["good film"]), 10)
    assert pruned.tokenizer.convert_ids_to_tokens(pruned.tokenizer("good film")["input_ids"]) == [
        "[CLS]", "good", "film", "[SEP]",
    ]  # fmt: skip
    assert set(pruned.tokenizer.get_vocab()) == {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "film", "a"}


def test_other_kinds_of_tokenizer_are_refused() -> None:
    words = Tokenizer(models.WordLevel({"<unk>": 0, "good": 1}, unk_token="<unk>"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>", pad_token="<unk>")
    with pytest.raises(ModelError, match="cannot prune a WordLevel tokenizer; expected WordPiece, BPE or Unigram"):
        prune_vocabulary(tokenizer, np.ones(2), 2)


@pytest.mark.parametrize(
    ("family", "kind"),
    [
        ("bert", "wordpiece"),
        ("distilbert", "wordpiece"),
        ("electra", "wordpiece"),
        ("mpnet", "wordpiece"),
        ("roberta", "bpe"),
        ("xlm-roberta", "unigram"),
        ("deberta-v2", "unigram"),
    ],
)
def test_a_pruned_model_answers_as_before_and_loads_anywhere(tmp_path: Path, family: str, kind: str) -> None:
    tokenizer = trained(kind)
    options = {"vocab_size": len(tokenizer), "pad_token_id": 1}
    write_family(tmp_path / "whole", family, CLASSES, layers=2, **options)
    tokenizer.save_pretrained(tmp_path / "whole")
    tokenizer = load_tokenizer(tmp_path / "whole")
    whole, pruned = load_classifier(tmp_path / "whole").eval(), load_classifier(tmp_path / "whole")
    vocabulary = prune_vocabulary(tokenizer, counts(tokenizer, TEXTS), len(tokenizer))
    prune_embeddings(pruned, vocabulary)
    pruned.save_pretrained(tmp_path / "pruned")
    vocabulary.tokenizer.save_pretrained(tmp_path / "pruned")

    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "pruned").eval()
    reader = AutoTokenizer.from_pretrained(tmp_path / "pruned")
    assert model.get_input_embeddings().weight.shape[0] == model.config.vocab_size == len(reader) < len(tokenizer)
    assert reader.pad_token_id == model.config.pad_token_id == 1
    with torch.no_grad():
        expected = whole(**tokenizer(TEXTS[:3], padding=True, return_tensors="pt")).logits
        got = model(**reader(TEXTS[:3], padding=True, return_tensors="pt")).logits
    assert torch.allclose(got, expected, atol=1e-6)
    saved = json.loads((tmp_path / "pruned" / "config.json").read_text())
    assert saved["vocab_size"] == len(vocabulary.kept)


def test_an_embedding_that_is_smaller_than_the_tokenizer(tmp_path: Path) -> None:
    tokenizer = trained("wordpiece")
    model = load_classifier(write_family(tmp_path, "bert", CLASSES))
    vocabulary = prune_vocabulary(tokenizer, counts(tokenizer, TEXTS), len(tokenizer))
    with pytest.raises(ModelError, match="the model's embedding has only 30 rows"):
        prune_embeddings(model, vocabulary)
