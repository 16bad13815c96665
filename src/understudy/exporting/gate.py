"""The quality gate: compares an export with its model, and refuses it if it is worse than the limits allow."""

from __future__ import annotations

import dataclasses
import logging
import time
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from understudy.data.findings import counted
from understudy.data.tokens import Tokens, pad
from understudy.errors import DataError, GateRefused
from understudy.evaluation.metrics import expected_calibration_error
from understudy.evaluation.results import Gain, Interval
from understudy.evaluation.significance import accuracy_interval, gain
from understudy.exporting.graphs import Graph
from understudy.exporting.limits import Limits
from understudy.exporting.texts import ExportTexts, rows_for
from understudy.inference.engine import Batch, Engine
from understudy.inference.exported import ExportPrecision
from understudy.inference.logits import predict_logits, softmax
from understudy.inference.openvino_engine import openvino_dtype

log = logging.getLogger(__name__)

COMPANIONS = 31
_INVARIANCE_TEXTS = 64
_TIMED_TEXTS = 64
_ROUNDS = 2
_SMALLEST = 1e-9
_RANKED_BATCH = 4


@dataclass(frozen=True)
class Comparison:
    """The figures of an export and of its model on validation texts.

    Attributes:
        texts: How many there are.
        flips: Share of them that get another label.
        flips_ci95: Its exact binomial interval.
        accuracy: The export's.
        source_accuracy: The model's.
        change: The export's minus the model's.
        ece: The export's expected calibration error.
        source_ece: The model's.
        batch_texts: How many texts are classified twice: alone, and among 31 others.
        batch_flips: How many of them get two different labels.
        documents_per_second: Of the export, in batches by length.
        source_documents_per_second: Of the model in PyTorch, in the same batches.
        searched: On how many other texts operators were chosen to go back to float; 0 if none were.
        judged: On how many texts the limits were judged: all, or 0 if there are too few.
    """

    texts: int
    flips: float
    flips_ci95: Interval
    accuracy: float
    source_accuracy: float
    change: Gain
    ece: float
    source_ece: float
    batch_texts: int
    batch_flips: int
    documents_per_second: float
    source_documents_per_second: float
    searched: int = 0
    judged: int = 0

    def excesses(self, limits: Limits) -> list[str]:
        """The exceeded limits, in words; empty if the export passes."""
        found = []
        if self.flips > limits.flips:
            found.append(f"{self.flips:.2%} of the labels flip (at most {limits.flips:.2%} may)")
        if -self.change.accuracy > limits.accuracy_loss:
            low, high = self.change.ci95
            found.append(
                f"accuracy changes by {self.change.accuracy * 100:+.2f} points [{low * 100:+.2f}, {high * 100:+.2f}] "
                f"(a loss of at most {limits.accuracy_loss * 100:.2f} is allowed)"
            )
        if self.ece - self.source_ece > limits.ece_rise:
            found.append(
                f"the expected calibration error rises from {self.source_ece:.3f} to {self.ece:.3f} (at most "
                f"{limits.ece_rise:.3f} more is allowed)"
            )
        if self.batch_flips > limits.batch_flips:
            found.append(
                f"{self.batch_flips} of {self.batch_texts} texts change their label in a batch with {COMPANIONS} other "
                f"texts (at most {limits.batch_flips} may)"
            )
        return found

    def to_json(self) -> dict[str, object]:
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class Referee:
    """Compares exports with their model on the same texts.

    Attributes:
        source: Runs the model.
        tokens: Of the texts.
        labels: Their true classes, shape (texts,).
        pad_id: The padding token.
        max_length: Tokens after which a text is cut.
        limits: How much worse an export may be.
    """

    source: Engine
    tokens: Tokens
    labels: np.ndarray
    pad_id: int
    max_length: int
    limits: Limits

    def compare(self, engine: Engine) -> Comparison:
        """Computes all figures of one export."""
        logits = self._answers(engine, self.tokens)
        predicted, source = logits.argmax(axis=1), self._logits.argmax(axis=1)
        batch_texts, batch_flips = self._batch_flips(engine)
        rates = self._documents_per_second(engine)
        low, high = accuracy_interval(predicted, source)
        return Comparison(
            texts=len(self.tokens),
            flips=float((predicted != source).mean()),
            flips_ci95=(1 - high, 1 - low),
            accuracy=float((predicted == self.labels).mean()),
            source_accuracy=float((source == self.labels).mean()),
            change=gain(predicted, source, self.labels),
            ece=expected_calibration_error(softmax(logits), self.labels),
            source_ece=expected_calibration_error(softmax(self._logits), self.labels),
            batch_texts=batch_texts,
            batch_flips=batch_flips,
            documents_per_second=rates[1],
            source_documents_per_second=rates[0],
        )

    def on(self, rows: np.ndarray) -> Referee:
        """The same for some of the texts.

        Args:
            rows: Which, shape (some texts,).
        """
        return replace(self, tokens=self.tokens.select(rows), labels=self.labels[rows])

    def score(self, rows: np.ndarray, logits: np.ndarray) -> float:
        """How good logits are: 1 if they are the model's, 0 if they reach a limit, negative if they exceed one.

        Args:
            rows: Which texts, shape (some texts,).
            logits: Their logits, shape (some texts, classes).
        """
        labels, source = self.labels[rows], self._logits[rows]
        predicted, by_source = logits.argmax(axis=1), source.argmax(axis=1)
        ece, source_ece = (expected_calibration_error(softmax(each), labels) for each in (logits, source))
        used = (
            (float((predicted != by_source).mean()), self.limits.flips),
            (float((by_source == labels).mean() - (predicted == labels).mean()), self.limits.accuracy_loss),
            (ece - source_ece, self.limits.ece_rise),
        )
        return 1 - max(0.0, *(amount / max(limit, _SMALLEST) for amount, limit in used))

    def batches(self, size: int) -> list[tuple[Batch, np.ndarray]]:
        """The texts in batches of similar length, each with its rows."""
        order = np.argsort(self.tokens.lengths, kind="stable")
        parts = [order[start : start + size] for start in range(0, len(order), size)]
        return [(pad(self.tokens, rows, self.pad_id), rows) for rows in parts]

    def single(self) -> list[Batch]:
        """The texts in batches of one, without padding."""
        return [pad(self.tokens, [row], self.pad_id) for row in range(len(self.tokens))]

    @cached_property
    def _logits(self) -> np.ndarray:
        return self._answers(self.source, self.tokens)

    def _answers(self, engine: Engine, tokens: Tokens) -> np.ndarray:
        return predict_logits(engine, tokens, self.pad_id, longest=self.max_length)

    def _batch_flips(self, engine: Engine) -> tuple[int, int]:
        """How many texts are classified both alone and among others, and how many get two different labels."""
        rows = np.random.default_rng(0).permutation(len(self.tokens))[:_INVARIANCE_TEXTS]
        flips = 0
        with engine.computing():
            for start in range(0, len(rows), COMPANIONS + 1):
                together = rows[start : start + COMPANIONS + 1]
                among = engine.forward(pad(self.tokens, together, self.pad_id)).argmax(axis=1)
                alone = [int(engine.forward(pad(self.tokens, [row], self.pad_id)).argmax()) for row in together]
                flips += int((among != alone).sum())
        return len(rows), flips

    def _documents_per_second(self, engine: Engine) -> list[float]:
        """Of the model and of the export, the faster of two alternating rounds each."""
        rows = np.random.default_rng(1).permutation(len(self.tokens))[:_TIMED_TEXTS]
        chosen = self.tokens.select(rows)
        seconds = [np.inf, np.inf]
        for _ in range(_ROUNDS):
            for place, side in enumerate((self.source, engine)):
                start = time.perf_counter()
                self._answers(side, chosen)
                seconds[place] = min(seconds[place], time.perf_counter() - start)
        return [round(len(rows) / each, 2) for each in seconds]


