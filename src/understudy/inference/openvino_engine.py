"""OpenVINO as an engine, on the CPU."""

from __future__ import annotations

import logging
import warnings
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from understudy.errors import MissingExtra, ModelError
from understudy.inference.engine import CPU_BUDGET, Batch, Engine, made_up
from understudy.runtime.environment import variables
from understudy.runtime.hardware import Dtype, Hardware
from understudy.runtime.sharing import per_process

if TYPE_CHECKING:
    import openvino
    from transformers import PreTrainedModel

_BATCHES_A_STREAM = 4


class OpenVinoEngine(Engine):
    """A graph compiled by OpenVINO for the CPU.

    All threads compute a single batch together. Many batches get one thread each, which waits less. The logits are the
    same either way, to the last bit.

    A new shape costs milliseconds of compilation and megabytes of memory. `step` keeps the number of lengths small, and
    batches are filled up to 1, 2, 3, 4, 6, 8, 12, 16, 24 ... texts.

    Args:
        graph: Takes `input_ids` and `attention_mask` of any shape (texts, tokens).
        classes: Columns of its logits.
        threads: How many may compute.
        dtype: Compute type of the operators that are not quantised.
    """

    name = "openvino"
    step = 16

    def __init__(self, graph: openvino.Model, classes: int, threads: int, dtype: Dtype) -> None:
        self._graph = graph
        self._threads = threads
        self._precision = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}[dtype]
        self._together = _Requests(self._compiled(streams=1))
        self.classes = classes
        self.budget = CPU_BUDGET

    @classmethod
    def read(cls, files: list[Path], classes: int, threads: int, dtype: Dtype) -> OpenVinoEngine:
        """Opens a graph and its weights, an .xml and a .bin file.

        Raises:
            MissingExtra: OpenVINO is not installed.
            ModelError: The first file is not an OpenVINO model.
        """
        graph, weights = files
        # OpenVINO looks at the content, not at the name, and reads formats that may name more files.
        with graph.open("rb") as file:
            if not file.read(64).lstrip().startswith((b"<?xml", b"<net")):
                raise ModelError(f"{graph} is not an OpenVINO model (expected XML). Export the model again.")
        return cls(_openvino().Core().read_model(graph, weights), classes, threads, dtype)

    @classmethod
    def converted(cls, model: PreTrainedModel, hardware: Hardware, dtype: Dtype) -> OpenVinoEngine:
        """Converts a PyTorch model.

        Raises:
            MissingExtra: OpenVINO is not installed.
        """
        return cls(_converted(model), int(model.config.num_labels or 0), hardware.threads, dtype)

    def forward(self, batch: Batch) -> np.ndarray:
        return self._together(self._filled(batch))[: len(batch["input_ids"])]

    def forward_each(self, batches: Iterable[Batch], count: int) -> Iterator[np.ndarray]:
        if self._threads == 1 or count < _BATCHES_A_STREAM * self._threads:
            yield from super().forward_each(batches, count)
            return
        # One more than there are streams, so that no stream waits while results are read.
        free = [self._apart.create_infer_request() for _ in range(self._threads + 1)]
        running: deque[tuple[openvino.InferRequest, int]] = deque()
        for batch in batches:
            if not free:
                request, texts = running.popleft()
                yield _awaited(request, texts)
                free.append(request)
            request = free.pop()
            request.start_async(self._filled(batch))
            running.append((request, len(batch["input_ids"])))
        for request, texts in running:
            yield _awaited(request, texts)

    def _filled(self, batch: Batch) -> Batch:
        """The batch, with some texts repeated to reach a more common number of texts."""
        count, width = batch["input_ids"].shape
        wanted = min(_rounded(count), max(count, self.budget // max(1, width)))
        return batch if wanted == count else {name: np.resize(each, (wanted, width)) for name, each in batch.items()}

    @per_process
    def _apart(self) -> openvino.CompiledModel:
        """The graph, compiled for one batch a thread."""
        return self._compiled(streams=self._threads)

    def _compiled(self, streams: int) -> openvino.CompiledModel:
        import openvino

        settings = {
            "INFERENCE_PRECISION_HINT": self._precision,
            "INFERENCE_NUM_THREADS": self._threads,
            "NUM_STREAMS": streams,
            "PERFORMANCE_HINT": "LATENCY" if streams == 1 else "THROUGHPUT",
        }
        return openvino.Core().compile_model(self._graph, "CPU", settings)


class _Requests:
    """Computes single batches, for any number of threads at once.

    A request holds the inputs and the outputs of one batch, so each is in use by one thread at a time.
    """

    def __init__(self, compiled: openvino.CompiledModel) -> None:
        self._compiled = compiled
        self._free: deque[openvino.InferRequest] = deque()

    def __call__(self, batch: Batch) -> np.ndarray:
        """Logits, float32 of shape (texts, classes)."""
        try:
            request = self._free.pop()
        except IndexError:
            request = self._compiled.create_infer_request()
        logits = np.array(request.infer(batch, share_inputs=True)[0], dtype=np.float32)
        self._free.append(request)
        return logits


def _awaited(request: openvino.InferRequest, texts: int) -> np.ndarray:
    request.wait()
    return np.array(request.get_output_tensor(0).data[:texts], dtype=np.float32)


def _rounded(count: int) -> int:
    """The next power of two, or three quarters of it if that is enough."""
    power = 1 << (count - 1).bit_length()
    return power * 3 // 4 if count <= power * 3 // 4 else power


def openvino_dtype() -> Dtype:
    """The compute type that OpenVINO finds fastest on this CPU."""
    return "bf16" if "BF16" in _openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES") else "fp32"


@contextmanager
def no_telemetry() -> Iterator[None]:
    """Keeps OpenVINO's converter and NNCF from reporting their use to Intel, which they do except in CI."""
    with variables({"CI": "true"}):
        yield


def _converted(model: PreTrainedModel) -> openvino.Model:
    openvino = _openvino()
    import torch
    from transformers.utils import logging as transformers_logging

    model.set_attn_implementation("sdpa")
    verbosity = transformers_logging.get_verbosity()
    with ExitStack() as stack:
        stack.enter_context(no_telemetry())
        stack.enter_context(warnings.catch_warnings(action="ignore"))
        stack.enter_context(torch.inference_mode())
        transformers_logging.set_verbosity(logging.ERROR)
        stack.callback(transformers_logging.set_verbosity, verbosity)
        example = {name: torch.from_numpy(values) for name, values in made_up(model.config, (9, 5)).items()}
        return openvino.convert_model(model, example_input=example)


def _openvino() -> Any:
    try:
        import openvino
    except ImportError:
        raise MissingExtra("openvino", None, "The engine openvino") from None
    return openvino
