"""Runs Python programs by the thousand: a candidate nobody has read, and tests that judge it.

    with PythonSandbox(Level.FULL, workers=2) as sandbox:
        for outcome in sandbox.run([PythonProgram("def double(x): return 2 * x", "assert double(2) == 4")]):
            outcome.verdict

For each worker there are two processes beside the one of the program: a trusted one that runs the tests, and a zygote
in the sandbox that forks a child for each candidate, which costs about 1 ms where a new interpreter costs 20.
"""

from __future__ import annotations

import json
import os
import random
import selectors
import socket
import sys
import sysconfig
import tempfile
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from repotune.core.errors import UserError
from repotune.evaluate.sandbox.confinement import Level, require_reachable, unused_uid
from repotune.evaluate.sandbox.execution import Limits, Outcome, Verdict
from repotune.evaluate.sandbox.frames import receive_frame, send_frame
from repotune.evaluate.sandbox.probe import require
from repotune.evaluate.sandbox.starting import start_interpreter

_ATTEMPTS = 2
_BACKSTOP_SECONDS = 10.0  # beyond the wall limit: then a comparison in C hangs, which no signal interrupts
_QUEUED = 3  # programs that a worker has at once: one under way, one that loads, one that waits
_LONG = 16 * 1024  # bytes, of which three fit into any socket's buffer
_AHEAD = 32  # outcomes for each worker that may wait for one before them


@dataclass(frozen=True, slots=True)
class PythonProgram:
    """A candidate's source, and the source of the tests, which call what the candidate defines.

    Names that the tests use and do not define are the candidate's. `entry_point` says which of them may be a built-in
    name, as where a problem asks for a function `sum`.
    """

    candidate: str
    tests: str
    entry_point: str | None = None


@dataclass(slots=True)
class _Job:
    place: int
    text: bytes
    attempts: int = 0


class PythonSandbox:
    """A context manager; `run` may be called any number of times within it, one at a time, in the thread that entered.

    (The kernel ends the workers with the thread that has started them; they would be started anew.)

    `packages` are folders with modules that programs may import beside the standard library.
    """

    def __init__(
        self,
        level: Level,
        limits: Limits | None = None,
        workers: int = 2,
        packages: Sequence[Path] = (),
    ) -> None:
        self._level, self._limits = level, limits or Limits()
        self._packages = [str(path.resolve()) for path in packages]
        self._library = sorted({sysconfig.get_path(name) for name in ("stdlib", "platstdlib")} | {sys.base_prefix})
        self._count = workers
        self._cores = sorted(os.sched_getaffinity(0)) if sys.platform == "linux" else [0]
        self._first_core = random.randrange(len(self._cores))  # two sandboxes need not crowd the same ones
        self._workers: list[_Worker] = []

    def __enter__(self) -> PythonSandbox:
        """Raises UserError where the machine does not reach the level."""
        require(self._level)
        require_reachable([Path(path) for path in (*self._library, *self._packages)], self._level)
        try:
            for place in range(self._count):
                self._workers.append(self._start(place))
            for worker in self._workers:
                worker.await_ready()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the workers and all they run."""
        while self._workers:
            self._workers.pop().close()

    def _start(self, place: int) -> _Worker:
        """A worker's processes take turns, so they share a core: 0.87 of the CPU time across two."""
        core = self._cores[(self._first_core + place) % len(self._cores)]
        return _Worker(self._level, self._limits, [*self._library, *self._packages], self._packages, core)

    def run(self, programs: Iterable[PythonProgram]) -> Iterator[Outcome]:
        """An outcome for each of `programs`, in their order, as soon as it and those before it are there.

        `programs` is read only as far ahead as keeps the workers busy. A program whose worker dies is given to a new
        one, once; then its outcome is a harness error.
        """
        source = (_Job(place, _written(program)) for place, program in enumerate(programs))
        again: deque[_Job] = deque()
        outcomes: dict[int, Outcome] = {}
        due = 0
        try:
            while True:
                self._hand_out(source if len(outcomes) < _AHEAD * self._count else iter(()), again)
                if not any(worker.jobs for worker in self._workers):
                    return
                for worker in self._ready():
                    self._take(worker, outcomes, again)
                while due in outcomes:
                    yield outcomes.pop(due)
                    due += 1
        finally:
            for worker in [each for each in self._workers if each.jobs]:
                self._replace(worker)  # nobody waits for these outcomes any more

    def run_once(self, programs: Sequence[PythonProgram]) -> list[Outcome]:
        """As `run`, but equal programs share one execution: samples of a model repeat themselves."""
        distinct = list(dict.fromkeys(programs))
        outcomes = dict(zip(distinct, self.run(distinct), strict=True))
        return [outcomes[program] for program in programs]

    def _hand_out(self, source: Iterator[_Job], again: deque[_Job]) -> None:
        """Gives each worker what it may have queued; one program for each first.

        A long program waits for a worker that has nothing to do and therefore reads: sent to one that itself sends a
        long outcome, it could fill the socket's buffer, and each would wait for the other.
        """
        for slot in range(_QUEUED):
            for worker in self._workers:
                if len(worker.jobs) > slot:
                    continue
                job = again.popleft() if again else next(source, None)
                if job is None:
                    return
                if worker.jobs and len(job.text) > _LONG:
                    again.appendleft(job)
                    return
                worker.give(job)

    def _ready(self) -> list[_Worker]:
        """Workers that have an outcome or are gone; one that is past its time is ended."""
        busy = [worker for worker in self._workers if worker.jobs]
        with selectors.DefaultSelector() as selector:
            for worker in busy:
                selector.register(worker.connection, selectors.EVENT_READ, worker)
            ready = [key.data for key, _ in selector.select(1.0)]
        for worker in busy:
            if worker not in ready and time.monotonic() > worker.since + self._limits.wall + _BACKSTOP_SECONDS:
                worker.process.kill()
                worker.too_late = True
        return ready

    def _take(self, worker: _Worker, outcomes: dict[int, Outcome], again: deque[_Job]) -> None:
        outcome = worker.take()
        if outcome is not None:
            outcomes[worker.jobs.popleft().place] = outcome
            return
        first, *others = worker.jobs
        first.attempts += 1
        if worker.too_late:
            outcomes[first.place] = Outcome(Verdict.TIMEOUT, detail="the tests did not end")
        elif first.attempts < _ATTEMPTS:
            again.append(first)
        else:
            outcomes[first.place] = Outcome(Verdict.HARNESS_ERROR, detail=f"its worker died {_ATTEMPTS} times")
        again.extend(others)
        self._replace(worker)

    def _replace(self, worker: _Worker) -> None:
        worker.close()
        place = self._workers.index(worker)
        self._workers[place] = self._start(place)
        self._workers[place].await_ready()


