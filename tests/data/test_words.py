from __future__ import annotations

import json
import re
from importlib.resources import files

import pytest

from understudy.data.words import folded, text_key, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Don't PANIC, it's 5_000!", ["don", "t", "panic", "it", "s", "5_000"]),
        ("Straße ΣΊΣΥΦΟΣ", ["strasse", "σίσυφοσ"]),
        ("cafe\u0301 noir", ["café", "noir"]),
        ("a 2½ stars film™, alien³, 155ºF", ["a", "2½", "stars", "film", "alien³", "155ºf"]),
        ("ﬁlm \uff26\uff49\uff4c\uff4d ﾌｨﾙﾑ", ["film", "film", "フ", "ィ", "ル", "ム"]),
        ("这部电影很好。GPT4 好", ["这", "部", "电", "影", "很", "好", "gpt4", "好"]),
        ("映画はスーパー・良い", ["映", "画", "は", "ス", "ー", "パ", "ー", "良", "い"]),
        ("ハ\u3099カ", ["バ", "カ"]),
        ("หนังดี 10", ["ห", "นั", "ง", "ดี", "10"]),
        ("ນ້ຳ", ["ນ້ໍ", "າ"]),
        ("ភាសាខ្មែរ", ["ភា", "សា", "ខ្", "មែ", "រ"]),
        ("မြန်မာ", ["မြ", "န်", "မာ"]),
        ("यह फ़िल्म अच्छी है।", ["यह", "फ़िल्म", "अच्छी", "है"]),
        ("الفِيلم رائع، ﻻ شك", ["الفِيلم", "رائع", "لا", "شك"]),
        ("می\u200cخواهم", ["می\u200cخواهم"]),  # noqa: RUF001
        ("הסרט טוֹב מאוד", ["הסרט", "טוֹב", "מאוד"]),
        ("이 영화는 좋다", ["이", "영화는", "좋다"]),
        ("\u1112\u1161\u11ab글", ["한글"]),
        (":) ... 🙂 \u0301", []),
        ("", []),
    ],
)
def test_words(text: str, expected: list[str]) -> None:
    assert words(folded(text)) == expected


def test_the_words_of_english_reviews_are_runs_of_word_characters() -> None:
    """The published figures of the linear model rest on these words."""
    lines = (files("understudy.data") / "reviews.jsonl").read_text(encoding="utf-8").splitlines()
    for text in (json.loads(line)["text"] for line in lines):
        assert words(folded(text)) == re.findall(r"(?u)\b\w+\b", text.lower())


@pytest.mark.parametrize(("one", "other"), [("a  b\n", "a b"), ("cafe\u0301", "café")])
def test_texts_that_count_as_the_same(one: str, other: str) -> None:
    assert text_key(one) == text_key(other)


def test_texts_that_differ() -> None:
    assert text_key("Good") != text_key("good")
