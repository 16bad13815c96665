"""Commands that look at this machine: doctor and cache."""

from __future__ import annotations

import argparse

from understudy.cli.command import Command, console, print_json
from understudy.cli.flags import add_cache_dir, age, byte_count, settings_from
from understudy.errors import UserError


class Doctor(Command):
    name = "doctor"
    summary = "show versions, hardware, engines and caches of this machine, and missing packages"

    def add_flags(self, parser: argparse.ArgumentParser) -> None:
        add_cache_dir(parser)

    def run(self, options: argparse.Namespace) -> None:
        from understudy.reporting.machine_table import show_diagnosis
        from understudy.runtime.doctor import diagnose
        from understudy.storage.cache import cache_folders

        found = diagnose(cache_folders(settings_from(options).cache))
        if options.json:
            print_json(found.to_json())
        else:
            show_diagnosis(found, console(stderr=False))


class Cache(Command):
    name = "cache"
    summary = "list the finished work that is kept, and remove what is old"

    def add_flags(self, parser: argparse.ArgumentParser) -> None:
        add_cache_dir(parser)
        parser.add_argument("--prune", action="store_true", help="remove entries beyond the limits below")
        parser.add_argument(
            "--older-than", type=age, metavar="AGE", help="remove what was not used for this time: 12h, 30d or 2w"
        )
        parser.add_argument(
            "--larger-than",
            type=byte_count,
            metavar="SIZE",
            help="keep the most recently used entries up to this size, such as 5GB, and remove the rest",
        )
        parser.add_argument(
            "--force", action="store_true", help="remove entries used within the last day too; stop all runs first"
        )

    def run(self, options: argparse.Namespace) -> None:
        if not options.prune and (options.force or (options.older_than, options.larger_than) != (None, None)):
            raise UserError("cache got a flag for pruning without --prune. Add --prune to remove entries.")

        from understudy.reporting.machine_table import show_cache, show_pruned
        from understudy.storage.cache import list_cache, prune

        folder = settings_from(options).cache
        if options.prune:
            pruned = prune(folder, older_than=options.older_than, larger_than=options.larger_than, force=options.force)
            if options.json:
                print_json(pruned.to_json())
            else:
                show_pruned(pruned, console(stderr=False))
        else:
            listing = list_cache(folder)
            if options.json:
                print_json(listing.to_json())
            else:
                show_cache(listing, console(stderr=False))
