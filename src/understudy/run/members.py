"""The kinds of model that a teacher is made of: a fine-tuned encoder, the linear model, given scores.

A teacher has one member, or several that teach together. A new kind of member is one more class here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from understudy.data.corpus import Corpus
from understudy.data.scores import Scores
from understudy.inference.store import StoredLogits
from understudy.models.loading import load_config
from understudy.recipe.base import settled
from understudy.recipe.recipe import Recipe
from understudy.run.keys import Key, linear_key, scores_key, teacher_key
from understudy.run.labelling import Labeller
from understudy.runtime.hardware import Dtype, Hardware
from understudy.storage.files import copy_folder
from understudy.training.estimate import Work
from understudy.training.frozen import KeptVectors
from understudy.training.linear import train_linear
from understudy.training.teacher import Encoder, TrainedModel, is_ready_made, keep_scores, train_teacher
from understudy.training.trainer import TrainingContext

LINEAR: Literal["linear"] = "linear"
FROZEN: Literal["frozen"] = "frozen"


@dataclass(frozen=True)
class Workplace:
    """What members are made with.

    Attributes:
        recipe: Says how they learn.
        corpus: The texts.
        cache: The cache folder.
        context: Where they are trained; its folder of checkpoints is the whole run's.
    """

    recipe: Recipe
    corpus: Corpus
    cache: Path
    context: TrainingContext


@dataclass(frozen=True)
class Member(ABC):
    """One model of the teacher.

    Attributes:
        stage: Names its making: `teacher`, or `teacher_1` and so on in a committee.
    """

    stage: str

    @property
    @abstractmethod
    def name(self) -> str:
        """What it is, for people."""

    @property
    def is_model(self) -> bool:
        """Whether there is a model that can answer other texts, or be timed."""
        return True

    @property
    def encoder(self) -> Encoder | None:
        """The encoder that it is fine-tuned from, if it is one."""
        return None

    @abstractmethod
    def key(self, recipe: Recipe, corpus: Corpus, hardware: Hardware) -> Key:
        """What decides its answers; see `understudy.run.keys`."""

    @abstractmethod
    def make(self, place: Workplace, key: Key, folder: Path) -> TrainedModel:
        """Makes it, or finds it in the cache, and writes its folder.

        Args:
            place: What it is made with.
            key: Its key.
            folder: Where it goes.
        """

    @abstractmethod
    def logits(self, labeller: Labeller, folder: Path, split: str, dtype: Dtype, description: str) -> StoredLogits:
        """Its logits or log-probabilities for a split.

        Args:
            labeller: Asks it.
            folder: Where it is.
            split: Which texts.
            dtype: Compute type of an encoder.
            description: Names the work in messages.
        """

    @abstractmethod
    def record(self) -> object:
        """What the manifest says of it."""

    def work(self, recipe: Recipe, corpus: Corpus, made_before: bool) -> Work | None:
        """The computing that is ahead, for the estimate; None where it is next to nothing."""
        return None


@dataclass(frozen=True)
class EncoderMember(Member):
    """An encoder that is fine-tuned, or a ready-made classifier.

    Attributes:
        source: The encoder.
        seed: Of its training.
    """

    source: Encoder
    seed: int

    @property
    def name(self) -> str:
        return self.source.origin.name

    @property
    def encoder(self) -> Encoder:
        return self.source

    def key(self, recipe: Recipe, corpus: Corpus, hardware: Hardware) -> Key:
        return teacher_key(recipe, corpus, self.source.origin, hardware, self.seed)

    def make(self, place: Workplace, key: Key, folder: Path) -> TrainedModel:
        checkpoints = place.context.checkpoints / self.stage
        made = train_teacher(
            place.recipe,
            place.corpus,
            self.source,
            seed=self.seed,
            entry=place.cache / "teachers" / key.entry,
            context=replace(place.context, checkpoints=checkpoints, description=self.stage),
            read=KeptVectors(self.source, self.seed, settled(place.recipe.data.max_length), place.cache),
        )
        copy_folder(made.folder, folder)
        return made

    def logits(self, labeller: Labeller, folder: Path, split: str, dtype: Dtype, description: str) -> StoredLogits:
        return labeller.encoder(folder, self.source.tokens, split, dtype, description)

    def record(self) -> dict[str, Any]:
        return self.source.origin.record()

    def work(self, recipe: Recipe, corpus: Corpus, made_before: bool) -> Work:
        config = load_config(self.source.origin.path)
        finished = made_before or is_ready_made(self.source.origin, corpus.classes)
        tokens = {name: split.total for name, split in self.source.tokens.items()}
        trained = 0 if finished else tokens["train"] * settled(recipe.teacher.epochs)
        length = tokens["train"] / max(1, len(corpus.train))
        return Work(config, config.num_hidden_layers, trained, tokens["transfer"] + tokens["test"], length)


@dataclass(frozen=True)
class LinearMember(Member):
    """The linear model on n-grams."""

    @property
    def name(self) -> str:
        return LINEAR

    def key(self, recipe: Recipe, corpus: Corpus, hardware: Hardware) -> Key:
        return linear_key(corpus)

    def make(self, place: Workplace, key: Key, folder: Path) -> TrainedModel:
        return train_linear(place.corpus, place.cache / "linear" / key.entry, folder, self.stage)

    def logits(self, labeller: Labeller, folder: Path, split: str, dtype: Dtype, description: str) -> StoredLogits:
        return labeller.linear(folder, split, description)

    def record(self) -> str:
        return LINEAR


@dataclass(frozen=True)
class ScoresMember(Member):
    """A teacher that is known by its answers alone.

    Attributes:
        scores: The answers.
    """

    scores: Scores

    @property
    def name(self) -> str:
        return self.scores.source

    @property
    def is_model(self) -> bool:
        return False

    def key(self, recipe: Recipe, corpus: Corpus, hardware: Hardware) -> Key:
        return scores_key(self.scores, corpus.classes)

    def make(self, place: Workplace, key: Key, folder: Path) -> TrainedModel:
        return keep_scores(self.scores, place.corpus.classes, folder)

    def logits(self, labeller: Labeller, folder: Path, split: str, dtype: Dtype, description: str) -> StoredLogits:
        return labeller.given(self.scores, split)

    def record(self) -> dict[str, Any]:
        return {"scores": self.scores.source, "texts": len(self.scores)}
