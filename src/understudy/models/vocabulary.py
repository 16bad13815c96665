"""Prunes the vocabulary: removes tokens that the texts do not use from the tokenizer and the embedding.

A small encoder is mostly its embedding table (11.7 of MiniLM-L6's 22.7 million parameters). The result is a plain
Hugging Face tokenizer and model. A word whose token was removed is split into pieces that remain.
"""

from __future__ import annotations

import copy
import json
import string
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from understudy.errors import ModelError
from understudy.models.loading import load_tokenizer, positions_after_padding
from understudy.storage.files import write_text

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

# Config fields that hold token ids.
_TOKEN_NUMBERS = ("pad_token_id", "bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id")
_FILE = "tokenizer.json"


@dataclass(frozen=True)
class Vocabulary:
    """The vocabulary of a pruned student.

    Attributes:
        tokenizer: The pruned tokenizer.
        kept: The former ids of its tokens, int64 of shape (tokens,), ascending: token k had the id `kept[k]`.
    """

    tokenizer: PreTrainedTokenizerBase
    kept: np.ndarray


def prune_vocabulary(tokenizer: PreTrainedTokenizerBase, counts: np.ndarray, size: int) -> Vocabulary:
    """Reduces a tokenizer to its most frequent tokens.

    Special tokens and single characters (of ASCII and of the used tokens) are always kept. With BPE, a token is kept
    together with the tokens that it is merged from. Tokens that no text uses are removed even below the limit.

    Args:
        tokenizer: A fast tokenizer: WordPiece, BPE or Unigram.
        counts: How often each token occurs in the texts, shape (vocabulary,).
        size: Largest number of tokens to keep.

    Raises:
        ModelError: The tokenizer has another type, or `size` is too small for the tokens that are always kept.
    """
    description = json.loads(tokenizer.backend_tokenizer.to_str())
    kind = str(description["model"].get("type"))
    if kind not in _PIECES:
        raise ModelError(
            f"student.vocabulary: cannot prune a {kind} tokenizer; expected WordPiece, BPE or Unigram. Leave "
            "student.vocabulary out."
        )
    numbers = tokenizer.backend_tokenizer.get_vocab(with_added_tokens=True)
    pieces: dict[int, str] = {number: piece for piece, number in numbers.items()}
    kept = _chosen(description, pieces, np.asarray(counts), size)
    renumbered = {former: number for number, former in enumerate(kept)}
    _renumber(description, renumbered)
    return Vocabulary(_reopened(tokenizer, description), np.array(kept, dtype=np.int64))


def prune_embeddings(model: PreTrainedModel, vocabulary: Vocabulary) -> None:
    """Reduces the model's embedding to the kept tokens, in place, and renumbers the token ids in its config.

    Raises:
        ModelError: The embedding has no row for a kept token, or the positions depend on a token id that changes.
    """
    import torch

    former: Any = model.get_input_embeddings()
    kept = torch.from_numpy(vocabulary.kept)
    rows = former.weight.shape[0]
    if int(kept.max()) >= rows:
        raise ModelError(
            f"student.vocabulary: the tokenizer has a token with id {int(kept.max())}, but the model's embedding has "
            f"only {rows} rows. Use the model's own tokenizer, or leave student.vocabulary out."
        )
    renumbered = {number: index for index, number in enumerate(vocabulary.kept.tolist())}
    padding = former.padding_idx
    if positions_after_padding(model.config) and renumbered.get(padding) != padding:
        raise ModelError(
            f"student.vocabulary: a '{model.config.model_type}' model counts positions from its padding token's id "
            f"({padding}), which would change. Leave student.vocabulary out."
        )
    embedding = torch.nn.Embedding(len(kept), former.weight.shape[1], padding_idx=renumbered.get(padding))
    with torch.no_grad():
        embedding.weight.copy_(former.weight[kept])
    model.set_input_embeddings(embedding.to(former.weight.dtype))
    model.config.vocab_size = len(kept)
    for name in _TOKEN_NUMBERS:
        number = getattr(model.config, name, None)
        if isinstance(number, int):
            setattr(model.config, name, renumbered.get(number))


def _chosen(description: dict[str, Any], pieces: dict[int, str], counts: np.ndarray, size: int) -> list[int]:
    """Ids of the tokens to keep, ascending."""
    numbers = {piece: number for number, piece in pieces.items()}
    used = [int(number) for number in np.argsort(-counts, kind="stable") if counts[number] and int(number) in pieces]
    parts = _PIECES[description["model"]["type"]](description["model"])
    needed = set(parts.always)
    needed |= {token["content"] for token in description.get("added_tokens", [])}
    alphabet = set(string.printable) | {character for number in used for character in parts.characters(pieces[number])}
    needed |= {piece for piece in numbers if parts.is_single(piece, alphabet)}
    kept = {numbers[piece] for piece in needed if piece in numbers}
    if len(kept) > size:
        raise ModelError(
            f"student.vocabulary = {size} is too small: {len(kept)} special tokens and single characters are always "
            f"kept. Choose {len(kept)} or more."
        )
    for number in used:
        closure = {numbers[piece] for piece in parts.closure(pieces[number])}
        if len(kept) + len(closure - kept) <= size:
            kept |= closure
    return sorted(kept)


