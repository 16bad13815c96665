"""Exported models: a folder that runs without PyTorch, with a manifest that says what is in it.

Nothing in such a folder is trusted. The manifest names the files and their checksums; only these files are opened, and
none of them can run code or point outside the folder.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import AliasChoices, Field, NonNegativeInt

from understudy.data.tokens import tokenise
from understudy.errors import MissingExtra, ModelError, UserError
from understudy.inference.classifier import Classifier, CutTexts, Size
from understudy.inference.engine import Engine
from understudy.inference.logits import predict_logits, softmax
from understudy.inference.onnx_engine import OnnxEngine
from understudy.inference.opened import Opened
from understudy.inference.openvino_engine import OpenVinoEngine, openvino_dtype
from understudy.runtime.hardware import Dtype
from understudy.runtime.limits import cores
from understudy.runtime.sharing import per_process
from understudy.storage.files import file_sha256, write_json
from understudy.storage.records import read_record

if TYPE_CHECKING:
    from tokenizers import Tokenizer

MANIFEST = "understudy.json"
_SCHEMA_VERSION = 1

Format = Literal["openvino", "onnx"]
ExportPrecision = Literal["fp32", "int8"]

GRAPH_FILES: dict[str, tuple[str, ...]] = {
    "openvino": ("openvino_model.xml", "openvino_model.bin"),
    "onnx": ("model.onnx",),
}
TOKENIZER = "tokenizer.json"
CONFIG = "config.json"


@dataclass(frozen=True)
class ExportManifest:
    """What an exported folder is.

    Attributes:
        format: Of the graph.
        precision: Of its weights and matrix products.
        classes: Their names, in the order of the logits.
        max_length: Tokens after which a text is cut.
        pad_id: The padding token.
        parameters: Those of the model that it was made of.
        source: Where that was, and the digest of its files.
        quantisation: The texts that its int8 ranges come from: their source, how many, and a digest of their ids.
        gate: What the comparison with that model found; None where there were no texts.
        bytes: Size of the graph with its weights.
        files: SHA-256 of every other file, by name.
        versions: Of the packages that made it.
    """

    format: Format
    precision: ExportPrecision
    classes: Annotated[list[str], Field(min_length=2)]
    max_length: NonNegativeInt
    pad_id: NonNegativeInt
    parameters: NonNegativeInt
    source: dict[str, Any]
    # "calibration" is the key of manifests that were written before it had this name.
    quantisation: Annotated[dict[str, Any] | None, Field(validation_alias=AliasChoices("quantisation", "calibration"))]
    gate: dict[str, Any] | None
    bytes: NonNegativeInt
    files: dict[str, str]
    versions: dict[str, str]

    def save(self, folder: Path) -> None:
        write_json(folder / MANIFEST, {"schema_version": _SCHEMA_VERSION, **dataclasses.asdict(self)})

    @classmethod
    def read(cls, folder: Path) -> ExportManifest:
        """Reads and checks the manifest; the files that it names are looked at by `check_files`.

        Raises:
            ModelError: The manifest is missing, damaged, has another schema version or names other files.
        """
        path, remedy = folder / MANIFEST, "Export the model again."
        manifest = read_record(cls, path, error=ModelError, remedy=remedy, version=_SCHEMA_VERSION)
        wanted = {*GRAPH_FILES[manifest.format], TOKENIZER, CONFIG}
        if set(manifest.files) != wanted:
            expected, got = (", ".join(sorted(names)) for names in (wanted, manifest.files))
            raise ModelError(f"{path}: expected the files {expected}, got {got}. {remedy}")
        return manifest

    def check_files(self, folder: Path) -> None:
        """Compares every file with its checksum.

        Raises:
            ModelError: One is missing, lies elsewhere, or is not what was exported.
        """
        for name, digest in self.files.items():
            path = folder / name
            if path.is_symlink() or not path.is_file():
                raise ModelError(
                    f"{path} is missing, or a link that leads out of the folder; the export's manifest names it. "
                    "Export the model again, or copy the folder whole."
                )
            found = file_sha256(path)
            if found != digest:
                raise ModelError(
                    f"{path} is not the file that was exported: its SHA-256 is {found}, the manifest's {digest}. It "
                    "was changed or is damaged; copy the folder again, or export the model again."
                )
        _refuse_code(folder / CONFIG)


def made_of(folder: Path) -> str | None:
    """Digest of the model that an export was made of; None where its manifest does not say."""
    try:
        return str(ExportManifest.read(folder).source["digest"])
    except (ModelError, KeyError, TypeError):
        return None


def is_exported(folder: Path) -> bool:
    return (folder / MANIFEST).is_file()


@dataclass(frozen=True, eq=False)
class ExportedClassifier(Classifier):
    """An exported folder, run by OpenVINO or ONNX Runtime on the CPU.

    Attributes:
        folder: Where the export is.
        manifest: Describes it.
        tokenizer: Its tokenizer.
        threads: CPU threads.
        dtype: Compute type of the operators that are not quantised.
        opened: How it was opened.
        cut: Warns once about texts that are cut.
    """

    folder: Path
    manifest: ExportManifest
    tokenizer: Tokenizer
    threads: int
    dtype: Dtype
    opened: Opened
    cut: CutTexts = field(default_factory=CutTexts, repr=False, compare=False)

    @classmethod
    def open(cls, folder: Path, opened: Opened) -> ExportedClassifier:
        """As `open_classifier`.

        Raises:
            ModelError: A file is damaged, was changed, or cannot be opened.
            UserError: The export does not support the device, precision or engine.
        """
        device, engine = opened.options.get("device"), opened.options.get("engine")
        manifest = ExportManifest.read(folder)
        own = {"openvino": "openvino", "onnx": "onnxruntime"}[manifest.format]
        if device not in (None, "auto", "cpu"):
            raise UserError(f"--device {device}: {folder} was exported for the CPU. Leave --device out.")
        if engine not in (None, "auto", own):
            raise UserError(f"--engine {engine}: {folder} was exported for {own}. Leave --engine out.")
        manifest.check_files(folder)
        dtype = _dtype(manifest, opened.options.get("precision"))
        threads = opened.options.get("threads") or cores().threads
        return cls(folder, manifest, _tokenizer(folder / TOKENIZER, manifest.max_length), threads, dtype, opened)

    @property
    def classes(self) -> list[str]:
        return self.manifest.classes

    @property
    def max_length(self) -> int:
        return self.manifest.max_length

    @property
    def size(self) -> Size:
        return Size(self.manifest.parameters, self.manifest.bytes)

    def _probabilities(self, texts: list[str], advance: Callable[[int], None] | None) -> np.ndarray:
        tokens = tokenise(texts, self.tokenizer, self.max_length)
        self.cut.look_at(tokens, self.max_length)
        return softmax(predict_logits(self.engine, tokens, self.manifest.pad_id, advance, self.max_length))

    @per_process
    def engine(self) -> Engine:
        """Computes the graph.

        Raises:
            ModelError: The runtime cannot open the graph, or a file was changed after the folder was opened.
        """
        if self.opened.has_changed(self.folder):
            self.manifest.check_files(self.folder)
        return open_graph(self.folder, self.manifest.format, len(self.classes), self.threads, self.dtype)


def open_graph(folder: Path, format: Format, classes: int, threads: int, dtype: Dtype) -> Engine:
    """Opens the graph in a folder whose files are already checked.

    Raises:
        MissingExtra: The runtime is not installed.
        ModelError: The runtime cannot open the graph.
    """
    kind = OpenVinoEngine if format == "openvino" else OnnxEngine
    probe = {"input_ids": np.array([[0, 1, 2], [2, 0, 0]]), "attention_mask": np.array([[1, 1, 1], [1, 0, 0]])}
    try:
        engine = kind.read([folder / name for name in GRAPH_FILES[format]], classes, threads, dtype)
        shape = engine.forward(probe).shape
    except (MissingExtra, ModelError):
        raise
    except Exception as error:  # a runtime raises anything for a file that it cannot read
        reason = str(error).strip().partition("\n")[0]
        raise ModelError(f"The graph in {folder} cannot be opened: {reason}. Export the model again.") from None
    if shape != (2, classes):
        raise ModelError(
            f"The graph in {folder} computes logits of shape {shape} for two texts; expected {(2, classes)}, because "
            f"the manifest names {classes} classes. Export the model again."
        )
    return engine


def _dtype(manifest: ExportManifest, precision: str | None) -> Dtype:
    """Compute type of the operators that are not quantised; for int8 the default is the hardware's fastest."""
    wanted = precision or ("auto" if manifest.precision == "int8" else "fp32")
    if manifest.format == "onnx" or wanted == "fp32":
        if wanted in ("bf16", "fp16"):
            raise UserError(f"precision = {wanted}: an ONNX export computes in fp32. Use fp32, or leave it out.")
        return "fp32"
    if wanted == "fp16":
        raise UserError("precision = fp16 was asked for on a CPU, which only emulates it. Use auto, bf16 or fp32.")
    return openvino_dtype() if wanted == "auto" else "bf16"


def _tokenizer(path: Path, max_length: int) -> Tokenizer:
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise MissingExtra("tokenizers", None, "Opening an exported model") from None
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the Rust library raises bare Exceptions
        raise ModelError(f"{path} is not a tokenizer ({error}). Export the model again.") from None
    special = tokenizer.num_special_tokens_to_add(False)
    if max_length <= special:
        raise ModelError(
            f"{path} adds {special} special tokens, which leaves no room for text in {max_length} tokens. "
            "Export the model again."
        )
    return tokenizer


def _refuse_code(config: Path) -> None:
    try:
        content = json.loads(config.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        raise ModelError(f"{config} is not JSON. Export the model again.") from None
    if not isinstance(content, dict) or "auto_map" in content:
        raise ModelError(f"{config} names Python code (auto_map), which understudy never runs. Export the model again.")
