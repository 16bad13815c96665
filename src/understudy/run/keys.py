"""What the stages' results depend on: a stage is done again when its fingerprint is another one."""

from __future__ import annotations

from understudy.data.scores import Scores
from understudy.recipe.recipe import Recipe
from understudy.run.inputs import Encoder, Materials, Member
from understudy.run.labelling import Committee
from understudy.runtime.hardware import Hardware
from understudy.storage.files import fingerprint, folder_digest
from understudy.training.linear import linear_fingerprint
from understudy.training.student import Start
from understudy.training.teacher import scores_fingerprint, teacher_fingerprint

# What training is told and its result does not depend on; the compute type goes into a fingerprint as it turned out.
_IRRELEVANT = {"checkpoint_steps", "precision", "attention"}
_SOFT_LOSS = {"objective", "temperature", "alpha"}


def teacher_keys(recipe: Recipe, materials: Materials, hardware: Hardware) -> dict[str, str]:
    """Fingerprints of the stages that make the teacher, by stage."""
    corpus = materials.corpus

    def key(member: Member) -> str:
        if isinstance(member.model, Encoder):
            return teacher_fingerprint(recipe, corpus, member.model.origin, hardware, member.seed)
        if isinstance(member.model, Scores):
            return scores_fingerprint(member.model, corpus.classes)
        return linear_fingerprint(corpus)

    return {member.stage: key(member) for member in materials.members}


def soft_labels_key(teacher: Committee, materials: Materials, hardware: Hardware) -> str:
    """Fingerprint of the soft labels."""
    engine = hardware.engine_for(teacher.dtype, materials.encoder.tokens["transfer"].total)
    return fingerprint(
        teacher=[folder_digest(folder) for folder in teacher.folders],
        data=materials.corpus.digest,
        **({"dtype": teacher.dtype, "engine": engine} if teacher.models else {}),
    )


def student_key(recipe: Recipe, materials: Materials, hardware: Hardware, start: Start, soft_labels: str | None) -> str:
    """Fingerprint of a student, or of a control where there are no soft labels.

    Args:
        recipe: Says how it learns.
        materials: Have the texts.
        hardware: Where it is trained.
        start: Where it starts.
        soft_labels: Their fingerprint.
    """
    # What only the soft loss uses does not change the control.
    unused = _IRRELEVANT if soft_labels else _IRRELEVANT | _SOFT_LOSS
    options = recipe.distillation
    return fingerprint(
        data=materials.corpus.digest,
        max_length=recipe.data.max_length,
        start=start.fingerprint(),
        soft_labels=soft_labels,
        options=options.model_dump(exclude=unused),
        seed=recipe.student_seed,
        dtype=hardware.dtype(options.precision),
    )
