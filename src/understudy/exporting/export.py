"""Export: a finished classifier becomes a folder that runs without PyTorch, if the quality gate lets it."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from understudy.data.tokens import pad, tokenise
from understudy.errors import DataError, GateRefused, ModelError, UserError
from understudy.exporting.gate import Comparison, Limits, Referee
from understudy.exporting.graphs import GRAPHS, Graph
from understudy.exporting.texts import ExportTexts
from understudy.inference.encoders import TransformersClassifier
from understudy.inference.engines import Engine, PyTorchEngine, made_up, openvino_dtype
from understudy.inference.exported import (
    CONFIG,
    GRAPH_FILES,
    MANIFEST,
    TOKENIZER,
    ExportManifest,
    ExportPrecision,
    Format,
    available_threads,
    is_exported,
)
from understudy.inference.opening import open_classifier
from understudy.models.loading import longest_input
from understudy.storage.files import file_sha256, folder_digest, write_folder
from understudy.storage.layout import RunDirectory

log = logging.getLogger(__name__)

# Texts of one token, as many as a padded batch has seldom, and as long as the model takes.
_SHAPES = ((1,), (2,), (33,), (5, 1), (7, 7, 3), (40, 9, 2, 1, 1))
_LARGEST_DIFFERENCE = 1e-3
_RANKED_BATCH = 4


@dataclass(frozen=True)
class Export:
    """What `export` made.

    Attributes:
        folder: Where it is.
        manifest: What it is.
        comparison: With the model that it was made of; None where there were no texts.
    """

    folder: Path
    manifest: ExportManifest
    comparison: Comparison | None


def export(
    model: str | Path,
    precision: ExportPrecision = "fp32",
    format: Format = "openvino",
    out: str | Path | None = None,
    *,
    data: str | None = None,
    text: str = "text",
    label: str = "label",
    limits: Limits | None = None,
    threads: int | None = None,
) -> Export:
    """Exports a classifier and compares the export with it.

    The ranges of int8 are read from 300 training texts of the run, and the comparison is made on its validation texts.
    Where an int8 export in the format openvino is worse than the limits allow, the operators that do most harm go back
    to float, one after the other, until it is not.

    Args:
        model: A run directory, then its student, or a Hugging Face folder, of a run or not.
        precision: `fp32`, or `int8` for matrix products and embedding tables.
        format: `openvino`, the fastest on a CPU, or `onnx` for other runtimes.
        out: The folder; an export that is there is replaced. By default `export/<precision>` of the run; another model
            than its student and another format than openvino are named in front.
        data: Labelled source in place of the run's; a third of its texts, 300 at most, calibrate, the others validate.
        text: Its column of the text.
        label: Its column of the label.
        limits: How much worse the export may be.
        threads: CPU threads of the comparison.

    Raises:
        GateRefused: it is worse than the limits allow; nothing is written.
        ModelError: the model cannot be exported.
        DataError: there are no texts to calibrate with, or they cannot be read.
        MissingExtra: a package is not installed.
        UserError: `out` holds something else.
    """
    folder, run = _located(Path(model).expanduser())
    target = _target(folder, run, precision, format, None if out is None else Path(out))
    classifier = open_classifier(folder, device="cpu", threads=threads)
    if not isinstance(classifier, TransformersClassifier):
        raise ModelError(
            f"{folder} is no encoder in PyTorch: expected a Hugging Face folder. Linear models and exports run without "
            "PyTorch as they are."
        )
    texts = None
    if data is not None:
        texts = ExportTexts.of_source(data, text, label, classifier.classes, str(folder))
    elif run is not None:
        texts = ExportTexts.of_run(run, classifier.classes)
    elif precision == "int8":
        raise DataError(
            f"{folder} belongs to no run, whose texts could tell the ranges of int8. Name a labelled source: --data."
        )

    log.info("export: converting %s to %s", folder, format)
    graph = GRAPHS[format].of(classifier.model)
    source = PyTorchEngine(classifier.model, classifier.hardware, "fp32")
    threads = threads or available_threads()
    _check_parity(source, graph.engine(threads, "fp32"), classifier.model.config)
    comparison = None
    if texts is not None:
        tokens = tokenise(texts.validation.texts, classifier.tokenizer, classifier.max_length)
        pad_id = int(classifier.tokenizer.pad_token_id)
        referee = Referee(source, tokens, texts.validation.labels, pad_id, classifier.max_length, limits or Limits())
        graph, comparison = _passed(graph, precision, classifier, texts, referee, threads)
    manifest = _write(target, graph, precision, classifier, folder, texts, comparison)
    return Export(target, manifest, comparison)


def _located(path: Path) -> tuple[Path, RunDirectory | None]:
    """The model's folder, and the run that it belongs to."""
    run = RunDirectory(path)
    if run.is_run():
        return run.student, run
    above = (RunDirectory(folder) for folder in list(path.absolute().parents)[:2])
    return path, next((run for run in above if run.is_run()), None)


