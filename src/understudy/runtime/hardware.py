"""Device, threads, compute type, attention kernel and engine for this machine."""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast, get_args

from understudy.errors import UserError
from understudy.runtime.limits import cores
from understudy.runtime.sharing import SharedLock

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

Dtype = Literal["fp32", "bf16", "fp16"]
EngineName = Literal["pytorch", "openvino"]
ENGINES = ("auto", *get_args(EngineName))

# With this many tokens OpenVINO saves more time than opening it takes.
_MANY_TOKENS = 250_000
_threads_before: list[int] = []
_processes_with_pytorch: list[int] = []


@dataclass(frozen=True)
class Hardware:
    """The device that a run uses.

    Attributes:
        device: `cpu`, `cuda`, `cuda:1`, `mps`.
        threads: Number of CPU threads.
        engine: The engine that runs finished models; `auto` lets `engine_for` choose.
    """

    device: str
    threads: int
    engine: str = "auto"

    @property
    def kind(self) -> str:
        return self.device.partition(":")[0]

    def dtype(self, precision: str = "auto") -> Dtype:
        """The compute type for a recipe's `precision`.

        Raises:
            UserError: The precision is fp16 on a CPU, which only emulates it.
        """
        if precision == "auto":
            return self._native_dtype()
        if precision == "fp16" and self.kind == "cpu":
            raise UserError("precision = fp16 is slow on a CPU, which only emulates it. Use auto, bf16 or fp32.")
        return cast(Dtype, precision)

    def attention(self, choice: str, dtype: Dtype, training: bool, per_text: bool = False) -> str:
        """The attention kernel for a recipe's `attention`.

        On a CPU `per_text` (see `understudy.models.attention`) is the fastest. For models that do not support it, the
        plain kernel is the fastest for training in bf16. In all other cases PyTorch's fused kernel is.

        Args:
            choice: The recipe's value.
            dtype: Compute type.
            training: Whether gradients are needed.
            per_text: Whether the model supports `per_text`.

        Raises:
            UserError: The recipe has `per_text`, which the device or the model does not support.
        """
        if choice == "per_text" and not (per_text and self.kind == "cpu"):
            here = f"on {self.device}" if self.kind != "cpu" else "with a model of this family"
            raise UserError(
                f"attention = per_text does not work {here}; it is for BERT, RoBERTa, XLM-RoBERTa, ELECTRA and "
                "DistilBERT on a CPU. Use auto, sdpa or eager."
            )
        if choice != "auto":
            return choice
        if self.kind != "cpu":
            return "sdpa"
        return "per_text" if per_text else "eager" if training and dtype == "bf16" else "sdpa"

    def engine_for(self, dtype: Dtype, tokens: int | None = None) -> EngineName:
        """The engine that runs a finished model: OpenVINO, if installed, for many tokens on a CPU with bf16.

        Args:
            dtype: Compute type.
            tokens: Number of tokens to process; None means many.
        """
        if self.engine != "auto":
            return cast(EngineName, self.engine)
        many = tokens is None or tokens >= _MANY_TOKENS
        native = self.kind == "cpu" and dtype == "bf16" == self._native_dtype()
        return "openvino" if many and native and importlib.util.find_spec("openvino") else "pytorch"

    def _native_dtype(self) -> Dtype:
        import torch

        if self.kind == "cuda":
            # Without the argument emulated bf16 counts too, which is slow on a T4, for example.
            return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
        if self.kind == "cpu":
            # Older versions of PyTorch do not have this function.
            capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
            return "bf16" if capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") else "fp32"
        return "fp32"


