"""Commands that take a finished model: predict, evaluate, export; and benchmark, which times those of a run."""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import re
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from understudy.cli.command import Command, console, print_json
from understudy.cli.flags import add_finished_run, share, whole
from understudy.errors import UserError
from understudy.storage.models import STUDENT, WHICH

if TYPE_CHECKING:
    from understudy.inference.classifier import Classifier

log = logging.getLogger("understudy")


class Predict(Command):
    name = "predict"
    hardware = ("device", "threads", "engine")
    summary = "classify texts or a file"

    def add_flags(self, parser: argparse.ArgumentParser) -> None:
        _add_model(parser, "a run directory, a Hugging Face folder, or an export")
        parser.add_argument(
            "texts", nargs="*", default=[], metavar="TEXT", help="texts (default: one text per line on stdin)"
        )
        parser.add_argument("--input", help="csv, tsv, jsonl or parquet file, or - for lines on stdin")
        parser.add_argument("--output", help="csv, tsv, jsonl or parquet file (default: lines on stdout)")
        _add_text(parser)
        parser.add_argument(
            "--threshold",
            type=share,
            default=0.0,
            metavar="PROBABILITY",
            help="give no label to a text whose top probability is lower: an empty cell, null in jsonl and parquet, - "
            "on stdout (default: 0; metrics.json has the threshold for the run's target precision)",
        )
        _add_precision(parser)

    def run(self, options: argparse.Namespace) -> None:
        if options.texts and options.input:
            raise UserError("predict got both texts and --input. Give one of them.")
        if options.output and not options.input:
            raise UserError("predict got --output without --input. Add --input FILE, or --input - for lines on stdin.")
        if not options.texts and not options.input and sys.stdin.isatty():
            raise UserError("predict got nothing to classify. Give texts, --input FILE, or lines on stdin.")

        from understudy.inference.bulk import predict_file
        from understudy.inference.rows import stream_texts

        classifier = _classifier(options)
        if options.output:
            rows = predict_file(classifier, options.input, Path(options.output), options.text, options.threshold)
            log.info("%d rows: %s", rows, options.output)
            if options.json:
                print_json({"rows": rows, "output": options.output})
            return
        texts = options.texts or stream_texts(options.input or "-", options.text)
        for prediction in classifier.stream(texts, threshold=options.threshold):
            if options.json:
                print(json.dumps(dataclasses.asdict(prediction), ensure_ascii=False))
            else:
                label = "-" if prediction.label is None else prediction.label
                print(f"{label}\t{max(prediction.probabilities.values()):.4f}")


class Evaluate(Command):
    name = "evaluate"
    hardware = ("device", "threads", "engine")
    summary = "measure one model on one labelled source"

    def add_flags(self, parser: argparse.ArgumentParser) -> None:
        _add_model(parser, "a run directory, a Hugging Face folder, or an export")
        parser.add_argument("--data", required=True, metavar="SOURCE", help="labelled texts")
        _add_text(parser)
        _add_label(parser)
        _add_precision(parser)

    def run(self, options: argparse.Namespace) -> None:
        from understudy.evaluation.single import evaluate_model

        classifier = _classifier(options)
        name = options.model if options.which == STUDENT else str(classifier.folder)
        with _naming_flags():
            found = evaluate_model(classifier, options.data, name=name, text=options.text, label=options.label)
        figures, (low, high) = found.metrics, found.accuracy_ci95
        auc = "-" if figures.auc is None else f"{figures.auc:.4f}"
        log.info(
            "%s on %s, %d texts, %s: accuracy %.4f [%.4f, %.4f], balanced accuracy %.4f, F1 %.4f, macro F1 %.4f, "
            "AUC %s, ECE %.4f",
            *(found.model, found.data, found.texts, found.dtype),
            *(figures.accuracy, low, high, figures.balanced_accuracy, figures.f1, figures.macro_f1, auc, figures.ece),
        )
        if options.json:
            result = dataclasses.asdict(found)
            print_json({**result.pop("metrics"), **result})


