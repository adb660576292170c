"""Runs programs of any language: compiled, held by the sandbox, passed only where the tests provably finished.

    with LanguageSandbox(load_languages()["go"], Level.FULL) as sandbox:
        for outcome in sandbox.run(texts):
            outcome.verdict

Python programs that a benchmark has candidate and tests apart for run faster, and beyond forging, in PythonSandbox.
"""

from __future__ import annotations

import re
import signal
import tempfile
from collections import deque
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType

from repotune.core.errors import UserError
from repotune.evaluate.languages.commands import Commands
from repotune.evaluate.languages.compiling import Compiler, first_error
from repotune.evaluate.languages.language import Language
from repotune.evaluate.languages.proof import draw_secret, is_proven
from repotune.evaluate.languages.toolchains import how_to_install
from repotune.evaluate.languages.warm import open_compiler
from repotune.evaluate.sandbox.command import Finished, SandboxError
from repotune.evaluate.sandbox.confinement import Level
from repotune.evaluate.sandbox.execution import MIB, Limits, Outcome, Verdict
from repotune.evaluate.sandbox.probe import require

_ATTEMPTS = 2
_AHEAD = 32  # programs for each worker that may wait for the outcome of one before them
_OUTPUT = MIB  # kept at least: the proof comes after all that a program prints


@dataclass(frozen=True, slots=True)
class _Worker:
    commands: Commands
    compiler: Compiler


class LanguageSandbox:
    """A context manager; `run` may be called any number of times within it, from one thread at a time.

    Each of `workers` has a compiler of its own. `limits` hold for the run of a program, compiling has its own.
    """

    def __init__(self, language: Language, level: Level, limits: Limits | None = None, workers: int = 2) -> None:
        self._language, self._level, self._count = language, level, workers
        wanted = limits or Limits()
        self._limits = language.limits(replace(wanted, output=max(wanted.output, _OUTPUT)))
        self._workers: list[_Worker] = []
        self._free: SimpleQueue[_Worker] = SimpleQueue()
        # They live as long as this does: a process of the sandbox ends with the thread that has started it.
        self._threads = ThreadPoolExecutor(workers)

    def __enter__(self) -> LanguageSandbox:
        """Raises UserError where the machine does not reach the level, or does not have the language."""
        require(self._level)
        if self._language.version() is None:
            raise UserError(f"This machine has no {self._language.name}.", how_to_install(self._language))
        for _ in range(self._count):
            commands = Commands(self._language, self._level)
            # Neither starts a process before the first program, so there is nothing to end if this fails.
            self._workers.append(_Worker(commands, open_compiler(commands)))
            self._free.put(self._workers[-1])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Waits for the programs under way, and ends the compilers."""
        self._threads.shutdown(cancel_futures=True)
        while self._workers:
            worker = self._workers.pop()
            worker.compiler.close()
            worker.commands.close()

    def run(self, texts: Iterable[str]) -> Generator[Outcome, None, None]:
        """An outcome for each program of `texts`, tests included, in their order.

        Where the sandbox itself fails it is tried once more; then the outcome is a harness error.
        """
        pending: deque[Future[Outcome]] = deque()
        try:
            for text in texts:
                pending.append(self._threads.submit(self._judge, text))
                if len(pending) >= _AHEAD * self._count:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:  # whoever asks for no more does not wait for what has not begun
            for future in pending:
                future.cancel()

    def _judge(self, text: str) -> Outcome:
        worker = self._free.get()
        try:
            for _ in range(_ATTEMPTS):
                try:
                    return self._judge_once(worker, text)
                except (SandboxError, OSError) as error:
                    reason = str(error)
            return Outcome(Verdict.HARNESS_ERROR, detail=reason)
        finally:
            self._free.put(worker)

    def _judge_once(self, worker: _Worker, text: str) -> Outcome:
        secret = draw_secret()
        with tempfile.TemporaryDirectory(prefix="repotune-", ignore_cleanup_errors=True) as name:
            folder = Path(name)
            failed = worker.compiler.compile(text, secret, folder)
            if failed is not None:
                return failed
            outcome = judge(self._language, self._run(worker, self._language.run, folder), secret, self._limits)
            if outcome.verdict != Verdict.FAILED or not self._language.syntax:
                return outcome
            checked = self._run(worker, self._language.syntax, folder)
        if checked.status in (0, None):
            return outcome
        return replace(outcome, verdict=Verdict.COMPILE_ERROR, detail=first_error(checked.output) or outcome.detail)

    def _run(self, worker: _Worker, words: Sequence[str], folder: Path) -> Finished:
        return worker.commands.run(self._language.command(words, self._limits), folder, self._limits)


def run_program(language: Language, text: str, *, level: Level, limits: Limits | None = None) -> Outcome:
    """The outcome of one program, tests included. For more than one, a LanguageSandbox keeps the compiler ready."""
    with LanguageSandbox(language, level, limits, workers=1) as sandbox:
        return next(sandbox.run([text]))


def judge(language: Language, finished: Finished, secret: str, limits: Limits) -> Outcome:
    """What the end of a program's command says."""
    verdict, detail = _verdict(language, finished, secret, limits)
    output = "\n".join(line for line in finished.output.splitlines() if line != secret)
    return Outcome(verdict, output, finished.cpu_seconds, finished.wall_seconds, detail)


def _verdict(language: Language, finished: Finished, secret: str, limits: Limits) -> tuple[Verdict, str]:
    output = finished.output
    if finished.exceeded == "cpu":
        return Verdict.TIMEOUT, f"more than {limits.cpu_seconds:g} s of CPU time"
    if finished.exceeded == "wall":
        return Verdict.TIMEOUT, f"more than {limits.wall:g} s"
    if finished.exceeded == "memory":
        return Verdict.MEMORY, "killed for its memory"
    if finished.status != 0 and finished.cpu_seconds >= limits.cpu_seconds:  # by children, each with its own limit
        return Verdict.TIMEOUT, f"more than {limits.cpu_seconds:g} s of CPU time with its children"
    if finished.status == 0:
        if is_proven(output, secret):
            return Verdict.PASSED, ""
        if finished.exceeded == "output":
            return Verdict.FAILED, f"more than {limits.output // MIB} MiB of output"
        return Verdict.EARLY_EXIT, "status 0 before the tests had finished"
    if language.out_of_memory and re.search(language.out_of_memory, output):
        return Verdict.MEMORY, first_error(output)
    if finished.signal is not None:
        return Verdict.FAILED, f"{signal.Signals(finished.signal).name}: {first_error(output)}"
    return Verdict.FAILED, first_error(output) or f"status {finished.status}"
