"""Runs one command in the sandbox, as a process of its own: `launcher.main([SPECIFICATION])`.

Three processes: the launcher waits; the first process of the namespaces sweeps and reports; the command does what it
likes. The report is one JSON line on a descriptor that the command never has.
"""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import time
from typing import Any

from repotune.evaluate.sandbox import kernel
from repotune.evaluate.sandbox.confinement import Hold, Level, Places, enter, isolate, open_to_uid
from repotune.evaluate.sandbox.execution import Limits
from repotune.evaluate.sandbox.sweep import reap_all

CANNOT_START = 127


def main(arguments: list[str]) -> None:
    """Starts the command of the JSON in `arguments[0]`, and ends when nothing of it is left."""
    specification = json.loads(arguments[0])
    report = int(specification["report"])
    try:
        kernel.die_with_parent(signal.SIGKILL)
        kernel.die_first()
        first = _start_first(specification, report)
        os.close(report)
        os.waitpid(first, 0)
    except OSError as error:
        _write(report, {"error": str(error)})


def _start_first(specification: dict[str, Any], report: int) -> int:
    level = Level(specification["level"])
    isolate(level)
    first = os.fork()
    if first:
        return first
    try:
        kernel.die_with_parent(signal.SIGKILL)
        _supervise(specification, level, report)
    except OSError as error:
        _write(report, {"error": str(error)})
    finally:
        os._exit(0)


def _supervise(specification: dict[str, Any], level: Level, report: int) -> None:
    limits, uid, folder = Limits(**specification["limits"]), specification["uid"], specification["folder"]
    places = Places(tuple(specification["readable"]), (folder,), proc=specification["proc"])
    open_to_uid(uid, [folder])
    enter(level, places)
    hold = Hold(level, places, limits, uid, address_space=False)
    started = time.monotonic()
    child = os.fork()
    if child == 0:
        _become(specification, hold)
    status, exceeded = _wait(child, limits, level)
    for _ in reap_all(level):
        pass
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    _write(
        report,
        {
            "status": status,
            "exceeded": exceeded,
            "cpu_seconds": used.ru_utime + used.ru_stime,
            "wall_seconds": time.monotonic() - started,
        },
    )


def _become(specification: dict[str, Any], hold: Hold) -> None:
    """The forked child turns into the command; it never returns."""
    try:
        os.setsid()
        os.chdir(specification["folder"])
        for ignored in (signal.SIGPIPE, signal.SIGXFSZ):  # by Python, and exec would pass that on
            signal.signal(ignored, signal.SIG_DFL)
        hold.share()
        hold.enter()
        kernel.die_with_parent(signal.SIGKILL)  # only now, since a change of the uid forgets it
        kernel.die_with_parent(signal.SIGKILL)  # where no namespace ends with its first process
        os.closerange(3, 1 << 20)
        os.execvpe(specification["argv"][0], specification["argv"], specification["environment"])
    except BaseException as error:
        os.write(2, f"{specification['argv'][0]}: {error}\n".encode())
    os._exit(CANNOT_START)


def _wait(child: int, limits: Limits, level: Level) -> tuple[int, str | None]:
    """The child's wait status, and the limit for which it had to be killed. CPU time here is the child's own."""
    handle, deadline, exceeded = os.pidfd_open(child), time.monotonic() + limits.wall, None
    bounded = level >= Level.LIMITED
    while exceeded is None:
        left = limits.cpu_seconds - kernel.cpu_seconds(child) if bounded else limits.wall
        until_wall = deadline - time.monotonic()
        if left <= 0 or until_wall <= 0:
            exceeded = "cpu" if left <= 0 else "wall"
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        elif select.select([handle], [], [], min(left + 0.001, until_wall))[0]:
            break
    os.close(handle)
    return os.waitpid(child, 0)[1], exceeded


def _write(report: int, content: dict[str, Any]) -> None:
    os.write(report, json.dumps(content).encode() + b"\n")
