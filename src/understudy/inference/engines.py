"""What computes the logits of a finished model: PyTorch anywhere, OpenVINO on a CPU where it is faster and agrees."""

from __future__ import annotations

import logging
import warnings
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from understudy.errors import MissingExtra, ModelError
from understudy.runtime.environment import variables
from understudy.runtime.hardware import Dtype, Hardware, fused_attention, torch_dtype

if TYPE_CHECKING:
    import openvino
    from transformers import PreTrainedModel

log = logging.getLogger(__name__)

Batch = dict[str, np.ndarray]

# Padded tokens in one batch: what fills two cores' caches, and what fills a GPU.
_BUDGET = {"cpu": 4096, "cuda": 65536, "mps": 16384}
_BATCHES_A_STREAM = 4
_PROBE_LENGTHS = (1, 2, 7, 33, 96)
_ROOM = 4.0
_ROUNDING = 1e-3


class Engine(ABC):
    """A model that is ready to answer.

    Attributes:
        name: Which one it is.
        classes: Columns of the logits.
        budget: Padded tokens that make a good batch.
        step: Lengths to pad to are its multiples, where kernels are compiled anew for every length.
    """

    name: str
    classes: int
    budget: int
    step: int = 1

    @abstractmethod
    def forward(self, batch: Batch) -> np.ndarray:
        """Logits, float32 of shape (texts, classes), for `input_ids` and `attention_mask` of shape (texts, tokens)."""

    def forward_each(self, batches: Iterable[Batch], count: int) -> Iterator[np.ndarray]:
        """What `forward` gives for each of many batches, in their order.

        Args:
            batches: As `forward` takes them; few are drawn ahead.
            count: How many there are.
        """
        yield from map(self.forward, batches)

    def computing(self) -> AbstractContextManager[object]:
        """To be entered once around many batches."""
        return nullcontext()


class PyTorchEngine(Engine):
    """The model itself; it is moved to the device and set to evaluation, its weights stay as they are."""

    name = "pytorch"

    def __init__(self, model: PreTrainedModel, hardware: Hardware, dtype: Dtype) -> None:
        self._model = model.to(hardware.device).eval()  # type: ignore[arg-type]
        self._hardware = hardware
        self._dtype = dtype
        self.classes = int(model.config.num_labels or 0)
        self.budget = _BUDGET[hardware.kind]
        use_fast_attention(model, hardware, dtype)

    def forward(self, batch: Batch) -> np.ndarray:
        import torch

        on_device = {name: torch.from_numpy(values).to(self._hardware.device) for name, values in batch.items()}
        return self._model(**on_device).logits.float().cpu().numpy()

    @contextmanager
    def computing(self) -> Iterator[None]:
        import torch

        enabled = self._dtype != "fp32"
        kind = self._hardware.kind
        autocast = torch.autocast(kind, torch_dtype(self._dtype), enabled=enabled)
        with torch.inference_mode(), autocast, fused_attention(kind):
            yield


