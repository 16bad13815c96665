from __future__ import annotations

import pytest

from understudy.reporting import formats


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.0213, "0.0213"),
        (9.6, "9.60"),
        (9.996, "10.0"),
        (81.34, "81.3"),
        (201.7, "202"),
        (12345.6, "12,346"),
    ],
)
def test_significant(value: float, text: str) -> None:
    assert formats.significant(value) == text


@pytest.mark.parametrize(("value", "text"), [(None, "-"), (float("nan"), "-"), (0, "0"), (1500, "1.5 k")])
def test_what_nobody_knows_is_a_dash(value: float | None, text: str) -> None:
    assert formats.known(value, formats.count) == text


@pytest.mark.parametrize(
    ("fraction", "text"),
    [
        (0.98914, "98.9 %"),
        (1.0133, "101.3 %"),
        (0.0, "0.0 %"),
        (0.0125, "1.2 %"),
        (0.000187, "0.019 %"),
        (23.4, "2,340 %"),
    ],
)
def test_percent(fraction: float, text: str) -> None:
    assert formats.percent(fraction) == text


@pytest.mark.parametrize(
    ("ratio", "text"),
    [(1.899, "1.9x"), (1.0, "1.0x"), (0.97, "0.97x"), (0.526, "0.53x"), (99.96, "100x"), (754_004, "754,004x")],
)
def test_times(ratio: float, text: str) -> None:
    assert formats.times(ratio) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [(812, "812"), (20_482, "20.5 k"), (66_955_010, "67.0 M"), (999_960, "1.0 M"), (1_340_000_000, "1.3 B")],
)
def test_count(number: int, text: str) -> None:
    assert formats.count(number) == text


def test_size() -> None:
    assert [formats.size(number) for number in (12, 83_912, 437_951_328, 2 * 10**9)] == [
        "12 B",
        "83.9 kB",
        "438.0 MB",
        "2.0 GB",
    ]


def test_times_of_one_line_share_a_unit() -> None:
    assert formats.milliseconds(9.6, 11.3) == "9.60 / 11.3 ms"
    assert formats.milliseconds(1210.0, 637.0) == "1.21 / 0.637 s"
    assert formats.milliseconds(999.6) == "1.00 s"


def test_differences_and_p_values() -> None:
    assert formats.points_interval((-0.0188, 0.0688)) == "[-1.88, +6.88]"
    assert formats.points(-0.0000001) == "+0.00"
    assert [formats.p_value(p) for p in (0.3877, 0.001, 0.00099)] == ["p = 0.388", "p = 0.001", "p < 0.001"]


def test_score_and_ratio() -> None:
    assert [formats.score(value) for value in (0.92114, None)] == ["0.9211", "-"]
    assert [formats.ratio(value) for value in (1.617, 2779.6)] == ["1.62", "2,780"]
