"""How many small faults in the modules that matter most the tests find.

    pip install cosmic-ray
    python benchmarks/mutation.py [MODULE ...] [--out FOLDER]

cosmic-ray makes the mutants. Its own runner starts Python, PyTorch and pytest anew for each of them, which takes hours
here. This script imports everything once and forks for each mutant. The child forgets the module and those that import
it, imports the mutant in its place and runs the module's tests until the first failure.

Results are kept per module, after every mutant: an interrupted run continues where it stopped. Killed mutants stay
killed while the module is the same; survivors are tried again when the tests change. `equivalent.json` in the folder
lists the mutants that compute the same as the original, with the reason.
"""

from __future__ import annotations

import argparse
import functools
import gc
import importlib
import importlib.abc
import importlib.util
import json
import os
import signal
import sys
import tempfile
import time
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import grimp
from mutants import Mutant, digest, mutants

ROOT = Path(__file__).resolve().parents[1]
# Each module, and the tests that cover it: quick ones first.
TESTS = {
    "evaluation/metrics.py": [f"evaluation/test_{name}.py" for name in ("metrics", "calibration_bins", "significance")],
    "evaluation/significance.py": ["evaluation/test_significance.py", "evaluation/test_repeats.py"],
    "evaluation/intervals.py": ["evaluation/test_intervals.py", "evaluation/test_significance.py"],
    "evaluation/verdict.py": ["evaluation/test_verdict.py"],
    "data/labels.py": ["data/test_labels.py", "data/test_label_checks.py"],
    "training/objectives.py": ["training/test_objectives.py"],
    "run/keys.py": ["run/test_key_ingredients.py", "run/test_keys.py"],
}
_LIBRARIES = [
    *("hypothesis", "hypothesis.extra.numpy", "numpy", "pandas", "polars", "pyarrow.parquet", "pydantic", "pytest"),
    *("pydantic_settings", "scipy.optimize", "scipy.sparse", "scipy.stats", "sklearn.linear_model", "sklearn.metrics"),
    *("statsmodels", "torch", "transformers", "datasets", "filelock", "tokenizers", "safetensors.torch"),
]
_SLOWEST = 6
"""A mutant that takes so many times as long as the original never ends."""


class Loader(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives the mutant's source where a module is imported."""

    def __init__(self, module: str, path: Path, source: str) -> None:
        self.module, self.path, self.source = module, path, source

    def find_spec(self, fullname: str, path: object, target: object = None) -> ModuleSpec | None:
        if fullname != self.module:
            return None
        return importlib.util.spec_from_file_location(fullname, self.path, loader=self)

    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        exec(compile(self.source, str(self.path), "exec"), module.__dict__)


@functools.cache
def _imports() -> Any:
    return grimp.build_graph("understudy", cache_dir=None)


def passes(module: str, source: str, output: int, limit: float = float("inf")) -> bool:
    """Whether the module's tests pass with this source, within so many seconds; what they print goes to `output`."""
    gc.freeze()  # the collector need not look at what all children share
    child = os.fork()
    if not child:
        os.setsid()
        _run_tests(module, source, output)
    ends = time.monotonic() + limit
    while time.monotonic() < ends:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status) == 0
        time.sleep(0.02)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def _run_tests(module: str, source: str, output: int) -> None:
    status = 1
    try:
        os.dup2(output, 1)
        os.dup2(output, 2)
        import hypothesis
        import pytest

        # The first counterexample is enough.
        once = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
        hypothesis.settings.register_profile("mutation", phases=once, database=None, derandomize=True, deadline=None)
        hypothesis.settings.load_profile("mutation")
        name = f"understudy.{module.removesuffix('.py').replace('/', '.')}"
        for stale in (name, *_imports().find_downstream_modules(name)):
            package, _, attribute = stale.rpartition(".")
            sys.modules.pop(stale, None)
            vars(sys.modules.get(package, sys)).pop(attribute, None)
        sys.meta_path.insert(0, Loader(name, ROOT / "src/understudy" / module, source))
        files = [str(ROOT / "tests" / test) for test in TESTS[module]]
        options = ["-x", "--tb=line", "-p", "no:cacheprovider", "-p", "no:unraisableexception", "-m", "not acceptance"]
        status = int(pytest.main([*options, *files]))
    finally:
        os._exit(status)


