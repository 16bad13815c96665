"""The students that a run may have: the recipe's own, its repeats, and others."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

from understudy.recipe.recipe import Recipe
from understudy.run.inputs import Materials
from understudy.storage.layout import RunDirectory
from understudy.training.student import Start, student_start

STATIC = "static"

# A bag of embeddings starts without a trained head. It takes many passes, at a rate that moves embeddings: each text
# moves only a few of them.
_STATIC_RATE = 2e-2
_STATIC_BATCH = 64
_STATIC_STEPS = 600
_FEWEST_EPOCHS, _MOST_EPOCHS = 10, 40


@dataclass(frozen=True)
class Variant:
    """One student among those that a run may have.

    Attributes:
        stage: Names its making.
        folder: Where it goes.
        recipe: Says what it is and how it learns.
        materials: With its tokens.
        static: Whether it is a bag of embeddings instead of an encoder.
    """

    stage: str
    folder: Path
    recipe: Recipe
    materials: Materials
    static: bool = False

    def start(self, teacher: Path) -> Start:
        """Where it starts, given the fine-tuned encoder's folder."""
        start = student_start(self.recipe, teacher, self.materials.student, self.materials.vocabulary)
        return replace(start, static=self.static)


def static_variant(
    recipe: Recipe, run: RunDirectory, materials: Materials, cache: Path, vocabulary: int | None = None
) -> Variant:
    """A bag of embeddings that learns from the same soft labels.

    Args:
        recipe: The run's.
        run: The run directory.
        materials: With the encoder whose embeddings it starts from.
        cache: The cache folder.
        vocabulary: The number of tokens it keeps; None keeps all.

    Raises:
        ModelError: The vocabulary cannot be cut.
    """
    changed = _at_its_pace(with_student(recipe, 1, vocabulary), len(materials.corpus.transfer_ids))
    folder = run.another_student(STATIC if vocabulary is None else f"{STATIC}-{vocabulary}")
    return Variant(f"student_{folder.name}", folder, changed, materials.for_student(changed, cache, True), static=True)


def with_student(recipe: Recipe, layers: int, vocabulary: int | None) -> Recipe:
    """The recipe with a student of these layers."""
    which = recipe.student.from_layers
    fitting = which if isinstance(which, str) or len(which) == layers else "spread"
    options = {"model": None, "revision": None, "layers": layers, "from_layers": fitting, "vocabulary": vocabulary}
    return recipe.model_copy(update={"student": recipe.student.model_copy(update=options)})


def _at_its_pace(recipe: Recipe, texts: int) -> Recipe:
    """The recipe with a static model's rate and epochs; the loss stays the recipe's.

    Args:
        recipe: The run's.
        texts: Number of texts that it learns from; few texts are read more often.
    """
    epochs = math.ceil(_STATIC_STEPS * _STATIC_BATCH / max(1, texts))
    own = {
        "learning_rate": _STATIC_RATE,
        "epochs": min(_MOST_EPOCHS, max(_FEWEST_EPOCHS, epochs)),
        "batch_size": _STATIC_BATCH,
        "early_stopping": 0,
        "freeze_embeddings": False,
        "attention": "auto",
    }
    return recipe.model_copy(update={"distillation": recipe.distillation.model_copy(update=own)})
