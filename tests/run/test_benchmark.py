"""The benchmark of a finished run: which models are measured, what is left out and why, and what is written."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from understudy.errors import DataError, GateRefused, MissingExtra, RunDirectoryError, UserError
from understudy.inference import openvino_engine
from understudy.inference.encoders import TransformersClassifier
from understudy.inference.ngrams import LinearClassifier
from understudy.inference.opening import open_classifier
from understudy.recipe.recipe import Recipe
from understudy.run import benchmark as module
from understudy.run import contenders
from understudy.run.benchmark import benchmark
from understudy.runtime.hardware import Hardware
from understudy.storage.layout import RunDirectory
from understudy.timing.figures import Benchmark
from understudy.timing.speed import BATCH

FEW: dict[str, Any] = {"device": "cpu", "threads": 1, "texts": 8, "latency_texts": 3, "rounds": 1}
PYTORCH = [
    ("teacher", "PyTorch fp32, padded"),
    ("teacher", "PyTorch fp32"),
    ("student", "PyTorch fp32, padded"),
    ("student", "PyTorch fp32"),
]
CONTROLS = [
    ("no distillation (control)", "PyTorch fp32"),
    ("linear (control)", "n-grams"),
    ("frozen (control)", "PyTorch fp32"),
]


@pytest.fixture(autouse=True)
def _fp32_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Hardware, "_native_dtype", lambda _: "fp32")
    monkeypatch.setattr("understudy.inference.exported.openvino_dtype", lambda: "fp32")


@pytest.fixture(scope="module")
def exported(finished: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with an export, to be copied."""
    from understudy.exporting.export import export

    run = tmp_path_factory.mktemp("exported") / "run"
    shutil.copytree(finished.out, run)
    export(run, "fp32", threads=1)
    return run


@pytest.fixture
def run(exported: Path, tmp_path: Path) -> Path:
    shutil.copytree(exported, tmp_path / "run")
    return tmp_path / "run"


def sides(found: Benchmark) -> list[tuple[str, str]]:
    return [(each.side.label, each.side.way) for each in found.measurements]


def with_recipe(run: Path, **teacher: Any) -> None:
    recipe = Recipe.load(run / "recipe.toml")
    changed = recipe.model_copy(update={"teacher": recipe.teacher.model_copy(update=teacher)})
    (run / "recipe.toml").write_text(changed.to_toml(), encoding="utf-8")


def test_every_model_in_every_runtime(run: Path) -> None:
    found = benchmark(run, exports=["fp32"], **FEW)
    assert sides(found) == [*PYTORCH, ("student", "OpenVINO fp32"), *CONTROLS]
    assert found.skipped == ()
    assert (found.texts, found.latency_texts, found.rounds, found.threads, found.max_length) == (8, 3, 1, 1, 16)
    assert {"python", "torch", "transformers", "openvino"} <= set(found.versions)
    for each in found.measurements:
        assert each.documents_per_second > 0 and each.million_texts.hours > 0 and each.side.bytes > 0
        assert (each.latency_ms is None) == each.side.padded
        assert (run / each.side.folder).is_dir()
        if each.latency_ms is not None:
            assert 0 < each.latency_ms.p50 <= each.latency_ms.p95 <= each.latency_ms.p99
    assert found.reference is not None and found.reference.speedup == 1.0


def test_figures_and_chart_are_kept(run: Path) -> None:
    class Run:
        def __fspath__(self) -> str:
            return str(run)

    layout = RunDirectory(run)
    found = benchmark(Run(), exports=[], **FEW)
    assert Benchmark.load(layout.benchmark) == found
    assert layout.benchmark_plot.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


@pytest.mark.acceptance
def test_a_fast_type_is_measured_next_to_fp32(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Hardware, "_native_dtype", lambda _: "bf16")
    found = sides(benchmark(run, exports=[], **FEW))
    assert ("teacher", "PyTorch bf16") in found and ("no distillation (control)", "PyTorch bf16") in found
    assert ("teacher", "PyTorch bf16, padded") not in found


@pytest.mark.acceptance
def test_students_of_the_frontier_are_measured_and_repeats_are_not(run: Path) -> None:
    for name in ("1-8000", "seed-1", ".half-made"):
        shutil.copytree(run / "student", run / "students" / name)
    shutil.copytree(run / "controls" / "linear", run / "students" / "linear")
    found = sides(benchmark(run, exports=[], **FEW))
    assert [side for side in found if side[0].startswith("student ")] == [
        ("student 1-8000", "PyTorch fp32"),
        ("student linear", "n-grams"),
    ]


