"""The command line: flags in, one command, an exit status out. Errors and logs go to stderr."""

from __future__ import annotations

import argparse
import errno
import logging
import os
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
_REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENAMETOOLONG}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit status."""
    _log_to_stderr()
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
    except OSError as error:
        if error.errno not in _REFUSED:
            return _defect()
        place = error.filename or "the disk"
        return _failed(UserError(f"{place}: {error.strerror}. Free it, or name another place."))
    except Exception:
        return _defect()


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """The options of a command line, with the chosen command as `command`.

    Raises:
        UserError: An argument is unknown, missing or wrong.
    """
    options, unknown = _parser(arguments).parse_known_args(arguments)
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
            # In the order of the help: the command's own, those of every command, the recipe's.
            command.add_flags(own)
            add_common_flags(own, default=argparse.SUPPRESS)
            if command.takes_recipe:
                add_recipe_flags(own)
    return parser


def _sentence(summary: str) -> str:
    return f"{summary[0].upper()}{summary[1:]}."


def _failed(error: UnderstudyError) -> int:
    print(f"understudy: {error}", file=sys.stderr)
    return error.exit_status


def _defect() -> int:
    log.exception("understudy: Internal error. Please report this traceback.")
    log.error("Include the output of `understudy doctor`.")
    return _DEFECT


def _log_to_stderr() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    log.handlers = [handler]
    log.setLevel(logging.INFO)
    log.propagate = False
