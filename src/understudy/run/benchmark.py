"""How fast the models of a finished run are in every runtime that is here, side by side."""

from __future__ import annotations

import importlib.metadata
import logging
import platform
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import get_args

import numpy as np

from understudy.data.sources import read
from understudy.errors import DataError, GateRefused, ModelError, RunDirectoryError, UserError
from understudy.evaluation.tradeoff import Role
from understudy.exporting.export import export
from understudy.inference.classifier import Classifier
from understudy.inference.exported import ExportManifest, ExportPrecision, is_exported
from understudy.inference.opening import open_classifier
from understudy.models.linear import is_linear
from understudy.recipe.recipe import Recipe
from understudy.reporting.benchmark_plot import draw_benchmark
from understudy.reporting.evidence import Evidence
from understudy.reporting.render import render_run
from understudy.runtime.environment import variables
from understudy.runtime.hardware import Dtype, Hardware, detect, machine
from understudy.storage.files import folder_digest
from understudy.storage.layout import RunDirectory, read_recipe
from understudy.timing.figures import Benchmark, Runtime, Side, Skipped
from understudy.timing.speed import BATCH, padded_batch
from understudy.timing.turns import Contender, take_turns

log = logging.getLogger(__name__)

_PACKAGES = ("understudy", "torch", "transformers", "tokenizers", "openvino", "onnxruntime", "scikit-learn", "numpy")
_RUNTIMES: dict[str, Runtime] = {"openvino": "openvino", "onnx": "onnxruntime"}


def benchmark(
    run: str | Path,
    *,
    exports: Sequence[ExportPrecision] = get_args(ExportPrecision),
    texts: int = 256,
    latency_texts: int = 100,
    rounds: int = 3,
    device: str | None = None,
    threads: int | None = None,
) -> Benchmark:
    """Measures teacher, students and controls of a finished run in every runtime, on its test texts.

    Encoders are measured in PyTorch in fp32 and in the hardware's fast type, and in every export of theirs that stands
    under `export/` of the run; teacher and student the original's way as well. Each is called as `understudy.load`
    gives it, from texts to probabilities. The result is kept in `benchmark.json` and drawn in `report/benchmark.png`.

    Args:
        run: The run directory.
        exports: In which precisions the student is exported first where that is missing; empty for none.
        texts: How many test texts are answered in bulk.
        latency_texts: How many are answered one at a time.
        rounds: How often each side is timed, after a warm-up.
        device: Where PyTorch computes: `cpu`, `cuda`, `mps`; by default the best there is. Exports run on the CPU.
        threads: CPU threads of every side; by default one a core.

    Raises:
        RunDirectoryError: there is no run, or it is not finished.
        DataError: its test texts cannot be read any more.
        UserError: an argument is out of range, or there is no such device.
    """
    _check(exports, texts=texts, latency_texts=latency_texts, rounds=rounds)
    layout = RunDirectory(Path(run).expanduser())
    recipe = read_recipe(layout)
    if not layout.metrics.is_file():
        raise RunDirectoryError(
            f"The run {run} is not finished: expected {layout.metrics.name} in it. Start it again to go on: "
            f"understudy run {layout.recipe} --out {run}"
        )
    Evidence.read(layout.root, texts=False)  # what the report will need has to be there before hours go by
    every = _test_texts(recipe, layout)
    order = np.random.default_rng(recipe.seed).permutation(len(every))
    chosen = [every[row] for row in order[: max(texts, latency_texts)]]
    hardware = detect(device, threads)
    with _tokenizers_limited_to(hardware.threads):
        bench = _Bench(layout, recipe, hardware, chosen[:texts])
        contenders, skipped = bench.contenders(exports)
        for each in skipped:
            log.warning("benchmark: without %s, %s: %s", each.name, each.runtime, each.reason)
        measurements = take_turns(contenders, chosen[:latency_texts], rounds)
    found = Benchmark(
        machine=machine(),
        device=hardware.device,
        threads=hardware.threads,
        versions=_versions(),
        max_length=recipe.data.max_length,
        texts=len(chosen[:texts]),
        latency_texts=len(chosen[:latency_texts]),
        rounds=rounds,
        measurements=tuple(measurements),
        skipped=tuple(skipped),
    )
    found.save(layout.benchmark)
    draw_benchmark(found, layout.benchmark_plot, recipe.name)
    evidence = Evidence.read(layout.root)
    render_run(evidence, evidence.manifest)
    return found


