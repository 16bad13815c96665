"""The student's model card: its figures and limits, how to load it and how it was made.

The same run directory gives the same card. The card is public: it names files and folders of this machine without
their paths and contains no text of the data.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from understudy.evaluation.results import Metrics
from understudy.recipe.base import settled
from understudy.recipe.recipe import Recipe
from understudy.reporting import formats
from understudy.reporting.card_metadata import file_name, metadata, model_records, public_source, student_origin
from understudy.reporting.figures import comparison, findings, recommended
from understudy.reporting.markdown import bullets, fenced, plain, table
from understudy.storage.files import write_text
from understudy.storage.layout import RunDirectory, read_recipe
from understudy.storage.manifest import Manifest

_MOST_CLASSES = 20
# From the student's folder to the run directory. On the Hub, the run's files are next to the card.
_ABOVE = "../"
_REPOSITORY = "OWNER/NAME"
_LOADING = f"""\
```python
from transformers import pipeline

classify = pipeline("text-classification", model="{_REPOSITORY}", truncation=True)
print(classify("A text to classify."))
```

{_REPOSITORY} is this repository on the Hub, or the path of its folder. understudy opens local folders:

```python
import understudy
from huggingface_hub import snapshot_download

classifier = understudy.load(snapshot_download("{_REPOSITORY}"))
print(classifier.predict(["A text to classify."]))
```"""


@dataclass(frozen=True)
class ClassFigures:
    """One class on the test set.

    Attributes:
        name: The class.
        texts: How many test texts have this class.
        student: Share of them that the student classifies correctly.
        teacher: Share of them that the teacher classifies correctly.
    """

    name: str
    texts: int
    student: float
    teacher: float


@dataclass(frozen=True)
class _Facts:
    """What a card needs from a run directory."""

    recipe: Recipe
    manifest: Manifest
    metrics: Metrics
    classes: list[ClassFigures]

    @property
    def names(self) -> list[str]:
        """The names of all classes."""
        return [str(name) for name in self.manifest.content["classes"]]

    @property
    def audit(self) -> list[dict[str, Any]]:
        """The audit's findings."""
        findings: list[dict[str, Any]] = self.manifest.content.get("audit", [])
        return findings

    @property
    def texts(self) -> dict[str, int]:
        """The number of texts in each split."""
        counts: dict[str, int] = self.manifest.details("data")["texts"]
        return counts


def write_card(run: RunDirectory) -> None:
    """Writes the model card of a run that has metrics and predictions.

    Raises:
        RunDirectoryError: The metrics are missing, or another version wrote them.
    """
    manifest, metrics = Manifest(run.manifest), Metrics.load(run.metrics)
    facts = _Facts(read_recipe(run), manifest, metrics, _class_figures(run))
    blocks = [f"---\n{metadata(facts.recipe, manifest, metrics)}\n---", *_sections(facts)]
    write_text(run.card, "\n\n".join(blocks) + "\n")


def addressed(card: str, repository: str) -> str:
    """A run's card as it is pushed to a repository on the Hub."""
    return card.replace(f"]({_ABOVE}", "](").replace(_REPOSITORY, repository)


def _sections(facts: _Facts) -> Iterator[str]:
    metrics = facts.metrics
    yield f"# {plain(facts.recipe.name)}"
    yield _summary(facts)
    code = metrics.verdict.code.replace("_", " ")
    yield f"Verdict: **{code}**, distillation **{metrics.verdict.distillation}**."
    yield f"> {metrics.verdict.text}"
    found = recommended(metrics)
    if found is not None:
        yield f"Recommendation of the run: {plain(found[0])}"
    yield "## Evidence"
    yield f"On {facts.texts['test']:,} test texts {_test_origin(facts.recipe)}:"
    yield table(comparison(metrics, intervals=True))
    yield bullets(f"{name}: {plain(text)}" for name, text in findings(metrics))
    averaged = "for the second class" if len(facts.names) == 2 else "averaged over the classes"
    yield (
        f"Brackets are 95 % intervals over the test texts. F1 is {averaged}. ECE is the expected calibration error in "
        "15 bins. The controls are the same student trained without the teacher, a linear n-gram model, and a logistic "
        f"regression on the frozen encoder, if asked for. All figures are in [metrics.json]({_ABOVE}metrics.json)."
    )
    yield f"![Accuracy, size and speed of teacher, student and controls]({_ABOVE}report/dashboard.png)"
    yield "### By class"
    yield from _by_class(facts.classes)
    yield "## Intended use"
    yield _use(facts)
    yield "## Limits"
    yield bullets(_limits(facts))
    yield "## How to load it"
    yield _LOADING
    yield "## How it was made"
    yield table([["", ""], *_origins(facts)])
    yield "The full recipe, with files and folders named without their paths:"
    yield fenced(_without_folders(facts.recipe, facts.manifest).to_toml(), "toml")


