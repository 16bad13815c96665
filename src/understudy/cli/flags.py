"""What the commands ask of argparse: errors on one line, flags that several commands have, and kinds of values."""

from __future__ import annotations

import argparse
import dataclasses
import re
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from understudy.errors import UserError

if TYPE_CHECKING:
    from understudy.run.settings import Settings

_AMOUNT = r"[0-9]{1,6}(?:\.[0-9]{1,6})?"
_HOURS = {"h": 1, "d": 24, "w": 7 * 24}
_BYTES = {"kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}


class Parser(argparse.ArgumentParser):
    """argparse, with its errors as one line instead of a screen of usage."""

    def error(self, message: str) -> NoReturn:
        end = "" if message.endswith("?") else "."
        raise UserError(f"{message}{end} `{self.prog} --help` lists the arguments.")

    def add_rest(self, options: argparse.Namespace, unknown: list[str]) -> list[str]:
        """Adds arguments that came after a flag to the command's list of arguments, which argparse closes early.

        Args:
            options: Gets them.
            unknown: What argparse did not recognise.

        Returns:
            What is still unknown.
        """
        rest = [action for action in self._actions if not action.option_strings and action.nargs in ("*", "+")]
        end = unknown.index("--") if "--" in unknown else len(unknown)
        if not rest or any(each.startswith("-") and each != "-" for each in unknown[:end]):
            return unknown
        kind = rest[-1].type or str
        assert callable(kind)
        found = [kind(each) for each in unknown[:end] + unknown[end + 1 :]]
        setattr(options, rest[-1].dest, [*getattr(options, rest[-1].dest), *found])
        return []

    def flags(self) -> list[str]:
        return [flag for action in self._actions for flag in action.option_strings]


class VersionAction(argparse.Action):
    def __init__(self, option_strings: Sequence[str], dest: str) -> None:
        super().__init__(option_strings, dest, nargs=0, help="show the version")

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from understudy.runtime.packages import own_version

        print(f"understudy {own_version()}")
        parser.exit()


def add_common_flags(
    parser: argparse.ArgumentParser, listed: Sequence[str] = ("device", "threads", "engine"), **default: Any
) -> None:
    """Adds the flags that every command accepts, in a group of their own.

    Args:
        parser: The program's or a command's.
        listed: Those of `device`, `threads` and `engine` that the help lists, because they have an effect.
        **default: `default=argparse.SUPPRESS` for a command: its own defaults would undo flags given before its name.
    """
    group = parser.add_argument_group("common flags")
    group.add_argument("-h", "--help", action="help", help="show this help")
    hardware: tuple[tuple[str, str, dict[str, Any]], ...] = (
        ("device", "cpu, cuda or mps (default: the best device of this machine)", {}),
        ("threads", "CPU threads (default: one per core)", {"type": thread_count}),
        ("engine", "what runs finished models: pytorch or openvino (default: the fastest)", {}),
    )
    for name, meaning, kind in hardware:
        group.add_argument(f"--{name}", help=meaning if name in listed else argparse.SUPPRESS, **kind, **default)
    group.add_argument("--json", action="store_true", help="print the result as JSON on stdout", **default)


def add_cache_dir(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--cache-dir", type=Path, help="where finished work is kept (default: $UNDERSTUDY_CACHE or the user's cache)"
    )


def add_finished_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN", help="the directory of a finished run")


def settings_from(options: argparse.Namespace) -> Settings:
    """What a call runs with, from the flags that the command has."""
    from understudy.run.settings import Settings

    names = (field.name for field in dataclasses.fields(Settings))
    return Settings(**{name: getattr(options, name) for name in names if hasattr(options, name)})


# Kinds of values


def thread_count(value: str) -> int:
    if not value.isdecimal() or int(value) < 1:
        raise argparse.ArgumentTypeError(f"expected a number of threads from 1, got '{value}'")
    return int(value)


def whole(value: str) -> int:
    """A whole number from 0."""
    if not value.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a whole number from 0, got '{value}'")
    return int(value)


def share(value: str) -> float:
    """A number from 0 to 1."""
    number = _number(value)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"expected a share from 0 to 1, got '{value}'")
    return number


def positive(value: str) -> float:
    """A number above 0."""
    number = _number(value)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number above 0, got '{value}'")
    return number


def age(value: str) -> timedelta:
    """`12h`, `30d` or `2w`."""
    found = re.fullmatch(rf"({_AMOUNT})([hdw])", value)
    if found is None:
        raise argparse.ArgumentTypeError(f"expected hours, days or weeks, such as 12h, 30d or 2w, got '{value}'")
    return timedelta(hours=float(found[1]) * _HOURS[found[2]])


def byte_count(value: str) -> int:
    """`500MB` or `5GB`, in powers of 1,000."""
    found = re.fullmatch(rf"({_AMOUNT}) ?([kmgt]b)", value.lower())
    if found is None:
        raise argparse.ArgumentTypeError(f"expected a size such as 500MB or 5GB, got '{value}'")
    return round(float(found[1]) * _BYTES[found[2]])


def _number(value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a number, got '{value}'") from None
