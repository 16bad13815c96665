"""Exports a finished classifier to a folder that runs without PyTorch, if it passes the quality gate."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from understudy.data.corpus import Split
from understudy.data.tokens import tokenise
from understudy.errors import DataError, ModelError, UserError
from understudy.exporting.gate import Comparison, Gate, Referee
from understudy.exporting.graphs import GRAPHS, Graph
from understudy.exporting.limits import Limits
from understudy.exporting.texts import ExportTexts
from understudy.inference.encoders import TransformersClassifier
from understudy.inference.engine import made_up
from understudy.inference.exported import (
    CONFIG,
    GRAPH_FILES,
    MANIFEST,
    TOKENIZER,
    ExportManifest,
    ExportPrecision,
    Format,
    is_exported,
)
from understudy.inference.opening import open_classifier
from understudy.inference.pytorch_engine import PyTorchEngine
from understudy.models.linear import is_linear
from understudy.models.loading import longest_input
from understudy.runtime.limits import cores
from understudy.runtime.packages import versions
from understudy.storage.files import file_sha256, folder_digest, write_folder
from understudy.storage.layout import RunDirectory
from understudy.storage.models import STUDENT, model_folder, refuse_which

log = logging.getLogger(__name__)

# Lengths of the texts in each batch of the parity check: one token, odd sizes, much padding.
_SHAPES = ((1,), (2,), (33,), (5, 1), (7, 7, 3), (40, 9, 2, 1, 1))
_LARGEST_DIFFERENCE = 1e-3


@dataclass(frozen=True)
class Export:
    """The result of `export`.

    Attributes:
        folder: Where the export is.
        manifest: Describes it.
        comparison: With its model; None if there were no texts.
    """

    folder: Path
    manifest: ExportManifest
    comparison: Comparison | None


def export(
    model: str | os.PathLike[str],
    precision: ExportPrecision = "fp32",
    format: Format = "openvino",
    out: str | os.PathLike[str] | None = None,
    *,
    data: Any = None,
    text: str = "text",
    label: str = "label",
    limits: Limits | None = None,
    threads: int | None = None,
    which: str = STUDENT,
) -> Export:
    """Exports a classifier and compares the export with it.

    The quantisation texts of int8 are 300 training texts of the run; the comparison uses its validation texts. If an
    int8 export to OpenVINO exceeds the limits, its most harmful operators go back to float. They are chosen on one half
    of the validation texts, and the other half judges. Judging needs 1 / `limits.flips` texts, 100 by default. Where a
    half has fewer, the quantisation texts choose and all validation texts judge. With fewer validation texts, int8 is
    refused, and fp32 is written without being judged.

    Args:
        model: A run directory, a Hugging Face folder, or an open classifier.
        precision: `fp32`, or `int8` for matrix products and embedding tables.
        format: `openvino`, the fastest on a CPU, or `onnx` for other runtimes.
        out: The folder; an older export there is replaced. The default is `export/<precision>` in the run. Other models
            than the student and other formats than OpenVINO add their name in front.
        data: Labelled texts instead of the run's: a source, or data in memory, as `understudy.evaluate` takes it. A
            third of them, at most 300, are quantisation texts.
        text: Its column of the text.
        label: Its column of the label.
        limits: How much worse the export may be.
        threads: CPU threads of the comparison.
        which: Which model of a run directory, as `understudy.load` takes it.

    Raises:
        GateRefused: The export is worse than the limits allow; nothing is written.
        ModelError: The model cannot be exported.
        DataError: Int8 has no quantisation texts or too few validation texts, or the texts cannot be read.
        TypeError: The data has an unsupported type.
        MissingExtra: A package is not installed.
        UserError: `out` holds something else.
    """
    folder, run = _located(Path(model).expanduser(), which)
    if is_linear(folder):
        raise ModelError(
            f"{folder} is a linear model and needs no export: it already runs without PyTorch. Use the folder as it is."
        )
    target = _target(folder, run, precision, format, None if out is None else Path(out))
    classifier = open_classifier(folder, device="cpu", threads=threads)
    if not isinstance(classifier, TransformersClassifier):
        raise ModelError(
            f"{folder} is not a PyTorch model. Give a Hugging Face folder; exports already run without PyTorch."
        )
    texts: ExportTexts | None = None
    if data is not None:
        texts = ExportTexts.of_source(data, text, label, classifier.classes, str(folder))
    elif run is not None:
        texts = ExportTexts.of_run(run, classifier.classes)
    elif precision == "int8":
        raise DataError(f"{folder} is not part of a run, so int8 has no quantisation texts. Name a source: --data.")
    task = _Task(classifier, texts, precision, format, threads or cores().threads)
    gate = None if texts is None else task.gate(texts, limits or Limits())
    graph = task.converted()
    graph, comparison = (graph, None) if gate is None else gate.passed(graph)
    return Export(target, task.write(target, graph, comparison), comparison)


@dataclass(frozen=True)
class _Task:
    """One export.

    Attributes:
        classifier: The model.
        texts: For quantisation and comparison; None if there are none.
        precision: Of the export.
        format: Of the export.
        threads: CPU threads of the comparison.
    """

    classifier: TransformersClassifier
    texts: ExportTexts | None
    precision: ExportPrecision
    format: Format
    threads: int

    @cached_property
    def source(self) -> PyTorchEngine:
        return PyTorchEngine(self.classifier.model, self.classifier.hardware, "fp32")

    @property
    def pad_id(self) -> int:
        return int(self.classifier.tokenizer.pad_token_id)

    def gate(self, texts: ExportTexts, limits: Limits) -> Gate:
        """The gate that the export must pass.

        Raises:
            DataError: There are too few validation texts to judge int8.
        """

        def referee(split: Split) -> Referee:
            length = self.classifier.max_length
            tokens = tokenise(split.texts, self.classifier.tokenizer, length)
            return Referee(self.source, tokens, split.labels, self.pad_id, length, limits)

        gate = Gate(referee(texts.validation), referee(texts.quantisation), texts, self.precision, self.threads)
        gate.check_texts()
        return gate

    def converted(self) -> Graph:
        """The graph in fp32.

        Raises:
            ModelError: It does not compute what the model does.
        """
        log.info("export: converting %s to %s", self.classifier.folder, self.format)
        graph = GRAPHS[self.format].of(self.classifier.model)
        self._check_parity(graph)
        return graph

    def _check_parity(self, graph: Graph) -> None:
        """Compares the graph with the model on made-up texts, because an exporter may mistake a size for a constant."""
        exported, config = graph.engine(self.threads, "fp32"), self.classifier.model.config
        longest = longest_input(config) or max(map(max, _SHAPES))
        for lengths in (*_SHAPES, (longest,)):
            batch = made_up(config, tuple(min(length, longest) for length in lengths))
            with self.source.computing():
                wanted = self.source.forward(batch)
            try:
                far = float(np.abs(exported.forward(batch) - wanted).max())
            except Exception as error:  # a runtime raises anything for a shape that it does not take
                far, reason = np.inf, f" ({str(error).strip().partition(chr(10))[0]})"
            else:
                reason = ""
            if not far <= _LARGEST_DIFFERENCE:
                raise ModelError(
                    f"The exported graph does not compute what the model does: for texts of {lengths} tokens its "
                    f"logits are {far:.2g} away{reason}. The exporter does not convert this model correctly; try "
                    "another --format."
                )

    def write(self, target: Path, graph: Graph, comparison: Comparison | None) -> ExportManifest:
        """Writes the folder and returns its manifest."""
        classifier, names = self.classifier, GRAPH_FILES[self.format]
        with write_folder(target) as temporary:
            graph.save(temporary)
            tokenizer = classifier.tokenizer.backend_tokenizer
            tokenizer.no_truncation()
            tokenizer.no_padding()
            tokenizer.save(str(temporary / TOKENIZER))
            classifier.model.config.to_json_file(temporary / CONFIG)
            manifest = ExportManifest(
                format=self.format,
                precision=self.precision,
                classes=classifier.classes,
                max_length=classifier.max_length,
                pad_id=self.pad_id,
                parameters=classifier.size.parameters,
                source={"model": str(classifier.folder), "digest": folder_digest(classifier.folder)},
                quantisation=self.texts.record() if self.texts is not None and self.precision == "int8" else None,
                gate=None if comparison is None else comparison.to_json(),
                bytes=sum((temporary / name).stat().st_size for name in names),
                files={name: file_sha256(temporary / name) for name in sorted({*names, TOKENIZER, CONFIG})},
                versions=_versions(self.format, self.precision),
            )
            manifest.save(temporary)
        return ExportManifest.read(target)


def _located(path: Path, which: str) -> tuple[Path, RunDirectory | None]:
    """The model's folder, and the run that it is part of."""
    run = RunDirectory(path)
    if run.is_run():
        return model_folder(run, which), run
    refuse_which(path, which)
    above = (RunDirectory(folder) for folder in list(path.absolute().parents)[:2])
    return path, next((run for run in above if run.is_run()), None)


