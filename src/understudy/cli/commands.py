"""The commands: each asks the library once and gives what it found to people and, with `--json`, to programs.

What is meant for people goes to stderr; stdout carries answers: predictions, lists, and the result as JSON. What a
command needs is imported when it is called.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from understudy.errors import GateRefused, UserError

log = logging.getLogger("understudy")


def _run(options: argparse.Namespace) -> None:
    recipe = chosen_recipe(options)  # a typo must not wait for PyTorch to be imported

    from understudy.reporting.terminal import show_metrics
    from understudy.run.pipeline import distill

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
    recipe = chosen_recipe(options)

    from understudy.reporting.terminal import show_tradeoff
    from understudy.run.frontier import frontier

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
    recipe = chosen_recipe(options)

    from understudy.run.pipeline import examine

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
    from understudy.recipe.recipe import presets

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
    from understudy.reporting.terminal import show_export

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
    found = evaluate_model(classifier, options.data, name=options.model, text=options.text, label=options.label)
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

    from understudy.reporting.benchmark_table import show_benchmark
    from understudy.run.benchmark import benchmark
    from understudy.storage.layout import RunDirectory

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
    from understudy.reporting.render import report

    page = report(options.run, texts=None if options.texts is None else options.texts == "true")
    log.info("report: %s", page)
    if options.json:
        _print_json({"report": str(page)})


def _compare(options: argparse.Namespace) -> None:
    from understudy.reporting.render import compare
    from understudy.reporting.terminal import show_comparison

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
    from understudy.reporting.push import push

    pushed = push(options.run, options.to, private=options.private)
    log.info("pushed: %s, commit %s", pushed.url, pushed.commit)
    if options.json:
        _print_json(dataclasses.asdict(pushed))


def chosen_recipe(options: argparse.Namespace) -> Any:
    """The recipe that a command was given, with what its flags changed."""
    from understudy.recipe.recipe import Recipe

    return Recipe.load(options.recipe, **options.recipe_flags.given(options))


def _machine(options: argparse.Namespace) -> dict[str, Any]:
    """What to compute with, as every command may say it."""
    return {"device": options.device, "threads": options.threads, "engine": options.engine}


def _classifier(options: argparse.Namespace) -> Any:
    from understudy.inference.opening import open_classifier

    return open_classifier(options.model, precision=options.precision, **_machine(options))


def _console() -> Any:
    from rich.console import Console

    return Console(stderr=True)


def _print_json(content: Any) -> None:
    print(json.dumps(content, indent=2, ensure_ascii=False))


COMMANDS: dict[str, tuple[Callable[[argparse.Namespace], None], str]] = {
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
