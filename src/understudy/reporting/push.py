"""A finished run's student and its model card to the Hugging Face Hub, in one commit.

What goes there is named file by file: the model, its card, `metrics.json` and the dashboard. Predictions, texts,
checkpoints and the teacher stay here.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from understudy.errors import HubUnreachable, ModelError, RunDirectoryError, UserError
from understudy.models.linear import is_linear
from understudy.reporting.card import addressed
from understudy.reporting.evidence import REPORT
from understudy.storage.files import file_sha256, folder_digest
from understudy.storage.hub import MODEL_FILES, asked_once, first_line, has_vocabulary, out_of_reach, weight_files
from understudy.storage.layout import RunDirectory
from understudy.storage.manifest import Manifest

log = logging.getLogger(__name__)

_OWN_KINDS = "understudy-"  # how the model types start that only understudy opens
_LOGIN = "Give a token that may write, in HF_TOKEN or with: hf auth login"


@dataclass(frozen=True)
class Pushed:
    """What is on the Hub now.

    Attributes:
        url: The repository's.
        commit: The commit's id.
    """

    url: str
    commit: str


def push(run: str | Path, to: str, *, private: bool = False) -> Pushed:
    """Uploads a finished run's student with its model card, `metrics.json` and dashboard, as one commit.

    The access token is that of `huggingface_hub`: from `HF_TOKEN`, or from `hf auth login`. A repository that is there
    already gets one more commit.

    Args:
        run: The run directory.
        to: The repository's name, `owner/name`; without an owner it is the token's user.
        private: Make a new repository private; one that is there already has to be.

    Raises:
        RunDirectoryError: there is no finished run, or it was changed since it was evaluated.
        ModelError: its student is no Hugging Face folder, or another than the one that was evaluated.
        HubUnreachable: the Hub does not answer.
        UserError: the name cannot be one, there is no access token, or the Hub refuses it.
    """
    files = files_to_push(RunDirectory(Path(run).expanduser()))
    _check_name(to)
    _check_hub(to)
    log.info("%s: %d files, %s", to, len(files), ", ".join(files))
    try:
        with asked_once(to):
            return _pushed(to, files, private)
    except Exception as error:
        raise _refusal(to, error) or error from None


def files_to_push(run: RunDirectory) -> dict[str, Path]:
    """The files that go to the Hub, by their place there.

    Raises:
        RunDirectoryError: there is no finished run, or it was changed since it was evaluated.
        ModelError: its student is no Hugging Face folder, or another than the one that was evaluated.
    """
    if is_linear(run.root):
        raise ModelError(
            f"{run.root} is a linear model, which transformers cannot open: expected a run directory, whose student is "
            "an encoder. Give that."
        )
    if not run.is_run():
        raise RunDirectoryError(
            f"{run.root} holds no run: expected {run.manifest.name} in it. Give the directory that understudy run made."
        )
    again = f"Run it again: understudy run {run.recipe} --out {run.root}"
    manifest = Manifest(run.manifest)
    measured = manifest.details("evaluation").get("files", {})
    written = measured | manifest.details(REPORT).get("files", {})
    if not measured or not run.metrics.is_file():
        raise RunDirectoryError(f"The run in {run.root} is not finished. {again}")
    _check_student(run.student, manifest.details("student").get("digest"), again)
    if not run.card.is_file():
        raise RunDirectoryError(f"No {run.card}: expected the model card that a run writes. {again}")
    shown = [path for path in (run.metrics, run.dashboard) if path.is_file()]
    for path in shown:
        if file_sha256(path) != written.get(path.name):
            raise RunDirectoryError(f"{path} was changed since the run wrote it. {again}")
    if run.dashboard not in shown:
        log.warning("%s is not there, and will be missing in the card", run.dashboard)
    model = sorted(path for path in run.student.iterdir() if any(fnmatch(path.name, part) for part in MODEL_FILES))
    files = {path.name: path for path in (run.card, *filter(Path.is_file, model))}
    return files | {path.relative_to(run.root).as_posix(): path for path in shown}


def _check_student(folder: Path, digest: str | None, again: str) -> None:
    try:
        kind = json.loads((folder / "config.json").read_text(encoding="utf-8"))["model_type"]
    except (OSError, ValueError, KeyError, TypeError):
        kind = None
    whole = weight_files(folder) and has_vocabulary(folder)
    if not whole or not isinstance(kind, str) or kind.startswith(_OWN_KINDS):
        raise ModelError(
            f"{folder} is no folder that transformers opens: expected config.json, model.safetensors and a tokenizer. "
            f"{again}"
        )
    if folder_digest(folder) != digest:
        raise ModelError(f"{folder} was changed since it was evaluated: its card speaks of another model. {again}")


def _check_name(name: str) -> None:
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(name)
    except HFValidationError as error:
        raise UserError(
            f"--to '{name}': expected a name that the Hub could have, such as owner/reviews-small ({first_line(error)})"
        ) from None


def _check_hub(name: str) -> None:
    from huggingface_hub import constants, get_token

    if constants.HF_HUB_OFFLINE:
        raise HubUnreachable(f"'{name}' cannot be sent, for HF_HUB_OFFLINE forbids it. Unset it.")
    if get_token() is None:
        raise UserError(f"'{name}' cannot be sent without an access token of the Hub, and there is none. {_LOGIN}")
    reason = out_of_reach()
    if reason is not None:
        raise HubUnreachable(
            f"'{name}' cannot be sent: the Hugging Face Hub at {constants.ENDPOINT} cannot be reached ({reason}). Try "
            "again where it can."
        )


def _pushed(name: str, files: dict[str, Path], private: bool) -> Pushed:
    from huggingface_hub import CommitOperationAdd, HfApi

    hub = HfApi()
    repository = hub.create_repo(name, private=private or None, exist_ok=True)
    if private and not hub.model_info(repository.repo_id).private:
        raise UserError(
            f"{repository} is there already and public, but --private was given: nothing was sent. Make it private "
            "there, or give another --to."
        )
    operations = [CommitOperationAdd(place, _content(path, repository.repo_id)) for place, path in files.items()]
    commit = hub.create_commit(repository.repo_id, operations, commit_message="Upload a student and its model card")
    return Pushed(str(repository), commit.oid)


def _content(path: Path, repository: str) -> Path | bytes:
    """What goes there of a file: the card speaks of the repository that it stands in."""
    return addressed(path.read_text(encoding="utf-8"), repository).encode() if path.name == "README.md" else path


def _refusal(name: str, error: Exception) -> UserError | None:
    """What to say of an error from the Hub's library; None for a defect."""
    from huggingface_hub.errors import HfHubHTTPError

    # What goes wrong with a large file is the cause of another error.
    while isinstance(error.__cause__, Exception) and not isinstance(error, UserError | HfHubHTTPError | ValueError):
        error = error.__cause__
    if isinstance(error, UserError):
        return error
    if isinstance(error, HfHubHTTPError):
        status = error.response.status_code
        if status == 401:
            return UserError(f"'{name}': the Hub refuses the access token ({first_line(error)}). {_LOGIN}")
        if status in (403, 404):
            return UserError(
                f"'{name}': the access token may not write there ({first_line(error)}). {_LOGIN}, or give another --to."
            )
        if status >= 500:
            return HubUnreachable(f"'{name}' could not be sent: {first_line(error)}. Try again later.")
        return UserError(f"'{name}': the Hub refuses it: {first_line(error)}. Put that right, or give another --to.")
    if isinstance(error, ConnectionError | TimeoutError):  # of the client that sends large files
        return HubUnreachable(f"'{name}' could not be sent: {first_line(error)}. Give the same command again.")
    if isinstance(error, ValueError):  # of the card's metadata, or an answer that no Hub gives
        return UserError(f"'{name}' could not be sent: {' '.join(str(error).split())} Correct it and try again.")
    return None
