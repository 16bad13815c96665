"""Texts as token ids in one flat array, cached as an Arrow file with a checksum and memory-mapped."""

from __future__ import annotations

import hashlib
import logging
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from understudy.runtime.packages import versions
from understudy.runtime.sharing import SharedLock
from understudy.storage.files import file_sha256, fingerprint, write_file, write_text
from understudy.storage.usage import note_use

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerBase

log = logging.getLogger(__name__)

_CHUNK = 1024
_COUNTED = 2**22

# What `enable_truncation` sets besides the length.
_TRUNCATION = {"stride": 0, "strategy": "longest_first", "direction": "right"}
# A tokenizer holds the length to cut at, so only one thread at a time sets it and uses it.
_TOKENISING = SharedLock()


@dataclass(frozen=True)
class Tokens:
    """Token ids of many texts, special tokens included.

    Attributes:
        ids: The ids of all texts, concatenated, int32 of shape (tokens,).
        offsets: Where each text begins, then where the last one ends, int64 of shape (texts + 1,).
        full_lengths: Tokens of each text before truncation, int32 of shape (texts,).
    """

    ids: np.ndarray
    offsets: np.ndarray
    full_lengths: np.ndarray

    @property
    def total(self) -> int:
        """Number of tokens in all texts."""
        return int(self.offsets[-1] - self.offsets[0])

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> np.ndarray:
        return self.ids[self.offsets[row] : self.offsets[row + 1]]

    @property
    def lengths(self) -> np.ndarray:
        return np.diff(self.offsets)

    def counts(self, vocabulary: int) -> np.ndarray:
        """How often each token occurs in the texts, int64 of shape (vocabulary,)."""
        counts = np.zeros(vocabulary, dtype=np.int64)
        for start in range(int(self.offsets[0]), int(self.offsets[-1]), _COUNTED):
            end = min(start + _COUNTED, int(self.offsets[-1]))
            counts += np.bincount(self.ids[start:end], minlength=vocabulary)
        return counts

    def select(self, rows: np.ndarray) -> Tokens:
        """The texts at `rows`, in that order."""
        offsets = np.zeros(len(rows) + 1, dtype=np.int64)
        np.cumsum(self.lengths[rows], out=offsets[1:])
        # Indices into the flat ids: within each text they count up from its beginning.
        places = np.arange(offsets[-1]) + np.repeat(self.offsets[rows] - offsets[:-1], self.lengths[rows])
        ids = self.ids[places]
        return Tokens(ids, offsets, self.full_lengths[rows])


def text_ids(texts: Sequence[str]) -> np.ndarray:
    """Text ids: hex BLAKE2b digests of the UTF-8 bytes, as bytes of shape (texts,). Equal texts have the same id."""
    return np.array(
        [hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest() for text in texts],
        dtype="S32",
    )


def tokenise(texts: Sequence[str], tokenizer: PreTrainedTokenizerBase | Tokenizer, max_length: int) -> Tokens:
    """Tokenises with the Rust tokenizer and cuts at `max_length` tokens; an unpaired surrogate becomes `?`."""
    parts = list(_tokenised([texts], tokenizer, max_length))
    return _joined(np.concatenate([np.empty(0, np.int32), *(part.ids for part in parts)]), parts)


def tokenise_cached(
    chunks: Iterable[Sequence[str]], ids: np.ndarray, tokenizer: PreTrainedTokenizerBase, max_length: int, cache: Path
) -> Tokens:
    """Tokenises like `tokenise`, or loads the result of an earlier call with the same texts, tokenizer and length.

    The tokens are in a memory-mapped file, so neither they nor the texts need to fit in memory.

    Args:
        chunks: The texts, in lists of any length; read at most once.
        ids: Text ids, bytes of shape (texts,).
        tokenizer: The tokenizer.
        max_length: Tokens after which a text is cut.
        cache: The cache folder.

    Raises:
        OSError: The written file cannot be read back.
    """
    key = fingerprint(
        texts=hashlib.blake2b(ids.tobytes(), digest_size=16).hexdigest(),
        tokenizer=tokenizer_digest(tokenizer),
        max_length=max_length,
        versions=versions(["tokenizers"]),
    )
    path = cache / "tokens" / f"{key}.arrow"
    if path.is_file():
        tokens = _load(path)
        if tokens is not None:
            note_use(path)
            return tokens
        log.warning("%s is damaged; tokenising again", path)
    with tempfile.TemporaryFile() as spool:
        parts = []
        for part in _tokenised(chunks, tokenizer, max_length):
            spool.write(part.ids.tobytes())
            parts.append(_Part(np.empty(0, np.int32), part.lengths, part.cut))
        spool.flush()
        empty = not spool.tell()  # an empty file cannot be mapped
        flat = np.empty(0, np.int32) if empty else np.memmap(spool, dtype=np.int32, mode="r")
        tokens = _joined(flat, parts)
        _save(tokens, path)
    written = _load(path)
    if written is None:
        raise OSError(f"{path} differs from what was just written to it. Check the disk.")
    note_use(path)
    return written


