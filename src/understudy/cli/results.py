"""Commands that take finished runs: report, compare and push."""

from __future__ import annotations

import argparse
import dataclasses
import logging
from pathlib import Path

from understudy.cli.command import Command, console, print_json
from understudy.cli.flags import add_finished_run

log = logging.getLogger("understudy")


class Report(Command):
    name = "report"
    summary = "render the dashboard and the report of a finished run again"

    def add_flags(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("run", metavar="RUN", help="the directory of a finished run")
        parser.add_argument(
            "--report.texts",
            dest="texts",
            choices=("true", "false"),
            help="whether the report shows test texts; kept in the run's recipe",
        )

    def run(self, options: argparse.Namespace) -> None:
        from understudy.reporting.render import report

        page = report(options.run, texts=None if options.texts is None else options.texts == "true")
        log.info("report: %s", page)
        if options.json:
            print_json({"report": str(page)})


class Compare(Command):
    name = "compare"
    summary = "show several finished runs side by side"

    def add_flags(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("runs", nargs="+", metavar="RUN", help="run directories, compared with the first one")
        page = Path("comparison.html")
        parser.add_argument("--out", type=Path, default=page, help=f"the HTML page (default: {page})")

    def run(self, options: argparse.Namespace) -> None:
        from understudy.reporting.render import compare
        from understudy.reporting.terminal import show_comparison

        found = compare(options.runs, options.out)
        show_comparison(found, console())
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
            print_json({"page": str(options.out), "options": found.options, "runs": runs})


class Push(Command):
    name = "push"
    summary = "upload a finished run's student and its model card to the Hugging Face Hub"

    def add_flags(self, parser: argparse.ArgumentParser) -> None:
        add_finished_run(parser)
        parser.add_argument(
            "--to",
            required=True,
            metavar="NAME",
            help="the repository, owner/name; created if it is missing, else it gets a new commit. The access token is "
            "that of HF_TOKEN or hf auth login",
        )
        parser.add_argument(
            "--private", action="store_true", help="make a new repository private; refuse an existing public one"
        )

    def run(self, options: argparse.Namespace) -> None:
        from understudy.reporting.push import push

        pushed = push(options.run, options.to, private=options.private)
        log.info("pushed: %s, commit %s", pushed.url, pushed.commit)
        if options.json:
            print_json(dataclasses.asdict(pushed))