def _target(
    folder: Path, run: RunDirectory | None, precision: ExportPrecision, format: Format, out: Path | None
) -> Path:
    """Where the export goes.

    Raises:
        UserError: as `export`.
    """
    if out is None:
        if run is None:
            raise UserError(f"{folder} belongs to no run in which the export could have its place. Name one: --out.")
        inside = folder.resolve().relative_to(run.root.resolve())
        named = [] if folder.resolve() == run.student.resolve() else list(inside.parts)
        out = run.export("-".join([*named, *([] if format == "openvino" else [format]), precision]))
    out = out.expanduser().absolute()
    out = out.parent.resolve() / out.name if out.name not in ("", "..") else out.resolve()
    if not out.name:
        raise UserError(f"--out {out}: expected the name of a folder that can be made. Give another one.")
    if out.exists() and not _replaceable(out):
        raise UserError(
            f"--out {out} is there and is no export, or holds other files besides, so it is not replaced. Give another "
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


def _check_parity(source: Engine, exported: Engine, config: Any) -> None:
    """Compares the graph with the model on made-up texts, for an exporter may take a dimension for a constant.

    Raises:
        ModelError: they disagree.
    """
    longest = longest_input(config) or max(map(max, _SHAPES))
    for lengths in (*_SHAPES, (longest,)):
        batch = made_up(config, tuple(min(length, longest) for length in lengths))
        with source.computing():
            wanted = source.forward(batch)
        try:
            far = float(np.abs(exported.forward(batch) - wanted).max())
        except Exception as error:  # whatever a runtime raises for a shape that it does not take
            far, reason = np.inf, f" ({str(error).strip().partition(chr(10))[0]})"
        else:
            reason = ""
        if not far <= _LARGEST_DIFFERENCE:
            raise ModelError(
                f"The exported graph does not compute what the model does: for texts of {lengths} tokens its logits "
                f"are {far:.2g} away{reason}. This is a defect of the exporter's; try another --format."
            )


def _passed(
    graph: Graph,
    precision: ExportPrecision,
    classifier: TransformersClassifier,
    texts: ExportTexts,
    referee: Referee,
    threads: int,
) -> tuple[Graph, Comparison]:
    """The graph in its precision, and how it compares.

    Raises:
        GateRefused: as `export`.
    """
    dtype = openvino_dtype() if precision == "int8" and graph.format == "openvino" else "fp32"
    made = graph
    samples = [] if precision == "fp32" else _samples(classifier, texts.calibration)
    if samples:
        log.info("export: quantising to int8, calibrated on %d texts", len(samples))
        made = graph.quantised(samples)
    comparison = referee.compare(made.engine(threads, dtype))
    excesses = comparison.excesses(referee.limits)
    # Operators in float make no answer less dependent on its batch mates.
    searchable = replace(comparison, batch_flips=0).excesses(referee.limits)
    if searchable and precision == "int8" and graph.format == "openvino":
        log.warning("export: in int8 %s; looking for operators that have to stay in float", ", and ".join(searchable))
        made = graph.restored(samples, referee.batches(_RANKED_BATCH), referee.score)
        comparison = referee.compare(made.engine(threads, dtype))
        excesses = comparison.excesses(referee.limits)
    if excesses:
        raise GateRefused(
            f"The export in {precision} is not as good as its model: on {comparison.texts} validation texts "
            f"{', and '.join(excesses)}. Nothing was written. {_advice(precision, graph.format)}"
        )
    return made, comparison


def _advice(precision: ExportPrecision, format: Format) -> str:
    if precision == "fp32":
        return "Try another --format, or allow more (--max-flips and the like)."
    other = "" if format == "openvino" else "try --format openvino, which puts operators back to float, "
    return f"Export in fp32, {other}calibrate on texts that are more like those in use (--data), or allow more."


def _samples(classifier: TransformersClassifier, texts: list[str]) -> list[dict[str, np.ndarray]]:
    """One batch a text, without padding, which would be calibrated for as well."""
    tokens = tokenise(texts, classifier.tokenizer, classifier.max_length)
    return [pad(tokens, [row], int(classifier.tokenizer.pad_token_id)) for row in range(len(tokens))]


def _write(
    target: Path,
    graph: Graph,
    precision: ExportPrecision,
    classifier: TransformersClassifier,
    folder: Path,
    texts: ExportTexts | None,
    comparison: Comparison | None,
) -> ExportManifest:
    with write_folder(target) as temporary:
        graph.save(temporary)
        tokenizer = classifier.tokenizer.backend_tokenizer
        tokenizer.no_truncation()
        tokenizer.no_padding()
        tokenizer.save(str(temporary / TOKENIZER))
        classifier.model.config.to_json_file(temporary / CONFIG)
        manifest = ExportManifest(
            format=graph.format,
            precision=precision,
            classes=classifier.classes,
            max_length=classifier.max_length,
            pad_id=int(classifier.tokenizer.pad_token_id),
            parameters=classifier.size.parameters,
            source={"model": str(folder), "digest": folder_digest(folder)},
            calibration=texts.record() if texts is not None and precision == "int8" else None,
            gate=None if comparison is None else comparison.to_json(),
            bytes=sum((temporary / name).stat().st_size for name in GRAPH_FILES[graph.format]),
            files={
                name: file_sha256(temporary / name) for name in sorted({*GRAPH_FILES[graph.format], TOKENIZER, CONFIG})
            },
            versions=_versions(graph.format, precision),
        )
        manifest.save(temporary)
    return ExportManifest.read(target)


def _versions(format: Format, precision: ExportPrecision) -> dict[str, str]:
    packages = ["understudy", "transformers", "torch", "openvino" if format == "openvino" else "onnx"]
    return {package: version(package) for package in [*packages, *(["nncf"] if precision == "int8" else [])]}