def _summary(facts: _Facts) -> str:
    parameters, fraction = facts.metrics.student.parameters, facts.metrics.parameter_fraction
    share = "" if fraction is None else f", {formats.percent(fraction)} of its teacher's"
    size = "" if parameters is None else f" It has {parameters:,} parameters{share}."
    return (
        f"A small text classifier, distilled from a larger one with understudy. It assigns each text "
        f"one of {len(facts.names)} classes: {_listed(facts.names)}.{size}"
    )


def _by_class(classes: list[ClassFigures]) -> Iterator[str]:
    shown = classes[:_MOST_CLASSES]
    rows = [
        [plain(each.name), f"{each.texts:,}", formats.percent(each.student), formats.percent(each.teacher)]
        for each in shown
    ]
    yield table([["class", "test texts", "student correct", "teacher correct"], *rows])
    more = len(classes) - len(shown)
    yield "The worst class comes first." + (f" {more:,} better classes are left out." if more else "")


def _use(facts: _Facts) -> str:
    trained = plain(public_source(facts.recipe.data.train))
    abstains = facts.metrics.abstention is not None and facts.metrics.abstention.threshold is not None
    unsure = ", unless you use the threshold above" if abstains else ""
    return (
        f"Use it for single texts like its training texts ({trained}), each of which belongs to one of the classes. It "
        f"assigns a class to every text, whatever the text is about{unsure}. Its quality on texts from other sources "
        "or in other languages was not measured. Evaluate it on your own texts before you rely on it."
    )


def _limits(facts: _Facts) -> Iterator[str]:
    cut = [plain(finding["message"]) for finding in facts.audit if finding["code"] == "truncated_texts"]
    read = f"It reads at most {settled(facts.recipe.data.max_length):,} tokens of a text."
    yield " ".join([read, "Data audit:", *cut] if cut else [read])
    yield _calibration(facts)
    if facts.classes:
        worst = facts.classes[0]
        yield (
            f"Its worst class is {plain(worst.name)}: it recognises {formats.percent(worst.student)} of the "
            f"{worst.texts:,} test texts."
        )
    untested = [name for name in facts.names if name not in {each.name for each in facts.classes}]
    if untested:
        yield f"No test text has the class {_listed(untested)}."
    for finding in facts.audit:
        if finding["code"] != "truncated_texts":
            yield f"Data audit, {finding['level']}: {plain(finding['message'])}"


def _calibration(facts: _Facts) -> str:
    student, teacher = facts.metrics.student, facts.metrics.teacher
    measured = (
        f"On the test texts its calibration error is {formats.score(student.ece)}; the teacher's is "
        f"{formats.score(teacher.ece)}."
    )
    found = facts.manifest.details("student").get("calibration")
    if not found:
        return f"Its probabilities are not calibrated. {measured}"
    if found["temperature"] is None:
        return f"Its probabilities are not calibrated: {plain(found['left'])}. {measured}"
    return (
        f"Its probabilities are calibrated with a temperature of {found['temperature']:.3f}, which is part of the "
        f"weights. On the validation texts the calibration error went from {formats.score(found['ece_before'])} to "
        f"{formats.score(found['ece_after'])}. {measured}"
    )


