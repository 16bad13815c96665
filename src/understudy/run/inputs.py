"""What a run starts from: models that were found, and texts that were read, audited and tokenised.

Nothing is trained, and only the cache is written.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from understudy.data.audit import Audit, audit, has_errors, truncation
from understudy.data.corpus import Corpus, build_corpus, read_tables, with_columns
from understudy.data.near_duplicates import Shingler
from understudy.data.scores import Scores, read_scores
from understudy.data.tokens import Tokens, tokenise_cached
from understudy.errors import UserError
from understudy.models.loading import Origin, classifier_labels, load_config, load_tokenizer, longest_input, resolve
from understudy.models.loading import unnamed as is_unnamed
from understudy.models.students import check_layers
from understudy.models.vocabulary import Vocabulary, prune_vocabulary
from understudy.recipe.base import AUTO, settled
from understudy.recipe.recipe import Recipe
from understudy.run.auto import Encoders, Facts, resolved, with_validation
from understudy.run.members import LINEAR, EncoderMember, LinearMember, Member, ScoresMember
from understudy.training.teacher import Encoder

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Materials:
    """What a run starts from.

    Attributes:
        recipe: What to do, with a value for every option that was `auto`.
        members: The teacher's models; one, unless it is a committee.
        encoder: The encoder whose layers a student can take: the first among the members, or the one that the recipe
            names in addition to given scores.
        student: Where the student's checkpoint comes from; None if it is made of the teacher's layers.
        corpus: The texts.
        student_tokens: By split, from the student's tokenizer.
        vocabulary: The tokens that the student keeps; None keeps all.
        findings: The audit's warnings and notes; there are no errors.
    """

    recipe: Recipe
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
            ModelError: The teacher does not have those layers, or its vocabulary cannot be cut as the recipe says.
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


def look_over(recipe: Recipe, cache: Path) -> Audit:
    """What is wrong with data and recipe.

    Raises:
        DataError: A source cannot be read at all.
        ModelError: A model is missing or cannot be used.
    """
    models = _Models.find(recipe)
    texts = _Texts.read(recipe, models)
    if texts.findings.errors:
        return texts.findings
    return _materials(models, texts, cache).findings


def gather(recipe: Recipe, cache: Path) -> Materials:
    """Finds the models, reads and audits the data, and tokenises it.

    Raises:
        DataError: A source cannot be read, or its audit found errors.
        ModelError: A model is missing or cannot be used.
    """
    models = _Models.find(recipe)
    texts = _Texts.read(recipe, models)
    texts.findings.raise_errors()
    return _materials(models, texts, cache)


@dataclass(frozen=True)
class _Models:
    """Where the models are.

    Attributes:
        teacher: One per member, None for the linear model; empty if the teacher's scores are given.
        student: The student's checkpoint, if it has one.
        encoder: See `Materials`. With given scores it may be the student's checkpoint.
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
            _check_input(name, origin, recipe)
        teacher = () if given else tuple(found.get(name) for name in members)
        encoders = list(found.values())
        if layers is not None:
            check_layers(encoders[0].path, layers, recipe.student.from_layers)
            return cls(teacher, None, encoders[0])
        name = str(recipe.student.model)
        student = resolve(name, recipe.student.revision)
        _check_input(name, student, recipe)
        return cls(teacher, student, [*encoders, student][0])


@dataclass(frozen=True)
class _Texts:
    """The data and what is wrong with it; `corpus` is None if the labels cannot be numbered.

    In the recipe, the number of validation texts is settled.
    """

    recipe: Recipe
    findings: Audit
    corpus: Corpus | None = None
    scores: Scores | None = None

    @classmethod
    def read(cls, recipe: Recipe, models: _Models) -> _Texts:
        data = with_columns(recipe.data)
        recipe = recipe.model_copy(update={"data": data})
        tables = read_tables(data)
        if has_errors(tables, recipe.data.labels):
            return cls(recipe, audit(tables, recipe.data.labels))
        labels = classifier_labels(models.encoder.path)
        named = None if labels is None or is_unnamed(labels) else labels
        shingler = Shingler()
        corpus = build_corpus(tables, data, recipe.seed, named, shingler)
        recipe = with_validation(recipe, len(corpus.train) + len(corpus.validation))
        found = audit(tables, recipe.data.labels, corpus.rows, shingler)
        if recipe.teacher.scores is None:
            return cls(recipe, found, corpus)
        scores = read_scores(recipe.teacher.scores, data.text, corpus)
        return cls(recipe, replace(found, findings=(*scores.findings, *found.findings)), corpus, scores)