class OpenVinoEngine(Engine):
    """A graph compiled by OpenVINO for the CPU.

    One batch is computed by all threads together, many batches by one thread each, which waits less. The logits are the
    same either way, to the last bit.

    A new shape costs milliseconds, and megabytes for kernels that are kept, so there are few: `step` makes lengths few,
    and numbers of texts are brought up to the next of 1, 2, 3, 4, 6, 8, 12, 16, 24 ...

    Args:
        graph: Takes `input_ids` and `attention_mask` of any shape (texts, tokens).
        classes: Columns of its logits.
        threads: How many may compute.
        dtype: Compute type of what is not quantised.
    """

    name = "openvino"
    step = 16

    def __init__(self, graph: openvino.Model, classes: int, threads: int, dtype: Dtype) -> None:
        self._graph = graph
        self._threads = threads
        self._precision = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}[dtype]
        self._together = self._compiled(streams=1)
        self.classes = classes
        self.budget = _BUDGET["cpu"]

    @classmethod
    def read(cls, files: list[Path], classes: int, threads: int, dtype: Dtype) -> OpenVinoEngine:
        """Opens a graph and its weights, an .xml and a .bin file.

        Raises:
            MissingExtra: OpenVINO is not installed.
            ModelError: the first file is none of OpenVINO's own.
        """
        graph, weights = files
        # OpenVINO goes by the content and not by the name, and reads formats that may name further files.
        with graph.open("rb") as file:
            if not file.read(64).lstrip().startswith((b"<?xml", b"<net")):
                raise ModelError(f"{graph} is no graph of OpenVINO's: expected XML. Export the model again.")
        return cls(_openvino().Core().read_model(graph, weights), classes, threads, dtype)

    @classmethod
    def converted(cls, model: PreTrainedModel, hardware: Hardware, dtype: Dtype) -> OpenVinoEngine:
        """Converts a PyTorch model.

        Raises:
            MissingExtra: OpenVINO is not installed.
        """
        return cls(_converted(model), int(model.config.num_labels or 0), hardware.threads, dtype)

    def forward(self, batch: Batch) -> np.ndarray:
        return np.array(self._together(self._filled(batch))[0], dtype=np.float32)[: len(batch["input_ids"])]

    def forward_each(self, batches: Iterable[Batch], count: int) -> Iterator[np.ndarray]:
        if self._threads == 1 or count < _BATCHES_A_STREAM * self._threads:
            yield from super().forward_each(batches, count)
            return
        # One more than there are streams, so that none waits while results are taken.
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
        """The batch with some of its texts again, up to a number of texts that turns up more often."""
        count, width = batch["input_ids"].shape
        wanted = min(_rounded(count), max(count, self.budget // max(1, width)))
        return batch if wanted == count else {name: np.resize(each, (wanted, width)) for name, each in batch.items()}

    @cached_property
    def _apart(self) -> openvino.CompiledModel:
        """The graph for one batch a thread."""
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


def _awaited(request: openvino.InferRequest, texts: int) -> np.ndarray:
    request.wait()
    return np.array(request.get_output_tensor(0).data[:texts], dtype=np.float32)


def _rounded(count: int) -> int:
    """The next power of two, or three quarters of it where that suffices."""
    power = 1 << (count - 1).bit_length()
    return power * 3 // 4 if count <= power * 3 // 4 else power


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
        self.budget = _BUDGET["cpu"]

    @classmethod
    def read(cls, files: list[Path], classes: int, threads: int, dtype: Dtype) -> OnnxEngine:
        """Opens an .onnx file that holds all of its weights; it computes in fp32.

        Raises:
            MissingExtra: ONNX Runtime or onnx is not installed.
            ModelError: the file is no ONNX model, or wants data from other files.
        """
        (file,) = files
        refuse_external_data(file)
        return cls(file.read_bytes(), classes, threads)

    def forward(self, batch: Batch) -> np.ndarray:
        return np.array(self._session.run(None, batch)[0], dtype=np.float32)


def refuse_external_data(file: Path) -> None:
    """Refuses an ONNX model that names other files, which may lie anywhere on the machine.

    Raises:
        MissingExtra: ONNX Runtime or onnx is not installed.
        ModelError: as said, or it is no ONNX model.
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
        raise ModelError(f"{file} is no ONNX model, or only the beginning of one. Copy or export it again.") from None
    outside = [tensor.name for tensor in _get_all_tensors(model) if uses_external_data(tensor)]
    if outside:
        raise ModelError(
            f"{file} keeps weights in other files ({outside[0]}); an export of understudy's holds all of them, and "
            "others are not opened. Export the model again."
        )


def openvino_dtype() -> Dtype:
    """The compute type that OpenVINO finds fastest on this CPU."""
    return "bf16" if "BF16" in _openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES") else "fp32"


def open_engine(model: PreTrainedModel, hardware: Hardware, dtype: Dtype, tokens: int | None = None) -> Engine:
    """Opens the engine that the hardware's policy names.

    Where that is OpenVINO, both compute a few made-up texts first, PyTorch in fp32 as well. Unless OpenVINO's logits
    are as close to those as PyTorch's of the same compute type are, up to a factor of four, PyTorch does the work.
    That hangs on the model alone, so the same model always gets the same engine.

    Args:
        model: A sequence classifier in fp32.
        hardware: Where to compute.
        dtype: Compute type.
        tokens: How many there will be; None for many.

    Raises:
        MissingExtra: OpenVINO was asked for and is not installed.
        ModelError: OpenVINO was asked for and cannot run the model as PyTorch does.
    """
    pytorch = PyTorchEngine(model, hardware, dtype)
    if hardware.engine_for(dtype, tokens) == "pytorch":
        return pytorch
    try:
        compiled = OpenVinoEngine.converted(model, hardware, dtype)
        far, near = _distances(compiled, pytorch, PyTorchEngine(model, hardware, "fp32"), model.config)
    except MissingExtra:
        raise
    except Exception as error:  # whatever its converter raises for a model that it does not know
        problem = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
    else:
        if far <= max(_ROOM * near, _ROUNDING):
            log.info("engine: OpenVINO in %s; on a probe its logits are within %.2g of PyTorch's in fp32", dtype, far)
            return compiled
        problem = (
            f"on a probe its logits are {far:.2g} from PyTorch's in fp32, while PyTorch's in {dtype} are {near:.2g}"
        )
    finally:
        use_fast_attention(model, hardware, dtype)
    if hardware.engine == "openvino":
        raise ModelError(
            f"--engine openvino cannot run this {model.config.model_type} model as PyTorch does: {problem}. "
            "Use --engine pytorch, or leave it out."
        )
    log.info("engine: PyTorch in %s; OpenVINO, which may be faster, was left aside: %s", dtype, problem)
    return pytorch


def use_fast_attention(model: PreTrainedModel, hardware: Hardware, dtype: Dtype) -> None:
    """Lets a model that is to answer, not to be trained, compute its attention the way that is fastest here."""
    from understudy.models.attention import supports_per_text

    kernel = hardware.attention("auto", dtype, training=False, per_text=supports_per_text(model.config))
    model.set_attn_implementation(kernel)


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
        transformers_logging.set_verbosity_error()
        stack.callback(transformers_logging.set_verbosity, verbosity)
        example = {name: torch.from_numpy(values) for name, values in made_up(model.config, (9, 5)).items()}
        return openvino.convert_model(model, example_input=example)


def _openvino() -> Any:
    try:
        import openvino
    except ImportError:
        raise MissingExtra("openvino", None, "The engine openvino") from None
    return openvino


def _distances(compiled: Engine, pytorch: Engine, exact: Engine, config: Any) -> tuple[float, float]:
    """How far the logits of the first two are from those of the third at most."""
    from understudy.models.loading import longest_input

    longest = longest_input(config) or max(_PROBE_LENGTHS)
    probes = tuple(min(length, longest) for length in _PROBE_LENGTHS)
    far = near = 0.0
    for lengths in [*((length,) for length in probes), probes]:
        batch = made_up(config, lengths)
        with exact.computing():
            wanted = exact.forward(batch)
        with pytorch.computing():
            near = max(near, float(np.abs(pytorch.forward(batch) - wanted).max()))
        far = max(far, float(np.nan_to_num(np.abs(compiled.forward(batch) - wanted), nan=np.inf).max()))
    return far, near


def made_up(config: Any, lengths: tuple[int, ...]) -> Batch:
    """A padded batch of texts of these lengths, their tokens drawn from the vocabulary."""
    random = np.random.default_rng(0)
    padding = int(config.pad_token_id or 0)
    ids = np.full((len(lengths), max(lengths)), padding, dtype=np.int64)
    mask = np.zeros_like(ids)
    words = np.delete(np.arange(config.vocab_size), padding)
    for row, length in enumerate(lengths):
        ids[row, :length] = random.choice(words, length)
        mask[row, :length] = 1
    return {"input_ids": ids, "attention_mask": mask}


@contextmanager
def no_telemetry() -> Iterator[None]:
    """OpenVINO's converter and NNCF report every use to a server of Intel's, unless they are told that this is CI."""
    with variables({"CI": "true"}):
        yield
