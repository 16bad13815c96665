"""What the benchmarks share: texts, processes of their own for the sides, rounds in turn, and one JSON line.

Every side runs in a process of its own, so that peak memory is its own, and the sides take turns, so that a drift of
the machine meets all of them. Before it is timed, a side does all of its work once on the first 32 texts: what only the
first steps of a process cost counts less then. The figures are medians over the rounds.
"""

from __future__ import annotations

import argparse
import gc
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

MODEL = "sentence-transformers/all-MiniLM-L6-v2"
FIXED = {"epochs": 1, "batch_size": 16, "class_weights": "none", "early_stopping": 0, "head": "initial"}
"""Training options that do not follow the data, so that every side does the same work."""
_WARM_UP = 32
_PEAK_SIZE = {"cpu": 4096, "cuda": 16384}


@dataclass(frozen=True)
class Data:
    """Labelled texts.

    Attributes:
        texts: One string a text.
        labels: Class numbers, int64 of shape (texts,).
        classes: Their names.
    """

    texts: list[str]
    labels: np.ndarray
    classes: list[str]


@dataclass(frozen=True)
class Work:
    """What one side did in one round.

    Attributes:
        seconds: Wall time, without starting Python.
        tokens: Real ones, without padding, as often as they were trained on or labelled.
        documents: Likewise.
        operations: Floating-point operations that the models need for the real tokens.
        logits: The answers, one list a text, where they are to be compared.
        more: Further figures.
    """

    seconds: float
    tokens: int
    documents: int
    operations: float
    logits: list[list[float]] | None = None
    more: dict[str, float] = field(default_factory=dict)


Side = Callable[[Data, argparse.Namespace], Work]


def arguments(description: str, texts: int, sides: dict[str, Side] | None = None) -> argparse.ArgumentParser:
    """The options that all benchmarks have, and those of one that compares sides.

    Args:
        description: What the benchmark measures.
        texts: How many texts by default.
        sides: What is compared, by name.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--texts", type=_positive, default=texts, help="how many texts")
    parser.add_argument("--max-length", type=_positive, default=256, help="tokens after which a text is cut")
    parser.add_argument("--data", default="reviews:train", help="source with the columns text and label")
    if sides:
        parser.add_argument("--rounds", type=_positive, default=3, help="how often each side is measured")
        parser.add_argument("--sides", nargs="+", choices=list(sides), default=list(sides), help="which sides")
        parser.add_argument("--side", choices=list(sides), help=argparse.SUPPRESS)
    return parser


def main(
    script: str,
    options: argparse.Namespace,
    sides: dict[str, Side],
    subjects: tuple[str, ...] = ("understudy",),
    reference: str | None = None,
) -> None:
    """Runs one side, where the options name one, or all of them in turn; then prints the figures as JSON.

    Args:
        script: The benchmark's file.
        options: As parsed.
        sides: What is compared, by name.
        subjects: Sides that others are compared with: `ratio` is the first one's tokens per second over those of every
            other side, `ratio_x` is that of `understudy_x` over the sides that are no subjects.
        reference: The side with whose logits the others' are compared.
    """
    if options.side:
        print(json.dumps(_measured(sides[options.side], options)))
        return
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in options.sides}
    peaks: list[float] = []
    for number in range(options.rounds):
        peaks.append(child(__file__)["gflops"])
        for name in options.sides:
            found[name].append(child(script, *sys.argv[1:], "--side", name))
            say(f"round {number + 1}, {name}: {found[name][-1]['seconds']:.1f} s")
    peak = statistics.median(peaks)
    table = {name: _figures(rounds, peak) for name, rounds in found.items()}
    if reference in found:
        for name in table:
            table[name] |= _agreement(found[name][0]["logits"], found[reference][0]["logits"])
    print(
        json.dumps(
            {
                "machine": description(),
                "options": {name: value for name, value in vars(options).items() if name not in ("side", "sides")},
                "peak_gflops": round(peak, 1),
                "sides": table,
                **_ratios(table, subjects),
            }
        )
    )


def peak_gflops() -> float:
    """What a large matrix product in bf16 reaches, the best of a few."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    size = _PEAK_SIZE[device]
    a = torch.randn(size, size, dtype=torch.bfloat16, device=device)
    best = float("inf")
    for _ in range(6):
        start = time.perf_counter()
        (a @ a)[0, 0].item()
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best / 1e9


