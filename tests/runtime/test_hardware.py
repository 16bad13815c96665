from __future__ import annotations

from typing import Any

import pytest
import torch

from understudy.errors import UserError
from understudy.runtime.hardware import Hardware, detect, fused_attention, machine, torch_dtype

CPU, CUDA, MPS = Hardware("cpu", 2), Hardware("cuda", 2), Hardware("mps", 2)


@pytest.fixture
def cpu_has(monkeypatch: pytest.MonkeyPatch) -> Any:
    def set_capabilities(**capabilities: bool) -> None:
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)

    return set_capabilities


@pytest.fixture
def devices(monkeypatch: pytest.MonkeyPatch) -> Any:
    def set_devices(cuda: int = 0, mps: bool = False) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    return set_devices


@pytest.mark.parametrize(
    ("capabilities", "dtype"),
    [
        ({"avx512_bf16": True, "amx_bf16": False}, "bf16"),
        ({"avx512_bf16": False, "amx_bf16": True}, "bf16"),
        ({"avx512_bf16": False, "amx_bf16": False, "avx512_f": True}, "fp32"),
        ({"architecture": "aarch64"}, "fp32"),
    ],
)
def test_the_compute_type_of_a_cpu(cpu_has: Any, capabilities: dict[str, Any], dtype: str) -> None:
    cpu_has(**capabilities)
    assert CPU.dtype() == CPU.dtype("auto") == dtype


def test_a_pytorch_that_cannot_tell_gets_fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert CPU.dtype() == "fp32"


@pytest.mark.parametrize(("native", "dtype"), [(False, "fp16"), (True, "bf16")], ids=["like a T4", "like an H100"])
def test_the_compute_type_of_cuda_does_not_count_emulation(
    monkeypatch: pytest.MonkeyPatch, native: bool, dtype: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation or native)
    assert CUDA.dtype() == dtype


def test_the_compute_type_of_mps() -> None:
    assert MPS.dtype() == "fp32"


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_what_the_recipe_names_is_taken(cpu_has: Any, precision: str) -> None:
    cpu_has()
    assert CPU.dtype(precision) == precision


def test_fp16_on_a_cpu_is_refused() -> None:
    with pytest.raises(UserError, match="bf16 or fp32"):
        CPU.dtype("fp16")
    assert CUDA.dtype("fp16") == "fp16"


@pytest.mark.parametrize(
    ("hardware", "dtype", "training", "per_text", "kernel"),
    [
        (CPU, "bf16", True, True, "per_text"),
        (CPU, "fp32", True, True, "per_text"),
        (CPU, "bf16", True, False, "eager"),
        (CPU, "fp32", True, False, "sdpa"),
        (CPU, "bf16", False, True, "per_text"),
        (CPU, "fp32", False, True, "per_text"),
        (CPU, "bf16", False, False, "sdpa"),
        (CUDA, "bf16", True, True, "sdpa"),
        (CUDA, "fp16", True, True, "sdpa"),
        (MPS, "fp32", True, True, "sdpa"),
    ],
)
def test_the_attention_kernel(hardware: Hardware, dtype: Any, training: bool, per_text: bool, kernel: str) -> None:
    assert hardware.attention("auto", dtype, training, per_text) == kernel
    assert hardware.attention("eager", dtype, training, per_text) == "eager"
    assert hardware.attention("sdpa", dtype, training, per_text) == "sdpa"


def test_per_text_attention_can_be_asked_for() -> None:
    assert CPU.attention("per_text", "fp32", training=True, per_text=True) == "per_text"


@pytest.mark.parametrize(
    ("hardware", "per_text", "where"), [(CUDA, True, "on cuda"), (MPS, True, "on mps"), (CPU, False, "this family")]
)
def test_per_text_attention_is_refused_where_it_does_not_work(hardware: Hardware, per_text: bool, where: str) -> None:
    with pytest.raises(UserError, match=f"{where}; it is for BERT.* Use auto, sdpa or eager"):
        hardware.attention("per_text", "fp32", training=True, per_text=per_text)


@pytest.mark.parametrize(("kind", "planned"), [("cuda", False), ("cpu", True)])
def test_attention_that_plans_for_every_shape_is_off_on_cuda(kind: str, planned: bool) -> None:
    backends = torch.backends.cuda
    before = backends.cudnn_sdp_enabled()
    assert before
    with fused_attention(kind):
        assert backends.cudnn_sdp_enabled() == planned
        assert backends.flash_sdp_enabled() and backends.mem_efficient_sdp_enabled() and backends.math_sdp_enabled()
    assert backends.cudnn_sdp_enabled() == before


