"""The settings that follow the data: every option that is `auto` gets a value before anything is trained.

The rules are pure functions of the numbers of texts and classes, the lengths and the encoders; hardware plays no part.
So the same table has the same settings everywhere, and a run that is repeated finds what it finished.
`docs/performance.md` tells how the rules were chosen.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from understudy.data.corpus import Corpus, validation_size
from understudy.data.tokens import tokenise
from understudy.models.loading import Origin, load_config, load_tokenizer, longest_input
from understudy.recipe.base import AUTO
from understudy.recipe.recipe import Recipe

log = logging.getLogger(__name__)

_OF_TRAINING = ("batch_size", "epochs", "learning_rate", "early_stopping", "class_weights")
FOLLOWING = {
    "data.validation",
    "data.max_length",
    *(f"{section}.{name}" for section in ("teacher", "distillation") for name in _OF_TRAINING),
    "distillation.temperature",
    "distillation.alpha",
}
"""The options that may be `auto` until the data is known."""

LENGTHS = (32, 48, 64, 96, 128, 256, 512)
_HELD = 0.99  # share of the texts that fit
_SAMPLED = 2000

_LONG = 128  # mean tokens
_FEW = 500

_EPOCHS_AT, _EPOCHS = 10_000, 3
_MOST_EPOCHS = 10

_RATE, _WIDTH, _BATCH = 2e-4, 384, 32
_HIGHEST_RATE = 5e-4

_PATIENCE, _PATIENT_EPOCHS, _PATIENT_TEXTS = 2, 3, 500


@dataclass(frozen=True)
class Choice:
    """The value of one option, and why.

    Attributes:
        option: Its dotted name.
        value: What it is now.
        reason: Why, in a few words.
    """

    option: str
    value: Any
    reason: str

    def __str__(self) -> str:
        return f"{self.option} = {self.value} ({self.reason})"


@dataclass(frozen=True)
class Encoders:
    """The encoders of a run.

    Attributes:
        teachers: Those of the teacher; at least the one whose tokenizer is used.
        student: The one that the student is made of.
    """

    teachers: tuple[Origin, ...]
    student: Origin

    @property
    def all(self) -> list[Origin]:
        """Each once."""
        return list(dict.fromkeys([*self.teachers, self.student]))


@dataclass(frozen=True)
class Facts:
    """What the rules look at.

    Attributes:
        texts: Labelled training texts, without those for validation.
        transfer: Texts that the student learns from, labelled or not.
        classes: Number of classes.
        validation: Validation texts.
        lengths: Tokens of some training texts, uncut, shape (texts,).
        longest: Tokens that every encoder reads; None if there is no limit.
        teacher_width: Hidden size of the teacher's encoder; the largest of a committee's.
        student_width: Hidden size of the student.
    """

    texts: int
    transfer: int
    classes: int
    validation: int
    lengths: np.ndarray
    longest: int | None
    teacher_width: int
    student_width: int

    @classmethod
    def of(cls, corpus: Corpus, encoders: Encoders) -> Facts:
        """The facts of a run; lengths are those of at most 2,000 training texts, evenly spread."""
        texts = corpus.train.texts
        rows = np.linspace(0, len(texts) - 1, min(len(texts), _SAMPLED)).astype(int)
        tokenizer = load_tokenizer(encoders.teachers[0].path)
        configs = {origin: load_config(origin.path) for origin in encoders.all}
        limits = [limit for limit in map(longest_input, configs.values()) if limit is not None]
        return cls(
            texts=len(texts),
            transfer=len(corpus.transfer_ids),
            classes=len(corpus.classes),
            validation=len(corpus.validation),
            lengths=tokenise([texts[row] for row in rows], tokenizer, LENGTHS[-1]).full_lengths,
            longest=min(limits, default=None),
            teacher_width=max(int(configs[origin].hidden_size) for origin in encoders.teachers),
            student_width=int(configs[encoders.student].hidden_size),
        )


def validation_texts(texts: int) -> Choice:
    """How many of the labelled texts are for validation."""
    size = validation_size(texts)
    return Choice("data.validation", size, f"{size / texts:.1%} of {texts:,} labelled texts")


def max_length(lengths: np.ndarray, longest: int | None) -> Choice:
    """Where texts are cut."""
    limit = min(LENGTHS[-1], longest or LENGTHS[-1])
    allowed = [*(each for each in LENGTHS if each < limit), limit]
    found = next((each for each in allowed if (lengths <= each).mean() >= _HELD), limit)
    held = float((lengths <= found).mean())
    if held >= _HELD:
        return Choice("data.max_length", found, f"holds {held:.1%} of the texts")
    bound = "the encoder's limit" if longest is not None and longest <= LENGTHS[-1] else "the longest that is automatic"
    return Choice("data.max_length", found, f"{bound}; holds {held:.1%} of the texts")


def batch_size(texts: int, mean_length: float) -> Choice:
    """Texts a step; the option's name is completed by the caller."""
    if texts < _FEW:
        return Choice("batch_size", 16, f"{texts:,} texts: more steps")
    if mean_length > _LONG:
        return Choice("batch_size", 16, f"long texts: {mean_length:.0f} tokens on average")
    return Choice("batch_size", 32, f"short texts: {mean_length:.0f} tokens on average")


