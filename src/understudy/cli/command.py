"""What a command is: its name, its help, its flags and what it does."""

from __future__ import annotations

import argparse
import json
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from rich.console import Console


class Command(ABC):
    """One command of `understudy`.

    Building its flags imports nothing heavy. `run` imports what it needs, calls the library once and shows the result.

    Attributes:
        name: What the user types.
        summary: Its line in `understudy --help`.
        takes_recipe: Whether every option of the recipe is a flag of it.
        hardware: Those of the flags `device`, `threads` and `engine` that have an effect. It accepts all of them.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    takes_recipe: ClassVar[bool] = False
    hardware: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def add_flags(self, parser: argparse.ArgumentParser) -> None:
        """Adds the command's own arguments and flags."""

    @abstractmethod
    def run(self, options: argparse.Namespace) -> None:
        """Does it.

        Raises:
            UnderstudyError: Its exit status becomes the command's.
        """


def console(stderr: bool = True) -> Console:
    """What people read goes to stderr; stdout carries answers: predictions, lists and JSON."""
    from rich.console import Console

    return Console(stderr=stderr)


def print_json(content: Any) -> None:
    print(json.dumps(content, indent=2, ensure_ascii=False))