@dataclass(frozen=True)
class _Model:
    """A model of the run; a committee has several folders, all of which have to answer."""

    name: str
    role: Role
    folders: tuple[Path, ...]


@dataclass(frozen=True)
class _Bench:
    """Makes the contenders ready; `bulk` are the texts that they answer at once."""

    run: RunDirectory
    recipe: Recipe
    hardware: Hardware
    bulk: list[str]

    def contenders(self, exports: Sequence[ExportPrecision]) -> tuple[list[Contender], list[Skipped]]:
        """What there is to be measured, each model's together, and what cannot be."""
        skipped: list[Skipped] = []
        if self.recipe.teacher.scores is not None:
            skipped.append(Skipped("teacher", "PyTorch", "its scores were given, so there is no model to be timed"))
        self._export(exports, skipped)
        exported = self._exported(skipped)
        found: list[Contender] = []
        for model in self._models:
            found += self._in_pytorch(model)
            for folder, manifest in exported.get(model.name, []):
                found += self._in_its_runtime(model, folder, manifest, skipped)
        return found, skipped

    @cached_property
    def _models(self) -> list[_Model]:
        run, recipe = self.run, self.recipe
        # A committee's members stand in folders of their own.
        members = tuple(run.teacher_members(len(recipe.teacher.members)))
        teacher = [] if recipe.teacher.scores is not None else [_Model("teacher", "teacher", members)]
        students = [_Model(folder.name, "student", (folder,)) for folder in run.frontier_students()]
        controls = [_Model(name, "control", (run.control(name),)) for name in recipe.evaluation.controls]
        return [*teacher, _Model("student", "student", (run.student,)), *students, *controls]

    def _in_pytorch(self, model: _Model) -> Iterator[Contender]:
        """In the types that differ here; a linear model in its own form, which has one."""
        hardware = self.hardware
        linear = all(is_linear(folder) for folder in model.folders)
        folder = model.folders[0] if len(model.folders) == 1 else self.run.teacher
        dtypes: tuple[Dtype, ...] = ("fp32",) if linear else ("fp32", hardware.dtype())
        for dtype in dict.fromkeys(dtypes):
            opened = [
                open_classifier(
                    each, device=hardware.device, threads=hardware.threads, precision=dtype, engine="pytorch"
                )
                for each in model.folders
            ]
            side = Side(
                name=model.name,
                role=model.role,
                folder=self._relative(folder),
                runtime="ngrams" if linear else "pytorch",
                precision=dtype,
                dtype=dtype,
                device="cpu" if linear else hardware.device,
                threads=1 if linear else hardware.threads,
                bytes=sum(classifier.size.bytes for classifier in opened),
            )
            if dtype == "fp32" and model.name in ("teacher", "student") and not linear:
                yield self._padded(side, model)
            yield self._contender(side, opened)

    def _padded(self, side: Side, model: _Model) -> Contender:
        batch = [self.bulk[row % len(self.bulk)] for row in range(BATCH)]
        task = padded_batch(
            model.folders, batch, max_length=self.recipe.data.max_length, hardware=self.hardware, dtype="fp32"
        )
        return Contender(replace(side, padded=True), BATCH, task, None)

    def _export(self, precisions: Sequence[ExportPrecision], skipped: list[Skipped]) -> None:
        """Makes the exports of the student that are not there."""
        there = [manifest for _, manifest in self._exported([]).get("student", []) if manifest.format == "openvino"]
        for precision in precisions:
            if any(manifest.precision == precision for manifest in there):
                continue
            log.info("benchmark: the student has no export in %s yet; making one", precision)
            try:
                export(self.run.root, precision, threads=self.hardware.threads)
            except (GateRefused, UserError) as error:
                skipped.append(Skipped("student", f"OpenVINO {precision}", str(error)))

    def _exported(self, skipped: list[Skipped]) -> dict[str, list[tuple[Path, ExportManifest]]]:
        """The exports of the run's models as they are now, by the model's name."""
        digests: dict[str, str] = {}
        for model in self._models:
            if len(model.folders) == 1 and not is_linear(model.folders[0]):
                digests.setdefault(folder_digest(model.folders[0]), model.name)
        found: dict[str, list[tuple[Path, ExportManifest]]] = {}
        for folder in filter(is_exported, self.run.exports()):
            try:
                manifest = ExportManifest.read(folder)
            except ModelError as error:
                skipped.append(Skipped(self._relative(folder), "export", str(error)))
                continue
            source = manifest.source if isinstance(manifest.source, dict) else {}
            name = digests.get(str(source.get("digest")))
            if name is not None:
                found.setdefault(name, []).append((folder, manifest))
            else:
                reason = "it was made of a model that is not measured here, or of one that the run no longer holds"
                skipped.append(Skipped(self._relative(folder), "export", reason))
        return found

    def _in_its_runtime(
        self, model: _Model, folder: Path, manifest: ExportManifest, skipped: list[Skipped]
    ) -> list[Contender]:
        """An export, in the types that differ here if it is not quantised."""
        runtime, found = _RUNTIMES[manifest.format], []
        dtypes = set()
        for precision in ("fp32", "auto") if manifest.precision == "fp32" else (None,):
            try:
                opened = open_classifier(folder, threads=self.hardware.threads, precision=precision)
                opened.predict_proba(self.bulk[:1])  # the runtime is not asked for before
            except UserError as error:
                skipped.append(Skipped(self._relative(folder), runtime, str(error)))
                break
            if opened.dtype in dtypes:
                continue
            dtypes.add(opened.dtype)
            side = Side(
                name=model.name,
                role=model.role,
                folder=self._relative(folder),
                runtime=runtime,
                precision="int8" if manifest.precision == "int8" else opened.dtype,
                dtype=opened.dtype,
                device="cpu",
                threads=self.hardware.threads,
                bytes=opened.size.bytes,
            )
            found.append(self._contender(side, [opened]))
        return found

    def _contender(self, side: Side, members: Sequence[Classifier]) -> Contender:
        def answer(texts: list[str]) -> None:
            for member in members:
                member.predict_proba(texts)

        return Contender(side, len(self.bulk), partial(answer, self.bulk), lambda text: answer([text]))

    def _relative(self, folder: Path) -> str:
        return folder.relative_to(self.run.root).as_posix()


