"""Commands that take a recipe: run, frontier, check; and recipes, which lists the presets."""

from __future__ import annotations

import argparse
import dataclasses
import logging
from pathlib import Path

from understudy.cli.command import Command, console, print_json
from understudy.cli.flags import add_cache_dir, positive, settings_from, share
from understudy.cli.recipe_flags import add_recipe, chosen_recipe
from understudy.errors import GateRefused, UserError

log = logging.getLogger("understudy")


class Run(Command):
    name = "run"
    takes_recipe = True
    hardware = ("device", "threads", "engine")
    summary = "run the whole pipeline: teacher, soft labels, student, controls, report"

    def add_flags(self, parser: argparse.ArgumentParser) -> None:
        add_recipe(parser)
        _add_run_flags(parser)

    def run(self, options: argparse.Namespace) -> None:
        recipe = chosen_recipe(options)  # a typo must not wait for PyTorch to be imported

        from understudy.reporting.terminal import show_metrics
        from understudy.run.pipeline import distill

        run = distill(recipe, options.out, settings=settings_from(options))
        show_metrics(run.metrics, console(), str(run.directory))
        log.info("report: %s", run.page)
        if options.json:
            print_json({"run": str(run.directory), **dataclasses.asdict(run.metrics)})


class Frontier(Command):
    name = "frontier"
    takes_recipe = True
    hardware = ("device", "threads", "engine")
    summary = "train many students of one teacher: accuracy against speed and size"

    def add_flags(self, parser: argparse.ArgumentParser) -> None:
        add_recipe(parser)
        _add_run_flags(parser)
        parser.add_argument(
            "--at-least", type=share, metavar="ACCURACY", help="name the fastest student with this accuracy"
        )
        parser.add_argument(
            "--at-most-ms",
            type=positive,
            metavar="MILLISECONDS",
            help="name the most accurate student that classifies one text in this time (p50); with --at-least, the "
            "fastest one",
        )

    def run(self, options: argparse.Namespace) -> None:
        recipe = chosen_recipe(options)

        from understudy.reporting.terminal import show_tradeoff
        from understudy.run.frontier import frontier

        found = frontier(recipe, options.out, settings=settings_from(options))
        show_tradeoff(found.tradeoff, console(), str(found.directory))
        log.info("plot: %s", found.plot)
        asked = options.at_least is not None or options.at_most_ms is not None
        chosen = found.tradeoff.choose(options.at_least, options.at_most_ms) if asked else None
        if options.json:
            ship = {"ship": chosen and str(found.directory / chosen.folder)} if asked else {}
            print_json({"run": str(found.directory), **ship, **found.tradeoff.to_json()})
        if chosen is not None:
            log.info("ship: %s, in %s", chosen.name, found.directory / chosen.folder)
        elif asked:
            raise GateRefused(found.tradeoff.shortfall(options.at_least, options.at_most_ms))


class Check(Command):
    name = "check"
    takes_recipe = True
    summary = "audit data and recipe before anything is trained"

    def add_flags(self, parser: argparse.ArgumentParser) -> None:
        add_recipe(parser)
        add_cache_dir(parser)

    def run(self, options: argparse.Namespace) -> None:
        recipe = chosen_recipe(options)

        from understudy.data.findings import counted
        from understudy.run.pipeline import examine

        found = examine(recipe, settings=settings_from(options))
        if options.json:
            print_json({"findings": found.to_json()})
        for finding in found.findings:
            log.info("%s  %s: %s", finding.level.upper(), finding.code, finding.message)
            for row in finding.rows:
                log.info("    %s row %d: %s", row.split, row.row, row.text)
        levels = (("error", found.errors), ("warning", found.warnings), ("note", found.notes))
        log.info("%s", ", ".join(counted(len(each), level) for level, each in levels))
        if found.errors:
            raise UserError("The data has errors. Fix them before training.")


class Recipes(Command):
    name = "recipes"
    summary = "list the presets"

    def add_flags(self, parser: argparse.ArgumentParser) -> None:
        """It has none."""

    def run(self, options: argparse.Namespace) -> None:
        from understudy.recipe.recipe import presets

        found = presets()
        if options.json:
            print_json([{"name": name, "description": recipe.description} for name, recipe in found.items()])
            return
        width = max(map(len, found))
        for name, recipe in found.items():
            print(f"{name:<{width}}  {recipe.description}")


def _add_run_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, help="run directory (default: runs/<recipe name>)")
    add_cache_dir(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace a run with other data or another teacher")
    parser.add_argument(
        "--report-to",
        default="none",
        metavar="TRACKER,...",
        help="experiment trackers for the training curves, such as tensorboard: any installed tracker that Hugging "
        "Face's Trainer knows (default: none)",
    )
