"""The metadata at the top of a model card, with which the Hub finds and shows a model.

A card is public, so it names files and folders of this machine without their paths.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from understudy.data.sources import hub_dataset
from understudy.evaluation.results import Metrics
from understudy.recipe.recipe import Recipe
from understudy.storage.manifest import Manifest

_LICENSE = re.compile(r"[a-z0-9][a-z0-9.+-]*")
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z]{2,8})*|multilingual|code")


def metadata(recipe: Recipe, manifest: Manifest, metrics: Metrics) -> str:
    """The metadata as YAML, without what is unknown.

    Args:
        recipe: The run's recipe.
        manifest: The run's manifest.
        metrics: The figures on the test set.
    """
    from huggingface_hub import EvalResult, ModelCardData

    tested = hub_dataset(recipe.data.test_source)
    where = (
        {"dataset_type": "custom", "dataset_name": public_source(recipe.data.test_source)}
        if tested is None
        else {
            "dataset_type": tested.name,
            "dataset_name": tested.name,
            "dataset_config": tested.configuration,
            "dataset_split": tested.split,
        }
    )
    student, averaged = metrics.student, "binary" if len(manifest.content["classes"]) == 2 else "macro"
    figures = {
        "accuracy": ("Accuracy", student.accuracy),
        "f1": (f"F1 ({averaged})", student.f1),
        "roc_auc": ("AUC (one against the rest)", student.auc),
        "ece": ("Expected calibration error (15 bins)", student.ece),
    }
    results = [
        EvalResult("text-classification", metric_type=kind, metric_name=name, metric_value=value, **where)
        for kind, (name, value) in figures.items()
        if value is not None
    ]
    origin = student_origin(manifest)
    base = origin if origin is not None and origin["kind"] != "folder" else None
    data = ModelCardData(
        **(_inherited(Path(base["path"]) / "README.md") if base else {}),
        library_name="transformers",
        pipeline_tag="text-classification",
        base_model=base["name"] if base else None,
        datasets=_datasets(recipe) or None,
        metrics=[kind for kind in ("accuracy", "f1", "roc_auc") if figures[kind][1] is not None],
        tags=["knowledge-distillation", "understudy"],
        model_name=recipe.name,
        eval_results=results,
    )
    return data.to_yaml()


def student_origin(manifest: Manifest) -> dict[str, Any] | None:
    """The manifest's record of the student's first weights: its checkpoint, or the teacher's before fine-tuning.

    Returns:
        None if the manifest has no such record.
    """
    return next(iter(model_records(manifest)), None)


def model_records(manifest: Manifest) -> list[dict[str, Any]]:
    """The manifest's records of all models that were loaded: the student's first, then the teacher's."""
    models = manifest.content["models"]
    teachers = models["teacher"] if isinstance(models["teacher"], list) else [models["teacher"]]
    records = [models["student"], *teachers]
    return [record for record in records if isinstance(record, dict) and "kind" in record]


def public_source(source: str) -> str:
    """A source of texts as a public card names it: a file without its path."""
    return source if hub_dataset(source) is not None else file_name(source)


def file_name(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2]


def _datasets(recipe: Recipe) -> list[str]:
    """The Hub datasets that the models were trained on, each once."""
    data = recipe.data
    sources = [source for source in (data.train, data.validation, data.unlabelled) if isinstance(source, str)]
    return list(dict.fromkeys(found.name for found in map(hub_dataset, sources) if found is not None))


def _inherited(path: Path) -> dict[str, Any]:
    """Language and licence from the card of a Hub model, if that card is on this machine."""
    from huggingface_hub import ModelCard

    try:
        if not path.is_file():  # or the Hub's library takes the path for a name and asks the Hub
            return {}
        card = ModelCard.load(path, ignore_metadata_errors=True).data
    except Exception:  # a damaged card can raise anything
        return {}
    found: dict[str, Any] = {}
    languages = [card.language] if isinstance(card.language, str) else card.language
    if isinstance(languages, list) and languages and all(_is(_LANGUAGE, language) for language in languages):
        found["language"] = languages
    if _is(_LICENSE, card.license):
        named = {name: getattr(card, name) for name in ("license_name", "license_link")}
        found |= {"license": card.license, **{name: value for name, value in named.items() if isinstance(value, str)}}
    return found


def _is(pattern: re.Pattern[str], value: object) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None
