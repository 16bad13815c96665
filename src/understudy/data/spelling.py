"""Labels that look the same but are different strings: how to find them, and how to show the difference."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable

# Characters that nobody sees, besides control and format characters: fillers, joiners and variation selectors.
_INVISIBLE = {0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFFA0}
_INVISIBLE |= {*range(0x180B, 0x1810), *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)}


def look(label: str) -> str:
    """Equal for labels that look the same: in NFKC, without invisible characters, each run of spaces as one space."""
    composed = unicodedata.normalize("NFKC", label)
    visible = "".join(each for each in composed if each.isspace() or not _is_invisible(each))
    return unicodedata.normalize("NFKC", " ".join(visible.split()))


def alike(label: str) -> str:
    """Equal for labels that differ only by case, or look the same."""
    return look(look(label).casefold())


def speller(labels: Iterable[object]) -> Callable[[object], str]:
    """A function that shows a label in quotes; with escapes, if another of `labels` looks the same."""
    looks = Counter(look(label) for label in set(labels) if isinstance(label, str))

    def spelled(label: object) -> str:
        return ascii(label) if isinstance(label, str) and looks[look(label)] > 1 else repr(label)

    return spelled


def _is_invisible(character: str) -> bool:
    return unicodedata.category(character) in ("Cf", "Cc") or ord(character) in _INVISIBLE