def test_kind_is_the_device_without_its_number() -> None:
    assert Hardware("cuda:1", 1).kind == "cuda"


@pytest.mark.parametrize(
    ("cuda", "mps", "device"), [(0, False, "cpu"), (0, True, "mps"), (1, False, "cuda"), (2, True, "cuda")]
)
@pytest.mark.parametrize("named", [None, "auto"])
def test_the_best_device_is_chosen(devices: Any, cuda: int, mps: bool, device: str, named: str | None) -> None:
    devices(cuda, mps)
    assert detect(named).device == device


@pytest.mark.parametrize("device", ["cpu", "cuda", "cuda:0", "cuda:1"])
def test_a_named_device_is_taken(devices: Any, device: str) -> None:
    devices(cuda=2)
    assert detect(device).device == device


@pytest.mark.parametrize("device", ["cuda", "cuda:0", "mps", "gpu", "CPU", ""])
def test_a_device_that_is_not_there(devices: Any, device: str) -> None:
    devices()
    with pytest.raises(UserError, match=f"--device {device}: no such device; PyTorch sees: cpu"):
        detect(device)


@pytest.mark.parametrize("device", ["cuda:2", "cuda:x", "cuda:-1", "mps:1"])
def test_a_number_that_is_not_there(devices: Any, device: str) -> None:
    devices(cuda=2, mps=True)
    with pytest.raises(UserError, match="PyTorch sees: cpu, cuda, mps"):
        detect(device)


def test_threads_are_set_and_given_back(monkeypatch: pytest.MonkeyPatch, devices: Any) -> None:
    devices()
    threads = [5]
    monkeypatch.setattr(torch, "set_num_threads", threads.append)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads[-1])
    assert detect().threads == 5
    assert [detect(threads=number).threads for number in (3, 1)] == [3, 1]
    assert detect().threads == 5  # what it was before anybody asked
    threads.append(4)  # by the program around
    assert detect().threads == 4


def test_torch_dtypes() -> None:
    assert [torch_dtype(name) for name in ("fp32", "bf16", "fp16")] == [torch.float32, torch.bfloat16, torch.float16]


def test_the_machine_says_what_it_is() -> None:
    here = machine()
    assert here["processor"] and here["system"] and int(here["cores"]) >= 1


# engine


@pytest.fixture
def with_openvino(cpu_has: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A CPU with bf16, on a machine where OpenVINO is installed."""
    cpu_has(avx512_bf16=True)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())


@pytest.mark.parametrize(
    ("hardware", "dtype", "tokens", "engine"),
    [
        (CPU, "bf16", None, "openvino"),
        (CPU, "bf16", 10**6, "openvino"),
        (CPU, "bf16", 1000, "pytorch"),
        (CPU, "fp32", None, "pytorch"),
        (CUDA, "bf16", None, "pytorch"),
        (Hardware("cpu", 2, "pytorch"), "bf16", None, "pytorch"),
        (Hardware("cpu", 2, "openvino"), "fp32", 1000, "openvino"),
    ],
)
@pytest.mark.usefixtures("with_openvino")
def test_the_engine(hardware: Hardware, dtype: Any, tokens: int | None, engine: str) -> None:
    assert hardware.engine_for(dtype, tokens) == engine


def test_pytorch_where_openvino_is_not_installed(cpu_has: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    cpu_has(avx512_bf16=True)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert CPU.engine_for("bf16") == "pytorch"


def test_pytorch_where_bf16_is_emulated(cpu_has: Any) -> None:
    cpu_has(avx512_bf16=False)
    assert CPU.engine_for("bf16") == "pytorch"


def test_an_engine_that_is_none() -> None:
    with pytest.raises(UserError, match="--engine onnx: no such engine; expected one of auto, pytorch, openvino"):
        detect(engine="onnx")


def test_an_engine_that_is_not_for_the_device(devices: Any) -> None:
    devices(cuda=1)
    with pytest.raises(UserError, match=r"--engine openvino runs on the CPU, not on cuda. Add --device cpu"):
        detect(engine="openvino")
    assert detect("cpu", engine="openvino").engine == "openvino"