def description() -> dict[str, Any]:
    import torch
    import transformers

    from understudy.runtime.hardware import detect, machine

    hardware = detect()
    return {
        **machine(),
        "device": torch.cuda.get_device_name() if hardware.kind == "cuda" else hardware.device,
        "threads": hardware.threads,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }


def texts_and_labels(options: argparse.Namespace) -> tuple[list[str], np.ndarray]:
    """As many texts as asked for, from all over the source, and their labels as 0, 1 and so on."""
    from understudy.data.sources import read

    table = read(options.data)
    rows = np.random.default_rng(0).permutation(len(table))[: options.texts]
    names = sorted(set(table.labels or []))
    labels = np.array([names.index((table.labels or [])[row]) for row in rows], dtype=np.int64)
    return [table.texts[row] for row in rows], labels


def operations(config: Any, lengths: np.ndarray, training: bool) -> float:
    """Multiplications and additions of an encoder on texts of these lengths; training counts three times."""
    hidden, inner, layers = config.hidden_size, config.intermediate_size, config.num_hidden_layers
    linear = 2 * (4 * hidden**2 + 2 * hidden * inner) * float(lengths.sum())
    attention = 4 * hidden * float((lengths.astype(np.float64) ** 2).sum())
    return layers * (linear + attention) * (3 if training else 1)


def peak_rss_mb() -> float:
    """The most memory that this process has held so far, in MiB."""
    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, Linux KiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def child(script: str, *options: str) -> dict[str, Any]:
    """The last line that a script prints in a process of its own, which is JSON."""
    command = [sys.executable, script, *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, got {text!r}")
    return int(text)


def _measured(side: Side, options: argparse.Namespace) -> dict[str, Any]:
    texts, labels = texts_and_labels(options)
    if len(texts) < options.texts:
        raise SystemExit(f"--texts {options.texts}: {options.data} has {len(texts)}. Ask for fewer.")
    classes = [str(number) for number in range(labels.max() + 1)]
    side(Data(texts[:_WARM_UP], labels[:_WARM_UP], classes), options)
    gc.collect()
    return {**asdict(side(Data(texts, labels, classes), options)), "peak_rss_mb": peak_rss_mb()}


def _figures(rounds: list[dict[str, Any]], peak: float) -> dict[str, Any]:
    def median(value: Callable[[dict[str, Any]], float]) -> float:
        return statistics.median(value(each) for each in rounds)

    return {
        "tokens_per_second": round(median(lambda each: each["tokens"] / each["seconds"]), 1),
        "documents_per_second": round(median(lambda each: each["documents"] / each["seconds"]), 2),
        "peak_share": round(median(lambda each: each["operations"] / each["seconds"]) / 1e9 / peak, 4),
        "peak_rss_mb": round(median(lambda each: each["peak_rss_mb"]), 1),
        "seconds": [round(each["seconds"], 2) for each in rounds],
        **{name: round(median(lambda each, name=name: each["more"][name]), 2) for name in rounds[0]["more"]},
    }


def _agreement(logits: list[list[float]], reference: list[list[float]]) -> dict[str, float]:
    mine, theirs = np.array(logits), np.array(reference)
    return {
        "largest_difference": round(float(np.abs(mine - theirs).max()), 5),
        "same_label": round(float((mine.argmax(axis=1) == theirs.argmax(axis=1)).mean()), 5),
    }


def _ratios(table: dict[str, dict[str, Any]], subjects: tuple[str, ...]) -> dict[str, dict[str, float]]:
    rate = {name: figures["tokens_per_second"] for name, figures in table.items()}
    ratios: dict[str, dict[str, float]] = {"ratio": {}}
    for subject in subjects:
        if subject in rate:
            excluded = {subject} if subject == subjects[0] else set(subjects)
            key = f"ratio{subject.removeprefix(subjects[0])}"
            ratios[key] = {name: round(rate[subject] / rate[name], 3) for name in rate if name not in excluded}
    return ratios


if __name__ == "__main__":
    print(json.dumps({"gflops": peak_gflops()}))
