"""Predicts a file undisturbed, and then in processes that are killed again and again with SIGKILL and go on.

    python tests/killing.py MODEL INPUT UNDISTURBED OUTPUT KILLS SEED WINDOW

Prints a JSON line: how many parts lay there after each kill. The moments are drawn: soon after the start (while the
model is opened, the input surveyed, the parts are checked), behind so and so many further parts, and at last when all
of them are there and the output is being finished. The processes are forks of this one, which has imported everything
by then, so that they start fast.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import torch

from understudy.cli.main import main
from understudy.inference import bulk
from understudy.inference.rows import windows

SOON = 0.5


def predict(model: str, source: str, output: Path) -> int:
    return main(["predict", model, "--input", source, "--output", str(output), "--device", "cpu", "--threads", "1"])


def start(model: str, source: str, output: Path) -> int:
    child = os.fork()
    if not child:
        os._exit(predict(model, source, output))
    return child


def parts(output: Path) -> int:
    return sum(1 for _ in output.parent.glob(f".{output.name}.parts/[0-9]*.part"))


def ended(child: int) -> bool:
    """Whether a process has come to its end, which must be a good one."""
    found, status = os.waitpid(child, os.WNOHANG)
    if found and status:
        raise SystemExit(f"predict ended with {os.waitstatus_to_exitcode(status)}")
    return bool(found)


def killed(child: int, output: Path, awaited: int, patience: float) -> bool:
    """Kills a process when so many parts are there and some time has passed; False where it was faster."""
    while parts(output) < awaited:
        if ended(child):
            return False
        time.sleep(0.001)
    time.sleep(patience)
    if ended(child):
        return False
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return True


def disturbed(model: str, source: str, output: Path, kills: int, seed: int) -> list[int]:
    """How many parts lay there after each kill."""
    drawn = random.Random(seed)
    whole = sum(1 for _ in windows(source, "text", bulk.WINDOW))
    found: list[int] = []
    while len(found) < kills:
        before = parts(output)
        kind = drawn.choice(["soon", "working", "working", "working"]) if len(found) < kills - 1 else "finishing"
        awaited = {"soon": 0, "finishing": whole}.get(kind, before + drawn.randint(1, max(1, (whole - before) // 2)))
        patience = drawn.uniform(0, SOON if kind == "soon" else 0.02)
        if killed(start(model, source, output), output, min(awaited, whole), patience):
            found.append(parts(output))
        else:
            output.unlink()  # it had finished; once more from the start
    child = start(model, source, output)
    while not ended(child):
        time.sleep(0.01)
    return found


if __name__ == "__main__":
    model, source, undisturbed, output, kills, seed, window = sys.argv[1:]
    bulk.WINDOW = int(window)
    # Threads do not outlive a fork.
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    torch.set_num_threads(1)
    if predict(model, source, Path(undisturbed)):
        raise SystemExit("predict failed")
    print(json.dumps(disturbed(model, source, Path(output), int(kills), int(seed))))
