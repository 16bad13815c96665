"""Exported folders: what they predict, and that nothing in them is trusted."""

from __future__ import annotations

import json
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import understudy
from understudy.errors import ModelError, UserError
from understudy.inference.exported import MANIFEST, ExportManifest
from understudy.inference.opening import open_classifier
from understudy.storage.files import file_sha256

TEXTS = ["good film", "bad"]


@pytest.fixture
def folder(exports: dict[str, Path], tmp_path: Path) -> Path:
    """An OpenVINO export that a test may change."""
    return Path(shutil.copytree(exports["openvino"], tmp_path / "export"))


@pytest.fixture
def onnx_folder(exports: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(exports["onnx"], tmp_path / "export"))


def forge(folder: Path, **changes: Any) -> None:
    """Changes the manifest, and updates its checksums to match the files."""
    content = json.loads((folder / MANIFEST).read_text()) | changes
    content["files"] = {
        name: file_sha256(folder / name) if (folder / name).is_file() else digest
        for name, digest in content["files"].items()
    }
    (folder / MANIFEST).write_text(json.dumps(content))


def refused(folder: Path) -> str:
    with pytest.raises(ModelError) as error:
        open_classifier(folder).predict_proba(TEXTS)
    return str(error.value)


def test_it_is_a_classifier_like_any_other(exports: dict[str, Path], finished: Any) -> None:
    classifier = understudy.load(exports["openvino"])
    original = open_classifier(finished.out, device="cpu")
    assert classifier.classes == original.classes
    assert classifier.size.parameters == original.size.parameters
    assert classifier.size.bytes == sum(
        (exports["openvino"] / f"openvino_model.{kind}").stat().st_size for kind in ("xml", "bin")
    )
    assert classifier.predict(TEXTS) == original.predict(TEXTS)
    assert [prediction.label for prediction in classifier.stream(TEXTS)] == original.predict(TEXTS)
    assert classifier.predict_proba([]).shape == (0, 2)


def test_long_texts_are_cut(exports: dict[str, Path], caplog: pytest.LogCaptureFixture) -> None:
    classifier = understudy.load(exports["openvino"])
    cut, longer = "good " * 14, "good " * 14 + "awful " * 100
    np.testing.assert_array_equal(classifier.predict_proba([cut]), classifier.predict_proba([longer]))
    assert [record.getMessage() for record in caplog.records] == [
        "1 of 1 texts are longer than 16 tokens and were cut there"
    ]
    classifier.predict_proba([longer])
    assert len(caplog.records) == 1  # the warning comes once


@pytest.mark.parametrize("format", ["openvino", "onnx"])
def test_threads_do_not_change_the_predictions(format: str, exports: dict[str, Path]) -> None:
    one, two = (open_classifier(exports[format], threads=threads).predict_proba(TEXTS) for threads in (1, 2))
    np.testing.assert_allclose(one, two, atol=1e-6)


@pytest.mark.parametrize(
    "options, words",
    [
        ({"device": "cuda"}, "was exported for the CPU"),
        ({"engine": "pytorch"}, "was exported for openvino"),
        ({"precision": "fp16"}, "only emulates it"),
        ({"precision": "int4"}, "expected one of"),
    ],
)
def test_unsupported_options_are_refused(options: dict[str, str], words: str, exports: dict[str, Path]) -> None:
    with pytest.raises(UserError, match=words):
        open_classifier(exports["openvino"], **options)  # type: ignore[arg-type]


def test_onnx_computes_in_fp32_only(exports: dict[str, Path]) -> None:
    assert open_classifier(exports["onnx"], precision="auto", engine="onnxruntime").dtype == "fp32"
    with pytest.raises(UserError, match="an ONNX export computes in fp32"):
        open_classifier(exports["onnx"], precision="bf16")


