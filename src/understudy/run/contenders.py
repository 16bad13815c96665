"""The models of a finished run in every runtime, ready to be timed."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from understudy.errors import GateRefused, ModelError, UserError
from understudy.evaluation.tradeoff import Role
from understudy.exporting.export import export
from understudy.inference.exported import ExportManifest, ExportPrecision, is_exported
from understudy.inference.opening import open_classifier
from understudy.models.linear import is_linear
from understudy.recipe.base import settled
from understudy.recipe.recipe import Recipe
from understudy.runtime.hardware import Dtype, Hardware
from understudy.storage.files import folder_digest
from understudy.storage.layout import RunDirectory
from understudy.timing.figures import Runtime, Side, Skipped
from understudy.timing.speed import BATCH, at_real_lengths, full_batch, open_in_pytorch, padded_batch
from understudy.timing.turns import Contender

log = logging.getLogger(__name__)

_RUNTIMES: dict[str, Runtime] = {"openvino": "openvino", "onnx": "onnxruntime"}


@dataclass(frozen=True)
class LineUp:
    """Who takes part in a benchmark.

    Attributes:
        contenders: The models in their runtimes; those of one model follow each other.
        skipped: What was left out.
    """

    contenders: dict[Side, Contender]
    skipped: tuple[Skipped, ...]


def line_up(
    run: RunDirectory, recipe: Recipe, hardware: Hardware, bulk: Sequence[str], exports: Sequence[ExportPrecision]
) -> LineUp:
    """Opens teacher, students and controls in PyTorch, and every export of these models as they are now.

    Args:
        run: A finished run.
        recipe: The run's recipe.
        hardware: Where PyTorch runs, and the threads of every runtime.
        bulk: The texts that each model answers in one call.
        exports: Precisions in which the student is exported first, unless it has that export.
    """
    bench = _Bench(run, recipe, hardware, bulk)
    bench.fill(exports)
    for each in bench.skipped:
        log.warning("benchmark: left out %s (%s): %s", each.name, each.runtime, each.reason)
    return LineUp(bench.contenders, tuple(bench.skipped))


@dataclass(frozen=True)
class _Model:
    """A model of the run; a committee has several folders, one per member."""

    name: str
    role: Role
    folders: tuple[Path, ...]


@dataclass(frozen=True)
class _Bench:
    """Collects the contenders, and the reasons for what is left out."""

    run: RunDirectory
    recipe: Recipe
    hardware: Hardware
    bulk: Sequence[str]
    contenders: dict[Side, Contender] = field(default_factory=dict)
    skipped: list[Skipped] = field(default_factory=list)

    def fill(self, exports: Sequence[ExportPrecision]) -> None:
        if self.recipe.teacher.scores is not None:
            self.skipped.append(Skipped("teacher", "PyTorch", "its scores were given, so there is no model to time"))
        self._export(exports)
        exported = self._exported(self.skipped)
        for model in self._models:
            self._add_in_pytorch(model)
            for folder, manifest in exported.get(model.name, []):
                self._add_export(model, folder, manifest)

    @cached_property
    def _models(self) -> list[_Model]:
        run, recipe = self.run, self.recipe
        members = tuple(run.teacher_members(len(recipe.teacher.members)))
        teacher = [] if recipe.teacher.scores is not None else [_Model("teacher", "teacher", members)]
        students = [_Model(folder.name, "student", (folder,)) for folder in run.frontier_students()]
        controls = [_Model(name, "control", (run.control(name),)) for name in recipe.evaluation.controls]
        return [*teacher, _Model("student", "student", (run.student,)), *students, *controls]

    def _add_in_pytorch(self, model: _Model) -> None:
        """Adds an encoder in fp32 and in the hardware's fast type, a linear model in its own form."""
        hardware = self.hardware
        linear = all(is_linear(folder) for folder in model.folders)
        folder = model.folders[0] if len(model.folders) == 1 else self.run.teacher
        dtypes: tuple[Dtype, ...] = ("fp32",) if linear else ("fp32", hardware.dtype())
        for dtype in dict.fromkeys(dtypes):
            members = open_in_pytorch(model.folders, hardware, dtype)
            side = Side(
                name=model.name,
                role=model.role,
                folder=self._relative(folder),
                runtime="ngrams" if linear else "pytorch",
                precision=dtype,
                dtype=dtype,
                device="cpu" if linear else hardware.device,
                threads=1 if linear else hardware.threads,
                bytes=sum(member.size.bytes for member in members),
            )
            if dtype == "fp32" and model.name in ("teacher", "student") and not linear:
                max_length = settled(self.recipe.data.max_length)
                batch = padded_batch(model.folders, full_batch(self.bulk), max_length, hardware, "fp32")
                self.contenders[replace(side, padded=True)] = Contender(BATCH, batch)
            self.contenders[side] = at_real_lengths(members, self.bulk)

    def _add_export(self, model: _Model, folder: Path, manifest: ExportManifest) -> None:
        """Adds an export; one that is not quantised also in the hardware's fast type."""
        runtime = _RUNTIMES[manifest.format]
        for precision in ("fp32", "auto") if manifest.precision == "fp32" else (None,):
            try:
                opened = open_classifier(folder, threads=self.hardware.threads, precision=precision)
                opened.predict_proba(self.bulk[:1])  # only the first answer needs the runtime
            except UserError as error:
                self.skipped.append(Skipped(self._relative(folder), runtime, str(error)))
                return
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
            if side not in self.contenders:  # the fast type may be fp32
                self.contenders[side] = at_real_lengths([opened], self.bulk)

    def _export(self, precisions: Sequence[ExportPrecision]) -> None:
        """Makes the student's missing OpenVINO exports."""
        manifests = [manifest for _, manifest in self._exported([]).get("student", [])]
        there = {manifest.precision for manifest in manifests if manifest.format == "openvino"}
        for precision in precisions:
            if precision in there:
                continue
            log.info("benchmark: exporting the student in %s", precision)
            try:
                export(self.run.root, precision, threads=self.hardware.threads)
            except (GateRefused, UserError) as error:
                self.skipped.append(Skipped("student", f"OpenVINO {precision}", str(error)))

    def _exported(self, skipped: list[Skipped]) -> dict[str, list[tuple[Path, ExportManifest]]]:
        """The exports of the run's models as they are now, by the model's name; others go to `skipped`."""
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
            if name is None:
                reason = "it was made from a model that is not in the run or is not measured"
                skipped.append(Skipped(self._relative(folder), "export", reason))
                continue
            found.setdefault(name, []).append((folder, manifest))
        return found

    def _relative(self, folder: Path) -> str:
        return folder.relative_to(self.run.root).as_posix()
