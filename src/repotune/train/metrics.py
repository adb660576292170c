"""metrics.jsonl and logbook.md: what happened in a run, for programs and for people."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from repotune.core.artefact import write_atomically


class Metrics:
    """A line a step, appended. A run that resumes at `step` keeps the lines up to it and drops the rest, so that an
    interrupted run has the lines of an uninterrupted one. `seconds` is the training time of the lines kept."""

    def __init__(self, path: Path, step: int) -> None:
        kept = [line for line in _whole_lines(path) if line["step"] <= step]
        write_atomically(path, "".join(json.dumps(line) + "\n" for line in kept))
        self.seconds = float(kept[-1]["seconds"]) if kept else 0.0
        self._file = path.open("a", encoding="utf-8")

    def append(self, line: dict[str, Any], seconds: float) -> None:
        """Adds a step's line, that took `seconds`."""
        self.seconds += seconds
        self._file.write(json.dumps(line | {"seconds": round(self.seconds, 3)}) + "\n")
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
