"""Metrics for the tests of reports, ordinary and extreme.

`case` goes through all of them; `imdb` and `seeded` are two of them. `run` has the metrics of
`imdb` and everything else that a card needs.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cards import Run
from understudy.evaluation.results import (
    BatchTime,
    Compared,
    Controls,
    Gain,
    Latency,
    Metrics,
    ModelMetrics,
    ModelSpeed,
    Recommendation,
    Retention,
    SeedResult,
    Seeds,
    Speed,
    Spread,
    Verdict,
)

LONG_VERDICT = (
    "Keep the teacher for now: the student keeps between 41.2 % and 63.9 % of its accuracy, which is below the 98 % "
    "that the recipe asks for, and the linear control does better than either. More unlabelled texts, a larger student "
    "or a teacher trained on more than one epoch may help; see the disagreements in the report."
)


def model(
    accuracy: float, f1: float, parameters: int, size: int, *, auc: float | None = 0.97, ece: float = 0.02
) -> ModelMetrics:
    return ModelMetrics(
        accuracy, f1, auc, ece, parameters, size, macro_f1=f1 - 0.001, balanced_accuracy=accuracy - 0.002
    )


def metrics(**changes: Any) -> Metrics:
    """The published IMDb table, with made-up figures where it has none."""
    teacher = model(0.9211, 0.9210, 109_483_778, 437_951_328, auc=0.9748, ece=0.0213)
    student = model(0.9111, 0.9106, 66_955_010, 267_832_560, auc=0.9702, ece=0.0187)
    imdb = Metrics(
        teacher=teacher,
        student=student,
        controls=Controls(
            no_distillation=model(0.9063, 0.9060, 66_955_010, 267_832_560, auc=0.9688, ece=0.0342),
            linear=model(0.8931, 0.8934, 1_204_331, 14_451_972, auc=0.9581, ece=0.0419),
        ),
        retention=Retention(0.9891, (0.9858, 0.9925), 0.9887, (0.9851, 0.9923)),
        parameter_fraction=0.6116,
        efficiency_ratio=1.617,
        agreement=0.9552,
        distillation_gain=Gain(0.0048, (0.0018, 0.0078), 0.0021),
        verdict=Verdict(
            "replace",
            "helped",
            "The student can take the teacher's place: it keeps at least 98.6 % of its accuracy, is 1.9x faster on "
            "batches of 128 and 39 % smaller. Distilling helped: +0.48 points over the same student without a teacher.",
        ),
        speed=speed(
            Conditions("cuda (Tesla T4)", 2, "float16", 256), (1210.0, 637.0), (104.2, 9.6, 11.3), (201.7, 5.1, 6.4)
        ),
        seconds={"teacher": 812.0},
        recommendation=Recommendation(
            "student",
            "student",
            0.9111,
            "It is about as accurate as the teacher on 1,000 validation texts (0.9160 against 0.9200) and needs 2.0x "
            "fewer operations per text.",
            "Export it: understudy export RUN. For smaller students, try the frontier: understudy frontier "
            "RUN/recipe.toml --out RUN.",
            {
                "teacher": Compared(0.92, 43_500_000_000, 109_483_778),
                "student": Compared(0.916, 21_700_000_000, 66_955_010),
                "linear": Compared(0.894, 412, 1_204_331),
            },
        ),
    )
    return dataclasses.replace(imdb, **changes)


@dataclass(frozen=True)
class Conditions:
    device: str
    threads: int
    dtype: str
    max_length: int


CPU = Conditions("cpu", 2, "float32", 128)


def speed(
    conditions: Conditions,
    batch: tuple[float, float],
    teacher: tuple[float, float, float],
    student: tuple[float, float, float],
) -> Speed:
    """Speeds from (teacher, student) milliseconds and (documents per second, p50, p95) of each."""
    return Speed(
        **dataclasses.asdict(conditions),
        batch128=BatchTime(*batch),
        speedup=batch[0] / batch[1],
        teacher=ModelSpeed(teacher[0], Latency(*teacher[1:])),
        student=ModelSpeed(student[0], Latency(*student[1:])),
    )


def quickstart() -> Metrics:
    return metrics(
        teacher=model(0.8875, 0.8861, 22_713_986, 90_870_000),
        student=model(0.8750, 0.8718, 12_066_434, 48_280_000),
        controls=Controls(model(0.8500, 0.8462, 12_066_434, 48_280_000), model(0.7937, 0.7871, 9_412, 310_221)),
        retention=Retention(0.9859, (0.9301, 1.0423), 0.9839, (0.9231, 1.0448)),
        parameter_fraction=0.5312,
        efficiency_ratio=1.856,
        agreement=0.9313,
        distillation_gain=Gain(0.025, (-0.0188, 0.0688), 0.3877),
        verdict=Verdict(
            "inconclusive", "unproven", "160 test texts are too few to tell: retention lies in [93.0, 104.2] %."
        ),
        speed=speed(CPU, (2841.0, 1432.0), (81.3, 13.2, 21.7), (158.0, 6.9, 11.4)),
    )


def linear_wins() -> Metrics:
    """The linear control beats both, the student beats the teacher, and is larger and slower."""
    return metrics(
        teacher=model(0.9712, 0.9705, 4_386_178, 17_560_000),
        student=model(0.9841, 0.9839, 4_912_002, 19_660_000),
        controls=Controls(model(0.9690, 0.9688, 4_912_002, 19_660_000), model(0.9968, 0.9967, 6_204_331, 51_204_331)),
        retention=Retention(1.0133, (1.0081, 1.0322), 1.0138, (1.0085, 1.0331)),
        parameter_fraction=1.1199,
        efficiency_ratio=0.905,
        distillation_gain=Gain(0.0151, (0.0092, 0.0210), 0.00002),
        verdict=Verdict("keep_teacher", "helped", "The linear control is better than both."),
        speed=speed(Conditions("cpu", 1, "float32", 64), (311.0, 366.0), (950.0, 0.93, 1.21), (812.0, 1.12, 1.44)),
    )


def no_controls() -> Metrics:
    """No controls, no AUC, and a student that is its teacher."""
    same = model(0.9211, 0.9210, 66_955_010, 267_832_560, auc=None)
    return metrics(
        teacher=same,
        student=same,
        controls=Controls(),
        retention=Retention(1.0, (1.0, 1.0), 1.0, (1.0, 1.0)),
        parameter_fraction=1.0,
        efficiency_ratio=1.0,
        agreement=1.0,
        distillation_gain=None,
        verdict=Verdict(
            "replace", "unproven", "The student equals its teacher. Whether distilling helped was not measured."
        ),
        speed=speed(CPU, (500.0, 500.0), (100.0, 10.0, 12.0), (100.0, 10.0, 12.0)),
    )


def extremes() -> Metrics:
    """A student of 20 thousand parameters that is hardly better than chance, with a verdict of 300 characters."""
    return metrics(
        teacher=model(1.0, 1.0, 109_483_778, 437_951_328, ece=0.0),
        student=model(0.52, 0.3421, 20_482, 83_912, ece=0.41),
        controls=Controls(model(0.0312, 0.0009, 20_482, 83_912), model(0.9999, 0.9999, 812, 6_512)),
        retention=Retention(0.52, (0.412, 0.639), 0.3421, (0.21, 0.447)),
        parameter_fraction=20_482 / 109_483_778,
        efficiency_ratio=2779.6,
        agreement=0.52,
        distillation_gain=Gain(0.4888, (-0.2188, 0.6688), 0.0),
        verdict=Verdict("keep_teacher", "hurt", LONG_VERDICT),
        speed=speed(
            Conditions("cpu", 96, "bfloat16", 8192),
            (912_345.0, 1.21),
            (0.0123, 41_234.5, 98_765.4),
            (123_456.7, 0.0213, 0.9),
        ),
    )


def several_seeds() -> Metrics:
    """The IMDb table with two more seeds."""
    gain = Gain(0.0048, (0.0018, 0.0078), 0.0021)
    return metrics(
        seeds=Seeds(
            repeats=(
                SeedResult(0, 0.9111, 0.9106, 0.9891, 0.9063, gain),
                SeedResult(1, 0.9135, 0.9131, 0.9918, 0.9012, gain),
                SeedResult(2, 0.9081, 0.9079, 0.9859, 0.9021, gain),
            ),
            accuracy=Spread(0.9109, 0.002706, 0.9081, 0.9135),
            f1=Spread(0.9105, 0.0026, 0.9079, 0.9131),
            retention=Spread(0.9889, 0.0030, 0.9859, 0.9918),
            retention_ci95=(0.9843, 0.9941),
            control_accuracy=Spread(0.9032, 0.00272, 0.9012, 0.9063),
            gain=Gain(0.0077, (0.0031, 0.0123), 0.00002),
        )
    )


def long_names() -> Metrics:
    """Dollar signs that must not turn into formulas, a device with a long name, words without spaces."""
    return metrics(
        verdict=Verdict("inconclusive", "hurt", "W" * 170 + " costs $5 or $6 " + "m" * 120),
        speed=dataclasses.replace(
            metrics().speed, device="NVIDIA GeForce RTX 4090 Laptop GPU with a long name, MIG 1g.10gb"
        ),
    )


def scores_given() -> Metrics:
    """A teacher with known scores and no model."""
    imdb = metrics()
    return metrics(
        teacher=dataclasses.replace(imdb.teacher, parameters=None, bytes=None),
        parameter_fraction=None,
        efficiency_ratio=None,
        verdict=Verdict("replace", "helped", "The student can replace the teacher: it keeps 98.9% [98.6%, 99.2%]."),
        recommendation=None,
        speed=dataclasses.replace(imdb.speed, teacher=None, speedup=None, batch128=BatchTime(None, 637.0)),
    )


@dataclass(frozen=True)
class Case:
    name: str
    metrics: Metrics
    title: str


CASES = [
    Case("imdb", metrics(), "imdb"),
    Case("quickstart", quickstart(), "quickstart: MiniLM-L6 taught a three-layer student"),
    Case("linear_wins", linear_wins(), "linear wins"),
    Case("no_controls", no_controls(), "no controls"),
    Case("scores_given", scores_given(), "scores given"),
    Case("extremes", extremes(), "x" * 60),
    Case("several_seeds", several_seeds(), "imdb with three seeds"),
    Case("long_names", long_names(), "A$ WIDE$ TITLE " + "W" * 45),
]


@pytest.fixture(name="scores_given")
def _scores_given() -> Metrics:
    return scores_given()


@pytest.fixture
def imdb() -> Metrics:
    return metrics()


@pytest.fixture
def run(tmp_path: Path, imdb: Metrics) -> Run:
    return Run(tmp_path / "run", imdb)


@pytest.fixture
def seeded() -> Metrics:
    return several_seeds()


@pytest.fixture(params=CASES, ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> Any:
    return request.param