def test_what_is_measured_is_what_a_user_calls(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, int]] = []
    for kind in (TransformersClassifier, LinearClassifier):

        def spy(self: Any, texts: Any, advance: Any = None, plain: Callable[..., Any] = kind.predict_proba) -> Any:
            asked.append((Path(self.folder).name, len(texts)))
            return plain(self, texts, advance)

        monkeypatch.setattr(kind, "predict_proba", spy)
    shutil.rmtree(run / "export")
    benchmark(run, exports=[], **FEW)
    models = ["teacher", "student", "no_distillation", "linear", "frozen"]
    one_round = [(name, 8) for name in models] + [(name, 1) for name in models for _ in range(4)]
    assert asked == one_round * 2


def test_the_reference_is_a_batch_of_128_padded_to_the_maximum_length(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import BertForSequenceClassification

    shapes = []
    forward = BertForSequenceClassification.forward

    def spy(model: Any, **inputs: Any) -> Any:
        shapes.append(tuple(inputs["input_ids"].shape))
        return forward(model, **inputs)

    monkeypatch.setattr(BertForSequenceClassification, "forward", spy)
    shutil.rmtree(run / "export")
    benchmark(run, exports=[], **FEW)
    assert shapes.count((BATCH, 16)) == 4  # teacher and student, the warm-up and one round


# Committees, and teachers with given scores


@pytest.mark.acceptance
def test_a_committee_is_all_of_its_members(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.move(run / "teacher", run / "members")
    shutil.copytree(run / "members", run / "teacher" / "1")
    shutil.copytree(run / "controls" / "linear", run / "teacher" / "2")
    with_recipe(run, model=["an-encoder", "linear"])
    found = benchmark(run, exports=[], **FEW)
    assert sides(found)[:2] == PYTORCH[:2]
    padded, plain = found.measurements[:2]
    assert padded.side.folder == plain.side.folder == "teacher"
    linear = next(each.side for each in found.measurements if each.side.name == "linear")
    alone = open_classifier(run / "teacher" / "1").size.bytes
    assert plain.side.bytes == alone + linear.bytes


@pytest.mark.acceptance
def test_a_teacher_whose_scores_were_given_has_no_speed(run: Path) -> None:
    with_recipe(run, scores="scores.csv")
    found = benchmark(run, exports=[], **FEW)
    assert sides(found)[:2] == PYTORCH[2:]
    assert [(each.name, each.runtime) for each in found.skipped] == [("teacher", "PyTorch")]
    assert "scores were given" in found.skipped[0].reason
    assert found.reference is None and all(each.speedup is None for each in found.measurements)


# Exports


def test_missing_exports_are_made_and_others_are_not(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[Any, ...]] = []
    monkeypatch.setattr(contenders, "export", lambda *asked, **options: made.append((*asked, options)))
    benchmark(run, exports=["fp32", "int8"], **FEW)
    assert made == [(run, "int8", {"threads": 1})]


def test_no_export_is_made_unless_it_is_asked_for(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contenders, "export", lambda *_, **__: pytest.fail("an export was made"))
    shutil.rmtree(run / "export")
    assert sides(benchmark(run, exports=[], **FEW)) == [*PYTORCH, *CONTROLS]


@pytest.mark.acceptance
def test_an_export_of_an_earlier_student_is_made_again(run: Path) -> None:
    path = run / "student" / "config.json"
    path.write_text(path.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    found = benchmark(run, exports=["fp32"], **FEW)
    assert ("student", "OpenVINO fp32") in sides(found)
    assert found.skipped == ()


@pytest.mark.parametrize("error", [GateRefused("it flips labels."), MissingExtra("nncf", "distill", "Quantising")])
def test_an_export_that_cannot_be_made_is_left_out(
    error: Exception, run: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(contenders, "export", refuse)
    found = benchmark(run, exports=["int8"], **FEW)
    (skipped,) = found.skipped
    assert (skipped.name, skipped.runtime, skipped.reason) == ("student", "OpenVINO int8", str(error))
    assert f"benchmark: left out student (OpenVINO int8): {error}" in caplog.messages
    assert Benchmark.load(run / "benchmark.json").skipped == (skipped,)


def test_an_export_whose_runtime_is_not_installed_is_left_out(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise MissingExtra("openvino", "distill", "The engine openvino")

    monkeypatch.setattr(openvino_engine, "_openvino", missing)
    found = benchmark(run, exports=[], **FEW)
    assert sides(found) == [*PYTORCH, *CONTROLS]
    (skipped,) = found.skipped
    assert (skipped.name, skipped.runtime) == ("export/fp32", "openvino")
    assert "'openvino', which is not installed" in skipped.reason


def test_an_export_of_another_model_is_left_out(run: Path) -> None:
    path = run / "export" / "fp32" / "understudy.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**content, "source": {"digest": "another"}}), encoding="utf-8")
    found = benchmark(run, exports=[], **FEW)
    assert [each.name for each in found.skipped] == ["export/fp32"]
    assert "made from a model that is not in the run" in found.skipped[0].reason


@pytest.mark.parametrize("content", ["{", '{"schema_version": 1}', '{"schema_version": 9}'])
def test_an_export_that_is_damaged_is_left_out(content: str, run: Path) -> None:
    (run / "export" / "fp32" / "understudy.json").write_text(content, encoding="utf-8")
    found = benchmark(run, exports=[], **FEW)
    assert [each.name for each in found.skipped] == ["export/fp32"]


# What cannot be measured at all


def test_a_folder_without_a_run(tmp_path: Path) -> None:
    with pytest.raises(RunDirectoryError, match=r"holds no run: expected recipe\.toml in it"):
        benchmark(tmp_path)


def test_a_run_that_is_not_finished(run: Path) -> None:
    (run / "metrics.json").unlink()
    with pytest.raises(
        RunDirectoryError, match=r"is not finished: it has no metrics\.json\. Resume it: understudy run .* --out"
    ):
        benchmark(run, **FEW)


def test_sources_that_are_gone(run: Path, tmp_path: Path) -> None:
    gone = tmp_path / "gone.csv"
    recipe = Recipe.load(run / "recipe.toml")
    changed = recipe.model_copy(update={"data": recipe.data.model_copy(update={"test": str(gone)})})
    (run / "recipe.toml").write_text(changed.to_toml(), encoding="utf-8")
    with pytest.raises(DataError) as error:
        benchmark(run, **FEW)
    assert str(gone) in str(error.value)
    assert "Put them back" in str(error.value)


@pytest.mark.parametrize("name", ["texts", "latency_texts", "rounds"])
def test_counts_start_at_one(name: str, run: Path) -> None:
    with pytest.raises(UserError, match=rf"^{name.replace('_', '-')} = 0: expected a whole number from 1"):
        benchmark(run, **{name: 0})


def test_an_unknown_precision_is_refused(run: Path) -> None:
    with pytest.raises(UserError, match="exports: got 'fp8', expected fp32 or int8"):
        benchmark(run, exports=["fp8"])  # type: ignore[list-item]


@pytest.mark.acceptance
def test_a_small_test_set_is_used_whole(run: Path) -> None:
    found = benchmark(run, exports=[], **{**FEW, "texts": 1000, "latency_texts": 500})
    assert (found.texts, found.latency_texts) == (60, 60)


# Side effects


def test_tokenizers_get_no_more_threads_and_then_are_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAYON_NUM_THREADS", raising=False)
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "true")
    with module._tokenizers_limited_to(1):
        assert (os.environ["RAYON_NUM_THREADS"], os.environ["TOKENIZERS_PARALLELISM"]) == ("1", "true")
    assert "RAYON_NUM_THREADS" not in os.environ
    assert os.environ["TOKENIZERS_PARALLELISM"] == "true"


@pytest.mark.acceptance
def test_another_student_makes_the_figures_stale(finished_copy: Any, make_recipe: Callable[..., Recipe]) -> None:
    from understudy.run.pipeline import distill

    layout = RunDirectory(finished_copy.out)
    for path in (layout.benchmark, layout.benchmark_plot):
        path.write_text("{}", encoding="utf-8")
    recipe = make_recipe(student={"layers": 1}, evaluation={"controls": []})
    distill(recipe, finished_copy.out, device="cpu", cache_dir=finished_copy.cache)
    assert not layout.benchmark.exists() and not layout.benchmark_plot.exists()
