"""How texts are compared and read as words."""

from __future__ import annotations

import unicodedata


def text_key(text: str) -> str:
    """Equal for texts that count as the same: Unicode in composed form, each run of white space as one space."""
    return " ".join(unicodedata.normalize("NFC", text).split())
