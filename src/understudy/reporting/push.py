"""Pushes a finished run's student and its model card to the Hugging Face Hub, in one commit.

Only files on a fixed list are pushed: the model, its card, `metrics.json` and the dashboard. Predictions, texts,
checkpoints and the teacher are not.
"""

from __future__ import annotations

import json
import logging
import os
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from understudy.errors import HubUnreachable, ModelError, RunDirectoryError, UserError
from understudy.models.linear import is_linear
from understudy.reporting.card import addressed
from understudy.reporting.evidence import REPORT
from understudy.storage.files import file_sha256, folder_digest
from understudy.storage.hub import MODEL_FILES, asked_once, first_line, has_vocabulary, out_of_reach, weight_files
from understudy.storage.layout import RunDirectory
from understudy.storage.manifest import Manifest

log = logging.getLogger(__name__)

_OWN_KINDS = "understudy-"  # the prefix of model types that only understudy opens
_LOGIN = "Set HF_TOKEN to a token with write access, or run: hf auth login"


@dataclass(frozen=True)
class Pushed:
    """A finished upload.

    Attributes:
        url: The repository's address.
        commit: The commit's id.
    """

    url: str
    commit: str


def push(run: str | os.PathLike[str], to: str, *, private: bool = False) -> Pushed:
    """Uploads a finished run's student, its model card, `metrics.json` and the dashboard, in one commit.

    The access token is the one of `huggingface_hub`, from `HF_TOKEN` or `hf auth login`. A missing repository is
    created; an existing one gets one more commit.

    Args:
        run: The run directory.
        to: The repository's name, `owner/name`; without an owner, the token's user is the owner.
        private: Create a private repository; an existing one must be private already.

    Raises:
        RunDirectoryError: The directory is not a finished run, or the run has changed since its evaluation.
        ModelError: The student is not a Hugging Face folder, or has changed since its evaluation.
        HubUnreachable: The Hub does not answer.
        UserError: The name is not valid, there is no access token, or the Hub refuses the push.
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
    """The files to push, by their paths on the Hub.

    Raises:
        RunDirectoryError: The directory is not a finished run, or the run has changed since its evaluation.
        ModelError: The student is not a Hugging Face folder, or has changed since its evaluation.
    """
    if is_linear(run.root):
        raise ModelError(
            f"{run.root} is a linear model, which transformers cannot open. Name a run directory whose student is an "
            "encoder."
        )
    if not run.is_run():
        raise RunDirectoryError(
            f"{run.root} is not a run directory: it has no {run.manifest.name}. Name a directory that understudy run "
            "wrote."
        )
    again = f"Run it again: understudy run {run.recipe} --out {run.root}"
    manifest = Manifest(run.manifest)
    measured = manifest.details("evaluation").get("files", {})
    written = measured | manifest.details(REPORT).get("files", {})
    if not measured or not run.metrics.is_file():
        raise RunDirectoryError(f"The run in {run.root} is not finished. {again}")
    _check_student(run.student, manifest.details("student").get("digest"), again)
    if not run.card.is_file():
        raise RunDirectoryError(f"{run.card} is missing: expected the run's model card. {again}")
    shown = [path for path in (run.metrics, run.dashboard) if path.is_file()]
    for path in shown:
        if file_sha256(path) != written.get(path.name):
            raise RunDirectoryError(f"{path} has changed since the run wrote it. {again}")
    if run.dashboard not in shown:
        log.warning("%s is missing, so the card has no picture", run.dashboard)
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
            f"transformers cannot open {folder}: expected config.json, model.safetensors and a tokenizer. {again}"
        )
    if folder_digest(folder) != digest:
        raise ModelError(f"{folder} has changed since its evaluation, so the card does not describe it. {again}")


def _check_name(name: str) -> None:
    from huggingface_hub import utils
    from huggingface_hub.errors import HFValidationError

    names: Any = utils  # mypy does not see its lazy exports
    try:
        names.validate_repo_id(name)
    except HFValidationError as error:
        raise UserError(
            f"--to '{name}' is not a valid repository name ({first_line(error)}). Use a name such as "
            "owner/reviews-small."
        ) from None


def _check_hub(name: str) -> None:
    from huggingface_hub import constants, get_token

    if constants.HF_HUB_OFFLINE:
        raise HubUnreachable(f"Cannot push to '{name}' while HF_HUB_OFFLINE is set. Unset it and push again.")
    if get_token() is None:
        raise UserError(f"Cannot push to '{name}' without an access token for the Hub. {_LOGIN}")
    reason = out_of_reach()
    if reason is not None:
        raise HubUnreachable(
            f"Cannot push to '{name}': the Hugging Face Hub at {constants.ENDPOINT} cannot be reached ({reason}). "
            "Check the network, then push again."
        )


def _pushed(name: str, files: dict[str, Path], private: bool) -> Pushed:
    from huggingface_hub import CommitOperationAdd, HfApi

    hub = HfApi()
    repository = hub.create_repo(name, private=private or None, exist_ok=True)
    if private and not hub.model_info(repository.repo_id).private:
        raise UserError(
            f"{repository} exists and is public, but --private was given. Nothing was pushed. Make it private on the "
            "Hub, or use another --to."
        )
    operations = [CommitOperationAdd(place, _content(path, repository.repo_id)) for place, path in files.items()]
    commit = hub.create_commit(repository.repo_id, operations, commit_message="Upload a student and its model card")
    return Pushed(str(repository), commit.oid)


def _content(path: Path, repository: str) -> Path | bytes:
    """A file as it is pushed: the card names its repository."""
    return addressed(path.read_text(encoding="utf-8"), repository).encode() if path.name == "README.md" else path


def _refusal(name: str, error: Exception) -> UserError | None:
    """The error for the user; None for an internal error."""
    from huggingface_hub.errors import HfHubHTTPError

    # The error of a large file is the cause of another error.
    while isinstance(error.__cause__, Exception) and not isinstance(error, UserError | HfHubHTTPError | ValueError):
        error = error.__cause__
    if isinstance(error, UserError):
        return error
    if isinstance(error, HfHubHTTPError):
        status = error.response.status_code
        if status == 401:
            return UserError(f"The Hub refuses the access token for '{name}' ({first_line(error)}). {_LOGIN}")
        if status in (403, 404):
            return UserError(
                f"The access token may not write to '{name}' ({first_line(error)}). Use another --to or another token. "
                f"{_LOGIN}"
            )
        if status >= 500:
            return HubUnreachable(f"Cannot push to '{name}': {first_line(error)}. Try again later.")
        return UserError(f"The Hub refuses '{name}': {first_line(error)}. Correct that, or use another --to.")
    if isinstance(error, ConnectionError | TimeoutError):  # from the client for large files
        return HubUnreachable(f"Cannot push to '{name}': {first_line(error)}. Push again.")
    if isinstance(error, ValueError):  # from the card's metadata, or an invalid response
        return UserError(f"Cannot push to '{name}': {' '.join(str(error).split())} Correct that, then push again.")
    return None
