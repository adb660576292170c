"""A training run that is killed with SIGKILL again and again, against the same run left alone: every bit must agree.

Both are processes of their own on one thread. Kills come at random moments, one of them in the step that ends an epoch
and one while a checkpoint is being written; after each the run is started again as a user would start it. Losses of
all steps and all weights are compared bit for bit, and what the kills cost in time is told.

    python benchmarks/train_kills.py [--quick]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

from small_runs import MODEL, SmallCorpus, small_corpus

from repotune.model.weights import read_weights
from repotune.train.plan import Stage, TrainPlan
from repotune.train.state import latest_checkpoint

_RUN = """
import json, os, signal, sys
from pathlib import Path
from repotune.core.console import Console
from repotune.core.flow import Work
from repotune.train import loop, state
from repotune.train.plan import TrainPlan
from repotune.train.run import build_run
plan, inputs, folder, kill = json.loads(sys.argv[1])
if kill == "epoch":
    step, before = loop.take_step, []
    batches = loop.Batches.next
    def watched(self):
        was = self.position.epoch
        batch = batches(self)
        if self.position.epoch > was:
            before.append(1)
        return batch
    def killed(*arguments, **options):
        if before:
            os.kill(os.getpid(), signal.SIGKILL)
        return step(*arguments, **options)
    loop.Batches.next, loop.take_step = watched, killed
if kill == "checkpoint":
    # Within a checkpoint, after the weights and the optimisers, before it gets its name: nothing else calls it.
    state.save_file = lambda tensors, path: os.kill(os.getpid(), signal.SIGKILL)
inputs = {name: Path(path) for name, path in inputs.items()}
build_run(Work(Path(folder), inputs, Console(quiet=True), seed=1), TrainPlan.from_json(plan))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a shorter run, the same kills")
    quick = parser.parse_args().quick
    with small_corpus(megabytes=0.05 if quick else 0.3) as corpus, tempfile.TemporaryDirectory() as name:
        steps = 40 if quick else 200
        stage = Stage(steps * 1024, sequence=256, batch_tokens=1024)
        plan = TrainPlan(MODEL, (stage,), checkpoint_tokens=8 * 1024, dropout=0.1, threads=1)
        straight, killed = Path(name) / "straight", Path(name) / "killed"
        alone = run(corpus, plan, straight, "")
        spent, kills = with_kills(corpus, plan, killed, alone)
        same = losses(straight) == losses(killed) and same_weights(straight, killed)
    result = {
        "name": f"bits that differ after {kills} kills in {steps} steps",
        "figure": 0 if same else 1,
        "unit": "0 is none",
        "peer": "the same run left alone",
        "peer_figure": 0,
        "ratio": round(spent / alone, 2),
        "bar": 0,
        "met": same and kills >= 5,
    }
    print(json.dumps(result))


def with_kills(corpus: SmallCorpus, plan: TrainPlan, folder: Path, alone: float) -> tuple[float, int]:
    """Seconds in all, and kills."""
    draw, spent, kills = random.Random(1), 0.0, 0
    for kind in ("random", "checkpoint", "random", "epoch", "random", "random", "random"):
        limit = draw.uniform(0.1, 0.18) * alone if kind == "random" else None
        started = time.monotonic()
        died = run(corpus, plan, folder, kind, limit) is None
        spent, kills = spent + time.monotonic() - started, kills + died
        print(f"{kind}: {'killed' if died else 'had finished'}, {len(losses(folder))} steps", file=sys.stderr)
    return spent + (run(corpus, plan, folder, "") or 0.0), kills


def run(corpus: SmallCorpus, plan: TrainPlan, folder: Path, kill: str, limit: float | None = None) -> float | None:
    """Seconds of a run, or None where it was killed."""
    folder.mkdir(exist_ok=True)
    inputs = {"tokens": str(corpus.tokens), "tokenizer": str(corpus.tokens.parent / "tokenizer")}
    command = [sys.executable, "-c", _RUN, json.dumps([asdict(plan), inputs, str(folder), kill])]
    started = time.monotonic()
    process = subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"})
    try:
        process.wait(limit)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.returncode not in (0, -signal.SIGKILL):
        sys.exit("The run failed.")
    return None if process.returncode else time.monotonic() - started


def losses(folder: Path) -> list[tuple[int, float]]:
    path = folder / "metrics.jsonl"
    if not path.exists():
        return []
    lines = [json.loads(line) for line in path.read_text().splitlines() if line.endswith("}")]
    return [(line["step"], line["loss"]) for line in lines]


def same_weights(one: Path, other: Path) -> bool:
    first, second = (read_weights(latest_checkpoint(folder)) for folder in (one, other))
    return first.keys() == second.keys() and all(tensor.equal(second[name]) for name, tensor in first.items())


if __name__ == "__main__":
    main()
