"""Error messages for Python: they name arguments instead of the command line's flags."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from understudy.errors import UnderstudyError

_ARGUMENTS = {
    **{f"data.{name}": name for name in ("train", "test", "validation", "unlabelled", "text", "label")},
    **{name: name for name in ("out", "device", "threads", "engine", "overwrite")},
    "cache-dir": "cache_dir",
    "report-to": "report_to",
}
# A flag at the beginning of a message has a value behind it.
_FLAG = re.compile(r"^--(?P<first>[a-z]+(?:[._-][a-z]+)*) |(?<![\w-])--(?P<other>[a-z]+(?:[._-][a-z]+)*)")


def as_arguments(message: str) -> str:
    """Names arguments instead of flags: `text=` for `--data.text`, and the option where there is no argument."""

    def argument(found: re.Match[str]) -> str:
        flag = found["first"] or found["other"]
        name = _ARGUMENTS.get(flag)
        if name is None:
            return found[0].removeprefix("--") if "." in flag else found[0]
        return "overwrite=True" if name == "overwrite" else f"{name}="

    return _FLAG.sub(argument, message)


@contextmanager
def reworded(reword: Callable[[str], str] = as_arguments) -> Iterator[None]:
    """Gives an error that leaves the block other words.

    Args:
        reword: Takes the message and returns the new one.
    """
    try:
        yield
    except UnderstudyError as error:
        error.args = (reword(str(error)),)
        raise
