from __future__ import annotations

import dataclasses
import io
from typing import Any

import pytest
from rich.console import Console

from understudy.evaluation.results import Abstention, Answered, Controls, Metrics, Verdict
from understudy.reporting.terminal import show_metrics


def shown(metrics: Metrics, title: str = "a run", **options: Any) -> str:
    file = io.StringIO()
    show_metrics(metrics, Console(file=file, **options), title)
    return file.getvalue()


def cells(output: str, row: str) -> list[str]:
    """The cells of a row, which at least two blanks separate."""
    (line,) = [line for line in output.splitlines() if line.strip().startswith(f"{row}  ")]
    return [cell.strip() for cell in line.split("  ") if cell.strip()][1:]


def joined(output: str) -> str:
    return " ".join(output.split())


def test_rows_hold_both_models_their_ratio_and_the_controls(imdb: Metrics) -> None:
    output = shown(imdb)
    assert cells(output, "accuracy") == ["0.9211", "0.9111", "98.9 % [98.6, 99.2]", "0.9063", "0.8931"]
    assert cells(output, "F1") == ["0.9210", "0.9106", "98.9 % [98.5, 99.2]", "0.9060", "0.8934"]
    assert cells(output, "AUC") == ["0.9748", "0.9702", "99.5 %", "0.9688", "0.9581"]
    assert cells(output, "ECE") == ["0.0213", "0.0187", "0.88x", "0.0342", "0.0419"]
    assert cells(output, "parameters") == ["109.5 M", "67.0 M", "61.2 %", "67.0 M", "1.2 M"]
    assert cells(output, "size") == ["438.0 MB", "267.8 MB", "61.2 %", "267.8 MB", "14.5 MB"]
    assert cells(output, "documents / s") == ["104", "202", "1.9x", "-", "-"]
    assert cells(output, "latency p50") == ["9.60 ms", "5.10 ms", "0.53x", "-", "-"]


def test_below_the_table_stand_the_findings_the_verdict_and_the_recommendation(imdb: Metrics) -> None:
    output = joined(shown(imdb))
    findings = (
        "retention accuracy 98.9 % [98.6, 99.2], F1 98.9 % [98.5, 99.2] (95 % intervals)",
        "distillation gain +0.48 points of accuracy [+0.18, +0.78], p = 0.002",
        "agreement 95.5 % of the test texts get the same label",
        "speedup 1.9x on batches of 128 padded to 256 tokens, teacher / student 1.21 / 0.637 s "
        "(cuda (Tesla T4), 2 threads, float16)",
        "efficiency ratio 1.62 (accuracy retention / parameter fraction)",
        f"verdict REPLACE, distillation helped {imdb.verdict.text}",
    )
    places = [output.find(finding) for finding in findings]
    assert -1 not in places
    assert places == sorted(places)
    found = imdb.recommendation
    assert found is not None
    assert output.endswith(
        f"{imdb.verdict.text} recommendation Ship the student (student), test accuracy 0.9111. {found.reason} "
        f"next step {found.next_step}"
    )
    assert output.count(imdb.verdict.text) == 1


def test_figures_of_an_earlier_version_end_in_the_verdict(scores_given: Metrics) -> None:
    assert joined(shown(scores_given)).endswith(scores_given.verdict.text)


def test_a_threshold_has_a_line(imdb: Metrics) -> None:
    assert "abstention" not in shown(imdb)
    found = Abstention(0.98, 0.8731, Answered(0.9812, 0.9), Answered(0.9787, 0.884))
    assert (
        "abstention --threshold 0.8731 answers 88.4 % of the test texts, 97.9 % of them correctly; it was chosen for "
        "98 % on the validation texts (90.0 % answered, 98.1 % correct)"
    ) in joined(shown(dataclasses.replace(imdb, abstention=found)))
    nobody = dataclasses.replace(found, test=Answered(None, 0.0))
    assert "--threshold 0.8731 answers no test text;" in joined(shown(dataclasses.replace(imdb, abstention=nobody)))
    nothing = Abstention(0.995, None, Answered(None, 0.0), Answered(None, 0.0))
    assert "abstention no threshold reaches 99.5 % correct answers on the validation texts" in joined(
        shown(dataclasses.replace(imdb, abstention=nothing))
    )


def test_several_seeds_have_a_line(seeded: Metrics) -> None:
    output = joined(shown(seeded))
    assert (
        "3 seeds student accuracy 0.9109 (sd 0.0027, 0.9081 to 0.9135); control accuracy 0.9032 (sd 0.0027, 0.9012 to "
        "0.9063); gain +0.77 points [+0.31, +1.23], p < 0.001; retention 98.9 % [98.4, 99.4] agreement"
    ) in output
    assert "distillation gain +0.48 points" in output  # the shipped student's


