"""What a benchmark found: `benchmark.json` as frozen dataclasses, one field a key."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from understudy.errors import RunDirectoryError
from understudy.evaluation.tradeoff import Role
from understudy.runtime.hardware import Dtype
from understudy.storage.files import write_json
from understudy.storage.layout import SCHEMA_VERSION
from understudy.storage.records import read_record

Runtime = Literal["pytorch", "openvino", "onnxruntime", "ngrams"]
Precision = Literal["fp32", "bf16", "fp16", "int8"]

_NAMES = {"pytorch": "PyTorch", "openvino": "OpenVINO", "onnxruntime": "ONNX Runtime", "ngrams": "n-grams"}


@dataclass(frozen=True)
class Percentiles:
    """Milliseconds from one text to its probabilities, over all texts and rounds."""

    p50: float
    p95: float
    p99: float


@dataclass(frozen=True)
class Cost:
    """What a million texts like these take.

    Attributes:
        hours: On this machine.
        core_hours: Those times the CPU threads that are kept busy; None on another device than a CPU.
    """

    hours: float
    core_hours: float | None


@dataclass(frozen=True)
class Side:
    """What is measured: a model in a runtime.

    Attributes:
        name: `teacher`, `student`, the name of a control or of another student of the frontier.
        role: What the model is.
        folder: Where it was opened, relative to the run directory.
        runtime: What computes it.
        precision: Of its weights and matrix products.
        dtype: Compute type of what is not quantised.
        device: Where it is computed.
        threads: CPU threads that it may use.
        bytes: Size of its weights.
        padded: Whether it is the original's way of measuring: batches of 128 padded to the maximum length.
    """

    name: str
    role: Role
    folder: str
    runtime: Runtime
    precision: Precision
    dtype: Dtype
    device: str
    threads: int
    bytes: int
    padded: bool = False

    @property
    def label(self) -> str:
        """The model, for people."""
        name = self.name.replace("_", " ")
        if self.role == "control":
            return f"{name} (control)"
        return f"student {name}" if self.role == "student" and name != "student" else name

    @property
    def way(self) -> str:
        """How it is computed, for people."""
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
        documents_per_second: Of many texts at once; the median of the rounds.
        each_round: The same, one value a round.
        speedup: `documents_per_second` / that of the teacher's reference; None where the teacher is no model.
        latency_ms: One text at a time; None for a reference, which is measured in batches only.
        million_texts: What they take at this rate.
    """

    side: Side
    documents_per_second: float
    each_round: tuple[float, ...]
    speedup: float | None
    latency_ms: Percentiles | None
    million_texts: Cost


@dataclass(frozen=True)
class Skipped:
    """What could not be measured.

    Attributes:
        name: The side, or the folder of an export.
        runtime: What would have computed it.
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
        device: Where PyTorch computed; exports run on the CPU.
        threads: CPU threads of every side but the n-grams, which use one.
        versions: Of the packages that computed.
        max_length: Tokens to which the reference is padded.
        texts: Test texts behind the documents per second.
        latency_texts: Test texts behind the latencies.
        rounds: How often each side was timed, after a round of warm-up.
        measurements: One a side, the teacher's reference first where there is one.
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
        """What the speedups are against; None where the teacher is no model."""
        return next((each for each in self.measurements if each.side.name == "teacher" and each.side.padded), None)

    @property
    def fastest_student(self) -> Measurement:
        """The student's fastest way to answer texts, by documents per second."""
        fastest = self.fastest("student")
        assert fastest is not None  # a run has a student
        return fastest

    def fastest(self, role: Literal["teacher", "student"]) -> Measurement | None:
        """The teacher's or the student's fastest way, not padded; None where it has none."""
        own = (each for each in self.measurements if each.side.name == each.side.role == role and not each.side.padded)
        return max(own, key=lambda each: each.documents_per_second, default=None)

    def ways(self) -> list[str]:
        """How each side is computed, for people; where two exports share a name, with their folders."""
        names = [(each.side.name, each.side.role, each.side.way) for each in self.measurements]
        return [
            each.side.way + (f" ({Path(each.side.folder).name})" if names.count(name) > 1 else "")
            for each, name in zip(self.measurements, names, strict=True)
        ]

    def to_json(self) -> dict[str, object]:
        """What `benchmark.json` holds."""
        return {"schema_version": SCHEMA_VERSION, **dataclasses.asdict(self)}

    def save(self, path: Path) -> None:
        write_json(path, self.to_json())

    @classmethod
    def load(cls, path: Path) -> Benchmark:
        """Reads `benchmark.json`.

        Raises:
            RunDirectoryError: it is missing, or another schema than this version's.
        """
        measure = f"Measure first: understudy benchmark {path.parent}"
        missing = f"nothing was measured yet. {measure}"
        return read_record(cls, path, error=RunDirectoryError, missing=missing, remedy=measure)
