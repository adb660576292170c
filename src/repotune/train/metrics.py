"""metrics.jsonl and logbook.md: what happened in a run, for programs and for people."""

from __future__ import annotations

import json
import os
import statistics
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import psutil
import torch

from repotune.core.artefact import write_atomically
from repotune.core.hardware import available_cores
from repotune.train.peak import product_peak
from repotune.train.plan import TrainPlan
from repotune.train.validation import Scores

_PACE_STEPS = 64


@dataclass
class Line:
    """A step: what it computed, then what it took. `memory` in bytes at its peak on a GPU, resident on a CPU."""

    step: int
    tokens: int
    loss: float
    learning_rate: float
    gradient_norm: float
    tokens_per_second: float = 0.0
    share_of_peak: float = 0.0
    memory: int = 0
    remaining_seconds: float = 0.0
    scores: Scores | None = None

    def as_json(self) -> dict[str, Any]:
        """The line as metrics.jsonl has it."""
        line = {name: value for name, value in vars(self).items() if name != "scores"}
        line["tokens_per_second"] = round(self.tokens_per_second, 1)
        line["share_of_peak"] = round(self.share_of_peak, 4)
        line["remaining_seconds"] = round(self.remaining_seconds, 1)
        return line | (self.scores.as_json() if self.scores else {})

    def describe(self) -> str:
        """The line for a person."""
        return (
            f"loss {self.loss:.3f}, gradient {self.gradient_norm:.2f}, {self.tokens_per_second:,.0f} tokens/s, "
            f"{self.share_of_peak:.0%} of peak, {self.memory / 1e9:.1f} GB"
        )


class Pace:
    """How fast a run goes, and how long it still takes at the median of its last steps."""

    def __init__(self, plan: TrainPlan) -> None:
        self._plan = plan
        self._peak = product_peak(plan.device, plan.threads or available_cores())
        self._total = plan.tokens_after(plan.steps)
        self._recent: deque[float] = deque(maxlen=_PACE_STEPS)
        self._process = psutil.Process()

    def take(self, line: Line, tokens: int, seconds: float) -> None:
        """Fills in what `line`'s step of `tokens` took."""
        line.tokens_per_second = tokens / seconds
        self._recent.append(line.tokens_per_second)
        operations = self._plan.model.flops_per_token(self._plan.stage(line.step).sequence)
        line.share_of_peak = line.tokens_per_second * operations / self._peak
        line.remaining_seconds = (self._total - line.tokens) / statistics.median(self._recent)
        on_gpu = self._plan.device == "cuda"
        line.memory = torch.cuda.max_memory_allocated() if on_gpu else self._process.memory_info().rss


class Metrics:
    """A line a step, appended. A run that resumes at `step` keeps the lines up to it and drops the rest, so that an
    interrupted run has the lines of an uninterrupted one. `losses` are those of the lines kept, `seconds` their time
    of training."""

    def __init__(self, path: Path, step: int) -> None:
        kept = [line for line in _whole_lines(path) if line["step"] <= step]
        write_atomically(path, "".join(json.dumps(line) + "\n" for line in kept))
        self.losses = [float(line["loss"]) for line in kept]
        self.seconds = float(kept[-1]["seconds"]) if kept else 0.0
        self._file = path.open("a", encoding="utf-8")

    def append(self, line: Line, seconds: float) -> None:
        """Adds a step's line, that took `seconds`, with the look at validation text."""
        self.seconds += seconds
        self._file.write(json.dumps(line.as_json() | {"seconds": round(self.seconds, 3)}) + "\n")
        self._file.flush()

    def sync(self) -> None:
        """Makes the lines survive a power cut; called before a checkpoint that relies on them."""
        os.fsync(self._file.fileno())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()


class Logbook:
    """A dated sentence for each thing that a person may want to know later."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def note(self, text: str) -> None:
        new = not self._path.exists()
        with self._path.open("a", encoding="utf-8") as file:
            if new:
                file.write("# Logbook of the run\n\n")
            file.write(f"- {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC: {text}\n")


def _whole_lines(path: Path) -> list[dict[str, Any]]:
    """The lines up to the first that a kill left incomplete."""
    if not path.exists():
        return []
    lines = []
    for text in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            lines.append(json.loads(text))
        except ValueError:
            break
    return lines
