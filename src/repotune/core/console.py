"""What the user sees while work runs: messages and progress on stderr, so that stdout stays free for data.

On a terminal progress is a live bar with an ETA; elsewhere (CI, a log file) it is a plain line now and then.
NO_COLOR is honoured by rich itself.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console as RichConsole
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

_PLAIN_INTERVAL_SECONDS = 10.0


class Progress(Protocol):
    """A task under way. `note` is a short text beside the bar, for example the current loss."""

    def advance(self, amount: float = 1.0, note: str | None = None) -> None: ...


class Console:
    """Messages for a person. `quiet` keeps only warnings and errors."""

    def __init__(self, quiet: bool = False) -> None:
        self.quiet = quiet
        self._rich = RichConsole(stderr=True, highlight=False, soft_wrap=True)

    def heading(self, text: str) -> None:
        if not self.quiet:
            self._rich.print(text, style="bold", markup=False)

    def say(self, text: str) -> None:
        if not self.quiet:
            self._rich.print(text, markup=False)

    def warn(self, text: str) -> None:
        self._rich.print(f"warning: {text}", style="yellow", markup=False)

    def error(self, message: str, hint: str | None = None) -> None:
        self._rich.print(f"error: {message}", style="bold red", markup=False)
        if hint:
            self._rich.print(f"\nhint: {hint}", markup=False)

    @contextmanager
    def progress(self, description: str, total: float, unit: str = "") -> Iterator[Progress]:
        """Shows work of `total` units until the block ends."""
        if self.quiet:
            yield _Silent()
        elif self._rich.is_terminal:
            yield from _live(self._rich, description, total, unit)
        else:
            yield _Plain(self, description, total, unit)


class _Silent:
    def advance(self, amount: float = 1.0, note: str | None = None) -> None:
        pass


def _live(rich: RichConsole, description: str, total: float, unit: str) -> Iterator[Progress]:
    columns = (
        TextColumn("  {task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeElapsedColumn(),
        TextColumn("ETA"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )
    with RichProgress(*columns, console=rich, transient=True) as bar:
        task = bar.add_task(description, total=int(total), note="")

        class Live:
            def advance(self, amount: float = 1.0, note: str | None = None) -> None:
                bar.advance(task, int(amount))
                if note is not None:
                    bar.update(task, note=note)

        yield Live()


class _Plain:
    """A line every ten seconds and none for work that is over sooner."""

    def __init__(self, console: Console, description: str, total: float, unit: str) -> None:
        self._console, self._description, self._total, self._unit = console, description, total, unit
        self._done = 0.0
        self._started = self._last = time.monotonic()

    def advance(self, amount: float = 1.0, note: str | None = None) -> None:
        self._done += amount
        now = time.monotonic()
        if now - self._last < _PLAIN_INTERVAL_SECONDS or self._total <= 0:
            return
        self._last = now
        share = 100 * self._done / self._total
        text = f"  {self._description}: {share:.0f} % of {self._total:,.0f} {self._unit}"
        if share >= 1:  # what begins slowly, as with a model to load, would promise days
            text += f", ETA {duration((now - self._started) / self._done * (self._total - self._done))}"
        self._console.say(f"{text}  {note}" if note else text)


def duration(seconds: float) -> str:
    """`seconds` for a person: 8 s, 3 min 20 s, 2 h 5 min."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        minutes, rest = divmod(whole, 60)
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, rest = divmod(whole, 3600)
    return f"{hours} h {rest // 60} min" if rest >= 60 else f"{hours} h"


def size(count: float) -> str:
    """`count` bytes for a person, in powers of 1000."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(count) < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def write_data(text: str) -> None:
    """Prints `text` to stdout: the one door for what a script reads."""
    sys.stdout.write(text if text.endswith("\n") else text + "\n")
    sys.stdout.flush()
