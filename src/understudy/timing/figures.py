"""The results of a benchmark: `benchmark.json` as frozen dataclasses, one field per key."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from understudy.errors import RunDirectoryError
from understudy.evaluation.tradeoff import Role
from understudy.runtime.hardware import Dtype
from understudy.storage.files import write_json
from understudy.storage.layout import SCHEMA_VERSION
from understudy.storage.records import read_record
from understudy.timing.turns import Readings

Runtime = Literal["pytorch", "openvino", "onnxruntime", "ngrams"]
MeasuredPrecision = Literal["fp32", "bf16", "fp16", "int8"]

_NAMES = {"pytorch": "PyTorch", "openvino": "OpenVINO", "onnxruntime": "ONNX Runtime", "ngrams": "n-grams"}
_MILLION = 1_000_000


@dataclass(frozen=True)
class Percentiles:
    """Milliseconds from one text to its probabilities, over all texts and rounds."""

    p50: float
    p95: float
    p99: float


@dataclass(frozen=True)
class Cost:
    """The time that a million texts like these take.

    Attributes:
        hours: On this machine.
        core_hours: `hours` times the CPU threads; None on other devices.
    """

    hours: float
    core_hours: float | None


@dataclass(frozen=True)
class Side:
    """What is measured: a model in a runtime.

    Attributes:
        name: `teacher`, `student`, or the name of a control or of another student of the frontier.
        role: Whether the model is a teacher, a student or a control.
        folder: The model's folder, relative to the run directory.
        runtime: What runs the model.
        precision: Precision of its weights and matrix products.
        dtype: Compute type of everything that is not quantised.
        device: Where it runs.
        threads: CPU threads that it may use.
        bytes: Size of its weights.
        padded: Whether a batch of 128 texts is padded to the maximum length, as in the original notebook.
    """

    name: str
    role: Role
    folder: str
    runtime: Runtime
    precision: MeasuredPrecision
    dtype: Dtype
    device: str
    threads: int
    bytes: int
    padded: bool = False

    @property
    def label(self) -> str:
        """The model's name, for people."""
        name = self.name.replace("_", " ")
        if self.role == "control":
            return f"{name} (control)"
        return f"student {name}" if self.role == "student" and name != "student" else name

    @property
    def way(self) -> str:
        """Runtime and precision, for people."""
        if self.runtime == "ngrams":
            return _NAMES[self.runtime]
        way = f"{_NAMES[self.runtime]} {self.precision}"
        if self.precision == "int8" and self.dtype != "fp32":
            way += f" + {self.dtype}"
        return f"{way}, padded" if self.padded else way


@dataclass(frozen=True)
class Measurement:
    """How fast a side is.

    Attributes:
        side: What was measured.
        documents_per_second: Texts per second in bulk; the median of the rounds.
        each_round: Texts per second in bulk, one value per round.
        speedup: `documents_per_second` / that of the teacher's padded batches; None if the teacher's scores were given.
        latency_ms: Milliseconds for one text at a time; None for padded batches.
        million_texts: The time that a million texts take at this rate.
    """

    side: Side
    documents_per_second: float
    each_round: tuple[float, ...]
    speedup: float | None
    latency_ms: Percentiles | None
    million_texts: Cost

    @classmethod
    def of(cls, side: Side, readings: Readings, reference: Readings | None) -> Measurement:
        """What the readings of a side say.

        Args:
            side: What was measured.
            readings: Its times.
            reference: The times that the speedup is against; None for no speedup.
        """
        rate = readings.documents_per_second
        hours = _MILLION / rate / 3600
        return cls(
            side=side,
            documents_per_second=round(rate, 2),
            each_round=tuple(round(each, 2) for each in readings.each_round),
            speedup=None if reference is None else round(rate / reference.documents_per_second, 3),
            latency_ms=_percentiles(readings),
            million_texts=Cost(round(hours, 4), round(hours * side.threads, 4) if side.device == "cpu" else None),
        )


def measurements(readings: Mapping[Side, Readings]) -> tuple[Measurement, ...]:
    """One measurement per side, in their order. Speedups are against the teacher's padded batches."""
    padded = (found for side, found in readings.items() if side.role == "teacher" and side.padded)
    reference = next(padded, None)
    return tuple(Measurement.of(side, found, reference) for side, found in readings.items())


def _percentiles(readings: Readings) -> Percentiles | None:
    if not readings.single:
        return None
    p50, p95, p99 = (round(value, 3) for value in readings.latency_ms(50, 95, 99))
    return Percentiles(p50, p95, p99)


@dataclass(frozen=True)
class Skipped:
    """A model that could not be measured.

    Attributes:
        name: The model's name, or the folder of an export.
        runtime: The runtime that was to run it.
        reason: Why it was left out.
    """

    name: str
    runtime: str
    reason: str


@dataclass(frozen=True)
class Benchmark:
    """All of `benchmark.json`: teacher, students and controls in every runtime, measured in turn on one machine.

    Attributes:
        machine: Processor, cores, system.
        device: Where PyTorch ran; exports run on the CPU.
        threads: CPU threads of every side except the n-grams, which use one.
        versions: Versions of Python and of the packages.
        max_length: Tokens to which batches are padded.
        texts: Test texts answered in bulk.
        latency_texts: Test texts answered one at a time.
        rounds: Counted rounds, after one warm-up round.
        measurements: One per side; the teacher's padded batches come first, if there is a teacher.
        skipped: What was left out.
    """

    machine: dict[str, str | int]
    device: str
    threads: int
    versions: dict[str, str]
    max_length: int
    texts: int
    latency_texts: int
    rounds: int
    measurements: tuple[Measurement, ...]
    skipped: tuple[Skipped, ...]

    @property
    def reference(self) -> Measurement | None:
        """The teacher's padded batches, which speedups are against; None if the teacher's scores were given."""
        return next((each for each in self.measurements if each.side.name == "teacher" and each.side.padded), None)

    @property
    def fastest_student(self) -> Measurement:
        """The student in its fastest runtime, by documents per second."""
        fastest = self.fastest("student")
        assert fastest is not None  # a run has a student
        return fastest

    def fastest(self, role: Literal["teacher", "student"]) -> Measurement | None:
        """The teacher or the student in its fastest runtime, padded batches left out; None if it was not measured."""
        own = (each for each in self.measurements if each.side.name == each.side.role == role and not each.side.padded)
        return max(own, key=lambda each: each.documents_per_second, default=None)

    def ways(self) -> list[str]:
        """Runtime and precision of each side, for people; exports that would share a name get their folder's name."""
        names = [(each.side.name, each.side.role, each.side.way) for each in self.measurements]
        return [
            each.side.way + (f" ({Path(each.side.folder).name})" if names.count(name) > 1 else "")
            for each, name in zip(self.measurements, names, strict=True)
        ]

    def to_json(self) -> dict[str, object]:
        """The content of `benchmark.json`."""
        return {"schema_version": SCHEMA_VERSION, **dataclasses.asdict(self)}

    def save(self, path: Path) -> None:
        write_json(path, self.to_json())

    @classmethod
    def load(cls, path: Path) -> Benchmark:
        """Reads `benchmark.json`.

        Raises:
            RunDirectoryError: It is missing, or another schema than this version's.
        """
        measure = f"Measure first: understudy benchmark {path.parent}"
        missing = f"nothing was measured yet. {measure}"
        return read_record(cls, path, error=RunDirectoryError, missing=missing, remedy=measure)
