"""The command line: flags in, one call of the library, the result out.

The recipe's flags and their help are derived from `recipe.py`. What is meant for people goes to stderr; stdout carries
answers: predictions, lists, and with `--json` the result.
"""

from __future__ import annotations

import argparse
import dataclasses
import errno
import json
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from understudy.errors import GateRefused, UnderstudyError, UserError, missing_extra
from understudy.flags import (
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
from understudy.wording import suggestion

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


def _run(options: argparse.Namespace) -> None:
    recipe = _recipe(options)  # a typo must not wait for PyTorch to be imported

    from understudy.pipeline import distill
    from understudy.report.terminal import show_metrics

    run = distill(
        recipe,
        options.out,
        **_machine(options),
        cache_dir=options.cache_dir,
        overwrite=options.overwrite,
        report_to=options.report_to,
    )
    show_metrics(run.metrics, _console(), str(run.directory))
    log.info("report: %s", run.page)
    if options.json:
        _print_json({"run": str(run.directory), **dataclasses.asdict(run.metrics)})


def _frontier(options: argparse.Namespace) -> None:
    recipe = _recipe(options)

    from understudy.frontier import frontier
    from understudy.report.terminal import show_tradeoff

    found = frontier(
        recipe,
        options.out,
        **_machine(options),
        cache_dir=options.cache_dir,
        overwrite=options.overwrite,
        report_to=options.report_to,
    )
    show_tradeoff(found.tradeoff, _console(), str(found.directory))
    log.info("plot: %s", found.plot)
    asked = options.at_least is not None or options.at_most_ms is not None
    chosen = found.tradeoff.choose(options.at_least, options.at_most_ms) if asked else None
    if options.json:
        ship = {"ship": chosen and str(found.directory / chosen.folder)} if asked else {}
        _print_json({"run": str(found.directory), **ship, **found.tradeoff.to_json()})
    if chosen is not None:
        log.info("ship: %s, in %s", chosen.name, found.directory / chosen.folder)
    elif asked:
        raise GateRefused(found.tradeoff.shortfall(options.at_least, options.at_most_ms))


def _check(options: argparse.Namespace) -> None:
    recipe = _recipe(options)

    from understudy.pipeline import examine

    found = examine(recipe, options.cache_dir)
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
    width = max(map(len, found))
    for name, recipe in found.items():
        print(f"{name:<{width}}  {recipe.description}")


def _predict(options: argparse.Namespace) -> None:
    if options.texts and options.input:
        raise UserError("predict got texts and --input: give one or the other.")
    if options.output and not options.input:
        raise UserError("predict got --output without --input: name the file to read, or - for lines on stdin.")
    if not options.texts and not options.input and sys.stdin.isatty():
        raise UserError("predict got nothing to classify: give texts, --input FILE, or lines on stdin.")

    from understudy.inference.bulk import predict_file
    from understudy.inference.rows import stream_texts

    classifier = _classifier(options)
    if options.output:
        rows = predict_file(classifier, options.input, Path(options.output), options.text, options.threshold)
        log.info("%d rows: %s", rows, options.output)
        if options.json:
            _print_json({"rows": rows, "output": options.output})
        return
    texts = options.texts or stream_texts(options.input or "-", options.text)
    for prediction in classifier.stream(texts, threshold=options.threshold):
        if options.json:
            print(json.dumps(dataclasses.asdict(prediction), ensure_ascii=False))
        else:
            label = "-" if prediction.label is None else prediction.label
            print(f"{label}\t{max(prediction.probabilities.values()):.4f}")


def _export(options: argparse.Namespace) -> None:
    from understudy.exporting.export import export
    from understudy.exporting.gate import Limits
    from understudy.report.terminal import show_export

    found = export(
        options.model,
        options.precision,
        options.format,
        options.out,
        data=options.data,
        text=options.text,
        label=options.label,
        limits=Limits(options.max_flips, options.max_accuracy_loss, options.max_ece_rise, options.max_batch_flips),
        threads=options.threads,
    )
    show_export(found.manifest, found.comparison, _console(), str(found.folder))
    if options.json:
        _print_json({"export": str(found.folder), **dataclasses.asdict(found.manifest)})


def _evaluate(options: argparse.Namespace) -> None:
    from understudy.evaluation.single import evaluate_model

    classifier = _classifier(options)
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


def _benchmark(options: argparse.Namespace) -> None:
    if options.engine is not None:
        raise UserError("benchmark got --engine, but it measures every runtime there is. Leave --engine out.")

    from understudy.artifacts import RunDirectory
    from understudy.benchmark import benchmark
    from understudy.report.benchmark_table import show_benchmark

    found = benchmark(
        options.run,
        exports=options.export,
        texts=options.texts,
        latency_texts=options.latency_texts,
        rounds=options.rounds,
        device=options.device,
        threads=options.threads,
    )
    run = RunDirectory(options.run)
    show_benchmark(found, _console(), str(run.root))
    log.info("figures: %s, chart: %s", run.benchmark, run.benchmark_plot)
    if options.json:
        _print_json({"run": str(run.root), **found.to_json()})


def _report(options: argparse.Namespace) -> None:
    from understudy.reporting import report

    page = report(options.run, texts=None if options.texts is None else options.texts == "true")
    log.info("report: %s", page)
    if options.json:
        _print_json({"report": str(page)})


def _compare(options: argparse.Namespace) -> None:
    from understudy.report.terminal import show_comparison
    from understudy.reporting import compare

    found = compare(options.runs, options.out)
    show_comparison(found, _console())
    log.info("page: %s", options.out)
    if options.json:
        runs = [
            {
                "run": str(each.folder),
                "accuracy_ci95": each.accuracy_ci95,
                "against_the_first": each.difference and dataclasses.asdict(each.difference),
                **dataclasses.asdict(each.metrics),
            }
            for each in found.runs
        ]
        _print_json({"page": str(options.out), "options": found.options, "runs": runs})


def _push(options: argparse.Namespace) -> None:
    from understudy.pushing import push

    pushed = push(options.run, options.to, private=options.private)
    log.info("pushed: %s, commit %s", pushed.url, pushed.commit)
    if options.json:
        _print_json(dataclasses.asdict(pushed))


_COMMANDS: dict[str, tuple[Callable[[argparse.Namespace], None], str]] = {
    "run": (_run, "the whole pipeline: teacher, soft labels, student, controls, evidence"),
    "frontier": (_frontier, "one teacher, many students: accuracy against speed and size"),
    "recipes": (_recipes, "list the presets"),
    "check": (_check, "audit data and recipe before anything is trained"),
    "predict": (_predict, "classify texts or a file"),
    "export": (_export, "a folder that runs without PyTorch, behind a quality gate"),
    "evaluate": (_evaluate, "the metrics of one model on one labelled source"),
    "report": (_report, "render a finished run's dashboard and report again"),
    "compare": (_compare, "several finished runs beside each other"),
    "benchmark": (_benchmark, "how fast teacher and student are in every runtime, side by side"),
    "push": (_push, "a finished run's student and its model card to the Hugging Face Hub"),
}


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
    chosen = next((argument for argument in arguments if argument in _COMMANDS), None)
    for name, (command, summary) in _COMMANDS.items():
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


def _recipe(options: argparse.Namespace) -> Any:
    from understudy.recipe import Recipe

    return Recipe.load(options.recipe, **options.recipe_flags.given(options))


def _machine(options: argparse.Namespace) -> dict[str, Any]:
    """What to compute with, as every command may say it."""
    return {"device": options.device, "threads": options.threads, "engine": options.engine}


def _classifier(options: argparse.Namespace) -> Any:
    from understudy.inference.classifier import Classifier

    return Classifier.load(options.model, precision=options.precision, **_machine(options))


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
