"""From a program's text to what runs: by the language's own command, and by what keeps a compiler ready.

    gcc         the standard library's header, compiled once (1.36 s of CPU time a program, then 0.31)
    go          the compiler and the linker without the `go` command and its caches (1.7 s, 0.07)
    java        one process that compiles in memory (1.2 s, 0.08)
    typescript  one process that keeps the library's declarations parsed (2.5 s, 0.1)

Whatever comes from the program's text is compiled in the sandbox, for a compiler is a program that the text can attack.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from repotune.evaluate.languages.commands import Commands
from repotune.evaluate.languages.proof import add_proof
from repotune.evaluate.sandbox.command import Finished
from repotune.evaluate.sandbox.execution import MIB, Limits, Outcome, Verdict

COMPILING = Limits(cpu_seconds=30.0, memory=2048 * MIB, file_size=256 * MIB, processes=128)
"""What compiling one program may use: scalac, the hungriest, takes 8 s of CPU time and 700 MB."""

_TELLING = re.compile(r"(?:error|exception|fatal|panic|assert\w*|failed)\b[^:]*(?:: |$)", re.IGNORECASE)


class Compiler(Protocol):
    """Makes programs of one language ready to run; one at a time, each in a folder of its own."""

    def compile(self, text: str, secret: str, folder: Path) -> Outcome | None:
        """Puts into `folder` what runs; an outcome where that failed. Raises SandboxError."""

    def close(self) -> None:
        """Ends what was kept ready."""


@dataclass(frozen=True, slots=True)
class CommandCompiler:
    """The language's own command, with `more` words; where it has none, the text is what runs."""

    commands: Commands
    more: Sequence[str] = ()
    readable: Sequence[Path] = field(default_factory=list)

    def compile(self, text: str, secret: str, folder: Path) -> Outcome | None:
        language = self.commands.language
        source = folder / language.file
        source.write_text(add_proof(text, language.proof, secret), encoding="utf-8")
        if not language.compile:
            return None
        words = language.command([*language.compile, *self.more], COMPILING)
        failed = self.run(words, folder)
        source.unlink()  # the secret stands in it
        return failed

    def run(self, words: Sequence[str], folder: Path) -> Outcome | None:
        """Runs a compiler's command; an outcome where it failed. Raises SandboxError."""
        finished = self.commands.run(words, folder, COMPILING, self.readable)
        return None if finished.status == 0 else _compile_failure(finished)

    def close(self) -> None:
        pass


def _compile_failure(finished: Finished) -> Outcome:
    verdicts = {"cpu": Verdict.TIMEOUT, "wall": Verdict.TIMEOUT, "memory": Verdict.MEMORY}
    verdict = verdicts.get(finished.exceeded or "", Verdict.COMPILE_ERROR)
    detail = first_error(finished.output) if verdict == Verdict.COMPILE_ERROR else "while it was compiled"
    return Outcome(verdict, finished.output, finished.cpu_seconds, finished.wall_seconds, detail)


def first_error(output: str) -> str:
    """The line of a compiler's or runtime's output that says most: the first that names an error, else the first."""
    lines = [line.strip() for line in output.splitlines() if any(map(str.isalpha, line))]
    return next((line for line in lines if _TELLING.search(line)), lines[0] if lines else "")[:300]
