"""How texts are compared and read as words; one tokeniser for the linear model and the near-duplicate finder."""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from itertools import chain

# Scripts that are written without spaces between words. Each of their characters counts as a word.
_WITHOUT_SPACES = (
    "\u0e00-\u0eff"  # Thai, Lao
    "\u1000-\u109f\ua9e0-\ua9ff\uaa60-\uaa7f"  # Myanmar
    "\u1780-\u17ff"  # Khmer
    "\u1950-\u19df\u1a20-\u1aaf"  # Tai Le, New Tai Lue, Tai Tham
    "\u1b00-\u1b7f\ua980-\ua9df"  # Balinese, Javanese
    "\u3005-\u3007\u3040-\u30ff\u3100-\u312f\u31a0-\u31bf\u31f0-\u31ff"  # kana, bopomofo
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Chinese characters
)
# Other forms of letters. NFKC of the rest would change words: "film™" becomes "filmtm", and "2½" two numbers.
_OTHER_FORMS = re.compile(
    "["
    "\u0e33\u0eb3\u0edc\u0edd"  # Thai and Lao letters that are two characters
    "\u2e80-\u2fdf"  # radicals of Chinese characters
    "\ufb00-\ufdff\ufe70-\uffef"  # ligatures, presentation forms, full and half width
    "\U0001d400-\U0001d7ff"  # letters in mathematical type
    "]+"
)
_ASCII_WORD = re.compile(r"\w+", re.ASCII)
_JOINERS = "\u200c\u200d"  # inside words of Persian and of Indian languages


def text_key(text: str) -> str:
    """Equal for texts that count as the same: Unicode in composed form, each run of white space as one space."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def folded(text: str) -> str:
    """The text without differences of case and of form: case-folded, NFC, and letters in other forms NFKC."""
    if text.isascii():
        return text.lower()
    plain = _OTHER_FORMS.sub(lambda run: unicodedata.normalize("NFKC", run[0]), unicodedata.normalize("NFC", text))
    return unicodedata.normalize("NFC", plain.casefold())


def words(text: str) -> list[str]:
    """The words of a folded text: runs of letters, digits and underscores, with their combining marks.

    Chinese, Japanese, Thai, Lao, Khmer and Myanmar have no spaces between words, so each character is a word there.
    """
    return _ASCII_WORD.findall(text) if text.isascii() else _word().findall(text)


@cache
def _word() -> re.Pattern[str]:
    # `\w` leaves out combining marks, such as the vowel signs of Hindi.
    assigned = chain(range(0x300, 0x1F000), range(0xE0100, 0xE01F0))
    marks = re.escape("".join(chr(code) for code in assigned if unicodedata.category(chr(code)).startswith("M")))
    marks = f"[{marks}{_JOINERS}]"
    letter = rf"[^\W{_WITHOUT_SPACES}]"
    return re.compile(rf"{letter}+(?:{marks}+{letter}*)*|(?!\W)[{_WITHOUT_SPACES}]{marks}*")
