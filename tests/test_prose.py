"""The documentation has short sentences."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

from prose import long_sentences, sentences

ROOT = Path(__file__).parent.parent
NOTEBOOK = "examples/walkthrough.ipynb"
PAGES = [
    *(name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md") if (ROOT / name).exists()),
    *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md"))),
    NOTEBOOK,
]


def markdown(page: str) -> str:
    """The text of a page; of a notebook its Markdown cells."""
    if page != NOTEBOOK:
        return (ROOT / page).read_text(encoding="utf-8")
    cells = nbformat.read(ROOT / page, as_version=4).cells
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


@pytest.mark.parametrize("page", PAGES)
def test_no_sentence_is_long(page: str) -> None:
    found = long_sentences(markdown(page))
    assert not found, "\n".join(f"{page}: more than 30 words: {sentence}" for sentence in found)


def test_pages_have_sentences() -> None:
    for page in PAGES:
        if page != "docs/changelog.md":  # it includes CHANGELOG.md
            assert len(sentences(markdown(page))) > 3, page


# The splitter


def words(count: int, end: str = ".") -> str:
    return " ".join(["word"] * count) + end


def test_a_sentence_of_31_words_is_found() -> None:
    assert long_sentences(words(30)) == []
    assert long_sentences(f"Short. {words(31)} Short.") == [words(31)]


@pytest.mark.parametrize(
    "container",
    ["{}", "- {}", "1. {}", "- a\n    - {}", "> {}", "> - {}", "**{}**", "[{}](x.md)", "- a\n\n    {}"],
)
def test_paragraphs_list_items_and_quotes_count(container: str) -> None:
    assert long_sentences(container.format(words(31))) == [words(31)]


@pytest.mark.parametrize(
    "container",
    [
        "```text\n{}\n```",
        "    {}",
        "# {}",
        "{}\n===",
        "| a | b |\n|---|---|\n| {} | c |",
        "| {} |\n|---|",
        "<div>\n{}\n</div>",
        "<!-- {} -->",
        "![{}](x.png)",
        "`{}`",
        "- a\n\n  ```bash\n  {}\n  ```",
    ],
)
def test_code_tables_headings_html_and_pictures_do_not_count(container: str) -> None:
    assert long_sentences(f"Before.\n\n{container.format(words(40))}\n\nAfter.") == []


def test_bullets_are_sentences_of_their_own() -> None:
    assert sentences("Three things:\n\n- one;\n- two;\n- three.") == ["Three things:", "one;", "two;", "three."]


def test_line_breaks_do_not_end_a_sentence() -> None:
    assert sentences("One\ntwo  \nthree. Four") == ["One two three.", "Four"]


@pytest.mark.parametrize(
    "sentence",
    [
        "It reaches 0.9211 in metrics.json, which was 0.9.",
        "Some formats, e.g. CSV, i.e. tables, cf. Arrow, are read.",
        "The teacher vs. the student.",
        "See p. 5 and pp. 6-9, fig. 2, no. 3.",
        "Guo et al. 2017 and Sanh et al. (2019) fit it.",
        "Sizes are 1, 2, 3 ... as well.",
        "Texts, labels etc. are kept.",
        "The file `a. b.` and the flag `--x. Y` are there.",
        "PyTorch 2.13 and understudy 0.1.0 run on docs.rs.",
    ],
)
def test_full_stops_within_a_sentence(sentence: str) -> None:
    assert sentences(f"{sentence} Next.") == [sentence.replace("`", ""), "Next."]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two? Three! Four", ["One.", "Two?", "Three!", "Four"]),
        ("The verdict goes by p. Over seeds it asks.", ["The verdict goes by p.", "Over seeds it asks."]),
        ("Read it. understudy does.", ["Read it.", "understudy does."]),
        ("Run `check`. `run` trains.", ["Run check.", "run trains."]),
        ('He said "yes." She left.', ['He said "yes."', "She left."]),
        ("(It is so.) Next.", ["(It is so.)", "Next."]),
        ("**It is so.** Next.", ["It is so.", "Next."]),
        ("Read, write etc. Then stop.", ["Read, write etc.", "Then stop."]),
        ("It has 12. 30 are left.", ["It has 12.", "30 are left."]),
        ("See [the page](a.md). Next.", ["See the page.", "Next."]),
    ],
)
def test_where_sentences_end(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


def test_code_in_a_line_is_one_word_and_punctuation_none() -> None:
    assert long_sentences(f"`a b c d` / · - {words(29)}") == []
    assert len(long_sentences(f"`a b c d` and {words(29)}")) == 1
