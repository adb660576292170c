"""Commands of one language in the sandbox, one at a time, by a launcher that stays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from repotune.evaluate.languages.language import Language
from repotune.evaluate.sandbox.command import Finished, run_command
from repotune.evaluate.sandbox.confinement import Level
from repotune.evaluate.sandbox.execution import Limits
from repotune.evaluate.sandbox.standing import StandingLauncher


@dataclass(frozen=True, slots=True)
class Commands:
    """What a worker runs its programs' compilers and the programs with."""

    language: Language
    level: Level
    launcher: StandingLauncher = field(default_factory=StandingLauncher)

    def run(self, words: Sequence[str], folder: Path, limits: Limits, readable: Sequence[Path] = ()) -> Finished:
        """A command in a program's folder, whose name the output is freed of. Raises SandboxError or OSError."""
        finished = run_command(
            words,
            folder,
            level=self.level,
            limits=limits,
            environment=self.language.environment,
            readable=[*self.language.places(), *readable],
            launcher=self.launcher,
        )
        return replace(finished, output=finished.output.replace(f"{folder.resolve()}/", ""))

    def close(self) -> None:
        """Ends the launcher."""
        self.launcher.close()