class _Pieces:
    """The pieces that one type of tokenizer must keep.

    Attributes:
        always: Pieces that are always needed.
    """

    def __init__(self, model: dict[str, Any]) -> None:
        self.always: set[str] = {model["unk_token"]} if model.get("unk_token") else set()

    def characters(self, piece: str) -> str:
        """The characters of a piece, without the marker of its position in a word."""
        return piece

    def is_single(self, piece: str, alphabet: set[str]) -> bool:
        """Whether a piece is a single character, from which any word can be built."""
        return self.characters(piece) in alphabet

    def closure(self, piece: str) -> Iterable[str]:
        """The piece and all pieces that it is built from."""
        return {piece}


class _WordPieces(_Pieces):
    def __init__(self, model: dict[str, Any]) -> None:
        super().__init__(model)
        self._prefix: str = model.get("continuing_subword_prefix") or ""

    def characters(self, piece: str) -> str:
        return piece.removeprefix(self._prefix) or piece


class _BytePairs(_Pieces):
    def __init__(self, model: dict[str, Any]) -> None:
        super().__init__(model)
        merged: dict[str, tuple[str, str]] = {}
        for merge in model["merges"]:
            left, right = _merge(merge)
            merged.setdefault(left + right.removeprefix(model.get("continuing_subword_prefix") or ""), (left, right))
        self._merged = merged
        if model.get("byte_fallback"):
            self.always |= {f"<0x{byte:02X}>" for byte in range(256)}

    def is_single(self, piece: str, alphabet: set[str]) -> bool:
        # All single characters: at byte level there are 256; otherwise longer pieces come from merges alone.
        return len(piece) == 1

    def closure(self, piece: str) -> Iterable[str]:
        found, ahead = set(), [piece]
        while ahead:
            current = ahead.pop()
            if current not in found:
                found.add(current)
                ahead += self._merged.get(current, ())
        return found


class _Unigrams(_Pieces):
    def __init__(self, model: dict[str, Any]) -> None:
        super().__init__(model)
        self.always |= {model["vocab"][model["unk_id"]][0]} if model.get("unk_id") is not None else set()
        if model.get("byte_fallback"):
            self.always |= {f"<0x{byte:02X}>" for byte in range(256)}

    def is_single(self, piece: str, alphabet: set[str]) -> bool:
        return len(piece) == 1 and (piece in alphabet or piece == "\N{LOWER ONE EIGHTH BLOCK}")


_PIECES: dict[str, type[_Pieces]] = {"WordPiece": _WordPieces, "BPE": _BytePairs, "Unigram": _Unigrams}


def _merge(merge: str | list[str]) -> tuple[str, str]:
    """A merge as a pair; old versions of tokenizer.json have it as one string."""
    left, right = merge.split(" ", 1) if isinstance(merge, str) else merge
    return left, right


def _renumber(description: dict[str, Any], renumbered: dict[int, int]) -> None:
    """Reduces a tokenizer's JSON description to the tokens that have a new id, in place."""
    model = description["model"]
    if model["type"] == "Unigram":
        model["vocab"] = [entry for number, entry in enumerate(model["vocab"]) if number in renumbered]
        if model.get("unk_id") is not None:
            model["unk_id"] = renumbered[model["unk_id"]]
    else:
        model["vocab"] = {piece: renumbered[number] for piece, number in model["vocab"].items() if number in renumbered}
    if model["type"] == "BPE":
        prefix = model.get("continuing_subword_prefix") or ""
        model["merges"] = [
            merge
            for merge in model["merges"]
            for left, right in [_merge(merge)]
            if {left, right, left + right.removeprefix(prefix)} <= model["vocab"].keys()
        ]
    for token in description.get("added_tokens", []):
        token["id"] = renumbered[token["id"]]
    _renumber_processor(description.get("post_processor"), renumbered)


def _renumber_processor(processor: dict[str, Any] | None, renumbered: dict[int, int]) -> None:
    """Renumbers the part that adds the special tokens to a text, in place."""
    if processor is None:
        return
    for inner in processor.get("processors", []):
        _renumber_processor(inner, renumbered)
    for end in ("sep", "cls"):  # the format of BERT and RoBERTa: a token and its id
        if isinstance(processor.get(end), list):
            token, number = processor[end]
            processor[end] = [token, renumbered[number]]
    if isinstance(processor.get("special_tokens"), dict):
        for token in processor["special_tokens"].values():
            token["ids"] = [renumbered[number] for number in token["ids"]]


def _reopened(tokenizer: PreTrainedTokenizerBase, description: dict[str, Any]) -> PreTrainedTokenizerBase:
    """The tokenizer that transformers opens from a folder with this JSON description."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        copy.deepcopy(tokenizer).save_pretrained(folder)
        for leftover in ("vocab.txt", "vocab.json", "merges.txt", "added_tokens.json"):
            (folder / leftover).unlink(missing_ok=True)
        write_text(folder / _FILE, json.dumps(description, ensure_ascii=False))
        reopened = load_tokenizer(folder)
    reopened.name_or_path = tokenizer.name_or_path
    return reopened
