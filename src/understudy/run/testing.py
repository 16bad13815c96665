"""The evaluation stage: every model answers the test texts, teacher and student are timed, the figures are written."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from understudy.data.tokens import Tokens
from understudy.evaluation.curves import Curve
from understudy.evaluation.evaluation import Candidate, Contest, Plan, assemble_metrics, write_predictions
from understudy.evaluation.recommendation import MODELS, Option
from understudy.evaluation.results import Abstention, Metrics, Speed
from understudy.inference.store import StoredLogits
from understudy.models.linear import is_linear
from understudy.recipe.base import settled
from understudy.recipe.recipe import Recipe
from understudy.reporting.card import write_card
from understudy.run.candidates import model_candidate, operations, student_abstention, teacher_candidate
from understudy.run.finished import EVALUATION, Finished
from understudy.run.inputs import Materials
from understudy.run.keys import evaluation_key
from understudy.run.members import FROZEN, LINEAR
from understudy.run.teacher import Teacher
from understudy.run.variants import STATIC
from understudy.runtime.hardware import Dtype
from understudy.timing.speed import Workload, measure_speed

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Testing:
    """One evaluation.

    Attributes:
        recipe: Says what is computed.
        materials: Have the texts.
        teacher: The teacher.
        folders: Student, controls and repeats, by stage.
        finished: What of the run is finished.
    """

    recipe: Recipe
    materials: Materials
    teacher: Teacher
    folders: Mapping[str, Path]
    finished: Finished

    def execute(self) -> None:
        """Writes figures, predictions and model card, unless they are there."""
        run, finished = self.finished.run, self.finished
        key = evaluation_key(self.recipe, self.materials.corpus.digest, self._models, self._computed)
        if finished.is_evaluated(key):
            if not run.card.is_file():  # the card is not a figure: only a missing one is written again
                write_card(run)
            return
        finished.forget_frontier()
        start = time.monotonic()
        candidates = self._candidates()
        abstention = self._abstention(candidates["student"])
        speed = self._speed()
        seconds = round(time.monotonic() - start, 2)
        metrics = self._metrics(candidates, abstention, speed, seconds)
        corpus = self.materials.corpus
        write_predictions(run.predictions, corpus.test, candidates, corpus.classes, self.recipe.evaluation.texts)
        metrics.save(run.metrics)
        write_card(run)
        finished.note_evaluation(key, seconds, self._dtype)

    @property
    def _dtype(self) -> Dtype:
        return self.teacher.labeller.hardware.dtype(self.recipe.evaluation.precision)

    @property
    def _computed(self) -> dict[str, str]:
        tokens = self.materials.encoder.tokens["test"].total
        return {"dtype": self._dtype, "engine": self.teacher.labeller.hardware.engine_for(self._dtype, tokens)}

    @property
    def _models(self) -> dict[str, Path]:
        """Every folder that is evaluated, by stage."""
        members = zip(self.teacher.members, self.teacher.folders, strict=True)
        return {member.stage: folder for member, folder in members} | dict(self.folders)

    def _candidates(self) -> dict[str, Candidate]:
        labeller = self.teacher.labeller
        found = {"teacher": teacher_candidate(self.teacher, self._dtype)}
        for name, folder in self.folders.items():
            found[name] = model_candidate(labeller, name, folder, self._tokens(name), self._dtype)
        return found

    def _tokens(self, name: str) -> dict[str, Tokens]:
        """The texts as a model reads them, by split."""
        return self.materials.encoder.tokens if name in ("teacher", STATIC, FROZEN) else self.materials.student_tokens

    def _abstention(self, tested: Candidate) -> Abstention | None:
        target = self.recipe.evaluation.target_precision
        if target is None:
            return None
        asked = self._validated("student", self.folders["student"])
        return student_abstention(self.materials.corpus, target, asked.logits, tested)

    @property
    def _unlearned(self) -> tuple[str, ...]:
        """The controls that learned nothing in cross-validation."""
        choice = self.finished.manifest.details(LINEAR).get("choice", {})
        return (LINEAR,) if LINEAR in self.folders and not choice.get("learned", True) else ()

    def _contest(self, candidates: Mapping[str, Candidate]) -> Contest:
        """The models that can be shipped and that learned the task, on the validation texts."""
        validation, folders = self.materials.corpus.validation, dict(self.folders)
        if len(self.teacher.folders) == len(self.teacher.models) == 1:
            folders["teacher"] = self.teacher.folders[0]
        options = {}
        for name in MODELS:
            if name in folders and name in candidates and name not in self._unlearned:
                answers = self._validated(name, folders[name])
                options[name] = Option(
                    folder=folders[name].relative_to(self.finished.run.root).as_posix(),
                    predicted=answers.logits.argmax(axis=1),
                    operations=operations(folders[name], self._tokens(name)["validation"], validation.texts),
                    parameters=candidates[name].parameters or 0,
                )
        return Contest(options, validation.labels)

    def _validated(self, name: str, folder: Path) -> StoredLogits:
        """A model's answers to the validation texts."""
        description = f"{name}, validation"
        if name == "teacher":
            return self.teacher.logits("validation", self._dtype, description)
        if is_linear(folder):
            return self.teacher.labeller.linear(folder, "validation", description)
        return self.teacher.labeller.encoder(folder, self._tokens(name), "validation", self._dtype, description)

    def _curves(self) -> dict[str, Curve]:
        """How teacher and student were trained; of a committee, the shortest training."""
        stages = {"student": ["student"], "teacher": [member.stage for member in self.teacher.members]}
        found = {}
        for name, names in stages.items():
            histories = (self.finished.manifest.details(stage).get("history") or [] for stage in names)
            curves = [curve for curve in map(Curve.of, histories) if curve is not None]
            if curves:
                found[name] = min(curves, key=lambda curve: curve.steps)
        return found

    def _speed(self) -> Speed:
        recipe, texts = self.recipe, self.materials.corpus.test.texts
        workload = Workload(texts, recipe.evaluation.speed_texts, settled(recipe.data.max_length), recipe.seed)
        student = [self.folders["student"]]
        return measure_speed(self.teacher.models, student, workload, self.teacher.labeller.hardware, self._dtype)

    def _metrics(
        self, candidates: dict[str, Candidate], abstention: Abstention | None, speed: Speed, seconds: float
    ) -> Metrics:
        # A control that an earlier recipe asked for keeps its place in the manifest; here it has none.
        spent = self.finished.manifest.seconds().items()
        by_stage = {stage: value for stage, value in spent if stage in {"data", "soft_labels", *self._models}}
        if STATIC in self.folders:
            by_stage[STATIC] = dict(spent)[f"student_{STATIC}"]
        names, seeds = tuple(self.materials.corpus.classes), tuple(self.recipe.student_seeds)
        copied = self.materials.findings.test_in_train
        return assemble_metrics(
            self.materials.corpus.test,
            candidates,
            Plan(
                self.recipe.evaluation,
                len(names),
                self.recipe.seed,
                seeds,
                names,
                copied,
                self._unlearned,
                self._curves(),
            ),
            speed=speed,
            seconds={**by_stage, EVALUATION: seconds},
            abstention=abstention,
            contest=self._contest(candidates),
        )
