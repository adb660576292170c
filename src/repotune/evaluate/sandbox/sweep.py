"""Ends all that a program has started, orphans too. Nothing of it outlives the sweep."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from resource import struct_rusage

from repotune.evaluate.sandbox.confinement import Level


def kill_all(level: Level) -> None:
    """Kills every process but this one: all of the pid namespace that it is init of, or else its own children."""
    if level >= Level.FULL:
        with suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)
        return
    for child in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split():
        os.kill(int(child), signal.SIGKILL)


def reap_all(level: Level) -> Iterator[tuple[int, int, struct_rusage]]:
    """Kills, waits, and yields (pid, wait status, use) until nobody is left.

    Where there is no pid namespace, orphans become children of this process, which adopts them, only when the one above
    them dies; so each round kills anew.
    """
    while True:
        kill_all(level)
        try:
            yield os.wait4(-1, 0)
        except ChildProcessError:
            return
