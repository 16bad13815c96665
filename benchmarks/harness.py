"""What the benchmarks share: texts, processes of their own for the sides, rounds in turn, and one JSON line.

Every side runs in a process of its own, so that peak memory is its own, and the sides take turns, so that a drift of
the machine meets all of them. The figures are medians over the rounds.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

MODEL = "sentence-transformers/all-MiniLM-L6-v2"
_PEAK_SIZE = {"cpu": 4096, "cuda": 16384}


@dataclass(frozen=True)
class Work:
    """What one side did in one round.

    Attributes:
        seconds: Wall time, without starting Python and opening the model.
        tokens: Real ones, without padding, as often as they were computed.
        documents: Likewise.
        operations: Floating-point operations of the model on the real tokens.
    """

    seconds: float
    tokens: int
    documents: int
    operations: float


Side = Callable[[argparse.Namespace], Work]


def arguments(description: str, texts: int) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--texts", type=int, default=texts, help="how many texts")
    parser.add_argument("--max-length", type=int, default=256, help="tokens after which a text is cut")
    parser.add_argument("--data", default="reviews:train", help="source with the columns text and label")
    parser.add_argument("--rounds", type=int, default=3, help="how often each side is measured")
    parser.add_argument("--sides", nargs="+", help="which sides; by default all")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    return parser


def main(script: str, options: argparse.Namespace, sides: dict[str, Side], subject: str = "understudy") -> None:
    """Runs one side, where the options name one, or all of them in turn; then prints the figures as JSON.

    Args:
        script: The benchmark's file.
        options: As parsed.
        sides: What is compared, by name.
        subject: The side that the others are compared with; ratios are its tokens per second over theirs.
    """
    if options.side:
        work = sides[options.side](options)
        rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({**asdict(work), "peak_rss_mb": rss}))
        return
    chosen = options.sides or list(sides)
    found: dict[str, list[dict[str, float]]] = {name: [] for name in chosen}
    peaks: list[float] = []
    for number in range(options.rounds):
        peaks.append(_child(script, ["--side", "peak"])["gflops"])
        for name in chosen:
            found[name].append(_child(script, [*sys.argv[1:], "--side", name]))
            say(f"round {number + 1}, {name}: {found[name][-1]['seconds']:.1f} s")
    peak = statistics.median(peaks)
    table = {name: _figures(rounds, peak) for name, rounds in found.items()}
    rate = table[subject]["tokens_per_second"]
    print(
        json.dumps(
            {
                "machine": description(),
                "options": {name: value for name, value in vars(options).items() if name not in ("side", "sides")},
                "peak_gflops": round(peak, 1),
                "sides": table,
                "ratio": {
                    name: round(rate / figures["tokens_per_second"], 3)
                    for name, figures in table.items()
                    if name != subject
                },
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

    from understudy.hardware import detect, machine

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


def say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def _child(script: str, options: list[str]) -> dict[str, float]:
    peak = options == ["--side", "peak"]
    command = [sys.executable, __file__] if peak else [sys.executable, script, *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def _figures(rounds: list[dict[str, float]], peak: float) -> dict[str, float]:
    def median(value: Callable[[dict[str, float]], float]) -> float:
        return statistics.median(value(each) for each in rounds)

    return {
        "tokens_per_second": round(median(lambda each: each["tokens"] / each["seconds"]), 1),
        "documents_per_second": round(median(lambda each: each["documents"] / each["seconds"]), 2),
        "peak_share": round(median(lambda each: each["operations"] / each["seconds"]) / 1e9 / peak, 4),
        "peak_rss_mb": round(median(lambda each: each["peak_rss_mb"]), 1),
    }


if __name__ == "__main__":
    print(json.dumps({"gflops": peak_gflops()}))
