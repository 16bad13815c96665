"""understudy turns a large text classifier into a small one and shows the evidence for the swap."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from understudy.errors import UnderstudyError, missing_extra

if TYPE_CHECKING:
    from understudy.evaluation.single import evaluate
    from understudy.exporting.export import export
    from understudy.exporting.limits import Limits
    from understudy.inference.opening import open_classifier as load
    from understudy.recipe.recipe import Recipe
    from understudy.reporting.push import push
    from understudy.reporting.render import compare, report
    from understudy.run.benchmark import benchmark
    from understudy.run.frontier import frontier
    from understudy.run.pipeline import Run, distill, examine
    from understudy.run.settings import Settings

__all__ = [
    "Limits",
    "Recipe",
    "Run",
    "Settings",
    "UnderstudyError",
    "benchmark",
    "compare",
    "distill",
    "evaluate",
    "examine",
    "export",
    "frontier",
    "load",
    "push",
    "report",
]

# What takes time to import waits until somebody uses it: pydantic, PyTorch, transformers, matplotlib.
_PLACES = {
    "Limits": "exporting.limits:Limits",
    "Recipe": "recipe.recipe:Recipe",
    "Run": "run.pipeline:Run",
    "Settings": "run.settings:Settings",
    "benchmark": "run.benchmark:benchmark",
    "compare": "reporting.render:compare",
    "distill": "run.pipeline:distill",
    "evaluate": "evaluation.single:evaluate",
    "examine": "run.pipeline:examine",
    "export": "exporting.export:export",
    "frontier": "run.frontier:frontier",
    "load": "inference.opening:open_classifier",
    "push": "reporting.push:push",
    "report": "reporting.render:report",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'understudy' has no attribute '{name}'")
    from importlib import import_module

    module, _, attribute = _PLACES[name].partition(":")
    try:
        return getattr(import_module(f"understudy.{module}"), attribute)
    except ModuleNotFoundError as error:
        raise missing_extra(error, f"understudy.{name}") or error from None


def __dir__() -> list[str]:
    return sorted(__all__)
