"""understudy turns a large text classifier into a small one and shows the evidence for the swap."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from understudy.errors import UnderstudyError, missing_extra
from understudy.recipe.recipe import Recipe

if TYPE_CHECKING:
    from pathlib import Path

    from understudy.inference.classifier import Classifier
    from understudy.reporting.push import push
    from understudy.run.pipeline import Run, distill, examine

__all__ = ["Recipe", "Run", "UnderstudyError", "distill", "examine", "load", "push"]

# The pipeline imports PyTorch and transformers; that waits until somebody uses it.
_LATE = {"Run": "pipeline", "distill": "pipeline", "examine": "pipeline", "push": "pushing"}


def load(path: str | Path, **options: Any) -> Classifier:
    """Opens a classifier: a Hugging Face folder, an export, or a run directory, whose student it then is.

    Args:
        path: The folder.
        **options: `device`, `threads`, `precision` and `engine`; see `open_classifier`.
    """
    from understudy.inference.opening import open_classifier

    return open_classifier(path, **options)


def __getattr__(name: str) -> Any:
    if name not in _LATE:
        raise AttributeError(f"module 'understudy' has no attribute '{name}'")
    from importlib import import_module

    try:
        return getattr(import_module(f"understudy.{_LATE[name]}"), name)
    except ModuleNotFoundError as error:
        raise missing_extra(error, f"understudy.{name}") or error from None
