"""The sentences of a Markdown text, for tests that count their words.

Paragraphs, list items and block quotes contain sentences. Code blocks, tables, headings and HTML are ignored. Inline
code counts as one word.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from markdown_it import MarkdownIt
from markdown_it.token import Token

# A sentence may end at a full stop, question mark or exclamation mark, with closing quotes and brackets.
_END = re.compile(r"[.!?][\"'”)\]]*(?=\s)")
_WITHIN = {"e.g.", "i.e.", "vs.", "cf.", "approx.", "ca.", "Dr."}
_BEFORE_DIGITS = {"p.", "pp.", "no.", "fig.", "sec.", "eq.", "vol.", "ch."}
_BEFORE_LOWER_CASE = {"etc.", "al.", "...", "…"}
# Stand-ins for spaces and full stops in code, so that code is neither split nor counted as several words.
_MASK = str.maketrans({" ": "\ue000", ".": "\ue001", "!": "\ue002", "?": "\ue003"})
_UNMASK = str.maketrans({"\ue000": " ", "\ue001": ".", "\ue002": "!", "\ue003": "?"})


def sentences(markdown: str) -> list[str]:
    """All sentences, in order, without markup."""
    return [sentence.translate(_UNMASK) for sentence in _masked(markdown)]


def long_sentences(markdown: str, most: int = 30) -> list[str]:
    """The sentences of more than `most` words."""
    return [sentence.translate(_UNMASK) for sentence in _masked(markdown) if len(_words(sentence)) > most]


def _masked(markdown: str) -> Iterator[str]:
    tokens = MarkdownIt("commonmark").enable("table").parse(markdown)
    for before, token in pairwise(tokens):
        if token.type == "inline" and before.type == "paragraph_open":
            yield from _split(_text(token.children or []))


def _text(children: Sequence[Token]) -> str:
    parts = []
    for child in children:
        if child.type == "text":
            parts.append(child.content)
        elif child.type == "code_inline":
            parts.append(child.content.translate(_MASK))
        elif child.type in ("softbreak", "hardbreak"):
            parts.append(" ")
    return "".join(parts)


def _split(text: str) -> Iterator[str]:
    start = 0
    for end in _END.finditer(text):
        if not _goes_on(text[start : end.end()].split()[-1], text[end.end() :].lstrip()):
            yield text[start : end.end()].strip()
            start = end.end()
    if rest := text[start:].strip():
        yield rest


def _goes_on(last: str, following: str) -> bool:
    """Whether a sentence does not end with the word `last`, because it is an abbreviation."""
    opening = "\"'“(["
    last, first = last.lstrip(opening), following.lstrip(opening)[:1]
    if last.lower() in _BEFORE_DIGITS:
        return first.isdigit()
    if last in _BEFORE_LOWER_CASE:
        return not first.isupper()
    return last in _WITHIN


def _words(sentence: str) -> list[str]:
    """Words and numbers; punctuation alone does not count."""
    return [word for word in sentence.split() if any(map(str.isalnum, word))]