def _origins(facts: _Facts) -> Iterator[list[str]]:
    recipe, manifest = facts.recipe, facts.manifest
    teachers = manifest.content["models"]["teacher"]
    for teacher in teachers if isinstance(teachers, list) else [teachers]:
        yield ["teacher", _model(teacher)]
    start, layers = student_origin(manifest), recipe.student.layers
    if start is not None:
        made = "" if layers is None else f"{layers} layers ({plain(str(recipe.student.from_layers))}) of "
        yield ["student starts from", made + _model(start)]
    yield ["student's weights, config and tokenizer", f"digest {manifest.details('student')['digest']}"]
    for split, source in (("train", recipe.data.train), ("unlabelled", recipe.data.unlabelled)):
        if source is not None:
            yield [f"{split} texts", f"{facts.texts.get(split, 0):,} from {plain(public_source(source))}"]
    validation = recipe.data.validation
    of = public_source(validation) if isinstance(validation, str) else "the training source"
    yield ["validation texts", f"{facts.texts['validation']:,} from {plain(of)}"]
    yield ["test texts", f"{facts.texts['test']:,} {_test_origin(recipe)}"]
    yield ["data", f"digest {manifest.fingerprint('data')}"]
    yield ["soft loss", f"{_soft_loss(recipe)}, weight {settled(recipe.distillation.alpha):g}"]
    epochs, rate = recipe.distillation.epochs, settled(recipe.distillation.learning_rate)
    yield ["distillation", f"{epochs} epoch{'' if epochs == 1 else 's'}, learning rate {rate:g}"]
    yield ["seed", f"{recipe.seed}; student {recipe.student_seed}"]
    versions = {"understudy": manifest.content["understudy"], **manifest.content["versions"]}
    yield ["versions", plain(", ".join(f"{name} {version}" for name, version in versions.items()))]


def _test_origin(recipe: Recipe) -> str:
    return f"{recipe.data.test_origin} {plain(public_source(recipe.data.test_source))}"


def _soft_loss(recipe: Recipe) -> str:
    if recipe.distillation.objective == "mse":
        return "mean squared error of the logits"
    return f"Kullback-Leibler divergence at temperature {settled(recipe.distillation.temperature):g}"


def _model(record: Any) -> str:
    """A model as the manifest records it: an origin, given scores, or the name of a kind."""
    if not isinstance(record, dict):
        return plain(str(record))
    if "scores" in record:
        return f"given probabilities ({plain(file_name(record['scores']))})"
    name = file_name(record["name"]) if record["kind"] == "folder" else record["name"]
    revision = f", revision {plain(record['revision'])}" if record["revision"] else ""
    return f"{plain(name)}{revision}, weights with SHA-256 {plain(record['sha256'])}"


def _class_figures(run: RunDirectory) -> list[ClassFigures]:
    """Figures of all classes with test texts, the student's worst class first."""
    import pyarrow.parquet as pq

    columns = pq.read_table(run.predictions, columns=["label", "student_label", "teacher_label"]).to_pydict()
    labels = columns["label"]
    texts = Counter(labels)
    right = {
        model: Counter(label for label, given in zip(labels, columns[f"{model}_label"], strict=True) if label == given)
        for model in ("student", "teacher")
    }
    figures = [
        ClassFigures(name, count, right["student"][name] / count, right["teacher"][name] / count)
        for name, count in texts.items()
    ]
    return sorted(figures, key=lambda each: (each.student, each.name))


def _without_folders(recipe: Recipe, manifest: Manifest) -> Recipe:
    """The recipe, with files and folders of this machine named without their paths."""
    public = {record["name"] for record in model_records(manifest) if record["kind"] != "folder"}

    def source(value: Any) -> Any:
        return public_source(value) if isinstance(value, str) else value

    def model(value: Any) -> Any:
        if isinstance(value, list):
            return [model(each) for each in value]
        # A model that the run did not use has no record, so it may be a folder.
        return file_name(value) if isinstance(value, str) and value not in public else value

    data = {name: source(getattr(recipe.data, name)) for name in ("train", "test", "validation", "unlabelled")}
    scores = recipe.teacher.scores
    teacher = {"model": model(recipe.teacher.model), "scores": scores and file_name(scores)}
    return recipe.model_copy(
        update={
            "data": recipe.data.model_copy(update=data),
            "teacher": recipe.teacher.model_copy(update=teacher),
            "student": recipe.student.model_copy(update={"model": model(recipe.student.model)}),
        }
    )


def _listed(names: list[str]) -> str:
    shown = [plain(name) for name in names[:_MOST_CLASSES]]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more:,} more" if more else "")
