"""Classifiers in other processes: pickles and copies open the folder again, and so do forked processes."""

from __future__ import annotations

import copy
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import write_model
from understudy.errors import ModelError, UserError
from understudy.inference.classifier import Classifier
from understudy.inference.opening import open_classifier
from understudy.runtime import hardware
from understudy.runtime.hardware import limit_after_fork

TEXTS = ["good film", "bad", "the story is dull"]


@pytest.fixture
def folder(exports: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(exports["openvino"], tmp_path / "export"))


@pytest.mark.parametrize("used", [False, True])
def test_pickles_and_copies_answer_alike(used: bool, exports: dict[str, Path], classifier: Classifier) -> None:
    for each in (classifier, *(open_classifier(exports[format], threads=1) for format in ("openvino", "onnx"))):
        wanted = each.predict_proba(TEXTS) if used else None
        again: list[Classifier] = [pickle.loads(pickle.dumps(each)), copy.deepcopy(each)]
        wanted = each.predict_proba(TEXTS) if wanted is None else wanted
        for other in again:
            assert type(other) is type(each) and other.opened.options == each.opened.options
            assert np.array_equal(other.predict_proba(TEXTS), wanted)


def test_joblib_uses_several_processes(folder: Path) -> None:
    import joblib

    classifier = open_classifier(folder, threads=1)
    answers = joblib.Parallel(n_jobs=2)(joblib.delayed(classifier.predict)(TEXTS) for _ in range(2))
    assert answers == [classifier.predict(TEXTS)] * 2


def test_a_pickle_of_another_model_is_refused(folder: Path, tmp_path: Path) -> None:
    pickled = pickle.dumps(open_classifier(folder))
    (folder / "more.txt").write_text("x")
    with pytest.raises(ModelError, match=r"no longer holds the model that was pickled"):
        pickle.loads(pickled)
    shutil.rmtree(folder)
    with pytest.raises(ModelError, match=r"is not here\. A pickle holds only the path of the model"):
        pickle.loads(pickled)


def test_a_folder_that_changed_since_it_was_opened_is_not_pickled(tmp_path: Path) -> None:
    classifier = open_classifier(write_model(tmp_path / "model", ["a", "b"]))
    assert classifier.identity
    write_model(tmp_path / "model", ["a", "b"], seed=1)
    with pytest.raises(ModelError, match=r"changed after it was opened\. Open it again"):
        pickle.dumps(classifier)


def test_a_graph_that_was_replaced_before_its_first_use_is_refused(folder: Path) -> None:
    classifier = open_classifier(folder)
    (folder / "openvino_model.bin").write_bytes(b"other weights")
    with pytest.raises(ModelError, match=r"is not the file that was exported"):
        classifier.predict(TEXTS)


FORK = """
import os, signal, sys
import numpy as np
import understudy
classifier = understudy.load(sys.argv[1], threads=2)
texts = [" ".join(["film", "good", "dull"][row % 3:] * (row % 7 + 1)) for row in range(9000)]
few, wanted = classifier.predict_proba(texts[:7]), classifier.predict_proba(texts)
child = os.fork()
if not child:
    signal.alarm(60)
    def close(some, others): return np.allclose(some, others, atol=1e-5)
    right = close(classifier.predict_proba(texts[:7]), few) and close(classifier.predict_proba(texts), wanted)
    os._exit(0 if right and close(understudy.load(sys.argv[1], threads=2).predict_proba(texts), wanted) else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows cannot fork")
@pytest.mark.parametrize("kind", ["openvino", "onnx", "pytorch"])
def test_a_forked_process_answers(kind: str, exports: dict[str, Path], finished: Any) -> None:
    folder = finished.out / "student" if kind == "pytorch" else exports[kind]
    done = subprocess.run(
        [sys.executable, "-c", FORK, str(folder)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert ("computes with one thread here" in done.stderr) == (kind == "pytorch")


def test_a_forked_process_cannot_use_the_parents_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "_processes_with_pytorch", [os.getpid() - 1])
    with pytest.raises(UserError, match=r"PyTorch cannot use cuda here\. Start processes with .*'spawn'"):
        limit_after_fork("cuda")
