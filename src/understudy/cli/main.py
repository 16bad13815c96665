"""The command line: flags in, one command, an exit status out. Errors and logs go to stderr."""

from __future__ import annotations

import argparse
import errno
import io
import logging
import os
import re
import sys
from collections.abc import Sequence

from understudy.cli import machine, models, results, training
from understudy.cli.command import Command
from understudy.cli.flags import Parser, VersionAction, add_common_flags
from understudy.cli.recipe_flags import add_recipe_flags
from understudy.errors import UnderstudyError, UserError, missing_extra

log = logging.getLogger("understudy")

_ALL: tuple[Command, ...] = (
    training.Run(),
    training.Frontier(),
    training.Check(),
    training.Recipes(),
    models.Predict(),
    models.Evaluate(),
    models.Export(),
    models.Benchmark(),
    results.Report(),
    results.Compare(),
    results.Push(),
    machine.Doctor(),
    machine.Cache(),
)
COMMANDS = {command.name: command for command in _ALL}
"""Every command by its name, in the order of `understudy --help`."""

INTERRUPTED = 130
_DEFECT = 1

# What the machine refuses is for the user to put right; any other OSError is a defect of ours.
_REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.ENAMETOOLONG}
# Libraries in Rust and C++ raise errors of their own.
_RUST_ERROR = re.compile(r"\(os error (\d+)\)")
_PYTORCH_ERROR = re.compile(r"PytorchStreamWriter failed|inline_container\.cc")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit status."""
    _log_to_stderr()
    _speak_utf8()
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        options = parsed(arguments)
        options.command.run(options)
        sys.stdout.flush()
        return 0
    except SystemExit as exit_:  # --help and --version
        return int(exit_.code or 0)
    except UnderstudyError as error:
        return _failed(error)
    except ModuleNotFoundError as error:
        missing = missing_extra(error, "This command")
        return _defect() if missing is None else _failed(missing)
    except KeyboardInterrupt:
        print("\nunderstudy: Interrupted. Run the same command again to resume.", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader of stdout has left; Python must not try to flush it once more at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        refused = _refused(error)
        return _defect() if refused is None else _failed(refused)


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """The options of a command line, with the chosen command as `command`.

    Raises:
        UserError: An argument is unknown, missing or wrong.
    """
    options, unknown = _parser(arguments).parse_known_args(arguments)
    unknown = options.parser.add_rest(options, unknown)
    if unknown:
        from understudy.recipe.wording import suggestion

        flag = unknown[0].partition("=")[0]
        if flag.startswith("-"):
            options.parser.error(f"no such flag {flag}{suggestion(flag, options.parser.flags())}")
        options.parser.error(f"unexpected argument '{unknown[0]}'")
    return options


def _parser(arguments: Sequence[str]) -> Parser:
    """The parser; only the chosen command's flags are built, because the recipe's take a while to derive."""
    parser = Parser(
        prog="understudy",
        description="Turns a large text classifier into a small one and shows the evidence for the swap.",
        epilog="understudy COMMAND --help lists a command's flags.",
        usage="understudy [flags] COMMAND ...",
        allow_abbrev=False,
        add_help=False,
    )
    parser.add_argument("--version", action=VersionAction)
    add_common_flags(parser)
    commands = parser.add_subparsers(required=True, metavar="COMMAND", title="commands", prog="understudy")
    chosen = next((argument for argument in arguments if argument in COMMANDS), None)
    for name, command in COMMANDS.items():
        own = commands.add_parser(
            name, help=command.summary, description=_sentence(command.summary), allow_abbrev=False, add_help=False
        )
        own.set_defaults(command=command, parser=own)
        if name == chosen:
            # In the order of the help: the command's own, the common ones, the recipe's.
            command.add_flags(own)
            add_common_flags(own, command.hardware, default=argparse.SUPPRESS)
            if command.takes_recipe:
                add_recipe_flags(own)
    return parser


def _sentence(summary: str) -> str:
    return f"{summary[0].upper()}{summary[1:]}."


def _failed(error: UnderstudyError) -> int:
    print(f"understudy: {error}", file=sys.stderr)
    return error.exit_status


def _refused(error: Exception) -> UserError | None:
    """The message for an error of a disk; None for any other error."""
    if found := _RUST_ERROR.search(str(error)):
        error = OSError(int(found[1]), os.strerror(int(found[1])))
    if isinstance(error, OSError) and error.errno in _REFUSED:
        return UserError(f"{error.filename or 'the disk'}: {error.strerror}. Free it, or name another place.")
    if _PYTORCH_ERROR.search(str(error)):
        return UserError("the disk: PyTorch cannot write a file. Free it, or name another place.")
    return None


def _defect() -> int:
    log.exception("understudy: Internal error. Please report this traceback.")
    log.error("Include the output of `understudy doctor`.")
    return _DEFECT


def _speak_utf8() -> None:
    """Reads and writes UTF-8 whatever the locale is; half of a surrogate pair is written as an escape."""
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(encoding="utf-8", errors="strict")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")


def _log_to_stderr() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    log.handlers = [handler]
    log.setLevel(logging.INFO)
    log.propagate = False
