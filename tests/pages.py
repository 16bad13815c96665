"""The documentation's code blocks, and what it takes to execute them.

A page is executed from top to bottom in a folder of its own, in which tiny random models and small files stand in for
what its blocks name. What a block may be:

    bash      commands, one a line: understudy's are run, the others are checked (`CHECKED`)
    console   a command after `$ ` and what it prints, on stdout and stderr; a line of `...`, or one at a line's end,
              stands for what differs between machines
    python    executed
    toml      loaded as a recipe; with a title it is also the file of that name
    csv       read; with a title its rows are put in front of the stand-in of that name
    json      parsed; the figures have to be those of the run that the page shows
    text      not executed, and listed in `test_docs.NOT_EXECUTED`
"""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path

from markdown_it import MarkdownIt

from understudy.cli import main as cli
from understudy.cli.recipe_flags import chosen_recipe
from understudy.errors import UserError

ROOT = Path(__file__).parent.parent
PAGES = sorted(["README.md", *(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))])
KINDS = ("bash", "console", "python", "toml", "csv", "json", "text")


@dataclass(frozen=True)
class Block:
    """One code block.

    Attributes:
        page: Its page, from the root.
        line: Where its code begins.
        kind: The language that it names; `indented` where it is no fenced block.
        title: The file that it is, or empty.
        code: What stands in it.
    """

    page: str
    line: int
    kind: str
    title: str
    code: str

    @property
    def name(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def first(self) -> str:
        return self.code.strip().partition("\n")[0]


@dataclass(frozen=True)
class Command:
    """One command of a block.

    Attributes:
        words: As the shell would split it, without its comment.
        printed: The lines that it should print; None where the page does not say.
    """

    words: list[str]
    printed: list[str] | None = None


def blocks(page: str) -> list[Block]:
    found = []
    for token in MarkdownIt("commonmark").parse((ROOT / page).read_text(encoding="utf-8")):
        if token.type in ("fence", "code_block"):
            kind, _, rest = token.info.strip().partition(" ")
            title = re.fullmatch(r'title="(.+)"', rest.strip())
            line = (token.map or [0])[0] + 2
            named = kind if token.type == "fence" else "indented"
            found.append(Block(page, line, named, title[1] if title else "", token.content))
    return found


def commands(block: Block) -> list[Command]:
    """The commands of a bash or console block."""
    if block.kind == "bash":
        return [Command(words) for line in block.code.splitlines() if (words := shlex.split(line, comments=True))]
    command, *printed = block.code.splitlines()
    assert command.startswith("$ "), f"{block.name} begins with no command"
    return [Command(shlex.split(command[2:]), printed)]


def agrees(expected: list[str], printed: list[str]) -> bool:
    """Whether lines are what a console block shows."""
    pattern = ""
    for line in expected:
        if line == "...":
            pattern += r"(?:.*\n)*"
        elif line.endswith("..."):
            pattern += re.escape(line.removesuffix("...")) + r".*\n"
        else:
            pattern += re.escape(line) + r"\n"
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in printed)) is not None


def recipe_error(words: list[str]) -> str | None:
    """What the command line says about a command's flags and recipe, before it looks at data or models."""
    try:
        options = cli.parsed(words[1:])
        if hasattr(options, "recipe_flags"):
            chosen_recipe(options)
    except UserError as error:
        return f"understudy: {error}"
    return None


# Commands that are not understudy's: each has a check, which fails if the page is wrong.


def check_pip(words: list[str]) -> None:
    assert words[:2] == ["pip", "install"] and len(words) == 3, words
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    match = re.fullmatch(r"\.(?:\[([\w,]+)\])?", words[2])
    assert match is not None, f"{words}: expected the clone, for on PyPI another project has the name"
    assert set((match[1] or "").split(",")) - {""} <= set(project["optional-dependencies"]), words


def check_make(words: list[str]) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in words[1:]:
        assert re.search(rf"(?m)^{re.escape(target)}:", makefile), f"no target {target}"


def check_python(words: list[str]) -> None:
    """A benchmark: the script is there and has the flags."""
    sources = [(ROOT / path).read_text(encoding="utf-8") for path in (words[1], "benchmarks/harness.py")]
    for flag in (word for word in words[2:] if word.startswith("--")):
        assert any(f'add_argument("{flag}"' in source for source in sources), f"{words[1]} has no {flag}"


def check_hf(words: list[str]) -> None:
    """The Hub's own tool: its package is among those that making a student needs."""
    assert words == ["hf", "auth", "login"], words
    assert any(script.name == "hf" for script in entry_points(group="console_scripts"))


@dataclass(frozen=True)
class Checked:
    """A command that is not run: what looks at it instead, and why."""

    check: Callable[[list[str]], None]
    reason: str


CHECKED = {
    "pip": Checked(check_pip, "it would change the environment; `acceptance/test_base_install.py` installs"),
    "hf": Checked(check_hf, "it asks for a token"),
    "make": Checked(check_make, "it makes an environment, and trains for minutes"),
    "python": Checked(check_python, "a benchmark takes minutes to hours, and real data"),
}
