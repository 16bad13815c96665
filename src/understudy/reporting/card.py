"""The student's model card: what was measured, how far that reaches, how to load the model and how it was made.

All of it is what the run directory holds, and the same run directory gives the same card. It is made to be public:
files and folders of this machine are named without their paths, and no text of the data is in it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from understudy.evaluation.results import Metrics
from understudy.recipe.recipe import Recipe
from understudy.reporting import formats
from understudy.reporting.card_metadata import file_name, metadata, model_records, public_source, student_origin
from understudy.reporting.figures import comparison, findings
from understudy.storage.files import write_text
from understudy.storage.layout import RunDirectory, read_recipe
from understudy.storage.manifest import Manifest

# What Markdown and HTML could take for markup, within a line.
_MARKUP = re.compile(r"[\\`*_\[\]<>|~$&#]")
_MOST_CLASSES = 20
# From the student's folder to the run's, whose files lie beside the card on the Hub.
_ABOVE = "../"
_REPOSITORY = "OWNER/NAME"
_LOADING = f"""\
```python
from transformers import pipeline

classify = pipeline("text-classification", model="{_REPOSITORY}", truncation=True)
print(classify("A text to classify."))
```

{_REPOSITORY} is this repository on the Hub, or the path of its folder. With understudy, which opens folders:

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
        texts: Test texts that have it.
        student: Share of them that the student gives it.
        teacher: Share of them that the teacher gives it.
    """

    name: str
    texts: int
    student: float
    teacher: float


@dataclass(frozen=True)
class _Facts:
    """What a run directory holds, as far as a card tells of it."""

    recipe: Recipe
    manifest: Manifest
    metrics: Metrics
    classes: list[ClassFigures]

    @property
    def names(self) -> list[str]:
        """Of all classes."""
        return self.manifest.content["classes"]

    @property
    def audit(self) -> list[dict[str, Any]]:
        """The audit's findings; none where the manifest has none."""
        return self.manifest.content.get("audit", [])

    @property
    def texts(self) -> dict[str, int]:
        """How many there are, by split."""
        return self.manifest.details("data")["texts"]


def write_card(run: RunDirectory) -> None:
    """Writes the model card of a run whose metrics and predictions are there.

    Raises:
        RunDirectoryError: they are not, or another version's.
    """
    manifest, metrics = Manifest(run.manifest), Metrics.load(run.metrics)
    facts = _Facts(read_recipe(run), manifest, metrics, _class_figures(run))
    blocks = [f"---\n{metadata(facts.recipe, manifest, metrics)}\n---", *_sections(facts)]
    write_text(run.card, "\n\n".join(blocks) + "\n")


def addressed(card: str, repository: str) -> str:
    """A card as it is to stand in a repository on the Hub, from as it stands in a run."""
    return card.replace(f"]({_ABOVE}", "](").replace(_REPOSITORY, repository)


def plain(text: str) -> str:
    """A text that Markdown shows as it is, on one line, in a table as well."""
    line = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
    return _MARKUP.sub(r"\\\g<0>", line)


def _sections(facts: _Facts) -> Iterator[str]:
    metrics = facts.metrics
    yield f"# {plain(facts.recipe.name)}"
    yield _summary(facts)
    code = metrics.verdict.code.replace("_", " ")
    yield f"Verdict: **{code}**, distillation **{metrics.verdict.distillation}**."
    yield f"> {metrics.verdict.text}"
    yield "## Evidence"
    yield f"On {facts.texts['test']:,} test texts of {plain(public_source(facts.recipe.data.test))}:"
    yield _table(comparison(metrics, intervals=True))
    yield _list(f"{name}: {plain(text)}" for name, text in findings(metrics))
    averaged = "of the second class" if len(facts.names) == 2 else "averaged over the classes"
    yield (
        f"Brackets are 95 % intervals over the test texts. F1 is {averaged}; ECE is the expected calibration error, in "
        "15 bins; the controls are the same student trained without the teacher, and a linear model on n-grams. All "
        f"figures are in [metrics.json]({_ABOVE}metrics.json)."
    )
    yield f"![Accuracy, size and speed of teacher, student and controls]({_ABOVE}report/dashboard.png)"
    yield "### By class"
    yield from _by_class(facts.classes)
    yield "## Intended use"
    yield _use(facts)
    yield "## Limits"
    yield _list(_limits(facts))
    yield "## How to load it"
    yield _LOADING
    yield "## How it was made"
    yield _table([["", ""], *_origins(facts)])
    yield "The whole recipe, with files and folders by their names alone:"
    yield _fenced(_without_folders(facts.recipe, facts.manifest).to_toml(), "toml")


def _summary(facts: _Facts) -> str:
    parameters, fraction = facts.metrics.student.parameters, facts.metrics.parameter_fraction
    share = "" if fraction is None else f", {formats.percent(fraction)} of its teacher's"
    size = "" if parameters is None else f" It has {parameters:,} parameters{share}."
    return (
        f"A small text classifier, distilled from a larger one with understudy. It gives a text one of "
        f"{len(facts.names)} classes: {_listed(facts.names)}.{size}"
    )