def test_neither_pytorch_nor_transformers_is_imported(exports: dict[str, Path]) -> None:
    """Blocks the packages that a base install lacks."""
    code = f"""
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {{"torch", "transformers", "sklearn", "scipy", "datasets", "matplotlib", "nncf"}}:
            raise ImportError(f"{{name}} is not there")

sys.meta_path.insert(0, Refuse())
from understudy.cli.main import main
sys.exit(main(["predict", {str(exports["openvino"])!r}, "good film", "--json"]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["label"] in ("negative", "positive")


# Changed and damaged files


@pytest.mark.parametrize("name", ["openvino_model.bin", "openvino_model.xml", "tokenizer.json", "config.json"])
def test_a_changed_byte_is_refused(name: str, folder: Path) -> None:
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    assert f"{name} is not the file that was exported" in refused(folder)


@pytest.mark.parametrize("name", ["openvino_model.bin", "tokenizer.json"])
def test_a_truncated_or_missing_file_is_refused(name: str, folder: Path) -> None:
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[:-1])
    assert "is not the file that was exported" in refused(folder)
    (folder / name).unlink()
    assert f"{name} is missing" in refused(folder)


def test_a_link_out_of_the_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "openvino_model.bin").rename(tmp_path / "elsewhere.bin")
    (folder / "openvino_model.bin").symlink_to(tmp_path / "elsewhere.bin")
    assert "a link that leads out of the folder" in refused(folder)


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"files": {"../../../etc/passwd": "0"}}, "expected the files"),
        ({"files": ["openvino_model.xml"]}, "files: expected an object"),
        ({"files": {"config.json": 1}}, "files.config.json: expected text"),
        ({"format": "pickle"}, "format: expected 'openvino' or 'onnx', got 'pickle'"),
        ({"precision": "int4"}, "precision: expected 'fp32' or 'int8', got 'int4'"),
        ({"classes": "negative"}, "classes: expected a list, got 'negative'"),
        ({"classes": ["one"]}, "classes: expected 2 or more items, got ['one']"),
        ({"max_length": "16"}, "max_length: expected a whole number, got '16'"),
        ({"max_length": -1}, "max_length: expected 0 or more, got -1"),
        ({"max_length": 2}, "2 special tokens, which leaves no room for text in 2 tokens"),
        ({"classes": ["a", "b", "c"]}, "expected (2, 3), because the manifest names 3 classes"),
        ({"pad_id": True}, "pad_id: expected a whole number, got True"),
        ({"schema_version": 99}, "schema version 99"),
        ({"surprise": 1}, "surprise: unknown key"),
    ],
)
def test_an_impossible_manifest_is_refused(changes: dict[str, Any], words: str, folder: Path) -> None:
    content = json.loads((folder / MANIFEST).read_text()) | changes
    (folder / MANIFEST).write_text(json.dumps(content))
    assert words in refused(folder)


@pytest.mark.parametrize("content", ["", "[]", "null", "{", "\x00\x01"])
def test_a_file_that_is_not_a_manifest_is_refused(content: str, folder: Path) -> None:
    (folder / MANIFEST).write_text(content)
    assert "is not a file that understudy wrote" in refused(folder)


# Files that match their manifest but are hostile


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path(self.place),))

    def __init__(self, place: Path) -> None:
        self.place = str(place)


def test_a_pickle_is_not_opened(folder: Path, tmp_path: Path) -> None:
    for name in ("openvino_model.xml", "openvino_model.bin"):
        (folder / name).write_bytes(pickle.dumps(Bomb(tmp_path / "ran")))
    forge(folder)
    assert "is not an OpenVINO model (expected XML)" in refused(folder)
    assert not (tmp_path / "ran").exists()


def test_another_format_under_openvinos_name_is_not_opened(folder: Path, exports: dict[str, Path]) -> None:
    """OpenVINO would read it, and any files that it names."""
    shutil.copy(exports["onnx"] / "model.onnx", folder / "openvino_model.xml")
    forge(folder)
    assert "is not an OpenVINO model (expected XML)" in refused(folder)


def test_code_in_the_config_is_refused(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"auto_map": {"AutoModel": "evil.Model"}}))
    forge(folder)
    assert "auto_map" in refused(folder)


@pytest.mark.parametrize("content", [b"", b"{}", b"\x80\x04nonsense"])
def test_a_file_that_is_not_a_tokenizer_is_refused(content: bytes, folder: Path) -> None:
    (folder / "tokenizer.json").write_bytes(content)
    forge(folder)
    assert "is not a tokenizer" in refused(folder)


@pytest.mark.parametrize("content", [b"", b"<net/>", b"<?xml version='1.0'?><net", b"\x80\x04nonsense"])
def test_a_file_that_is_not_a_graph_is_refused(content: bytes, folder: Path) -> None:
    (folder / "openvino_model.xml").write_bytes(content)
    forge(folder)
    found = refused(folder)
    assert "cannot be opened" in found or "is not an OpenVINO model" in found


def test_a_manifest_nested_without_end_is_refused(folder: Path) -> None:
    (folder / MANIFEST).write_text('{"schema_version":' + "[" * 100_000 + "]" * 100_000 + "}")
    assert "is not a file that understudy wrote" in refused(folder)


def test_weights_that_are_too_few_are_refused(folder: Path) -> None:
    weights = (folder / "openvino_model.bin").read_bytes()
    (folder / "openvino_model.bin").write_bytes(weights[: len(weights) // 2])
    forge(folder)
    assert "The graph in" in (found := refused(folder)) and "cannot be opened" in found


@pytest.mark.parametrize("content", [b"\x80\x04nonsense", b"<net/>"])
def test_a_file_that_is_not_an_onnx_model_is_refused(content: bytes, onnx_folder: Path) -> None:
    (onnx_folder / "model.onnx").write_bytes(content)
    forge(onnx_folder)
    assert "model.onnx" in refused(onnx_folder) or "cannot be opened" in refused(onnx_folder)


@pytest.mark.parametrize("location", ["/etc/passwd", "../secret", "beside.data"])
def test_an_onnx_file_that_points_to_others_is_refused(location: str, onnx_folder: Path) -> None:
    import onnx

    model = onnx.load(onnx_folder / "model.onnx")
    tensor = max(model.graph.initializer, key=lambda each: len(each.raw_data))
    size = len(tensor.raw_data)
    (onnx_folder / "beside.data").write_bytes(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in {"location": location, "offset": "0", "length": str(size)}.items():
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    (onnx_folder / "model.onnx").write_bytes(model.SerializeToString())
    forge(onnx_folder)
    assert "keeps weights in other files" in refused(onnx_folder)


def test_identity_names_the_files(exports: dict[str, Path], folder: Path) -> None:
    same = open_classifier(folder).identity
    assert same == open_classifier(exports["openvino"]).identity
    assert same != open_classifier(exports["onnx"]).identity


def test_a_manifest_with_the_earlier_name_of_the_quantisation_texts(tmp_path: Path) -> None:
    texts = {"source": "train.csv", "texts": 300}
    files = dict.fromkeys(["openvino_model.xml", "openvino_model.bin", "tokenizer.json", "config.json"], "0")
    ExportManifest("openvino", "int8", ["a", "b"], 256, 0, 5, {}, texts, None, 9, files, {}).save(tmp_path)
    path = tmp_path / MANIFEST
    assert ExportManifest.read(tmp_path).quantisation == texts
    path.write_text(path.read_text().replace('"quantisation"', '"calibration"'))
    assert ExportManifest.read(tmp_path).quantisation == texts