@dataclass(frozen=True)
class _Part:
    """Tokens of some texts: ids of shape (tokens,); lengths and numbers of cut tokens, both of shape (texts,)."""

    ids: np.ndarray
    lengths: np.ndarray
    cut: np.ndarray


def _tokenised(
    chunks: Iterable[Sequence[str]], tokenizer: PreTrainedTokenizerBase | Tokenizer, max_length: int
) -> Iterator[_Part]:
    backend: Any = getattr(tokenizer, "backend_tokenizer", tokenizer)
    special = backend.num_special_tokens_to_add(False)
    for texts in chunks:
        for start in range(0, len(texts), _CHUNK):
            chunk = [text.encode("utf-8", "replace").decode("utf-8") for text in texts[start : start + _CHUNK]]
            encodings = _encoded(backend, chunk, max_length)
            lengths = np.array([len(encoding) for encoding in encodings], dtype=np.int32)
            cut = [sum(len(piece) - special for piece in encoding.overflowing) for encoding in encodings]
            flat = chain.from_iterable(encoding.ids for encoding in encodings)
            ids = np.fromiter(flat, np.int32, count=int(lengths.sum()))
            yield _Part(ids, lengths, np.array(cut, dtype=np.int32))


def _encoded(backend: Tokenizer, texts: list[str], max_length: int) -> list[Any]:
    with _TOKENISING:
        # Setting waits for other readers; in a forked process these may never end.
        if backend.truncation != {**_TRUNCATION, "max_length": max_length}:
            backend.enable_truncation(max_length)
        if backend.padding is not None:
            backend.no_padding()
        return backend.encode_batch_fast(texts)


def _joined(ids: np.ndarray, parts: list[_Part]) -> Tokens:
    """All parts as one; `ids` are the concatenated ids of all parts."""
    lengths = np.concatenate([np.empty(0, np.int32), *(part.lengths for part in parts)])
    cut = np.concatenate([np.empty(0, np.int32), *(part.cut for part in parts)])
    offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return Tokens(ids, offsets, lengths + cut)


def tokenizer_digest(tokenizer: PreTrainedTokenizerBase) -> str:
    """Digest of what determines the ids: the Rust tokenizer's JSON, without truncation and padding."""
    backend = tokenizer.backend_tokenizer
    with _TOKENISING:
        backend.no_truncation()
        backend.no_padding()
        description = backend.to_str()
    return hashlib.blake2b(description.encode(), digest_size=16).hexdigest()


def length_batches(lengths: np.ndarray, budget: int) -> Iterator[np.ndarray]:
    """Yields row numbers, longest texts first, in batches of at most `budget` tokens, padding included."""
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        size = max(1, budget // max(1, int(lengths[order[start]])))
        yield order[start : start + size]
        start += size


def pad(tokens: Tokens, rows: Sequence[int] | np.ndarray, pad_id: int, to: int = 0) -> dict[str, np.ndarray]:
    """A batch for a model: `input_ids` and `attention_mask`, int64 of shape (rows, max(longest, `to`))."""
    width = max(to, max((int(tokens.offsets[row + 1] - tokens.offsets[row]) for row in rows), default=0))
    input_ids = np.full((len(rows), width), pad_id, dtype=np.int64)
    attention_mask = np.zeros((len(rows), width), dtype=np.int64)
    for line, row in enumerate(rows):
        ids = tokens[row]
        input_ids[line, : len(ids)] = ids
        attention_mask[line, : len(ids)] = 1
    return {"input_ids": input_ids, "attention_mask": attention_mask}


def _save(tokens: Tokens, path: Path) -> None:
    import pyarrow as pa

    column = pa.LargeListArray.from_arrays(pa.array(tokens.offsets), pa.array(tokens.ids))
    table = pa.table({"input_ids": column, "full_length": pa.array(tokens.full_lengths)})

    def write(temporary: Path) -> None:
        with pa.OSFile(str(temporary), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)

    write_file(path, write)
    write_text(path.with_suffix(".sha256"), _checksum_line(path))


def _load(path: Path) -> Tokens | None:
    import pyarrow as pa

    try:
        # Arrow trusts the offsets in its files: opening a damaged one can crash the process.
        if path.with_suffix(".sha256").read_text(encoding="utf-8") != _checksum_line(path):
            return None
        table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
        (column,), (lengths,) = table["input_ids"].chunks, table["full_length"].chunks
        return Tokens(
            column.values.to_numpy(zero_copy_only=True),
            column.offsets.to_numpy(zero_copy_only=True),
            lengths.to_numpy(zero_copy_only=True),
        )
    except (pa.ArrowException, OSError, ValueError):
        return None


def _checksum_line(path: Path) -> str:
    """The line that `sha256sum` writes and checks."""
    return f"{file_sha256(path)}  {path.name}\n"
