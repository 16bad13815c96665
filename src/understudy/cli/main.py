"""The command line: flags in, one of `commands`, an exit status out.

The recipe's flags and their help are derived from `recipe/`. Errors and logs go to stderr.
"""

from __future__ import annotations

import argparse
import errno
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from understudy.cli.commands import COMMANDS
from understudy.cli.flags import (
    Parser,
    RecipeFlags,
    VersionAction,
    add_benchmark_flags,
    add_compare_flags,
    add_export_flags,
    add_push_flags,
    add_report_flags,
    positive,
    share,
    thread_count,
)
from understudy.errors import UnderstudyError, UserError, missing_extra
from understudy.recipe.wording import suggestion

log = logging.getLogger("understudy")

INTERRUPTED = 130
_DEFECT = 1

# What the machine refuses is for the user to put right; any other OSError is a defect of ours.
_REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENAMETOOLONG}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit status."""
    _log_to_stderr()
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        options = _parsed(arguments)
        options.command(options)
        sys.stdout.flush()
        return 0
    except SystemExit as exit_:  # --help and --version
        return int(exit_.code or 0)
    except UnderstudyError as error:
        print(f"understudy: {error}", file=sys.stderr)
        return error.exit_status
    except ModuleNotFoundError as error:
        missing = missing_extra(error, "This command")
        if missing is None:
            return _defect()
        print(f"understudy: {missing}", file=sys.stderr)
        return missing.exit_status
    except KeyboardInterrupt:
        print("\nunderstudy: interrupted; the same command goes on from what is finished", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader of stdout has left; Python must not try to flush it once more at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.errno in _REFUSED:
            print(
                f"understudy: {error.filename or 'the disk'}: {error.strerror}. Free it, or name another place.",
                file=sys.stderr,
            )
            return UserError.exit_status
        return _defect()
    except Exception:
        return _defect()


def _defect() -> int:
    log.exception("understudy: this is a defect of understudy, please report it with these lines")
    return _DEFECT


def _parsed(arguments: Sequence[str]) -> argparse.Namespace:
    parser = _parser(arguments)
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        flag = unknown[0].partition("=")[0]
        if flag.startswith("-"):
            options.parser.error(f"no such flag {flag}{suggestion(flag, options.parser.flags())}")
        options.parser.error(f"got '{unknown[0]}' beyond what it takes")
    return options


def _parser(arguments: Sequence[str]) -> Parser:
    """The parser; only the chosen command's flags are built, for the recipe's take a while to derive."""
    parser = Parser(
        prog="understudy",
        description="Turns a large text classifier into a small one and shows the evidence for the swap.",
        epilog="understudy COMMAND --help lists a command's flags.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=VersionAction)
    _add_common_flags(parser)
    commands = parser.add_subparsers(required=True, metavar="COMMAND", title="commands")
    chosen = next((argument for argument in arguments if argument in COMMANDS), None)
    for name, (command, summary) in COMMANDS.items():
        subparser = commands.add_parser(name, help=summary, description=summary, allow_abbrev=False)
        subparser.set_defaults(command=command, parser=subparser)
        if name == chosen:
            _add_flags(subparser, name)
    return parser


def _add_common_flags(parser: argparse.ArgumentParser, **default: Any) -> None:
    parser.add_argument("--device", help="cpu, cuda, mps; by default the best there is", **default)
    parser.add_argument("--threads", type=thread_count, help="CPU threads; by default one a core", **default)
    parser.add_argument(
        "--engine", help="what runs finished models: pytorch or openvino; by default the fastest", **default
    )
    parser.add_argument("--json", action="store_true", help="the result as JSON on stdout", **default)


def _add_flags(parser: argparse.ArgumentParser, command: str) -> None:
    # They may stand before the command as well; a default here would undo what was given there.
    _add_common_flags(parser, default=argparse.SUPPRESS)
    if command in ("run", "frontier", "check"):
        parser.usage = f"understudy {command} [RECIPE] [--section.option VALUE ...] [flags]"
        parser.add_argument(
            "recipe",
            nargs="?",
            default="quickstart",
            metavar="RECIPE",
            help="a preset's name (see understudy recipes) or a TOML file; the preset wins where a file is called like "
            "one, unless its folder is named: ./imdb (default: quickstart)",
        )
        parser.add_argument(
            "--cache-dir", type=Path, help="kept work; by default $UNDERSTUDY_CACHE or the user's cache"
        )
    if command in ("run", "frontier"):
        parser.add_argument("--out", type=Path, help="run directory; by default runs/<recipe name>")
        parser.add_argument("--overwrite", action="store_true", help="replace a run with other data or another teacher")
        parser.add_argument(
            "--report-to",
            default="none",
            metavar="TRACKER,...",
            help="experiment trackers for the curves of training, such as tensorboard; all that Hugging Face's Trainer "
            "knows and that are installed (default: none)",
        )
    if command == "frontier":
        parser.add_argument(
            "--at-least", type=share, metavar="ACCURACY", help="name the fastest student with this accuracy"
        )
        parser.add_argument(
            "--at-most-ms",
            type=positive,
            metavar="MILLISECONDS",
            help="name a student that takes no longer for one text (p50): the most accurate, or with --at-least the "
            "fastest",
        )
    if command in ("run", "frontier", "check"):
        parser.set_defaults(recipe_flags=RecipeFlags(parser))
    if command in ("predict", "export", "evaluate"):
        also = "" if command == "export" else ", or an export"
        parser.add_argument(
            "model", metavar="MODEL", help=f"a run directory (its student), a Hugging Face folder{also}"
        )
        parser.add_argument("--text", default="text", help="column of the text (default: text)")
    if command in ("predict", "evaluate"):
        parser.add_argument(
            "--precision",
            choices=("auto", "fp32", "bf16", "fp16"),
            help="compute type; auto is the hardware's fastest (default: fp32; auto for what an int8 export has in "
            "float)",
        )
    if command == "export":
        add_export_flags(parser)
    if command == "benchmark":
        add_benchmark_flags(parser)
    if command == "report":
        add_report_flags(parser)
    if command == "compare":
        add_compare_flags(parser)
    if command == "push":
        add_push_flags(parser)
    if command == "predict":
        parser.add_argument("texts", nargs="*", default=[], metavar="TEXT", help="texts; without them, lines on stdin")
        parser.add_argument("--input", help="csv, tsv, jsonl or parquet, or - for lines on stdin")
        parser.add_argument("--output", help="csv, tsv, jsonl or parquet; by default lines on stdout")
        parser.add_argument(
            "--threshold",
            type=share,
            default=0.0,
            metavar="PROBABILITY",
            help="a text whose top probability is below it gets no label: an empty cell, null in jsonl and parquet, - "
            "on stdout (default: 0; metrics.json has the one for the run's target precision)",
        )
    if command == "evaluate":
        parser.add_argument("--data", required=True, metavar="SOURCE", help="a labelled source")
        parser.add_argument("--label", default="label", help="column of the label (default: label)")


def _log_to_stderr() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    log.handlers = [handler]
    log.setLevel(logging.INFO)
    log.propagate = False
