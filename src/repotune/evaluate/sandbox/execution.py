"""The vocabulary of every run: what a program may use, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

_WALL_PER_CPU = 6.0  # a machine with six times as many runnable processes as cores still judges by CPU time
_WALL_FLOOR = 10.0

MIB = 1 << 20


class Verdict(StrEnum):
    """What became of a program. A harness error is the sandbox's own failure and never counts against a model."""

    PASSED = "passed"
    FAILED = "failed"
    COMPILE_ERROR = "compile error"
    TIMEOUT = "timeout"
    MEMORY = "memory"
    EARLY_EXIT = "early exit"
    HARNESS_ERROR = "harness error"


@dataclass(frozen=True, slots=True)
class Limits:
    """What one program may use.

    CPU time judges, so that a busy machine gives the same verdicts as an idle one; wall time is a backstop for a
    program that sleeps. `memory` (bytes) is what each process may map or allocate, `file_size` (bytes) the size of each
    file, `processes` how many processes and threads may live at once, `output` (bytes) how much of stdout and stderr
    is kept: the rest is read and thrown away.
    """

    cpu_seconds: float = 5.0
    wall_seconds: float | None = None
    memory: int = 1024 * MIB
    file_size: int = 16 * MIB
    processes: int = 32
    output: int = 64 * 1024

    @property
    def wall(self) -> float:
        """Seconds after which a program is stopped whatever it does."""
        if self.wall_seconds is not None:
            return self.wall_seconds
        return max(_WALL_FLOOR, _WALL_PER_CPU * self.cpu_seconds)


@dataclass(frozen=True, slots=True)
class Outcome:
    """A program's verdict. `output` is bounded text, undecodable bytes replaced; `detail` says why in one line."""

    verdict: Verdict
    output: str = ""
    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0
    detail: str = ""
