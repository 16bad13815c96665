"""What the doctor finds, with and without the packages of the extras, and never over the network."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from understudy.runtime import doctor
from understudy.runtime.doctor import CacheFolder, diagnose, folder_bytes
from understudy.runtime.packages import DISTRIBUTION, Need, installed

WITHOUT = """
import sys, json, socket
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {absent}:
            raise ModuleNotFoundError(f"No module named '{{name}}'", name=name)
sys.meta_path.insert(0, Absent())
def refuse(*_, **__):
    raise AssertionError("the network was used")
socket.socket.connect = socket.getaddrinfo = socket.create_connection = refuse
from understudy.cli.main import main
sys.exit(main({arguments}))
"""


def run(arguments: list[str], absent: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    code = WITHOUT.format(absent=set(absent) or "()", arguments=arguments)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


def test_this_machine(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    found = diagnose({"one": tmp_path, "two": tmp_path / "none"})
    assert found.understudy == installed(DISTRIBUTION)
    assert found.caches == (CacheFolder("one", str(tmp_path), 5), CacheFolder("two", str(tmp_path / "none"), None))
    assert found.devices[0].name == "cpu" and "fp32" in found.devices[0].compute_types
    usable = {engine.name for engine in found.engines if engine.usable}
    assert {"pytorch", "openvino"} <= usable
    assert found.memory.total and found.cores.usable > 0


def test_json_has_everything_and_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    needed = (Need("numpy", ">=1", "", "2.0", True), Need("onnx", ">=1.21", "onnx", None, False))
    monkeypatch.setattr(doctor, "needs", lambda: needed)
    found = json.loads(json.dumps(diagnose({}).to_json()))
    assert found["missing"] == {"base": [], "onnx": ["onnx>=1.21"]}
    assert found["needs"][1]["installed"] is None
    assert found["cores"]["usable"] == diagnose({}).cores.usable


def test_a_package_that_cannot_be_imported_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "onnxruntime.py").write_text("raise OSError('libx.so: cannot open\\nand more')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "onnxruntime", raising=False)
    found = {engine.name: engine for engine in diagnose({}).engines}["onnxruntime"]
    assert (found.usable, found.details) == (False, "OSError: libx.so: cannot open")


def test_a_folder_without_its_links(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "file").write_bytes(b"123")
    (tmp_path / "outside").write_bytes(b"1" * 100_000)
    (tmp_path / "a" / "link").symlink_to(tmp_path / "outside")
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    size = folder_bytes(tmp_path / "a")
    assert size is not None and 3 <= size < 100_000
    assert folder_bytes(tmp_path / "outside") is None


# The command


def test_the_command_in_the_base_install_and_without_a_network(tmp_path: Path) -> None:
    absent = ("torch", "transformers", "onnx", "onnxruntime", "datasets", "sklearn", "scipy", "matplotlib")
    found = run(["doctor", "--json", "--cache-dir", str(tmp_path)], absent)
    assert (found.returncode, found.stderr) == (0, "")
    answer = json.loads(found.stdout)
    engines = {engine["name"]: engine for engine in answer["engines"]}
    assert not engines["pytorch"]["usable"] and engines["pytorch"]["details"] == "not installed: torch"
    assert engines["openvino"]["usable"]
    assert answer["devices"][0]["name"] == "cpu" and "fp32" in answer["devices"][0]["compute_types"]
    assert {"name": "understudy", "path": str(tmp_path), "bytes": 0} in answer["caches"]


@pytest.mark.acceptance
def test_the_command_with_all_packages_needs_no_network() -> None:
    found = run(["doctor"], ())
    assert found.returncode == 0, found.stderr
    for words in ("understudy", "python", "torch", "openvino", "cores", "memory", "Hugging Face Hub", "distill"):
        assert words in found.stdout


def test_a_broken_driver_is_shown_and_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    def broken(*_: Any) -> Any:
        raise RuntimeError("CUDA driver version is insufficient\nmore")

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_properties", broken)
    monkeypatch.setattr(torch.cuda, "is_available", broken)
    found = diagnose({})
    assert [device.name for device in found.devices] == ["cpu", "gpu"]
    assert found.devices[1].model == "RuntimeError: CUDA driver version is insufficient"
    assert (found.engines[0].usable, found.engines[0].details) == (False, found.devices[1].model)
