"""Pushing, with the Hub's real client against a Hub on the loopback interface."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import understudy
from conftest import Finished
from fake_hub import TOKEN, FakeHub, ask
from understudy.cli import main as cli
from understudy.errors import HubUnreachable, ModelError, RunDirectoryError, UserError
from understudy.reporting.card import addressed
from understudy.reporting.push import files_to_push
from understudy.storage.layout import RunDirectory

STUDENT = {"README.md", "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
FILES = STUDENT | {"metrics.json", "report/dashboard.png"}

Push = Callable[..., dict[str, Any]]


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub() as hub:
        yield hub


@pytest.fixture
def push(hub: FakeHub, finished: Finished, tmp_path: Path) -> Push:
    """`push` in a fresh process: what it pushed, or its error and message."""

    def call(to: str = "owner/small", run: Path = finished.out, endpoint: str = hub.url, **more: str) -> dict[str, Any]:
        environment = {"HF_TOKEN": TOKEN, "HF_HUB_DISABLE_XET": "1", **more}
        calls = ("understudy.reporting.push", "push", [str(run), to])
        (outcome,) = ask(endpoint, tmp_path / "home", calls, **environment)
        return outcome

    return call


def on_hub(hub: FakeHub, name: str) -> dict[str, bytes]:
    repository = hub.find("models", name)
    assert repository is not None and not isinstance(repository, str)
    return repository.files("main")


def test_the_student_arrives_whole_in_one_commit(hub: FakeHub, finished: Finished, push: Push) -> None:
    outcome = push()
    arrived = on_hub(hub, "owner/small")
    assert arrived.keys() == FILES
    card = (finished.out / "student" / "README.md").read_text(encoding="utf-8")
    assert arrived.pop("README.md").decode() == addressed(card, "owner/small") != card
    for name in STUDENT - {"README.md"}:
        assert arrived[name] == (finished.out / "student" / name).read_bytes()
    for name in FILES - STUDENT:
        assert arrived[name] == (finished.out / name).read_bytes()
    (commit,) = hub.uploads.commits
    assert commit[1] == sorted(FILES)
    assert outcome["result"]["url"] == f"{hub.url}/owner/small"
    assert len(outcome["result"]["commit"]) == 40


@pytest.mark.acceptance
def test_a_run_in_the_home_folder(hub: FakeHub, finished: Finished, push: Push) -> None:
    push(run=Path("~") / finished.out.name, HOME=str(finished.out.parent))
    assert on_hub(hub, "owner/small").keys() == FILES


def test_what_was_pushed_is_a_model_for_understudy_and_transformers(
    hub: FakeHub, finished: Finished, push: Push, tmp_path: Path
) -> None:
    push()
    for name, content in on_hub(hub, "owner/small").items():
        (tmp_path / "taken" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "taken" / name).write_bytes(content)
    texts = ["good film", "bad film"]
    taken = understudy.load(tmp_path / "taken", device="cpu").predict_proba(texts)
    assert (taken == understudy.load(finished.out, device="cpu").predict_proba(texts)).all()


@pytest.mark.acceptance
def test_a_name_without_an_owner_is_the_tokens_users(hub: FakeHub, push: Push) -> None:
    assert push("small")["result"]["url"] == f"{hub.url}/owner/small"
    assert on_hub(hub, "owner/small").keys() == FILES


@pytest.mark.acceptance
def test_a_second_push_is_another_commit_and_sends_no_weights(hub: FakeHub, push: Push) -> None:
    push()
    hub.requests.clear()
    push()
    assert len(hub.uploads.commits) == 2
    assert not [path for method, path, _ in hub.requests if method == "PUT"]


def test_a_private_repository_is_private_or_nothing_is_sent(hub: FakeHub, finished: Finished, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    hub.add("owner/public", tmp_path / "there")
    code = "import sys; from understudy.cli import main as cli; sys.exit(cli.main(sys.argv[1:]))"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    environment |= {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path), "HF_TOKEN": TOKEN, "HF_HUB_DISABLE_XET": "1"}

    def command(name: str) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-c", code, "push", str(finished.out), "--to", name, "--private", "--json"]
        return subprocess.run(line, env=environment, capture_output=True, text=True, timeout=120)

    refused = command("owner/public")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "exists and is public" in refused.stderr and "Traceback" not in refused.stderr
    assert hub.uploads.commits == []
    done = command("owner/hidden")
    assert done.returncode == 0
    assert json.loads(done.stdout)["url"] == f"{hub.url}/owner/hidden"
    found = hub.find("models", "owner/hidden")
    assert found is not None and not isinstance(found, str) and found.private
    assert found.files("main").keys() == FILES


def test_only_what_is_meant_to_be_there_is_sent(hub: FakeHub, finished_copy: Finished, push: Push) -> None:
    student = finished_copy.out / "student"
    for name in ("texts.csv", "optimizer.pt", "training_args.bin", ".secret", "notes.md"):
        (student / name).write_text("not meant for others")
    (student / "checkpoint").mkdir()
    (student / "checkpoint" / "config.json").write_text("{}")
    push(run=finished_copy.out)
    assert on_hub(hub, "owner/small").keys() == FILES
    here = str(finished_copy.out.parent).encode()
    assert not [name for name, content in on_hub(hub, "owner/small").items() if here in content]


@pytest.mark.acceptance
def test_without_a_dashboard_the_rest_is_sent(hub: FakeHub, finished_copy: Finished, push: Push) -> None:
    (finished_copy.out / "report" / "dashboard.png").unlink()
    push(run=finished_copy.out)
    assert on_hub(hub, "owner/small").keys() == FILES - {"report/dashboard.png"}


# Refusals of the Hub


def test_a_bad_token_is_refused(hub: FakeHub, push: Push) -> None:
    refused = push(HF_TOKEN="hf_wrong")
    assert refused["error"] == "UserError"
    assert "The Hub refuses the access token" in refused["message"] and "hf auth login" in refused["message"]
    assert hub.find("models", "owner/small") is None


def test_without_a_token_nothing_is_asked(hub: FakeHub, push: Push) -> None:
    refused = push(HF_TOKEN="")
    assert refused["error"] == "UserError"
    assert "without an access token" in refused["message"] and "HF_TOKEN" in refused["message"]
    assert hub.requests == []


def test_somebody_elses_repositories_are_not_written(push: Push) -> None:
    refused = push("somebody/small")
    assert refused["error"] == "UserError"
    assert "The access token may not write to 'somebody/small' (403" in refused["message"]


def test_a_token_that_may_only_read(hub: FakeHub, tmp_path: Path, push: Push) -> None:
    (tmp_path / "there").mkdir()
    hub.add("owner/small", tmp_path / "there")
    hub.uploads.readonly = True
    refused = push()
    assert refused["error"] == "UserError"
    assert "may not write to 'owner/small'" in refused["message"]
    assert hub.uploads.commits == []


@pytest.mark.acceptance
def test_a_card_that_the_hub_does_not_take(hub: FakeHub, finished_copy: Finished, push: Push) -> None:
    RunDirectory(finished_copy.out).card.write_text("---\nlicense: [\n---\n")
    refused = push(run=finished_copy.out)
    assert refused["error"] == "UserError"
    assert "README.md" in refused["message"]
    assert hub.uploads.commits == []


@pytest.mark.parametrize("name", ["two words", "owner/na--me", "a/b/c", "owner/", "-owner/x", "x.git", "../x", ""])
def test_a_name_that_the_hub_could_not_have(finished: Finished, name: str) -> None:
    with pytest.raises(UserError, match=f"^--to '{name}' is not a valid repository name"):
        understudy.push(finished.out, name)


# A Hub that does not answer


def test_no_hub_in_reach(hub: FakeHub, push: Push) -> None:
    hub.stop()
    refused = push()
    assert refused["error"] == "HubUnreachable"
    assert hub.url in refused["message"]
    assert "Retry" not in refused["stderr"]


def test_offline_asks_nothing(finished: Finished) -> None:
    with pytest.raises(HubUnreachable, match="HF_HUB_OFFLINE is set"):  # which all tests set
        understudy.push(finished.out, "owner/small")


@pytest.fixture
def impatient(tmp_path: Path) -> dict[str, str]:
    """An environment in which the Hub must answer within half a second."""
    (tmp_path / "startup").mkdir()
    code = "import understudy.storage.hub\nunderstudy.storage.hub._PATIENCE = 0.5\n"
    (tmp_path / "startup" / "sitecustomize.py").write_text(code)
    return {"PYTHONPATH": os.pathsep.join([str(tmp_path / "startup"), str(Path(cli.__file__).parents[2])])}


@pytest.mark.acceptance
@pytest.mark.parametrize("word", ["create", "preupload", "/lfs/", "commit"])
def test_a_hub_that_stops_answering_is_asked_once(
    hub: FakeHub, push: Push, impatient: dict[str, str], word: str
) -> None:
    hub.silent = {word}
    refused = push(**impatient)
    assert refused["error"] == "HubUnreachable"
    assert "no longer answers" in refused["message"] and hub.url in refused["message"]
    large = [path for _, path, _ in hub.requests if word in path]
    assert len(large) == len(set(large)) > 0
    assert hub.uploads.commits == []


@pytest.mark.acceptance
def test_the_store_of_large_files_stops_answering(hub: FakeHub, push: Push, impatient: dict[str, str]) -> None:
    pytest.importorskip("hf_xet")
    hub.silent = {"xet-write-token"}
    refused = push(HF_HUB_DISABLE_XET="0", **impatient)
    assert refused["error"] == "HubUnreachable"
    assert "Cannot push to" in refused["message"]
    assert hub.uploads.commits == []


# Runs that cannot be pushed


def test_a_folder_that_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(RunDirectoryError, match=r"is not a run directory: it has no manifest\.json"):
        files_to_push(RunDirectory(tmp_path))


def test_a_run_that_is_not_finished(finished_copy: Finished) -> None:
    run = RunDirectory(finished_copy.out)
    run.metrics.unlink()
    with pytest.raises(RunDirectoryError, match="is not finished"):
        files_to_push(run)


@pytest.mark.parametrize("file", ["metrics.json", "report/dashboard.png"])
def test_figures_that_were_changed(finished_copy: Finished, file: str) -> None:
    with (finished_copy.out / file).open("a") as written:
        written.write(" ")
    with pytest.raises(RunDirectoryError, match="has changed since the run wrote it"):
        files_to_push(RunDirectory(finished_copy.out))


def test_a_student_that_was_changed(finished_copy: Finished) -> None:
    config = finished_copy.out / "student" / "config.json"
    config.write_text(config.read_text().replace("negative", "dreadful"))
    with pytest.raises(ModelError, match="changed since its evaluation"):
        files_to_push(RunDirectory(finished_copy.out))


def test_a_run_without_a_card(finished_copy: Finished) -> None:
    run = RunDirectory(finished_copy.out)
    run.card.unlink()
    with pytest.raises(RunDirectoryError, match="expected the run's model card"):
        files_to_push(run)


def test_a_linear_model_is_no_student_for_the_hub(finished_copy: Finished) -> None:
    run = RunDirectory(finished_copy.out)
    with pytest.raises(ModelError, match="linear model"):
        files_to_push(RunDirectory(run.control("linear")))
    shutil.rmtree(run.student)
    shutil.copytree(run.control("linear"), run.student)
    with pytest.raises(ModelError, match=r"transformers cannot open .*: expected config\.json"):
        files_to_push(run)


def test_a_student_of_understudys_own_kind(finished_copy: Finished) -> None:
    config = finished_copy.out / "student" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"model_type": "understudy-static"}))
    with pytest.raises(ModelError, match=r"transformers cannot open .*: expected config\.json"):
        files_to_push(RunDirectory(finished_copy.out))


# The command


def test_the_command_prints_where_it_is(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from understudy.reporting import push as pushing

    given: list[Any] = []

    def pushed(*arguments: Any, **options: Any) -> pushing.Pushed:
        given.append((arguments, options))
        return pushing.Pushed("https://hub/owner/small", "c0ffee")

    monkeypatch.setattr(pushing, "push", pushed)
    assert cli.main(["push", "runs/x", "--to", "owner/small", "--private", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == {"url": "https://hub/owner/small", "commit": "c0ffee"}
    assert "https://hub/owner/small" in err
    assert given == [((Path("runs/x"), "owner/small"), {"private": True})]


def test_the_command_needs_a_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["push", "runs/x"]) == 2
    assert "--to" in capsys.readouterr().err


def test_the_command_refuses_what_is_no_run(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert cli.main(["push", str(tmp_path), "--to", "owner/small"]) == 2
    err = capsys.readouterr().err
    assert "is not a run directory" in err and "Traceback" not in err