def _check_input(name: str, origin: Origin, recipe: Recipe) -> None:
    """Refuses a model that reads less than the recipe's maximum length, or does not name its classes properly."""
    load_tokenizer(origin.path)
    classifier_labels(origin.path)
    limit, max_length = longest_input(load_config(origin.path)), recipe.data.max_length
    if limit is not None and max_length != AUTO and max_length > limit:
        raise UserError(
            f"data.max_length = {max_length}, but {name} reads at most {limit} tokens. Give {limit} or fewer."
        )


def _materials(models: _Models, texts: _Texts, cache: Path) -> Materials:
    corpus = texts.corpus
    assert corpus is not None  # there was no error
    recipe = _without_auto(texts.recipe, models, corpus)
    max_length = settled(recipe.data.max_length)
    encoders = {
        origin: Encoder(origin, _tokenise(corpus, load_tokenizer(origin.path), max_length, cache))
        for origin in dict.fromkeys([*models.teacher, models.encoder, models.student])
        if origin is not None
    }
    members: list[Member] = [] if texts.scores is None else [ScoresMember("teacher", texts.scores)]
    for place, origin in enumerate(models.teacher):
        stage = "teacher" if len(models.teacher) == 1 else f"teacher_{place + 1}"
        seed = recipe.seed + models.teacher[:place].count(
            origin
        )  # an encoder that is listed twice gets a seed of its own each time
        members.append(LinearMember(stage) if origin is None else EncoderMember(stage, encoders[origin], seed))
    encoder, student = encoders[models.encoder], encoders[models.student or models.encoder]
    tokens, vocabulary = _read_by_student(recipe, corpus, student, cache)
    cut = [truncation(split, encoder.tokens[split].full_lengths, max_length) for split in ("train", "test")]
    findings = replace(texts.findings, findings=(*texts.findings.findings, *cut))
    return Materials(recipe, tuple(members), encoder, models.student, corpus, tokens, vocabulary, findings)


def _without_auto(recipe: Recipe, models: _Models, corpus: Corpus) -> Recipe:
    """The recipe with a value for every option that is `auto`."""
    teachers = tuple(origin for origin in models.teacher if origin is not None) or (models.encoder,)
    encoders = Encoders(teachers, models.student or models.encoder)
    return resolved(recipe, Facts.of(corpus, encoders))


def _read_by_student(
    recipe: Recipe, corpus: Corpus, encoder: Encoder, cache: Path
) -> tuple[dict[str, Tokens], Vocabulary | None]:
    """The student's tokens, and its vocabulary if it is smaller than the encoder's.

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
    return _tokenise(corpus, vocabulary.tokenizer, settled(recipe.data.max_length), cache), vocabulary


def _tokenise(corpus: Corpus, tokenizer: PreTrainedTokenizerBase, max_length: int, cache: Path) -> dict[str, Tokens]:
    def tokens(chunks: Iterable[Sequence[str]], ids: np.ndarray) -> Tokens:
        return tokenise_cached(chunks, ids, tokenizer, max_length, cache)

    splits = {"train": corpus.train, "validation": corpus.validation, "test": corpus.test}
    found = {name: tokens([split.texts], split.ids) for name, split in splits.items()}
    whole = corpus.unlabelled is not None
    return {**found, "transfer": tokens(corpus.transfer_chunks(), corpus.transfer_ids) if whole else found["train"]}
