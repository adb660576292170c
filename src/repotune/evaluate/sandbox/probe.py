"""What this machine can hold a program with, found by trying each in a process of its own.

    python -m repotune doctor      shows the same

Kernels, containers and security modules refuse in their own ways (a user namespace may be made but hold no rights, as
on Ubuntu 24.04), so nothing is concluded from a version.
"""

from __future__ import annotations

import functools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass

from repotune.core.errors import UserError
from repotune.evaluate.sandbox import kernel, landlock
from repotune.evaluate.sandbox.confinement import Hold, Level, Places, enter, isolate, unused_uid
from repotune.evaluate.sandbox.execution import Limits
from repotune.evaluate.sandbox.starting import start_interpreter

_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Probe:
    """What this machine reaches. `missing` says, for each level above `level`, the first thing that refused."""

    level: Level
    system: str
    landlock_abi: int
    seccomp: bool
    namespaces: bool
    proc: bool
    uid_dropped: bool
    missing: dict[str, str]

    def report(self) -> list[str]:
        """Lines for `doctor`."""
        uid = "an unused uid" if self.uid_dropped else "the user's own uid"
        have = [
            f"sandbox: {self.level.name.lower()}, programs run as {uid}",
            f"Landlock ABI {self.landlock_abi or 'none'}, seccomp {_yes(self.seccomp)}, "
            f"namespaces {_yes(self.namespaces)}, own /proc {_yes(self.proc)}",
        ]
        return have + [f"not {level}: {reason}" for level, reason in self.missing.items()]


def _yes(reached: bool) -> str:
    return "yes" if reached else "no"


@functools.cache
def probe() -> Probe:
    """Tries everything, once for this process (about 0.1 s)."""
    if sys.platform != "linux":
        nothing = {"limited": f"the sandbox is made of what Linux has, and this is {sys.platform}"}
        return Probe(Level.NONE, os.uname().sysname, 0, False, False, False, False, nothing)
    tried = _tried()
    missing = {name: tried[name] for name in ("confined", "full") if tried[name]}
    level = Level.FULL if "full" not in missing else Level.LIMITED if "confined" in missing else Level.CONFINED
    return Probe(
        level=level,
        system=f"{os.uname().sysname} {os.uname().release}",
        landlock_abi=landlock.abi(),
        seccomp=not tried["seccomp"],
        namespaces=not tried["full"],
        proc=not tried["proc"],
        uid_dropped=unused_uid() is not None,
        missing=missing,
    )


def require(level: Level) -> None:
    """Raises UserError where this machine cannot hold a program as `level` says: such a program is not run.

    Outside Linux nothing is run, whatever the level.
    """
    reached = probe()
    if level <= reached.level and reached.level > Level.NONE:
        return
    reason = next(iter(reached.missing.values()))
    raise UserError(
        f"This machine holds untrusted programs at the level {reached.level.name.lower()}, "
        f"below {level.name.lower()}, which was asked for: {reason}.",
        "run on Linux 6.12 or newer as an ordinary user with user namespaces, or in a container as root; "
        "`repotune doctor` says what is there",
    )


def _tried() -> dict[str, str]:
    """For each of _TRIALS why it failed, empty where it did not."""
    process = start_interpreter(__name__, [], stdout=subprocess.PIPE)
    try:
        told, _ = process.communicate(timeout=_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        told = b""
    reasons: dict[str, str] = json.loads(told or "{}")
    return {name: reasons.get(name, "the trial did not end") for name in _TRIALS}


def _try_seccomp() -> None:
    kernel.no_new_privileges()
    hold = Hold(Level.CONFINED, Places(), Limits(), None, address_space=True)
    hold.share()
    hold.enter()


def _try_confined() -> None:
    if landlock.abi() < landlock.SCOPES_ABI and os.geteuid() != 0:
        raise OSError(f"Landlock's ABI is {landlock.abi()}: a program could send signals to the user's other processes")
    hold = Hold(Level.CONFINED, Places(), Limits(), unused_uid(), address_space=True)
    hold.share()
    hold.enter()


def _try_full(proc: bool = False) -> None:
    isolate(Level.FULL)
    first = os.fork()
    if first == 0:
        try:
            enter(Level.FULL, Places(proc=proc))
            hold = Hold(Level.FULL, Places(), Limits(), unused_uid(), address_space=True)
            hold.share()
            hold.enter()
        except OSError as error:
            os.write(1, str(error).encode())
            os._exit(1)
        os._exit(0)
    if os.waitpid(first, 0)[1]:
        os._exit(1)


_TRIALS: dict[str, Callable[[], None]] = {
    "seccomp": _try_seccomp,
    "confined": _try_confined,
    "full": _try_full,
    "proc": functools.partial(_try_full, proc=True),
}


def main(arguments: list[str]) -> None:
    """Prints why each trial failed, as JSON; the trials are for good and so each has a child of its own."""
    kernel.die_with_parent(signal.SIGKILL)
    os.write(1, json.dumps({name: _reason(trial) for name, trial in _TRIALS.items()}).encode())


def _reason(trial: Callable[[], None]) -> str:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(writing, 1)
        try:
            trial()
        except Exception as error:
            os.write(1, str(error).encode())
            os._exit(1)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        told = pipe.read().decode("utf-8", "replace")
    failed = os.waitpid(child, 0)[1]
    return (told or "it was killed") if failed else ""
