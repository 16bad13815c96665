"""What a run starts from: models that are there, and texts that were read, audited and tokenised.

Nothing is trained and nothing written but the cache.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from understudy.data.audit import Audit, audit, truncation
from understudy.data.corpus import Corpus, build_corpus, read_tables
from understudy.data.scores import Scores, read_scores
from understudy.data.tokens import Tokens, tokenise_cached
from understudy.errors import UserError
from understudy.models.loading import Origin, classifier_labels, load_config, load_tokenizer, longest_input, resolve
from understudy.models.loading import unnamed as is_unnamed
from understudy.models.students import check_layers
from understudy.models.vocabulary import Vocabulary, prune_vocabulary
from understudy.recipe.recipe import Recipe
from understudy.storage.layout import default_cache

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

LINEAR: Literal["linear"] = "linear"


@dataclass(frozen=True)
class Encoder:
    """An encoder that was found, and the texts as it reads them.

    Attributes:
        origin: Where it comes from.
        tokens: Of `train`, `validation`, `test` and `transfer`, by its tokenizer.
    """

    origin: Origin
    tokens: dict[str, Tokens]


@dataclass(frozen=True)
class Member:
    """One model of the teacher, which has several when it is a committee.

    Attributes:
        stage: Names its making: `teacher`, or `teacher_1` and so on in a committee.
        model: What it is: an encoder, which is fine-tuned, the linear model, or answers that were given.
        seed: Of its training.
    """

    stage: str
    model: Encoder | Scores | Literal["linear"]
    seed: int

    def record(self) -> object:
        """What the manifest says of it."""
        if isinstance(self.model, Scores):
            return {"scores": self.model.source, "texts": len(self.model)}
        return self.model.origin.record() if isinstance(self.model, Encoder) else self.model


@dataclass(frozen=True)
class Materials:
    """What a run starts from.

    Attributes:
        members: The teacher's models; one, unless it is a committee.
        encoder: Whose layers a student can take: the first encoder among them, or, as it is, the one that the recipe
            names beside given scores.
        student: Where the student's checkpoint comes from; None where it is made of the teacher's layers.
        corpus: The texts.
        student_tokens: Like an encoder's, by the student's tokenizer.
        vocabulary: What the student keeps of its tokens; None keeps all.
        findings: What the audit noticed; no errors.
    """

    members: tuple[Member, ...]
    encoder: Encoder
    student: Origin | None
    corpus: Corpus
    student_tokens: dict[str, Tokens]
    vocabulary: Vocabulary | None
    findings: Audit

    @property
    def origin(self) -> Origin:
        """Where that encoder comes from."""
        return self.encoder.origin

    def for_student(self, recipe: Recipe, cache: Path, static: bool = False) -> Materials:
        """The same with another student, made of the teacher's layers, or of its word embeddings alone.

        Raises:
            ModelError: the teacher has not those layers, or its vocabulary cannot be cut as the recipe says.
        """
        if not static:
            assert recipe.student.layers is not None
            check_layers(self.origin.path, recipe.student.layers, recipe.student.from_layers)
        tokens, vocabulary = _read_by_student(recipe, self.corpus, self.encoder, cache)
        return replace(self, student=None, student_tokens=tokens, vocabulary=vocabulary)

    @property
    def sizes(self) -> dict[str, int]:
        """Texts of each split."""
        sizes = {split: len(getattr(self.corpus, split)) for split in ("train", "validation", "test")}
        return sizes if self.corpus.unlabelled is None else {**sizes, "unlabelled": len(self.corpus.unlabelled)}


def examine(recipe: Recipe, cache_dir: str | Path | None = None) -> Audit:
    """The data doctor: everything that `distill` would find wrong with data and recipe before it trains.

    Args:
        recipe: Says where data and models are.
        cache_dir: Where tokenised data is kept; by default `$UNDERSTUDY_CACHE` or the user's cache folder.

    Raises:
        DataError: a source cannot be read at all.
        ModelError: a model is not there or cannot be used.
    """
    models = _Models.find(recipe)
    texts = _Texts.read(recipe, models)
    if texts.findings.errors:
        return texts.findings
    cache = Path(cache_dir) if cache_dir is not None else default_cache()
    return _materials(recipe, models, texts, cache).findings


def gather(recipe: Recipe, cache: Path) -> Materials:
    """Finds the models, reads and audits the data, and tokenises it.

    Raises:
        DataError: a source cannot be read, or its audit found errors.
        ModelError: a model is not there or cannot be used.
    """
    models = _Models.find(recipe)
    texts = _Texts.read(recipe, models)
    texts.findings.raise_errors()
    return _materials(recipe, models, texts, cache)


@dataclass(frozen=True)
class _Models:
    """Where the models are.

    Attributes:
        teacher: Each of the teacher's, None for the linear one; none at all where its scores are given.
        student: The student's checkpoint, if it has one.
        encoder: See `Materials`. Beside given scores a student's checkpoint is all that there is.
    """

    teacher: tuple[Origin | None, ...]
    student: Origin | None
    encoder: Origin

    @classmethod
    def find(cls, recipe: Recipe) -> _Models:
        given, layers = recipe.teacher.scores is not None, recipe.student.layers
        members = [] if given and layers is None else recipe.teacher.members
        found = {name: resolve(name, recipe.teacher.revision) for name in dict.fromkeys(members) if name != LINEAR}
        for name, origin in found.items():
            _check_input(name, origin, recipe.data.max_length)
        teacher = () if given else tuple(found.get(name) for name in members)
        encoders = list(found.values())
        if layers is not None:
            check_layers(encoders[0].path, layers, recipe.student.from_layers)
            return cls(teacher, None, encoders[0])
        name = str(recipe.student.model)
        student = resolve(name, recipe.student.revision)
        _check_input(name, student, recipe.data.max_length)
        return cls(teacher, student, [*encoders, student][0])


@dataclass(frozen=True)
class _Texts:
    """The data and what is wrong with it; `corpus` is there where the labels can be numbered at all."""

    findings: Audit
    corpus: Corpus | None = None
    scores: Scores | None = None

    @classmethod
    def read(cls, recipe: Recipe, models: _Models) -> _Texts:
        tables = read_tables(recipe.data)
        found = audit(tables, recipe.data.labels)
        if found.errors:
            return cls(found)
        labels = classifier_labels(models.encoder.path)
        named = None if labels is None or is_unnamed(labels) else labels
        corpus = build_corpus(tables, recipe.data, recipe.seed, named)
        if recipe.teacher.scores is None:
            return cls(found, corpus)
        scores = read_scores(recipe.teacher.scores, recipe.data.text, corpus)
        return cls(Audit((*scores.findings, *found.findings)), corpus, scores)


def _check_input(name: str, origin: Origin, max_length: int) -> None:
    """Refuses a model that cannot take texts as long as the recipe's."""
    load_tokenizer(origin.path)
    limit = longest_input(load_config(origin.path))
    if limit is not None and max_length > limit:
        raise UserError(
            f"data.max_length = {max_length}, but {name} has positions for {limit} tokens only. Give that many or "
            "fewer."
        )