def _by_class(classes: list[ClassFigures]) -> Iterator[str]:
    shown = classes[:_MOST_CLASSES]
    rows = [
        [plain(each.name), f"{each.texts:,}", formats.percent(each.student), formats.percent(each.teacher)]
        for each in shown
    ]
    yield _table([["class", "test texts", "student right", "teacher right"], *rows])
    more = len(classes) - len(shown)
    yield "The worst class comes first." + (f" {more:,} better ones are left out." if more else "")


def _use(facts: _Facts) -> str:
    trained = plain(public_source(facts.recipe.data.train))
    abstains = facts.metrics.abstention is not None and facts.metrics.abstention.threshold is not None
    unsure = " unless the threshold above is used" if abstains else ""
    return (
        f"For single texts of the kind that it was trained on ({trained}), each of which belongs to one of the "
        f"classes. It gives every text one of them{unsure}, whatever the text is about. How it does on texts of "
        "another origin or in another language was not measured: evaluate it on your own before relying on it."
    )


def _limits(facts: _Facts) -> Iterator[str]:
    cut = [plain(finding["message"]) for finding in facts.audit if finding["code"] == "truncated_texts"]
    read = f"A text is read up to {facts.recipe.data.max_length:,} tokens."
    yield " ".join([read, "The audit says:", *cut] if cut else [read])
    yield _calibration(facts)
    if facts.classes:
        worst = facts.classes[0]
        yield (
            f"Its worst class is {plain(worst.name)}: {formats.percent(worst.student)} of the {worst.texts:,} test "
            "texts are recognised."
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
        f"On the test texts its calibration error is {formats.score(student.ece)}, the teacher's "
        f"{formats.score(teacher.ece)}."
    )
    found = facts.manifest.details("student").get("calibration")
    if not found:
        return f"Its probabilities were not calibrated. {measured}"
    if found["temperature"] is None:
        return f"Its probabilities were not calibrated: {plain(found['left'])}. {measured}"
    return (
        f"Its probabilities were calibrated on the validation texts with a temperature of {found['temperature']:.3f}, "
        f"which is within the weights; the calibration error there went from {formats.score(found['ece_before'])} to "
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
        yield ["student made of", made + _model(start)]
    yield ["student's weights, config and tokenizer", f"digest {manifest.details('student')['digest']}"]
    for split, source in (("train", recipe.data.train), ("unlabelled", recipe.data.unlabelled)):
        if source is not None:
            yield [f"{split} texts", f"{facts.texts.get(split, 0):,}, of {plain(public_source(source))}"]
    validation = recipe.data.validation
    of = public_source(validation) if isinstance(validation, str) else "the training source"
    yield ["validation texts", f"{facts.texts['validation']:,}, of {plain(of)}"]
    yield ["test texts", f"{facts.texts['test']:,}, of {plain(public_source(recipe.data.test))}"]
    yield ["data", f"digest {manifest.fingerprint('data')}"]
    yield ["soft loss", f"{_soft_loss(recipe)}, weight {recipe.distillation.alpha:g}"]
    epochs, rate = recipe.distillation.epochs, recipe.distillation.learning_rate
    yield ["distillation", f"{epochs} epoch{'' if epochs == 1 else 's'}, learning rate {rate:g}"]
    yield ["seed", f"{recipe.seed}, of the student {recipe.student_seed}"]
    versions = {"understudy": manifest.content["understudy"], **manifest.content["versions"]}
    yield ["versions", plain(", ".join(f"{name} {version}" for name, version in versions.items()))]


def _soft_loss(recipe: Recipe) -> str:
    if recipe.distillation.objective == "mse":
        return "mean squared error of the logits"
    return f"Kullback-Leibler divergence at temperature {recipe.distillation.temperature:g}"


def _model(record: Any) -> str:
    """A model as the manifest records it: where it is from, given answers, or the name of a kind."""
    if not isinstance(record, dict):
        return plain(str(record))
    if "scores" in record:
        return f"probabilities that were given ({plain(file_name(record['scores']))})"
    name = file_name(record["name"]) if record["kind"] == "folder" else record["name"]
    revision = f", revision {plain(record['revision'])}" if record["revision"] else ""
    return f"{plain(name)}{revision}, weights with SHA-256 {plain(record['sha256'])}"


def _class_figures(run: RunDirectory) -> list[ClassFigures]:
    """Of the classes that test texts have; the student's worst first, of equals the first by name."""
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
    """The recipe with the names alone of what is on this machine."""
    public = {record["name"] for record in model_records(manifest) if record["kind"] != "folder"}

    def source(value: Any) -> Any:
        return public_source(value) if isinstance(value, str) else value

    def model(value: Any) -> Any:
        if isinstance(value, list):
            return [model(each) for each in value]
        # What the run had no use for has no record, and may be a folder.
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


def _table(rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table of cells that are Markdown themselves; figures stand to the right."""
    header, *body = rows
    rule = ["---", *("---:" if len(header) > 2 else "---" for _ in header[1:])]
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, rule, *body))


def _list(items: Iterator[str]) -> str:
    return "\n".join(f"- {item}" for item in items)


def _listed(names: list[str]) -> str:
    shown = [plain(name) for name in names[:_MOST_CLASSES]]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more:,} more" if more else "")


def _fenced(text: str, language: str) -> str:
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"