def _check(exports: Sequence[str], **counts: int) -> None:
    known = get_args(ExportPrecision)
    for precision in exports:
        if precision not in known:
            raise UserError(f"export in {precision!r}: expected {' or '.join(known)}, or both. Name these, or none.")
    for name, value in counts.items():
        if value < 1:
            raise UserError(f"{name.replace('_', '-')} = {value}: expected a whole number from 1.")


def _test_texts(recipe: Recipe, run: RunDirectory) -> list[str]:
    try:
        texts = read(recipe.data.test, recipe.data.text, label=None).texts
    except DataError as error:
        raise DataError(
            f"Speed is measured on the test texts that {run.recipe} names, and they cannot be read: {error} Put them "
            "back; a relative path starts from the folder in which the run was started."
        ) from None
    if not texts:
        raise DataError(f"{recipe.data.test}, the test texts that {run.recipe} names, has no rows. Put them back.")
    return texts


@contextmanager
def _tokenizers_limited_to(threads: int) -> Iterator[None]:
    """Tokenizers spread many texts over all cores otherwise, whatever the others were told."""
    wanted = {"RAYON_NUM_THREADS": str(threads), **({"TOKENIZERS_PARALLELISM": "false"} if threads == 1 else {})}
    with variables(wanted, keep=True):
        yield


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