def _materials(recipe: Recipe, models: _Models, texts: _Texts, cache: Path) -> Materials:
    max_length, corpus = recipe.data.max_length, texts.corpus
    assert corpus is not None  # there was no error
    encoders = {
        origin: Encoder(origin, _tokenise(corpus, load_tokenizer(origin.path), max_length, cache))
        for origin in dict.fromkeys([*models.teacher, models.encoder, models.student])
        if origin is not None
    }
    members = [] if texts.scores is None else [Member("teacher", texts.scores, recipe.seed)]
    for place, origin in enumerate(models.teacher):
        stage = "teacher" if len(models.teacher) == 1 else f"teacher_{place + 1}"
        seed = recipe.seed + models.teacher[:place].count(origin)  # its own, for one that is there twice
        members.append(Member(stage, LINEAR if origin is None else encoders[origin], seed))
    encoder, student = encoders[models.encoder], encoders[models.student or models.encoder]
    tokens, vocabulary = _read_by_student(recipe, corpus, student, cache)
    cut = [truncation(split, encoder.tokens[split].full_lengths, max_length) for split in ("train", "test")]
    findings = Audit((*texts.findings.findings, *cut))
    return Materials(tuple(members), encoder, models.student, corpus, tokens, vocabulary, findings)


def _read_by_student(
    recipe: Recipe, corpus: Corpus, encoder: Encoder, cache: Path
) -> tuple[dict[str, Tokens], Vocabulary | None]:
    """The student's tokens, and its vocabulary if that is smaller than that of the encoder that it is made of.

    Args:
        recipe: Says how large the vocabulary may be.
        corpus: The texts.
        encoder: Its tokenizer is the student's.
        cache: The cache folder.
    """
    if recipe.student.vocabulary is None:
        return encoder.tokens, None
    tokenizer = load_tokenizer(encoder.origin.path)
    counts = encoder.tokens["transfer"].counts(len(tokenizer))
    vocabulary = prune_vocabulary(tokenizer, counts, recipe.student.vocabulary)
    return _tokenise(corpus, vocabulary.tokenizer, recipe.data.max_length, cache), vocabulary


def _tokenise(corpus: Corpus, tokenizer: PreTrainedTokenizerBase, max_length: int, cache: Path) -> dict[str, Tokens]:
    def tokens(chunks: Iterable[Sequence[str]], ids: np.ndarray) -> Tokens:
        return tokenise_cached(chunks, ids, tokenizer, max_length, cache)

    splits = {"train": corpus.train, "validation": corpus.validation, "test": corpus.test}
    found = {name: tokens([split.texts], split.ids) for name, split in splits.items()}
    whole = corpus.unlabelled is not None
    return {**found, "transfer": tokens(corpus.transfer_chunks(), corpus.transfer_ids) if whole else found["train"]}