@dataclass(frozen=True)
class Gate:
    """Lets an export pass if it is as good as the limits ask, and helps an int8 export to OpenVINO to pass.

    Attributes:
        validation: Compares on all validation texts.
        quantisation: Compares on the quantisation texts.
        texts: The same texts.
        precision: Of the export.
        threads: CPU threads of the comparison.
    """

    validation: Referee
    quantisation: Referee
    texts: ExportTexts
    precision: ExportPrecision
    threads: int

    def check_texts(self) -> None:
        """Refuses int8 if there are too few validation texts to judge it.

        Raises:
            DataError: There are too few.
        """
        if self.precision == "int8" and not self._enough:
            raise DataError(self._too_few())

    def passed(self, graph: Graph) -> tuple[Graph, Comparison]:
        """The graph in its precision, and its comparison with the model.

        Without a search nothing was chosen on the validation texts, so all of them judge.

        Args:
            graph: In fp32.

        Raises:
            GateRefused: The export is worse than the limits allow.
        """
        if not self._enough:
            log.warning("export: not judged: %s", self._too_few())
            return graph, self._compared(self.validation, graph)
        made, samples = graph, self.quantisation.single() if self.precision == "int8" else []
        if samples:
            log.info("export: quantising to int8 with %d quantisation texts", len(samples))
            made = graph.quantised(samples)
        comparison = self._compared(self.validation, made)
        # Operators in float do not make a prediction less dependent on the batch.
        excesses = replace(comparison, batch_flips=0).excesses(self._limits)
        if excesses and samples and graph.format == "openvino":
            log.warning("export: int8 exceeds the limits (%s); some operators go back to float", "; ".join(excesses))
            made, comparison = self._restored(graph, samples)
        if comparison.excesses(self._limits):
            raise GateRefused(
                f"The export in {self.precision} is worse than its model on {comparison.texts} validation texts: "
                f"{'; '.join(comparison.excesses(self._limits))}. Nothing was written. {self._advice(graph)}"
            )
        return made, replace(comparison, judged=comparison.texts)

    def _restored(self, graph: Graph, samples: list[Batch]) -> tuple[Graph, Comparison]:
        """Puts operators back to float, and compares on texts that did not choose them: those would judge too mildly.

        One half of the validation texts chooses and the other half judges. Where a half is too small to judge, the
        quantisation texts choose and all validation texts judge.
        """
        searched, judged = self.texts.halves()
        search, judge = self.quantisation, self.validation
        if min(len(searched), len(judged)) >= self._limits.fewest_texts:
            search, judge = self.validation.on(searched), self.validation.on(judged)
        made = graph.restored(samples, search.batches(_RANKED_BATCH), search.score)
        return made, replace(self._compared(judge, made), searched=len(search.labels))

    @property
    def _limits(self) -> Limits:
        return self.validation.limits

    @property
    def _enough(self) -> bool:
        return len(self.texts.validation) >= self._limits.fewest_texts

    def _too_few(self) -> str:
        fewest, flips = self._limits.fewest_texts, self._limits.flips
        return (
            f"{counted(len(self.texts.validation), 'validation text')} cannot judge an export. Of fewer than {fewest} "
            f"texts, one flipped label is more than the limit of {flips:.2%}. Give {rows_for(fewest)} or more labelled "
            "texts (--data), or allow more flips (--max-flips)."
        )

    def _compared(self, referee: Referee, graph: Graph) -> Comparison:
        native = self.precision == "int8" and graph.format == "openvino"
        return referee.compare(graph.engine(self.threads, openvino_dtype() if native else "fp32"))

    def _advice(self, graph: Graph) -> str:
        if self.precision == "fp32":
            return "Try another --format, or allow more (--max-flips and the other limits)."
        other = "" if graph.format == "openvino" else "use --format openvino, which puts operators back to float, "
        return f"Export in fp32, {other}give quantisation texts that are more like yours (--data), or allow more."
