"""The command line: flags in, one call of the library, the result out.

The recipe's flags and their help are derived from `recipe.py`. What is meant for people goes to stderr; stdout carries
answers: predictions, lists, and with `--json` the result.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from understudy.errors import UnderstudyError, UserError

log = logging.getLogger("understudy")

INTERRUPTED = 130
_DEFECT = 1


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit status."""
    _log_to_stderr()
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        options = _parser(arguments).parse_args(arguments)
        options.command(options)
        return 0
    except SystemExit as exit_:  # argparse: --help is 0, a wrong flag 2
        return int(exit_.code or 0)
    except UnderstudyError as error:
        print(f"understudy: {error}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        print("\nunderstudy: interrupted; the same command goes on from the last whole checkpoint", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader of stdout has left
        sys.stderr.close()
        return 0
    except Exception:
        log.exception("understudy: this is a defect of understudy, please report it with these lines")
        return _DEFECT


def _run(options: argparse.Namespace) -> None:
    from understudy.pipeline import distill
    from understudy.report.terminal import show_metrics

    recipe = _recipe(options)
    run = distill(
        recipe,
        options.out,
        device=options.device,
        threads=options.threads,
        cache_dir=options.cache_dir,
        overwrite=options.overwrite,
    )
    show_metrics(run.metrics, _console(), str(run.directory))
    log.info("dashboard: %s", run.report / "dashboard.png")
    if options.json:
        _print_json({"run": str(run.directory), **dataclasses.asdict(run.metrics)})


def _check(options: argparse.Namespace) -> None:
    from understudy.pipeline import examine

    found = examine(_recipe(options), options.cache_dir)
    if options.json:
        _print_json({"findings": found.to_json()})
    for finding in found.findings:
        log.info("%s  %s: %s", finding.level.upper(), finding.code, finding.message)
        for row in finding.rows:
            log.info("    %s row %d: %s", row.split, row.row, row.text)
    log.info("%d errors, %d warnings, %d notes", *map(len, (found.errors, found.warnings, found.notes)))
    if found.errors:
        raise UserError("the data is not fit to be trained on; see the errors above.")


def _recipes(options: argparse.Namespace) -> None:
    from understudy.recipe import presets

    found = presets()
    if options.json:
        _print_json([{"name": name, "description": recipe.description} for name, recipe in found.items()])
        return
    for name, recipe in found.items():
        print(f"{name:<12} {recipe.description}")


def _predict(options: argparse.Namespace) -> None:
    from understudy.inference.bulk import predict_file, stream_texts
    from understudy.inference.classifier import Classifier

    if options.texts and options.input:
        raise UserError("predict got texts and --input: give one or the other.")
    if options.output and not options.input:
        raise UserError("predict got --output without --input: name the file to read, or - for lines on stdin.")
    if not options.texts and not options.input and sys.stdin.isatty():
        raise UserError("predict got nothing to classify: give texts, --input FILE, or lines on stdin.")
    classifier = Classifier.load(
        options.model, device=options.device, threads=options.threads, precision=options.precision
    )
    if options.output:
        rows = predict_file(classifier, options.input, Path(options.output), options.text)
        log.info("%d rows: %s", rows, options.output)
        if options.json:
            _print_json({"rows": rows, "output": options.output})
        return
    texts = options.texts or stream_texts(options.input or "-", options.text)
    for prediction in classifier.stream(texts):
        if options.json:
            print(json.dumps(dataclasses.asdict(prediction), ensure_ascii=False))
        else:
            print(f"{prediction.label}\t{prediction.probabilities[prediction.label]:.4f}")


def _evaluate(options: argparse.Namespace) -> None:
    from understudy.evaluation.single import evaluate_model
    from understudy.inference.classifier import Classifier

    classifier = Classifier.load(
        options.model, device=options.device, threads=options.threads, precision=options.precision
    )
    found = evaluate_model(classifier, options.model, options.data, text=options.text, label=options.label)
    low, high = found.accuracy_ci95
    auc = "-" if found.metrics.auc is None else f"{found.metrics.auc:.4f}"
    log.info(
        "%s on %s, %d texts, %s: accuracy %.4f [%.4f, %.4f], F1 %.4f, AUC %s, ECE %.4f",
        *(found.model, found.data, found.texts, found.dtype),
        *(found.metrics.accuracy, low, high, found.metrics.f1, auc, found.metrics.ece),
    )
    if options.json:
        result = dataclasses.asdict(found)
        _print_json({**result.pop("metrics"), **result})


_COMMANDS: dict[str, tuple[Callable[[argparse.Namespace], None], str]] = {
    "run": (_run, "the whole pipeline: teacher, soft labels, student, controls, evidence"),
    "recipes": (_recipes, "list the presets"),
    "check": (_check, "audit data and recipe before anything is trained"),
    "predict": (_predict, "classify texts or a file"),
    "evaluate": (_evaluate, "the metrics of one model on one labelled source"),
}


def _parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    """The parser; only the chosen command's flags are built, for the recipe's take a while to derive."""
    parser = argparse.ArgumentParser(
        prog="understudy",
        description="Turns a large text classifier into a small one and shows the evidence for the swap.",
        epilog="understudy COMMAND --help lists a command's flags.",
    )
    parser.add_argument("--version", action=_Version)
    commands = parser.add_subparsers(required=True, metavar="COMMAND", title="commands")
    chosen = next((argument for argument in arguments if not argument.startswith("-")), None)
    for name, (command, summary) in _COMMANDS.items():
        subparser = commands.add_parser(name, help=summary, description=summary, allow_abbrev=False)
        subparser.set_defaults(command=command)
        if name == chosen:
            _add_flags(subparser, name)
    return parser


def _add_flags(parser: argparse.ArgumentParser, command: str) -> None:
    parser.add_argument("--device", help="cpu, cuda, mps; by default the best there is")
    parser.add_argument("--threads", type=_positive, help="PyTorch's CPU threads; by default one a core")
    parser.add_argument("--json", action="store_true", help="the result as JSON on stdout")
    if command in ("run", "check"):
        parser.add_argument("recipe", nargs="?", default="quickstart", help="a preset's name or a TOML file")
        parser.add_argument(
            "--cache-dir", type=Path, help="kept work; by default $UNDERSTUDY_CACHE or the user's cache"
        )
        options = _RecipeFlags(parser)
        parser.set_defaults(recipe_flags=options)
    if command == "run":
        parser.add_argument("--out", type=Path, help="run directory; by default runs/<recipe name>")
        parser.add_argument("--overwrite", action="store_true", help="replace a run with other data or another teacher")
    if command in ("predict", "evaluate"):
        parser.add_argument("model", metavar="MODEL", help="a run directory (its student) or a Hugging Face folder")
        parser.add_argument("--text", default="text", help="column of the text (default: text)")
        parser.add_argument(
            "--precision",
            choices=("auto", "fp32", "bf16", "fp16"),
            default="fp32",
            help="compute type; auto is the hardware's fastest (default: fp32)",
        )
    if command == "predict":
        parser.add_argument("texts", nargs="*", metavar="TEXT", help="texts; without them, lines on stdin")
        parser.add_argument("--input", help="csv, tsv, jsonl or parquet, or - for lines on stdin")
        parser.add_argument("--output", help="csv, tsv, jsonl or parquet; by default lines on stdout")
    if command == "evaluate":
        parser.add_argument("--data", required=True, metavar="SOURCE", help="a labelled source")
        parser.add_argument("--label", default="label", help="column of the label (default: label)")


class _RecipeFlags:
    """The recipe's options as flags under their dotted names."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        from pydantic_settings import BaseSettings, CliSettingsSource

        from understudy.recipe import Recipe

        settings = type("RecipeFlags", (BaseSettings, Recipe), {"__doc__": None})
        self._source: Any = CliSettingsSource(settings, root_parser=parser, cli_hide_none_type=True)

    def given(self, options: argparse.Namespace) -> dict[str, Any]:
        """Only what the user gave, nested."""
        return self._source(parsed_args=options)()


def _recipe(options: argparse.Namespace) -> Any:
    from understudy.recipe import Recipe

    return Recipe.load(options.recipe, **options.recipe_flags.given(options))


class _Version(argparse.Action):
    def __init__(self, option_strings: Sequence[str], dest: str) -> None:
        super().__init__(option_strings, dest, nargs=0, help="show the version")

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from importlib.metadata import version

        print(f"understudy {version('understudy')}")
        parser.exit()


def _positive(value: str) -> int:
    number = int(value)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected a number of threads from 1, got {value}")
    return number


def _console() -> Any:
    from rich.console import Console

    return Console(stderr=True)


def _print_json(content: Any) -> None:
    print(json.dumps(content, indent=2, ensure_ascii=False))


def _log_to_stderr() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    log.handlers = [handler]
    log.setLevel(logging.INFO)
    log.propagate = False