def detect(device: str | None = None, threads: int | None = None, engine: str | None = None) -> Hardware:
    """Chooses the device and sets the number of PyTorch's threads.

    PyTorch has one number of threads for the whole process. Without `threads`, it gets back the number that it had
    before any call changed it. Otherwise results would depend on earlier calls.

    Args:
        device: Name of the device; None or `auto` takes CUDA, else Apple's MPS, else the CPU.
        threads: Number of CPU threads; None for PyTorch's own.
        engine: One of `ENGINES`; None for `auto`.

    Raises:
        UserError: The device does not exist, the engine is unknown, or does not run on that device.
    """
    import torch

    _set_threads(threads)
    if device in (None, "auto"):
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    present = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    kind, _, number = str(device).partition(":")
    count = torch.cuda.device_count() if kind == "cuda" else 1
    if not present.get(kind, False) or (number and not (number.isdigit() and int(number) < count)):
        there = ", ".join(name for name, available in present.items() if available)
        raise UserError(
            f"--device {device}: no such device; PyTorch sees: {there}. Choose one of these, or leave --device out."
        )
    engine = engine or "auto"
    if engine not in ENGINES:
        raise UserError(f"--engine {engine}: no such engine; expected one of {', '.join(ENGINES)}.")
    if engine == "openvino" and kind != "cpu":
        raise UserError(f"--engine openvino runs on the CPU, not on {device}. Add --device cpu, or leave --engine out.")
    limit_after_fork(kind)
    return Hardware(str(device), torch.get_num_threads(), engine)


def limit_after_fork(kind: str) -> None:
    """Keeps PyTorch from waiting forever in a process that was forked from one that used PyTorch.

    The threads and the GPU's context of the parent do not exist here, but PyTorch counts on them.

    Args:
        kind: Kind of the device.

    Raises:
        UserError: The device is not a CPU.
    """
    import torch

    process = os.getpid()
    if not _processes_with_pytorch:
        _processes_with_pytorch.append(process)
    if _processes_with_pytorch[0] == process:
        return
    if kind != "cpu":
        raise UserError(
            f"This process was forked after PyTorch was used, so PyTorch cannot use {kind} here. Start processes with "
            "multiprocessing's method 'spawn', or pass device='cpu'."
        )
    if torch.get_num_threads() > 1:
        torch.set_num_threads(1)
        log.warning(
            "This process was forked after PyTorch was used, so PyTorch computes with one thread here. Start "
            "processes with multiprocessing's method 'spawn' to use more."
        )


def _set_threads(threads: int | None) -> None:
    import torch

    if threads is not None:
        _threads_before.append(torch.get_num_threads())
        torch.set_num_threads(threads)
    elif _threads_before:
        torch.set_num_threads(_threads_before[0])
        _threads_before.clear()


@contextmanager
def fused_attention(kind: str) -> Iterator[None]:
    """Limits PyTorch's fused attention to kernels that need no planning for new shapes.

    On Hopper and Blackwell PyTorch prefers cuDNN's kernel, which plans for each pair of batch size and length. Here
    nearly every batch is a new pair. This is the likely reason why a training step took some 90 ms on an H200.

    Args:
        kind: Kind of the device; nothing changes unless it is `cuda`.
    """
    if kind != "cuda":
        yield
        return
    with _FUSED_ATTENTION:
        yield


class _FusedAttention:
    """PyTorch's choice of kernels belongs to the whole process: the first thread sets it, the last one restores it."""

    def __init__(self) -> None:
        self._lock = SharedLock()
        self._users = 0
        self._chosen = ExitStack()

    def __enter__(self) -> None:
        from torch.nn.attention import SDPBackend, sdpa_kernel

        with self._lock:
            if not self._users:
                kernels = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
                self._chosen.enter_context(sdpa_kernel(kernels))
            self._users += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._users -= 1
            if not self._users:
                self._chosen.close()


_FUSED_ATTENTION = _FusedAttention()


def torch_dtype(dtype: Dtype) -> torch.dtype:
    import torch

    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[dtype]


def machine() -> dict[str, str | int]:
    """The machine that something was measured on: processor, usable cores and operating system."""
    import platform

    return {"processor": _processor(), "cores": cores().threads, "system": platform.platform()}


def _processor() -> str:
    import platform

    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(line.partition(":")[2].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
