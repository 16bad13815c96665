"""What this machine has: packages, hardware, engines and caches. Works in the base install and without a network."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from understudy.runtime.hardware import Hardware, machine
from understudy.runtime.limits import Cores, Memory, cores, memory
from understudy.runtime.packages import DISTRIBUTION, Need, installed, needs


@dataclass(frozen=True)
class Device:
    """A device that can compute.

    Attributes:
        name: For `--device`.
        model: The processor.
        memory: Its own memory in bytes; None for a device that shares main memory.
        compute_types: Those that it computes natively, the one of `auto` first; empty if unknown.
    """

    name: str
    model: str
    memory: int | None
    compute_types: tuple[str, ...]


@dataclass(frozen=True)
class EngineCheck:
    """Whether something that runs finished models can be used here.

    Attributes:
        name: Its package.
        usable: Whether it can be imported here.
        details: What it computes on; without it, why it cannot be used.
    """

    name: str
    usable: bool
    details: str


@dataclass(frozen=True)
class CacheFolder:
    """A cache folder and its size in bytes; None if there is no such folder."""

    name: str
    path: str
    bytes: int | None


@dataclass(frozen=True)
class Diagnosis:
    """What was found on this machine.

    Attributes:
        understudy: Its version; None if it runs from a source tree.
        python: Its version.
        system: The operating system.
        processor: The CPU's model.
        cores: CPU cores that may be used.
        memory: Main memory.
        devices: Devices that can compute.
        engines: What runs finished models.
        needs: Packages, with the extra that each belongs to.
        caches: Cache folders with their sizes.
    """

    understudy: str | None
    python: str
    system: str
    processor: str
    cores: Cores
    memory: Memory
    devices: tuple[Device, ...]
    engines: tuple[EngineCheck, ...]
    needs: tuple[Need, ...]
    caches: tuple[CacheFolder, ...]

    @property
    def extras(self) -> dict[str, tuple[Need, ...]]:
        """What is missing for each extra; the base install has the name `base`."""
        names = dict.fromkeys(need.extra for need in self.needs)
        return {
            name or "base": tuple(need for need in self.needs if need.extra == name and not need.met) for name in names
        }

    def to_json(self) -> dict[str, Any]:
        """The same as plain dicts and lists."""
        missing = {name: [need.name + need.versions for need in found] for name, found in self.extras.items()}
        return {
            **asdict(self),
            "cores": {**asdict(self.cores), "usable": self.cores.usable},
            "missing": missing,
        }


def diagnose(caches: Mapping[str, Path]) -> Diagnosis:
    """Looks over this machine.

    Args:
        caches: Cache folders by name.
    """
    here = machine()
    return Diagnosis(
        understudy=installed(DISTRIBUTION),
        python=platform.python_version(),
        system=str(here["system"]),
        processor=str(here["processor"]),
        cores=cores(),
        memory=memory(),
        devices=_devices(str(here["processor"])),
        engines=(_pytorch(), _openvino(), _onnxruntime()),
        needs=needs(),
        caches=tuple(CacheFolder(name, str(path), folder_bytes(path)) for name, path in caches.items()),
    )


def folder_bytes(folder: Path) -> int | None:
    """The size of all files in a folder, links not followed; None if there is no such folder."""
    if not os.path.isdir(folder):  # pathlib raises where a folder above may not be read
        return None
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(place, name)).st_size
            except OSError:  # removed in the meantime
                continue
    return total


# A broken package or driver may raise anything; that is what a diagnosis has to show.


def _devices(processor: str) -> tuple[Device, ...]:
    try:
        import torch
    except Exception:
        return (Device("cpu", processor, None, _openvino_types()),)
    found = [Device("cpu", processor, None, _types("cpu"))]
    try:
        for number in range(torch.cuda.device_count()):
            properties = torch.cuda.get_device_properties(number)
            name = f"cuda:{number}"
            found.append(Device(name, properties.name, int(properties.total_memory), _types(name)))
        if torch.backends.mps.is_available():
            found.append(Device("mps", "Apple GPU", None, _types("mps")))
    except Exception as error:
        found.append(Device("gpu", _said(error), None, ()))
    return tuple(found)


def _types(device: str) -> tuple[str, ...]:
    hardware = Hardware(device, 1)
    try:
        native = hardware.dtype()
    except Exception:
        return ()
    half = () if hardware.kind == "cpu" else ("fp16",)
    return tuple(dict.fromkeys((native, *half, "fp32")))


def _openvino_types() -> tuple[str, ...]:
    try:
        from openvino import Core

        capabilities = Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    except Exception:
        return ()
    return tuple(name.lower() for name in ("BF16", "FP32") if name in capabilities)


def _pytorch() -> EngineCheck:
    try:
        import torch

        return EngineCheck("pytorch", True, f"CUDA {torch.version.cuda}" if torch.cuda.is_available() else "CPU")
    except Exception as error:
        return _unusable("pytorch", error)


def _openvino() -> EngineCheck:
    try:
        from openvino import Core

        capabilities = Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    except Exception as error:
        return _unusable("openvino", error)
    kinds = (name.lower() for name in ("BF16", "FP32", "INT8") if name in capabilities)
    return EngineCheck("openvino", True, f"CPU: {', '.join(kinds)}")


def _onnxruntime() -> EngineCheck:
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
    except Exception as error:
        return _unusable("onnxruntime", error)
    return EngineCheck("onnxruntime", True, "CPU")


def _unusable(name: str, error: Exception) -> EngineCheck:
    if isinstance(error, ModuleNotFoundError):
        return EngineCheck(name, False, f"not installed: {error.name}")
    return EngineCheck(name, False, _said(error))


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"