def examine(module: str, out: Path) -> dict[str, Any]:
    """Tries every mutant of a module that has no result yet, and returns all of its results."""
    path, tests = ROOT / "src/understudy" / module, TESTS[module]
    kept = out / f"{module.replace('/', '-').removesuffix('.py')}.json"
    found = json.loads(kept.read_text(encoding="utf-8")) if kept.is_file() else {}
    tested = digest(*(ROOT / "tests" / test for test in tests))
    if found.get("source") != digest(path):
        found = {"module": module, "source": digest(path), "tests": tested, "killed": [], "survivors": []}
    if found["tests"] != tested:
        found |= {"tests": tested, "survivors": []}
    limit = 20 + _SLOWEST * _seconds(module, path)
    silence = os.open(os.devnull, os.O_WRONLY)
    known = {*found["killed"], *(survivor["mutant"] for survivor in found["survivors"])}
    for mutant in mutants(path):
        if mutant.name not in known:
            _note(found, mutant, passes(module, mutant.source, silence, limit))
            kept.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return found


def _seconds(module: str, path: Path) -> float:
    """How long the tests take without a mutant."""
    started = time.monotonic()
    with tempfile.TemporaryFile() as output:
        if not passes(module, path.read_text(encoding="utf-8"), output.fileno()):
            output.seek(0)
            said = output.read().decode(errors="replace")[-3000:]
            raise SystemExit(f"The tests of {module} fail without a mutant. Mend them first.\n{said}")
    return time.monotonic() - started


def _note(found: dict[str, Any], mutant: Mutant, survived: bool) -> None:
    if not survived:
        found["killed"].append(mutant.name)
        return
    found["survivors"].append({"mutant": mutant.name, "line": mutant.line, "was": mutant.was, "now": mutant.now})
    print(f"{found['module']}:{mutant.line}: {mutant.was}  ->  {mutant.now}", file=sys.stderr)


def summary(found: dict[str, Any], equivalent: list[dict[str, str]]) -> dict[str, Any]:
    """Counts, and the survivors that change what is computed."""
    same = {(entry["was"], entry["now"]) for entry in equivalent if entry["module"] == found["module"]}
    real = [survivor for survivor in found["survivors"] if (survivor["was"], survivor["now"]) not in same]
    killed = len(found["killed"])
    return {
        "module": found["module"],
        "mutants": killed + len(found["survivors"]),
        "killed": killed,
        "equivalent": len(found["survivors"]) - len(real),
        "share_killed": round(killed / max(killed + len(real), 1), 4),
        "survivors": [f"{found['module']}:{one['line']}: {one['was']}  ->  {one['now']}" for one in real],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Runs the tests on mutants of the modules.")
    parser.add_argument("modules", nargs="*", metavar="MODULE", help=f"of {', '.join(TESTS)}; all by default")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results/mutation", help="folder for results")
    options = parser.parse_args()
    unknown = [module for module in options.modules if module not in TESTS]
    if unknown:
        parser.error(f"unknown module {unknown[0]}: expected one of {', '.join(TESTS)}")
    options.out.mkdir(parents=True, exist_ok=True)
    os.environ |= {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    sys.path.insert(0, str(ROOT / "src"))
    for library in _LIBRARIES:
        if importlib.util.find_spec(library.partition(".")[0]):
            importlib.import_module(library)
    for module in sorted(_imports().modules - {"understudy.__main__"}):
        importlib.import_module(module)
    listed = options.out / "equivalent.json"
    equivalent = json.loads(listed.read_text(encoding="utf-8")) if listed.is_file() else []
    modules = [summary(examine(module, options.out), equivalent) for module in options.modules or TESTS]
    killed, all_of = (sum(module[key] for module in modules) for key in ("killed", "mutants"))
    same = sum(module["equivalent"] for module in modules)
    total = {
        "mutants": all_of,
        "killed": killed,
        "equivalent": same,
        "share_killed": round(killed / (all_of - same), 4),
    }
    print(json.dumps({"total": total, "modules": modules}, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