def epochs(texts: int) -> Choice:
    """Passes: three for 10,000 texts, twice as many for an eighth of them."""
    wanted = round(_EPOCHS * (_EPOCHS_AT / max(1, texts)) ** (1 / 3))
    return Choice("epochs", min(max(wanted, 1), _MOST_EPOCHS), f"{texts:,} texts; fewer texts get more passes")


def learning_rate(width: int, batch: int) -> Choice:
    """The peak rate: with the inverse square of the width, and the square root of the batch."""
    rate = min(_RATE * (_WIDTH / width) ** 2 * math.sqrt(batch / _BATCH), _HIGHEST_RATE)
    return Choice("learning_rate", float(f"{rate:.2g}"), f"hidden size {width}, batches of {batch}")


def early_stopping(passes: int, validation: int) -> Choice:
    """Epochs without a gain before the training ends."""
    if passes < _PATIENT_EPOCHS:
        return Choice("early_stopping", 0, f"{_counted(passes, 'epoch')}: all are needed")
    if validation < _PATIENT_TEXTS:
        return Choice("early_stopping", 0, f"{_counted(validation, 'validation text')} cannot tell epochs apart")
    return Choice("early_stopping", _PATIENCE, f"{validation:,} validation texts choose the best epoch")


def temperature(classes: int) -> Choice:
    """Softens the teacher's answers."""
    return Choice("temperature", 2.0, f"{classes} classes; values from 1 to 4 do as well")


def alpha(texts: int, transfer: int) -> Choice:
    """Weight of the soft loss for texts that have a label."""
    share = texts / max(1, transfer)
    return Choice("alpha", 0.5, f"{share:.0%} of the texts have a label, which counts as much as the teacher")


def class_weights() -> Choice:
    """Whether rare classes weigh more."""
    return Choice("class_weights", "none", "weights lower the accuracy")


def with_validation(recipe: Recipe, texts: int) -> Recipe:
    """The recipe with a number of validation texts.

    Args:
        recipe: Its number may be `auto`.
        texts: Labelled texts for training and validation.
    """
    if recipe.data.validation != AUTO:
        return recipe
    return _with(recipe, [validation_texts(texts)])


def resolved(recipe: Recipe, facts: Facts) -> Recipe:
    """The recipe without `auto`; each value is logged with its reason.

    Args:
        recipe: With a settled validation.
        facts: Of data and encoders.
    """
    choices: list[Choice] = []
    length: Any = recipe.data.max_length
    if length == AUTO:
        choices.append(max_length(facts.lengths, facts.longest))
        length = choices[-1].value
    mean = float(np.minimum(facts.lengths, length).mean()) if len(facts.lengths) else 0.0
    for section, texts, width in (
        ("teacher", facts.texts, facts.teacher_width),
        ("distillation", facts.transfer, facts.student_width),
    ):
        choices += _for_training(recipe, section, _Training(texts, mean, width, facts))
    return _with(recipe, choices)


@dataclass(frozen=True)
class _Training:
    """What the rules of one training look at: its texts, their mean length, and the model's hidden size."""

    texts: int
    mean_length: float
    width: int
    facts: Facts


def _for_training(recipe: Recipe, section: str, training: _Training) -> list[Choice]:
    """The automatic options of one section, in an order in which each knows those that it needs."""
    options, facts = getattr(recipe, section), training.facts
    found: dict[str, Choice] = {}

    def value(name: str) -> Any:
        return found[name].value if name in found else getattr(options, name)

    rules: dict[str, Callable[[], Choice]] = {
        "batch_size": lambda: batch_size(training.texts, training.mean_length),
        "epochs": lambda: epochs(training.texts),
        "learning_rate": lambda: learning_rate(training.width, value("batch_size")),
        "early_stopping": lambda: early_stopping(value("epochs"), facts.validation),
        "class_weights": class_weights,
        "temperature": lambda: temperature(facts.classes),
        "alpha": lambda: alpha(facts.texts, facts.transfer),
    }
    for name, rule in rules.items():
        if getattr(options, name, None) == AUTO:
            found[name] = rule()
    return [Choice(f"{section}.{name}", each.value, each.reason) for name, each in found.items()]


def _with(recipe: Recipe, choices: Iterable[Choice]) -> Recipe:
    """The recipe with these values."""
    options = recipe.model_dump(exclude_none=True)
    for choice in choices:
        log.info("auto: %s", choice)
        section, name = choice.option.split(".")
        options[section][name] = choice.value
    return Recipe.from_mapping(options)


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
