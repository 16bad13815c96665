"""ONNX Runtime as an engine, on the CPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from understudy.errors import MissingExtra, ModelError
from understudy.inference.engine import CPU_BUDGET, Batch, Engine
from understudy.runtime.hardware import Dtype


class OnnxEngine(Engine):
    """A graph that ONNX Runtime runs on the CPU.

    Args:
        graph: An ONNX model in one piece.
        classes: Columns of its logits.
        threads: How many may compute.
    """

    name = "onnxruntime"

    def __init__(self, graph: bytes, classes: int, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        self.classes = classes
        self.budget = CPU_BUDGET

    @classmethod
    def read(cls, files: list[Path], classes: int, threads: int, dtype: Dtype) -> OnnxEngine:
        """Opens an .onnx file that holds all of its weights; it computes in fp32.

        Raises:
            MissingExtra: ONNX Runtime or onnx is not installed.
            ModelError: The file is not an ONNX model, or keeps weights in other files.
        """
        (file,) = files
        refuse_external_data(file)
        return cls(file.read_bytes(), classes, threads)

    def forward(self, batch: Batch) -> np.ndarray:
        return np.array(self._session.run(None, batch)[0], dtype=np.float32)


def refuse_external_data(file: Path) -> None:
    """Refuses an ONNX model that names other files, because these may be anywhere on the machine.

    Raises:
        MissingExtra: ONNX Runtime or onnx is not installed.
        ModelError: The model names other files, or the file is not an ONNX model.
    """
    try:
        import onnx
        import onnxruntime  # noqa: F401
        from google.protobuf.message import DecodeError
        from onnx.external_data_helper import _get_all_tensors, uses_external_data
    except ImportError as error:
        raise MissingExtra(error.name or "onnx", "onnx", "Opening an ONNX export") from None
    try:
        model = onnx.load(file, load_external_data=False)
    except DecodeError:
        raise ModelError(
            f"{file} is not an ONNX model, or is cut off. Copy the file again, or export the model again."
        ) from None
    outside = [tensor.name for tensor in _get_all_tensors(model) if uses_external_data(tensor)]
    if outside:
        raise ModelError(
            f"{file} keeps weights in other files ({outside[0]}); understudy opens only models in one file. "
            "Export the model again."
        )
