"""The preset `imdb`, whole, against a Hub on loopback: full-size BERT-base and DistilBERT with random weights."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fake_hub import CARD, FakeHub

pytestmark = pytest.mark.acceptance


def understudy(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    return subprocess.run(
        [sys.executable, "-m", "understudy", *arguments],
        capture_output=True,
        text=True,
        env=kept | environment,
        timeout=1500,
    )


@pytest.fixture(scope="module")
def repositories(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both encoders and the dataset, as folders."""
    import datasets
    import torch
    from transformers import BertConfig, BertModel, DistilBertConfig, DistilBertModel

    from understudy.data.sources import read
    from understudy.models.loading import load_tokenizer, resolve

    root = tmp_path_factory.mktemp("hub")
    torch.manual_seed(0)
    tokenizer = load_tokenizer(resolve("sentence-transformers/all-MiniLM-L6-v2").path)
    for name, model in (("bert", BertModel(BertConfig())), ("distilbert", DistilBertModel(DistilBertConfig()))):
        model.save_pretrained(root / name)
        tokenizer.save_pretrained(root / name)

    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["neg", "pos"])})
    (root / "imdb" / "plain_text").mkdir(parents=True)
    for split, count in (("train", 40), ("test", 24)):
        table = read(f"reviews:{split}")
        assert table.labels is not None
        columns = {"text": table.texts[:count], "label": [int(label == "positive") for label in table.labels[:count]]}
        path = root / "imdb" / "plain_text" / f"{split}-00000-of-00001.parquet"
        datasets.Dataset.from_dict(columns, features=features).to_parquet(path)
    (root / "imdb" / "README.md").write_text(CARD)
    return root


def test_the_whole_path(repositories: Path, tmp_path: Path) -> None:
    with FakeHub() as hub:
        hub.add("google-bert/bert-base-uncased", repositories / "bert")
        hub.add("distilbert/distilbert-base-uncased", repositories / "distilbert")
        hub.add("stanfordnlp/imdb", repositories / "imdb", kind="datasets")
        arguments = ["run", "imdb", "--data.validation", "8", "--data.max_length", "64"]
        arguments += ["--out", str(tmp_path / "run"), "--cache-dir", str(tmp_path / "cache"), "--json"]
        done = understudy(*arguments, HF_ENDPOINT=hub.url, HF_HOME=str(tmp_path / "home"))
    assert done.returncode == 0, done.stderr
    metrics = json.loads(done.stdout)
    assert metrics["teacher"]["parameters"] == 109_483_778
    assert metrics["student"]["parameters"] == 66_955_010
    assert metrics["parameter_fraction"] == pytest.approx(0.6116, abs=1e-4)
    models = json.loads((tmp_path / "run" / "manifest.json").read_text())["models"]
    assert [models[role]["kind"] for role in ("teacher", "student")] == ["hub", "hub"]
    assert len(models["teacher"]["revision"]) == 40

    again = understudy(*arguments, HF_ENDPOINT="http://127.0.0.1:9", HF_HOME=str(tmp_path / "home"))
    assert again.returncode == 0, again.stderr  # everything is cached: no Hub is needed
    assert "teacher: already finished" in again.stderr


def test_without_a_hub_it_says_so_at_once(tmp_path: Path) -> None:
    done = understudy(
        *("run", "imdb", "--out", str(tmp_path / "run")), HF_ENDPOINT="http://127.0.0.1:9", HF_HOME=str(tmp_path)
    )
    assert done.returncode == 2
    assert "google-bert/bert-base-uncased" in done.stderr
    assert "http://127.0.0.1:9" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()
