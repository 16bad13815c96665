"""Converts a PyTorch classifier to a graph that runs without PyTorch, in fp32 or quantised to int8.

`transformers.exporters` makes the graphs and NNCF quantises them. Matrix products get static ranges, so that a
prediction does not depend on the other texts in the batch. For embedding tables only the weights are quantised.
"""

from __future__ import annotations

import io
import logging
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, cast

import numpy as np

from understudy.errors import MissingExtra, ModelError
from understudy.inference.engine import Batch, Engine
from understudy.inference.exported import GRAPH_FILES, Format
from understudy.inference.onnx_engine import OnnxEngine
from understudy.inference.openvino_engine import OpenVinoEngine, no_telemetry
from understudy.runtime.hardware import Dtype

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Item = tuple[Batch, np.ndarray]
"""A batch of validation texts, and their rows."""
Score = Callable[[np.ndarray, np.ndarray], float]
"""Takes rows and their logits, and returns how good they are: 1 for the model's own, 0 or more within all limits."""


class Graph(ABC):
    """A graph in memory, from `input_ids` and `attention_mask` of any shape (texts, tokens) to logits.

    Args:
        program: The runtime's own object.
        classes: Columns of the logits.
    """

    format: Format

    def __init__(self, program: Any, classes: int) -> None:
        self.program = program
        self.classes = classes

    @classmethod
    @abstractmethod
    def of(cls, model: PreTrainedModel) -> Self:
        """Converts a model.

        Raises:
            MissingExtra: A package is not installed.
            ModelError: The exporter does not support the model.
        """

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Writes the files that `GRAPH_FILES` names for its format."""

    @abstractmethod
    def engine(self, threads: int, dtype: Dtype) -> Engine:
        """Opens the graph in an engine."""

    @abstractmethod
    def quantised(self, samples: Sequence[Batch]) -> Self:
        """Quantises to int8.

        Args:
            samples: The quantisation texts, one batch each; the ranges of activations come from them.

        Raises:
            MissingExtra: NNCF is not installed.
        """

    @abstractmethod
    def restored(self, samples: Sequence[Batch], validation: Sequence[Item], score: Score) -> Self:
        """Quantises to int8, and puts the most harmful operators back to float until the score is at least 0.

        Args:
            samples: The quantisation texts, one batch each.
            validation: The validation texts.
            score: How good logits are.

        Raises:
            MissingExtra: NNCF is not installed.
            ModelError: The format does not support it.
        """


class OpenVinoGraph(Graph):
    """An `openvino.Model`."""

    format = "openvino"

    @classmethod
    def of(cls, model: PreTrainedModel) -> Self:
        exporters = _exporters()
        exported = _exported(model, exporters.OpenVINOExporter, exporters.OpenVINOConfig)
        return cls(exported, int(model.config.num_labels or 0))

    def save(self, folder: Path) -> None:
        import openvino

        openvino.save_model(self.program, str(folder / GRAPH_FILES["openvino"][0]), compress_to_fp16=False)

    def engine(self, threads: int, dtype: Dtype) -> Engine:
        return OpenVinoEngine(self.program, self.classes, threads, dtype)

    def quantised(self, samples: Sequence[Batch]) -> Self:
        nncf = _nncf()
        with _quietly():
            made = nncf.quantize(self.program.clone(), nncf.Dataset(samples), **_settings(nncf, samples))
        return type(self)(made, self.classes)

    def restored(self, samples: Sequence[Batch], validation: Sequence[Item], score: Score) -> Self:
        nncf = _nncf()

        def validate(compiled: Any, items: Iterable[Item]) -> tuple[float, list[list[np.ndarray]]]:
            rows, logits = [], []
            for batch, batch_rows in items:
                rows.append(batch_rows)
                logits.append(np.array(compiled(batch)[0], dtype=np.float32))
            found = score(np.concatenate(rows), np.concatenate(logits))
            # Only passing counts: in the type that NNCF computes in, even the original may score below 1.
            return (1.0 if found >= 0 else found), [[each] for each in logits]

        # NNCF 3.4 puts an operator back to float without undoing what SmoothQuant did to its inputs, and the graph then
        # computes something else. So the search starts without SmoothQuant.
        off = nncf.AdvancedSmoothQuantParameters(matmul=-1, convolution=-1)
        with _quietly():
            made = nncf.quantize_with_accuracy_control(
                self.program.clone(),
                nncf.Dataset(samples),
                nncf.Dataset(validation, lambda item: item[0]),
                validate,
                max_drop=1.0,  # from 1 to 0
                advanced_quantization_parameters=nncf.AdvancedQuantizationParameters(smooth_quant_alphas=off),
                **_settings(nncf, samples),
            )
        return type(self)(made, self.classes)


class OnnxGraph(Graph):
    """An `onnx_ir.Model`; NNCF's search for the most harmful operators does not support it."""

    format = "onnx"

    @classmethod
    def of(cls, model: PreTrainedModel) -> Self:
        exporters = _exporters()
        exported = _exported(model, exporters.OnnxExporter, exporters.OnnxConfig)
        return cls(exported, int(model.config.num_labels or 0))

    def save(self, folder: Path) -> None:
        import onnx_ir

        onnx_ir.save(self.program, folder / GRAPH_FILES["onnx"][0])

    def engine(self, threads: int, dtype: Dtype) -> Engine:
        import onnx_ir

        return OnnxEngine(onnx_ir.to_proto(self.program).SerializeToString(), self.classes, threads)

    def quantised(self, samples: Sequence[Batch]) -> Self:
        nncf = _nncf()
        exporters = _exporters()
        config = exporters.NNCFQuantizationConfig(**_settings(nncf, samples))
        tensors = _tensors(samples)
        with _quietly():
            made = exporters.NNCFOnnxQuantizer(config, tensors).quantize(
                self.program, tensors[0], exporters.ExportFormat.ONNX
            )
        return type(self)(made, self.classes)

    def restored(self, samples: Sequence[Batch], validation: Sequence[Item], score: Score) -> Self:
        raise ModelError("Only an OpenVINO graph can put operators back to float. Use --format openvino.")


