"""What this machine has, and what follows from it: device, threads, compute type, attention kernel, engine."""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from understudy.errors import UserError

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

Dtype = Literal["fp32", "bf16", "fp16"]
EngineName = Literal["pytorch", "openvino"]
ENGINES = ("auto", *get_args(EngineName))

# From so many tokens on OpenVINO has made up for the seconds that opening it takes.
_MANY_TOKENS = 250_000
_threads_before: list[int] = []


@dataclass(frozen=True)
class Hardware:
    """The device that a run uses.

    Attributes:
        device: `cpu`, `cuda`, `cuda:1`, `mps`.
        threads: Threads of the CPU's operators.
        engine: What computes finished models; `auto` where `engine_for` is to choose.
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
            UserError: fp16 is asked for on a CPU, where it is emulated.
        """
        if precision == "auto":
            return self._native_dtype()
        if precision == "fp16" and self.kind == "cpu":
            raise UserError("precision = fp16 was asked for on a CPU, which only emulates it. Use auto, bf16 or fp32.")
        return precision  # type: ignore[return-value]

    def attention(self, choice: str, dtype: Dtype, training: bool, per_text: bool = False) -> str:
        """The attention kernel for a recipe's `attention`.

        On a CPU `per_text` (see `understudy.models.attention`) is the fastest; where a model does not take it, the
        plain kernel trains faster in bf16. Everywhere else PyTorch's fused one wins.

        Args:
            choice: What the recipe says.
            dtype: Compute type.
            training: Whether gradients are wanted.
            per_text: Whether the model takes that kernel.

        Raises:
            UserError: `per_text` is asked for where it does not work.
        """
        if choice == "per_text" and not (per_text and self.kind == "cpu"):
            here = f"on {self.device}" if self.kind != "cpu" else "with a model of this family"
            raise UserError(
                f"attention = per_text was asked for {here}; it is for BERT, RoBERTa, XLM-RoBERTa, ELECTRA and "
                "DistilBERT on a CPU. Use auto, sdpa or eager."
            )
        if choice != "auto":
            return choice
        if self.kind != "cpu":
            return "sdpa"
        return "per_text" if per_text else "eager" if training and dtype == "bf16" else "sdpa"

    def engine_for(self, dtype: Dtype, tokens: int | None = None) -> EngineName:
        """What computes a finished model: OpenVINO for many texts on a CPU with bf16, where it is installed.

        Args:
            dtype: Compute type.
            tokens: How many there will be; None for many.
        """
        if self.engine != "auto":
            return self.engine  # type: ignore[return-value]
        many = tokens is None or tokens >= _MANY_TOKENS
        native = self.kind == "cpu" and dtype == "bf16" == self._native_dtype()
        return "openvino" if many and native and importlib.util.find_spec("openvino") else "pytorch"

    def _native_dtype(self) -> Dtype:
        import torch

        if self.kind == "cuda":
            # Without the argument an emulated bf16 counts, and a T4 would get it, slowly.
            return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
        if self.kind == "cpu":
            # Older versions of PyTorch cannot tell.
            capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
            return "bf16" if capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") else "fp32"
        return "fp32"


def detect(device: str | None = None, threads: int | None = None, engine: str | None = None) -> Hardware:
    """Chooses the device (CUDA, then Apple's MPS, then the CPU, unless named) and sets PyTorch's threads.

    PyTorch has one number of threads for the whole process. Where none is asked for it gets back the one that it had
    before somebody did, or results would hang on what the process did earlier.

    Raises:
        UserError: the named device is not there, or the engine is none, or not for that device.
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
            f"--device {device}: no such device here; PyTorch sees: {there}. Name one of these, or leave --device out."
        )
    engine = engine or "auto"
    if engine not in ENGINES:
        raise UserError(f"--engine {engine}: no such engine; expected one of {', '.join(ENGINES)}.")
    if engine == "openvino" and kind != "cpu":
        raise UserError(f"--engine openvino computes on the CPU, not on {device}. Add --device cpu, or leave it out.")
    return Hardware(str(device), torch.get_num_threads(), engine)


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
    """Keeps PyTorch's fused attention to kernels that take any shape as it comes.

    On Hopper and Blackwell PyTorch prefers cuDNN's, which plans anew for each pair of batch size and length. Here
    nearly every batch has a pair of its own, which is most likely why a step of training took some 90 ms on an H200.

    Args:
        kind: The device's; where it is not `cuda`, nothing changes.
    """
    if kind != "cuda":
        yield
        return
    from torch.nn.attention import SDPBackend, sdpa_kernel

    with sdpa_kernel([SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]):
        yield


def torch_dtype(dtype: Dtype) -> torch.dtype:
    import torch

    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[dtype]


def machine() -> dict[str, str | int]:
    """What a figure was measured on."""
    import platform

    return {"processor": _processor(), "cores": os.cpu_count() or 0, "system": platform.platform()}


def _processor() -> str:
    import platform

    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(line.partition(":")[2].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
