"""Models from the Hugging Face Hub and its cache, and what it means when there is no Hub."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from understudy.errors import HubUnreachable, ModelError
from understudy.runtime.environment import variables

# What a model is made of on the Hub: config, weights, tokenizer, and no file of a subfolder.
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
_PATIENCE = 30.0  # seconds without a byte, while something is sent to it


def cached_snapshot(name: str, revision: str | None) -> Path | None:
    """The folder of a model that is whole in the Hub's cache, or None.

    Raises:
        ModelError: no model could have that name.
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
            f"'{name}' is neither a folder nor a name that the Hub could have: expected a path, or owner/name."
        ) from None
    # The cache only sometimes knows which files a snapshot should have; one that broke off lacks some.
    is_whole = (folder / "config.json").is_file() and weight_files(folder) and has_vocabulary(folder)
    return folder if is_whole else None


def has_vocabulary(folder: Path) -> bool:
    """Whether a folder has a tokenizer's file."""
    return any(path.is_file() for pattern in _VOCABULARIES for path in folder.glob(pattern))


def weight_files(folder: Path) -> list[Path]:
    """The weight files of a folder, one or many; none where one is missing."""
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
        name: On the Hub.
        revision: Branch, tag or commit.
        instead: What the user can give in its place.

    Raises:
        ModelError: there is no such model or revision, or it may not be read.
        HubUnreachable: the Hub does not answer, or the transfer broke off.
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
            f"{name} has no revision '{revision}' on the Hub: expected a branch, a tag or a commit. Check it there."
        ) from None
    except GatedRepoError:
        raise ModelError(f"{name} is gated: accept its terms on the Hub, then log in with: hf auth login") from None
    except RepositoryNotFoundError:
        raise ModelError(
            f"No model '{name}': not a folder here, and not on the Hub (or private; then log in with: hf auth login)."
        ) from None
    except (HTTPError, LocalEntryNotFoundError, OSError) as error:
        raise hub_failure(name, error) from None


def hub_failure(name: str, error: Exception) -> ModelError:
    """What to raise for a download that failed for another reason than a wrong name."""
    if getattr(getattr(error, "response", None), "status_code", None) in (401, 403):
        return ModelError(
            f"{name}: the Hub refuses the access token ({first_line(error)}). Unset HF_TOKEN, or log in again with: "
            "hf auth login"
        )
    return HubUnreachable(
        f"{name} could not be downloaded: {first_line(error)}. Try again; what is already here is kept."
    )


def require_hub(name: str, instead: str, cache: str | Path | None = None) -> None:
    """Asks, within seconds, whether the Hub is there at all.

    Args:
        name: What would be downloaded.
        instead: What the user can give in its place.
        cache: Where a copy would be found; None for the Hub's cache of models.

    Raises:
        HubUnreachable: it is not, or `HF_HUB_OFFLINE` forbids asking.
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
    """Why the Hub cannot be reached, found out within seconds; None where it can."""
    from huggingface_hub import constants, get_session

    try:
        # Asked once: what comes behind it would try for a minute.
        status = get_session().head(constants.ENDPOINT, timeout=_HUB_TIMEOUT).status_code
    except Exception as error:  # of the name server, the proxy, the certificate, the address itself
        return first_line(error)
    return f"it answers with status {status}" if status >= 500 else None


@contextmanager
def asked_once(name: str) -> Iterator[None]:
    """Lets the Hub's client ask once, and wait for an answer so long; by itself it waits for ever, and asks six times.

    Args:
        name: What is sent, for the message.

    Raises:
        HubUnreachable: within the block, where the connection breaks or there is no answer.
    """
    from huggingface_hub import close_session, constants, get_session
    from huggingface_hub.errors import HTTPError

    session = get_session()
    send = session.send

    def send_once(*arguments: Any, **options: Any) -> Any:
        try:
            return send(*arguments, **options)
        except HTTPError as error:
            # The client repeats a request after errors of its own kind alone.
            raise HubUnreachable(
                f"'{name}' could not be sent: the Hugging Face Hub at {constants.ENDPOINT} no longer answers "
                f"({first_line(error)}). Give the same command again; what has arrived there is not sent twice."
            ) from None

    session.timeout = _PATIENCE
    session.send = send_once  # type: ignore[method-assign]
    # The client that sends large files is another one, which is told by the environment alone.
    told = {"READ_TIMEOUT": f"{_PATIENCE * 1000:.0f}ms", "RETRY_MAX_ATTEMPTS": "1"}
    try:
        with variables({f"HF_XET_CLIENT_{name}": value for name, value in told.items()}, keep=True):
            yield
    finally:
        close_session()  # the next one is as it was


def first_line(error: BaseException) -> str:
    """What an error says, or at least its name."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
