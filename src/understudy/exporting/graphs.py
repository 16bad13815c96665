"""From a PyTorch classifier to a graph that runs without PyTorch, in fp32 or quantised to int8.

`transformers.exporters` makes the graphs, NNCF quantises them: matrix products with static, calibrated ranges, so that
a text's answer does not hang on the texts beside it, and embedding tables by their weights.
"""

from __future__ import annotations

import io
import logging
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from understudy.errors import MissingExtra, ModelError
from understudy.inference.engines import Batch, Engine, OnnxEngine, OpenVinoEngine, no_telemetry
from understudy.inference.exported import GRAPH_FILES, Format
from understudy.runtime.hardware import Dtype

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Item = tuple[Batch, np.ndarray]
"""A batch of validation texts, and their rows."""
Score = Callable[[np.ndarray, np.ndarray], float]
"""Rows and their logits to how good they are: 1 as good as the original, 0 or more within all limits."""


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
            MissingExtra: a package is not installed.
            ModelError: the exporter does not know the model.
        """

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Writes `GRAPH_FILES` of its format."""

    @abstractmethod
    def engine(self, threads: int, dtype: Dtype) -> Engine:
        """Opens it."""

    @abstractmethod
    def quantised(self, samples: Sequence[Batch]) -> Self:
        """In int8, with ranges read from the samples."""

    @abstractmethod
    def restored(self, samples: Sequence[Batch], validation: Sequence[Item], score: Score) -> Self:
        """In int8 but for the operators that do most harm, which go back to float until the score is at least 0."""


class OpenVinoGraph(Graph):
    """An `openvino.Model`."""

    format = "openvino"

    @classmethod
    def of(cls, model: PreTrainedModel) -> Self:
        from transformers.exporters import OpenVINOConfig, OpenVINOExporter

        return cls(_exported(model, OpenVINOExporter, OpenVINOConfig), int(model.config.num_labels or 0))

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
            # Only whether it passes counts: the original need not score 1 in the type that NNCF computes in.
            return (1.0 if found >= 0 else found), [[each] for each in logits]

        # NNCF 3.4 puts an operator back to float without taking back what SmoothQuant did to its inputs, and the graph
        # then computes something else; so the search begins without it.
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
    """An `onnx_ir.Model`; NNCF's search for the worst operators does not take it."""

    format = "onnx"

    @classmethod
    def of(cls, model: PreTrainedModel) -> Self:
        from transformers.exporters import OnnxConfig, OnnxExporter

        return cls(_exported(model, OnnxExporter, OnnxConfig), int(model.config.num_labels or 0))

    def save(self, folder: Path) -> None:
        import onnx_ir

        onnx_ir.save(self.program, folder / GRAPH_FILES["onnx"][0])

    def engine(self, threads: int, dtype: Dtype) -> Engine:
        import onnx_ir

        return OnnxEngine(onnx_ir.to_proto(self.program).SerializeToString(), self.classes, threads)

    def quantised(self, samples: Sequence[Batch]) -> Self:
        nncf = _nncf()
        from transformers.exporters import NNCFOnnxQuantizer, NNCFQuantizationConfig
        from transformers.exporters.configs import ExportFormat

        config = NNCFQuantizationConfig(**_settings(nncf, samples))
        with _quietly():
            made = NNCFOnnxQuantizer(config, _tensors(samples)).quantize(
                self.program, _tensors(samples)[0], ExportFormat.ONNX
            )
        return type(self)(made, self.classes)

    def restored(self, samples: Sequence[Batch], validation: Sequence[Item], score: Score) -> Self:
        raise ModelError("An int8 ONNX graph is what it is: operators go back to float in the format openvino only.")


GRAPHS: dict[Format, type[Graph]] = {"openvino": OpenVinoGraph, "onnx": OnnxGraph}


def _exported(model: PreTrainedModel, exporter: Any, config: Any) -> Any:
    import torch

    model.set_attn_implementation("sdpa")
    # Texts of different lengths: a graph that saw no padding might leave it out.
    ids = torch.ones((3, 7), dtype=torch.long)
    mask = torch.ones_like(ids)
    mask[1, 4:] = mask[2, 2:] = 0
    either = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    shapes = {"input_ids": either, "attention_mask": either}
    try:
        with _quietly():
            exported = exporter().export(
                model.eval(), {"input_ids": ids, "attention_mask": mask}, config=config(dynamic_shapes=shapes)
            )
    except ImportError as error:
        raise MissingExtra(
            error.name or "onnx", "onnx" if exporter.export_format == "onnx" else "distill", "Exporting a model"
        ) from None
    except Exception as error:  # whatever the exporter raises for a model that it does not know
        reason = str(error).strip().partition("\n")[0]
        raise ModelError(
            f"This {model.config.model_type} model cannot be exported: {type(error).__name__}: {reason}. Export "
            "another student, or serve the PyTorch folder."
        ) from error
    return exported.program


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
    """Without the exporters' and NNCF's own reports, on the screen or to their makers."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        # NNCF draws its progress on stdout, which is for answers.
        with no_telemetry(), warnings.catch_warnings(action="ignore"), redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(disabled)
