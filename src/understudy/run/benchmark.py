"""How fast the models of a finished run are in every runtime that is installed, side by side."""

from __future__ import annotations

import logging
import os
import platform
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import get_args

from understudy.data.sources import read
from understudy.errors import DataError, RunDirectoryError, UserError
from understudy.inference.exported import ExportPrecision
from understudy.recipe.base import settled
from understudy.recipe.recipe import Recipe
from understudy.reporting.benchmark_plot import draw_benchmark
from understudy.reporting.evidence import Evidence
from understudy.reporting.render import render_run
from understudy.run.contenders import line_up
from understudy.runtime.environment import variables
from understudy.runtime.hardware import detect, machine
from understudy.runtime.packages import versions
from understudy.storage.layout import RunDirectory, read_recipe, source_of_test
from understudy.timing.figures import Benchmark, measurements
from understudy.timing.speed import draw
from understudy.timing.turns import take_turns

log = logging.getLogger(__name__)

_PACKAGES = ("understudy", "torch", "transformers", "tokenizers", "openvino", "onnxruntime", "scikit-learn", "numpy")


def benchmark(
    run: str | os.PathLike[str],
    *,
    exports: Sequence[ExportPrecision] = get_args(ExportPrecision),
    texts: int = 256,
    latency_texts: int = 100,
    rounds: int = 3,
    device: str | None = None,
    threads: int | None = None,
) -> Benchmark:
    """Measures teacher, students and controls of a finished run in every runtime, on its test texts.

    Encoders are measured in PyTorch in fp32 and in the hardware's fast type, and in each of their exports under the
    run's `export/`. Teacher and student are also measured the original notebook's way, in padded batches. All other
    models are called as `understudy.load` gives them, from texts to probabilities.

    All of them take turns: one warm-up round, then the rounds that count. The result is written to `benchmark.json` and
    drawn in `report/benchmark.png`, and the report is rendered again.

    Args:
        run: The run directory.
        exports: Precisions in which the student is exported first, unless it has that export; empty for none.
        texts: How many test texts are answered in bulk.
        latency_texts: How many test texts are answered one at a time.
        rounds: How many rounds count.
        device: Where PyTorch runs: `cpu`, `cuda` or `mps`; by default the best device. Exports run on the CPU.
        threads: CPU threads of each model; by default one per core.

    Raises:
        RunDirectoryError: There is no run, or it is not finished.
        DataError: The run's test texts cannot be read any more.
        UserError: An argument is out of range, or there is no such device.
    """
    _check(exports, texts=texts, latency_texts=latency_texts, rounds=rounds)
    layout = RunDirectory(Path(run).expanduser())
    recipe = _recipe_of_finished(layout)
    chosen = draw(_test_texts(recipe, layout), max(texts, latency_texts), recipe.seed)
    bulk, single = chosen[:texts], chosen[:latency_texts]
    hardware = detect(device, threads)
    with _tokenizers_limited_to(hardware.threads):
        entered = line_up(layout, recipe, hardware, bulk, exports)
        log.info(
            "benchmark: %d models in their runtimes, %d texts in bulk and %d one at a time; 1 warm-up round, then %d",
            *(len(entered.contenders), len(bulk), len(single), rounds),
        )
        readings = take_turns(entered.contenders, single, rounds)
    found = Benchmark(
        machine=machine(),
        device=hardware.device,
        threads=hardware.threads,
        versions={"python": platform.python_version(), **versions(_PACKAGES)},
        max_length=settled(recipe.data.max_length),
        texts=len(bulk),
        latency_texts=len(single),
        rounds=rounds,
        measurements=measurements(readings),
        skipped=entered.skipped,
    )
    _write(found, layout, recipe.name)
    return found


def _check(exports: Sequence[str], **counts: int) -> None:
    known = get_args(ExportPrecision)
    for precision in exports:
        if precision not in known:
            raise UserError(f"exports: got {precision!r}, expected {' or '.join(known)}.")
    for name, value in counts.items():
        if value < 1:
            raise UserError(f"{name.replace('_', '-')} = {value}: expected a whole number from 1.")


def _recipe_of_finished(run: RunDirectory) -> Recipe:
    """The recipe of a run that has everything that measuring and the report need."""
    recipe = read_recipe(run)
    if not run.metrics.is_file():
        raise RunDirectoryError(
            f"The run {run.root} is not finished: it has no {run.metrics.name}. Resume it: "
            f"understudy run {run.recipe} --out {run.root}"
        )
    Evidence.read(run.root, texts=False)  # fails now, not after an hour of measuring
    return recipe


def _test_texts(recipe: Recipe, run: RunDirectory) -> list[str]:
    try:
        source = source_of_test(run, recipe)
        texts = read(source, recipe.data.text, label=None).texts
    except DataError as error:
        raise DataError(
            f"The test texts that {run.recipe} names cannot be read: {error} Put them back. A relative path starts "
            "from the folder in which the run was started."
        ) from None
    if not texts:
        raise DataError(f"{source} has no rows, but {run.recipe} names it for the test texts. Put them back.")
    return texts


def _write(found: Benchmark, run: RunDirectory, title: str) -> None:
    """Writes the figures and their chart, and renders the report again."""
    found.save(run.benchmark)
    draw_benchmark(found, run.benchmark_plot, title)
    evidence = Evidence.read(run.root)
    render_run(evidence, evidence.manifest)


@contextmanager
def _tokenizers_limited_to(threads: int) -> Iterator[None]:
    """Keeps tokenizers to that many threads; they use all cores otherwise."""
    wanted = {"RAYON_NUM_THREADS": str(threads), **({"TOKENIZERS_PARALLELISM": "false"} if threads == 1 else {})}
    with variables(wanted, keep=True):
        yield
