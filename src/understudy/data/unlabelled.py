"""Texts without labels, which the teacher labels: streamed as often as needed, never all in memory."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from understudy.data.findings import counted
from understudy.data.near_duplicates import References, Shingler, near_duplicates
from understudy.data.tokens import text_ids
from understudy.data.words import text_key
from understudy.errors import DataError

log = logging.getLogger(__name__)

_READ = 4096  # texts whose words are in memory at once

Chunks = Callable[[], Iterable[list[str]]]


@dataclass(frozen=True)
class Unlabelled:
    """Distinct unlabelled texts that are in no other split.

    Attributes:
        ids: Text ids, bytes of shape (texts,).
        left_out: Number of texts that were left out, by reason.
    """

    ids: np.ndarray
    left_out: dict[str, int]
    _source: Chunks = field(repr=False)
    _taken: np.ndarray = field(repr=False)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def digest(self) -> str:
        return hashlib.blake2b(self.ids.tobytes(), digest_size=16).hexdigest()

    def chunks(self) -> Iterator[list[str]]:
        """The texts, in the order of `ids`.

        Raises:
            DataError: The source has changed since it was first read.
        """
        row = place = 0
        for chunk in self._source():
            taken = self._taken[row : row + len(chunk)]
            row += len(chunk)
            texts = [text for text, is_taken in zip(chunk, taken, strict=False) if is_taken]
            # Other texts under these ids would make the cache wrong.
            if not np.array_equal(text_ids(texts), self.ids[place : place + len(texts)]):
                break
            place += len(texts)
            yield texts
        if row != len(self._taken) or place != len(self.ids):
            raise DataError(
                "The unlabelled texts changed during the run: expected the same texts at each pass. Leave their "
                "source unchanged and run again."
            )


def select_unlabelled(source: Chunks, others: dict[str, np.ndarray], held_out: Sequence[str] = ()) -> Unlabelled:
    """Reads the texts once and leaves out those that are empty, repeated, or in another split.

    Args:
        source: Called for each pass; returns the texts in chunks.
        others: Ids of the other splits' texts by name, each bytes of shape (texts,): `text_ids` of their `text_key`.
        held_out: Validation and test texts; unlabelled texts that are nearly equal to one of them are left out, too.

    Raises:
        DataError: No text is left.
    """
    ids, keyed = [np.empty(0, "S32")], [np.empty(0, "S32")]
    empty, near = [np.empty(0, bool)], [np.empty(0, bool)]
    shingler = Shingler()
    references = References([shingler(text) for text in held_out])
    for chunk in source():
        ids.append(text_ids(chunk))
        keyed.append(text_ids([text_key(text) for text in chunk]))
        empty.append(np.array([not text.strip() for text in chunk], dtype=bool))
        near.append(_alike(chunk, references, shingler) if held_out else np.zeros(len(chunk), bool))
    every, keys = np.concatenate(ids), np.concatenate(keyed)
    taken = ~np.concatenate(empty)
    left_out = {"empty": int((~taken).sum())}
    for name, known in others.items():
        elsewhere = taken & np.isin(keys, known)
        left_out[f"in {name}"] = int(elsewhere.sum())
        taken &= ~elsewhere
    alike = taken & np.concatenate(near)
    left_out["nearly equal to a validation or test text"] = int(alike.sum())
    taken &= ~alike
    first = np.zeros(len(every), dtype=bool)
    first[np.unique(every, return_index=True)[1]] = True
    left_out["repeated"] = int((taken & ~first).sum())
    taken &= first
    left_out = {reason: count for reason, count in left_out.items() if count}
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in left_out.items())
    if not taken.any():
        raise DataError(
            f"data.unlabelled and data.labelled: 0 of {counted(len(every), 'text')} without a label remain "
            f"({reasons or 'the source is empty'}); expected texts that are in no other split. Choose another source, "
            "or leave these options out."
        )
    log.info("unlabelled: %s; left out: %s", counted(int(taken.sum()), "text"), reasons or "none")
    return Unlabelled(every[taken], left_out, source, taken)


def _alike(texts: list[str], references: References, shingler: Shingler) -> np.ndarray:
    alike = np.zeros(len(texts), dtype=bool)
    for start in range(0, len(texts), _READ):
        part = [shingler.read(text) for text in texts[start : start + _READ]]
        alike[[start + place for place in near_duplicates(part, references)]] = True
    return alike
