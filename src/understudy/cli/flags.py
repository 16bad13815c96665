"""What `cli.py` asks of argparse: errors on one line, and the recipe's options as flags."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from understudy.errors import UserError


class Parser(argparse.ArgumentParser):
    """argparse, with its errors as one line instead of a screen of usage."""

    def error(self, message: str) -> NoReturn:
        end = "" if message.endswith("?") else "."
        raise UserError(f"{message}{end} `{self.prog} --help` lists what there is.")

    def flags(self) -> list[str]:
        return [flag for action in self._actions for flag in action.option_strings]


class RecipeFlags:
    """The recipe's options as flags under their dotted names."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        from pydantic_settings import BaseSettings, CliSettingsSource, SettingsConfigDict

        from understudy.recipe.recipe import Recipe
        from understudy.recipe.wording import options

        self._options = {option.name: option for option in options(Recipe)}
        self._top = parser.add_argument_group(
            "recipe options", "These and all below beat the recipe; `none` unsets an option that may be left out."
        )
        # Lists are left as they were typed: the recipe reads them.
        config = SettingsConfigDict(enable_decoding=False)
        settings = type("RecipeFlags", (BaseSettings, Recipe), {"__doc__": None, "model_config": config})
        self._source: Any = CliSettingsSource(
            settings, root_parser=parser, add_argument_method=self._add, cli_use_class_docs_for_groups=True
        )

    def _add(self, group: Any, flag: str, *, dest: str, **how: Any) -> None:
        option = self._options.get(dest)
        if option is None:  # a whole table as JSON
            return
        action = {"action": how["action"]} if "action" in how else {}
        default = "required, here or in the recipe" if option.required else f"default: {option.default_words}"
        limits = f"{option.takes}; " if option.metavar in ("INTEGER", "NUMBER") else ""
        (group if option.section else self._top).add_argument(
            flag,
            dest=dest,
            default=argparse.SUPPRESS,
            metavar=option.metavar,
            help=f"{option.help} [{limits}{default}]".replace("%", "%%"),
            **action,
        )

    def given(self, options: argparse.Namespace) -> dict[str, Any]:
        """Only what the user gave, nested."""
        return self._source(parsed_args=options)()


class VersionAction(argparse.Action):
    def __init__(self, option_strings: Sequence[str], dest: str) -> None:
        super().__init__(option_strings, dest, nargs=0, help="show the version")

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from importlib.metadata import version

        from understudy.runtime.packages import DISTRIBUTION

        print(f"understudy {version(DISTRIBUTION)}")
        parser.exit()


def add_export_flags(parser: argparse.ArgumentParser) -> None:
    from understudy.exporting.gate import Limits

    allowed = Limits()
    parser.add_argument(
        "--precision",
        choices=("fp32", "int8"),
        default="fp32",
        help="of weights and matrix products (default: fp32)",
    )
    parser.add_argument(
        "--format",
        choices=("openvino", "onnx"),
        default="openvino",
        help="openvino is the fastest on CPUs, onnx is for other runtimes (default: openvino)",
    )
    parser.add_argument("--out", type=Path, help="the folder; by default export/<precision> in the model's run")
    parser.add_argument(
        "--data", metavar="SOURCE", help="labelled texts for quantisation and comparison, instead of the run's"
    )
    parser.add_argument("--label", default="label", help="column of the label (default: label)")
    limits = (
        ("--max-flips", share, allowed.flips, "SHARE", "of the validation texts may get another label"),
        ("--max-accuracy-loss", share, allowed.accuracy_loss, "SHARE", "of accuracy may be lost"),
        ("--max-ece-rise", share, allowed.ece_rise, "SHARE", "is how much the calibration error may rise"),
        (
            "--max-batch-flips",
            whole,
            allowed.batch_flips,
            "COUNT",
            "of 64 texts may get another label among 31 others than alone",
        ),
    )
    for flag, kind, default, metavar, meaning in limits:
        parser.add_argument(
            flag, type=kind, default=default, metavar=metavar, help=f"gate: {metavar} {meaning} (default: {default})"
        )


def add_benchmark_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN", help="a finished run's directory")
    exports = parser.add_mutually_exclusive_group()
    exports.add_argument(
        "--export",
        type=lambda value: value.split(","),
        default=["fp32", "int8"],
        metavar="PRECISIONS",
        help="exports of the student that are made first where they are missing (default: fp32,int8)",
    )
    exports.add_argument(
        "--no-export", dest="export", action="store_const", const=[], help="measure only the exports that are there"
    )
    counts = (
        ("--texts", 256, "test texts that are answered in bulk"),
        ("--latency-texts", 100, "test texts that are answered one at a time"),
        ("--rounds", 3, "how often each side is timed, after a warm-up"),
    )
    for flag, default, meaning in counts:
        parser.add_argument(flag, type=whole, default=default, metavar="COUNT", help=f"{meaning} (default: {default})")


def add_report_flags(parser: argparse.ArgumentParser) -> None:
    """What `understudy report` takes."""
    parser.add_argument("run", metavar="RUN", help="a run directory")
    parser.add_argument(
        "--report.texts",
        dest="texts",
        choices=("true", "false"),
        help="whether the page shows test texts; kept in the run's recipe",
    )


def add_compare_flags(parser: argparse.ArgumentParser) -> None:
    """What `understudy compare` takes."""
    parser.add_argument("runs", nargs="+", metavar="RUN", help="run directories, held against the first")
    page = Path("comparison.html")
    parser.add_argument("--out", type=Path, default=page, help=f"the page (default: {page})")


def add_push_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN", help="a finished run's directory")
    parser.add_argument(
        "--to",
        required=True,
        metavar="NAME",
        help="the repository, owner/name; made if it is not there, else it gets one more commit. The access token is "
        "that of HF_TOKEN or hf auth login",
    )
    parser.add_argument("--private", action="store_true", help="nobody else may see the repository")


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


def _number(value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a number, got '{value}'") from None