def test_several_seeds_without_a_control(seeded: Metrics) -> None:
    assert seeded.seeds is not None
    seeds = dataclasses.replace(seeded.seeds, control_accuracy=None, gain=None)
    output = joined(shown(dataclasses.replace(seeded, seeds=seeds)))
    assert "3 seeds student accuracy 0.9109 (sd 0.0027, 0.9081 to 0.9135); retention 98.9 %" in output


def test_one_seed_has_no_line(imdb: Metrics) -> None:
    assert "seed" not in shown(imdb)


def test_plain_text_without_a_terminal(case: Any) -> None:
    lines = shown(case.metrics, case.title).splitlines()
    assert lines[0].strip() == case.title
    assert "\x1b" not in "".join(lines)
    assert max(len(line.rstrip()) for line in lines) > 80
    assert max(map(len, lines)) <= 100


@pytest.mark.parametrize("width", [60, 80, 120])
def test_no_figure_is_cut_at_any_width(case: Any, width: int) -> None:
    output = shown(case.metrics, width=width, force_terminal=True, color_system=None)
    assert "…" not in output
    assert max(map(len, output.splitlines())) <= width


def test_a_narrow_terminal_gets_the_intervals_below_the_table_only(imdb: Metrics) -> None:
    narrow = shown(imdb, width=80, force_terminal=True, color_system=None)
    assert cells(narrow, "accuracy")[2] == "98.9 %"
    assert "accuracy 98.9 % [98.6, 99.2]" in joined(narrow)


def test_colours_add_nothing_to_the_words(imdb: Metrics) -> None:
    from rich.text import Text

    coloured = shown(imdb, width=120, force_terminal=True, color_system="truecolor")
    assert "\x1b[" in coloured
    assert Text.from_ansi(coloured).plain.split() == shown(imdb, width=120).split()


def test_controls_that_were_left_out_have_no_column(imdb: Metrics) -> None:
    without = shown(dataclasses.replace(imdb, controls=Controls(), distillation_gain=None))
    assert cells(without, "accuracy") == ["0.9211", "0.9111", "98.9 % [98.6, 99.2]"]
    assert "distillation gain not measured: there is no control without distillation" in joined(without)
    assert "linear" not in without
    half = shown(dataclasses.replace(imdb, controls=Controls(linear=imdb.controls.linear)))
    assert cells(half, "accuracy") == ["0.9211", "0.9111", "98.9 % [98.6, 99.2]", "0.8931"]


def test_what_has_no_ratio_has_a_dash(imdb: Metrics) -> None:
    teacher = dataclasses.replace(imdb.teacher, auc=None, ece=0.0)
    output = shown(dataclasses.replace(imdb, teacher=teacher, controls=Controls()))
    assert cells(output, "AUC") == ["-", "0.9702", "-"]
    assert cells(output, "ECE") == ["0.0000", "0.0187", "-"]


def test_what_nobody_knows_of_a_teacher_has_a_dash_and_is_said_in_words(scores_given: Metrics) -> None:
    output = shown(scores_given)
    assert cells(output, "accuracy")[:3] == ["0.9211", "0.9111", "98.9 % [98.6, 99.2]"]
    assert cells(output, "parameters") == ["-", "67.0 M", "-", "67.0 M", "1.2 M"]
    assert cells(output, "size") == ["-", "267.8 MB", "-", "267.8 MB", "14.5 MB"]
    assert cells(output, "documents / s") == ["-", "202", "-", "-", "-"]
    assert cells(output, "latency p50") == ["-", "5.10 ms", "-", "-", "-"]
    assert (
        "speedup unknown: only the teacher's scores were given; the student takes 637 ms for a batch of 128 "
        "padded to 256 tokens (cuda (Tesla T4), 2 threads, float16)"
    ) in joined(output)
    assert "efficiency ratio unknown: the teacher's size is unknown" in joined(output)


def test_brackets_are_not_markup(imdb: Metrics) -> None:
    verdict = Verdict("keep_teacher", "hurt", "See [bold]this[/bold] and [link].")
    speed = dataclasses.replace(imdb.speed, device="[red]cpu", threads=1)
    output = shown(dataclasses.replace(imdb, verdict=verdict, speed=speed), title="[italic]run")
    assert output.startswith("[italic]run")
    assert "KEEP TEACHER, distillation hurt See [bold]this[/bold] and [link]." in joined(output)
    assert "([red]cpu, 1 thread, float16)" in joined(output)


def test_an_ascii_stream_gets_ascii(imdb: Metrics) -> None:
    raw = io.BytesIO()
    with io.TextIOWrapper(raw, encoding="ascii") as file:
        show_metrics(imdb, Console(file=file), "a run")
        file.flush()
        output = raw.getvalue().decode("ascii")
    assert "98.9 % [98.6, 99.2]" in output
