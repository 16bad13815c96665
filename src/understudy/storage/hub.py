"""Models from the Hugging Face Hub and its cache, and the errors if the Hub does not answer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from understudy.errors import HubUnreachable, ModelError
from understudy.runtime.environment import variables

# Files of a model on the Hub: config, weights and tokenizer, but no files in subfolders.
MODEL_FILES = [
    "config.json",
    "model*.safetensors",
    "model.safetensors.index.json",
    "tokenizer*",
    "vocab.*",
    "merges.txt",
]
MODEL_FILES += ["*.model", "special_tokens_map.json", "added_tokens.json"]
_SUBFOLDERS = ["*/*"]
_VOCABULARIES = ("tokenizer.json", "vocab.txt", "vocab.json", "*.model")
_HUB_TIMEOUT = 5.0  # seconds
_PATIENCE = 30.0  # seconds without a byte during an upload


def cached_snapshot(name: str, revision: str | None) -> Path | None:
    """The folder of a model in the Hub's cache; None if it is absent or incomplete.

    Raises:
        ModelError: The name is not a valid name of a model.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        folder = Path(
            snapshot_download(
                name, revision=revision, allow_patterns=MODEL_FILES, ignore_patterns=_SUBFOLDERS, local_files_only=True
            )
        )
    except LocalEntryNotFoundError:
        return None
    except HFValidationError:
        raise ModelError(
            f"'{name}' is neither a folder nor a valid name on the Hub. Give the path of a folder, or owner/name."
        ) from None
    # The cache does not always know which files a snapshot should have; an interrupted download lacks some.
    is_whole = (folder / "config.json").is_file() and weight_files(folder) and has_vocabulary(folder)
    return folder if is_whole else None


def has_vocabulary(folder: Path) -> bool:
    """Whether a folder contains a tokenizer file."""
    return any(path.is_file() for pattern in _VOCABULARIES for path in folder.glob(pattern))


def weight_files(folder: Path) -> list[Path]:
    """The weight files of a folder, one or several; an empty list if any is missing."""
    single, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    if single.is_file():
        return [single]
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        files = [folder / name for name in names if Path(name).name == name]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return []
    return files if len(files) == len(names) and all(path.is_file() for path in files) else []


def download(name: str, revision: str | None, instead: str) -> Path:
    """Downloads a model into the Hub's cache, and returns its folder there.

    Args:
        name: Name on the Hub.
        revision: Branch, tag or commit.
        instead: What the user can give instead, for the message.

    Raises:
        ModelError: The model or revision does not exist, or access is denied.
        HubUnreachable: The Hub does not answer, or the download was interrupted.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HTTPError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    require_hub(name, instead)
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=MODEL_FILES, ignore_patterns=_SUBFOLDERS))
    except RevisionNotFoundError:
        raise ModelError(
            f"{name} has no revision '{revision}' on the Hub: expected a branch, tag or commit. Check it on the Hub."
        ) from None
    except GatedRepoError:
        raise ModelError(f"{name} is gated. Accept its terms on the Hub, then log in with: hf auth login") from None
    except RepositoryNotFoundError:
        raise ModelError(
            f"No model '{name}': it is neither a folder nor on the Hub. If it is private, log in with: hf auth login"
        ) from None
    except (HTTPError, LocalEntryNotFoundError, OSError) as error:
        raise hub_failure(name, error) from None


def hub_failure(name: str, error: Exception) -> ModelError:
    """The error for a download that failed although the name is right."""
    if getattr(getattr(error, "response", None), "status_code", None) in (401, 403):
        return ModelError(
            f"{name}: the Hub refuses the access token ({first_line(error)}). Unset HF_TOKEN, or log in again with: "
            "hf auth login"
        )
    return HubUnreachable(f"{name} could not be downloaded: {first_line(error)}. Try again; finished files are kept.")


def require_hub(name: str, instead: str, cache: str | Path | None = None) -> None:
    """Checks, within seconds, that the Hub answers.

    Args:
        name: What would be downloaded.
        instead: What the user can give instead, for the message.
        cache: The cache that is searched for a copy, for the message; None for the Hub's cache of models.

    Raises:
        HubUnreachable: The Hub does not answer, or `HF_HUB_OFFLINE` is set.
    """
    from huggingface_hub import constants

    cache = cache or constants.HF_HUB_CACHE
    remedy = f"Give {instead}, or put '{name}' into the cache at {cache} on a machine that is online"
    if constants.HF_HUB_OFFLINE:
        raise HubUnreachable(f"'{name}' is not on this machine, and HF_HUB_OFFLINE forbids downloading it. {remedy}.")
    reason = out_of_reach()
    if reason is not None:
        raise HubUnreachable(
            f"'{name}' is not on this machine, and the Hugging Face Hub at {constants.ENDPOINT} cannot be reached "
            f"({reason}). {remedy}."
        )


def out_of_reach() -> str | None:
    """The reason why the Hub cannot be reached; None if it answers within seconds."""
    from huggingface_hub import constants, get_session

    try:
        # One request only: a download itself would retry for a minute.
        status = get_session().head(constants.ENDPOINT, timeout=_HUB_TIMEOUT).status_code
    except Exception as error:  # from the name server, the proxy, the certificate or the address
        return first_line(error)
    return f"it answers with status {status}" if status >= 500 else None


@contextmanager
def asked_once(name: str) -> Iterator[None]:
    """Limits the Hub's client to one attempt and `_PATIENCE` seconds; by default it tries six times and has no timeout.

    Args:
        name: What is uploaded, for the message.

    Raises:
        HubUnreachable: Within the block, if the connection breaks or the Hub does not answer.
    """
    from huggingface_hub import close_session, constants, get_session
    from huggingface_hub.errors import HTTPError

    session = get_session()
    send = session.send

    def send_once(*arguments: Any, **options: Any) -> Any:
        try:
            return send(*arguments, **options)
        except HTTPError as error:
            # The client retries after its own errors only, so this one ends the upload.
            raise HubUnreachable(
                f"'{name}' could not be uploaded: the Hugging Face Hub at {constants.ENDPOINT} no longer answers "
                f"({first_line(error)}). Run the same command again to resume."
            ) from None

    session.timeout = _PATIENCE
    cast(Any, session).send = send_once
    # Large files have another client, which reads the environment only.
    limits = {"READ_TIMEOUT": f"{_PATIENCE * 1000:.0f}ms", "RETRY_MAX_ATTEMPTS": "1"}
    try:
        with variables({f"HF_XET_CLIENT_{name}": value for name, value in limits.items()}, keep=True):
            yield
    finally:
        close_session()  # a new session has the defaults again


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or its type if there is none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