class Export(Command):
    name = "export"
    hardware = ("threads",)
    summary = "make a folder that runs without PyTorch, behind a quality gate"

    def add_flags(self, parser: argparse.ArgumentParser) -> None:
        _add_model(parser, "a run directory or a Hugging Face folder")
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
        parser.add_argument("--out", type=Path, help="the new folder (default: export/<precision> in the model's run)")
        parser.add_argument(
            "--data", metavar="SOURCE", help="labelled texts for quantisation and comparison (default: the run's)"
        )
        _add_text(parser)
        _add_label(parser)
        self._add_gate(parser)

    def _add_gate(self, parser: argparse.ArgumentParser) -> None:
        from understudy.exporting.limits import Limits

        allowed, group = Limits(), parser.add_argument_group("quality gate", "Refuse an export above these limits.")
        shares = (
            ("--max-flips", allowed.flips, "share of the validation texts that get another label"),
            ("--max-accuracy-loss", allowed.accuracy_loss, "loss of accuracy"),
            ("--max-ece-rise", allowed.ece_rise, "rise of the expected calibration error"),
        )
        for flag, default, meaning in shares:
            group.add_argument(
                flag, type=share, default=default, metavar="SHARE", help=f"{meaning} (default: {default})"
            )
        group.add_argument(
            "--max-batch-flips",
            type=whole,
            default=allowed.batch_flips,
            metavar="COUNT",
            help="how many of 64 texts may change their label in a batch with 31 other texts "
            f"(default: {allowed.batch_flips})",
        )

    def run(self, options: argparse.Namespace) -> None:
        from understudy.exporting.export import export
        from understudy.exporting.limits import Limits
        from understudy.reporting.terminal import show_export

        limits = Limits(options.max_flips, options.max_accuracy_loss, options.max_ece_rise, options.max_batch_flips)
        with _naming_flags():
            found = export(
                options.model,
                options.precision,
                options.format,
                options.out,
                data=options.data,
                text=options.text,
                label=options.label,
                limits=limits,
                threads=options.threads,
                which=options.which,
            )
        show_export(found.manifest, found.comparison, console(), str(found.folder))
        if options.json:
            print_json({"export": str(found.folder), **dataclasses.asdict(found.manifest)})


class Benchmark(Command):
    name = "benchmark"
    hardware = ("device", "threads")
    summary = "time teacher and student in every runtime, side by side"

    def add_flags(self, parser: argparse.ArgumentParser) -> None:
        add_finished_run(parser)
        exports = parser.add_mutually_exclusive_group()
        exports.add_argument(
            "--export",
            type=lambda value: value.split(","),
            default=["fp32", "int8"],
            metavar="PRECISIONS",
            help="exports of the student to make first if they are missing (default: fp32,int8)",
        )
        exports.add_argument(
            "--no-export", dest="export", action="store_const", const=[], help="measure only exports that exist"
        )
        counts = (
            ("--texts", 256, "test texts to classify in bulk"),
            ("--latency-texts", 100, "test texts to classify one at a time"),
            ("--rounds", 3, "times to measure each model, after a warm-up"),
        )
        for flag, default, meaning in counts:
            parser.add_argument(
                flag, type=whole, default=default, metavar="COUNT", help=f"{meaning} (default: {default})"
            )

    def run(self, options: argparse.Namespace) -> None:
        if options.engine is not None:
            raise UserError("benchmark measures every runtime. Leave out --engine.")

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
        show_benchmark(found, console(), str(run.root))
        log.info("figures: %s, chart: %s", run.benchmark, run.benchmark_plot)
        if options.json:
            print_json({"run": str(run.root), **found.to_json()})


def _add_model(parser: argparse.ArgumentParser, kinds: str) -> None:
    parser.add_argument("model", metavar="MODEL", help=kinds)
    parser.add_argument(
        "--which",
        choices=WHICH,
        default=STUDENT,
        metavar="WHICH",
        help=f"which model of a run directory: {', '.join(WHICH)}; best is what the run recommends (default: student)",
    )


def _add_text(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--text", default="text", help="column of the text (default: text)")


def _add_label(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--label", default="label", help="column of the label (default: label)")


def _add_precision(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--precision",
        choices=("auto", "fp32", "bf16", "fp16"),
        help="compute type; auto is the hardware's fastest (default: fp32; for an int8 export, auto for the parts that "
        "are not int8)",
    )


def _naming_flags() -> AbstractContextManager[None]:
    """Errors about columns name `--text` and `--label`, not the arguments that Python takes."""
    from understudy.recipe.arguments import reworded

    return reworded(lambda message: re.sub(r"\b(text|label)=(?!\w)", r"--\1", message))


def _classifier(options: argparse.Namespace) -> Classifier:
    from understudy.inference.opening import open_classifier

    return open_classifier(
        options.model,
        device=options.device,
        threads=options.threads,
        precision=options.precision,
        engine=options.engine,
        which=options.which,
    )