def _target(
    folder: Path, run: RunDirectory | None, precision: ExportPrecision, format: Format, out: Path | None
) -> Path:
    """The folder of the export.

    Raises:
        UserError: As `export`.
    """
    if out is None:
        if run is None:
            raise UserError(f"{folder} is not part of a run, so the export has no default folder. Name one: --out.")
        inside = folder.resolve().relative_to(run.root.resolve())
        named = [] if folder.resolve() == run.student.resolve() else list(inside.parts)
        out = run.export("-".join([*named, *([] if format == "openvino" else [format]), precision]))
    out = out.expanduser().absolute()
    out = out.parent.resolve() / out.name if out.name not in ("", "..") else out.resolve()
    if not out.name:
        raise UserError(f"--out {out} is not the name of a new folder. Give another name.")
    if out.exists() and not _replaceable(out):
        raise UserError(
            f"--out {out} exists, and is not an export or holds other files, so it is not replaced. Give another "
            "folder."
        )
    return out


def _replaceable(out: Path) -> bool:
    """Whether a folder is empty, or an export and nothing else."""
    if not out.is_dir():
        return False
    names = {path.name for path in out.iterdir()}
    own = {MANIFEST, TOKENIZER, CONFIG, *(name for files in GRAPH_FILES.values() for name in files)}
    return not names or (is_exported(out) and names <= own)


def _versions(format: Format, precision: ExportPrecision) -> dict[str, str]:
    packages = ["understudy", "transformers", "torch", "openvino" if format == "openvino" else "onnx"]
    return versions([*packages, *(["nncf"] if precision == "int8" else [])])