def _written(program: PythonProgram) -> bytes:
    return json.dumps([program.candidate, program.tests, program.entry_point]).encode()


class _Worker:
    """A process that runs tests, and the programs that it has been given, the first of which is under way."""

    def __init__(
        self, level: Level, limits: Limits, readable: Sequence[str], packages: Sequence[str], core: int
    ) -> None:
        self.jobs: deque[_Job] = deque()
        self.since, self.too_late = 0.0, False
        self.connection, its = socket.socketpair()
        self._scratch = tempfile.TemporaryDirectory(prefix="repotune-") if level < Level.FULL else None
        specification = {
            "socket": its.fileno(),
            "level": int(level),
            "limits": asdict(limits),
            "uid": unused_uid() if level >= Level.CONFINED else None,
            "readable": list(readable),
            "packages": list(packages),
            "core": core,
            "scratch": self._scratch.name if self._scratch else "",
        }
        with its:
            self.process = start_interpreter(
                "repotune.evaluate.sandbox.worker",
                [json.dumps(specification)],
                pass_fds=[its.fileno()],
            )

    def await_ready(self) -> None:
        """Raises UserError where it could not go into the sandbox."""
        told = self._receive()
        if told is None or told:
            reason = told["error"] if told else "its process ended"
            self.close()
            raise UserError(f"A worker of the sandbox could not start: {reason}.", "see `repotune doctor`")

    def give(self, job: _Job) -> None:
        if not self.jobs:
            self.since = time.monotonic()
        self.jobs.append(job)
        with suppress(OSError):  # it is gone, which is seen when its outcome is read
            send_frame(self.connection, job.text)

    def take(self) -> Outcome | None:
        """The outcome of its first job; None where it is gone."""
        told = self._receive()
        if told is None:
            return None
        self.since = time.monotonic()
        verdict, *rest = told
        return Outcome(Verdict(verdict), *rest)

    def _receive(self) -> Any:
        try:
            frame = receive_frame(self.connection)
        except OSError:
            return None
        return json.loads(frame[0]) if frame else None

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self.connection.close()
        if self._scratch:
            self._scratch.cleanup()