GRAPHS: dict[Format, type[Graph]] = {"openvino": OpenVinoGraph, "onnx": OnnxGraph}


def _exporters() -> Any:
    # Its lazy module hides its names from type checkers.
    return import_module("transformers.exporters")


def _exported(model: PreTrainedModel, exporter: Any, config: Any) -> Any:
    import torch

    model.set_attn_implementation("sdpa")
    # Texts of different lengths: without padding in the example, the graph might ignore the mask.
    ids = torch.ones((3, 7), dtype=torch.long)
    mask = torch.ones_like(ids)
    mask[1, 4:] = mask[2, 2:] = 0
    either = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    shapes = {"input_ids": either, "attention_mask": either}
    try:
        with _quietly():
            example = {"input_ids": ids, "attention_mask": mask}
            program = exporter().export(cast(Any, model).eval(), example, config=config(dynamic_shapes=shapes)).program
    except ImportError as error:
        raise MissingExtra(
            error.name or "onnx", "onnx" if exporter.export_format == "onnx" else "distill", "Exporting a model"
        ) from None
    except Exception as error:  # the exporter raises anything for a model that it does not know
        reason = str(error).strip().partition("\n")[0]
        raise ModelError(
            f"This {model.config.model_type} model cannot be exported: {type(error).__name__}: {reason}. Export "
            "another student, or use the PyTorch folder as it is."
        ) from error
    return program


def _nncf() -> Any:
    try:
        import nncf
    except ImportError:
        raise MissingExtra("nncf", "distill", "Quantising to int8") from None
    return nncf


def _settings(nncf: Any, samples: Sequence[Batch]) -> dict[str, Any]:
    return {"model_type": nncf.ModelType.TRANSFORMER, "subset_size": len(samples)}


def _tensors(samples: Sequence[Batch]) -> list[dict[str, Any]]:
    import torch

    return [{name: torch.from_numpy(values) for name, values in sample.items()} for sample in samples]


@contextmanager
def _quietly() -> Iterator[None]:
    """Silences the exporters and NNCF, on the screen and towards their makers."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        # NNCF draws its progress on stdout, which is for results.
        with no_telemetry(), warnings.catch_warnings(action="ignore"), redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(disabled)
