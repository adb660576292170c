"""A worker of PythonSandbox, as a process of its own: `worker.main([SPECIFICATION])`.

It starts the zygote, which goes into the sandbox for good, and then runs tests for as long as its owner lives.
"""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import socket
import sys
from collections import deque
from typing import Any

from repotune.evaluate.sandbox import kernel
from repotune.evaluate.sandbox.confinement import Hold, Level, Places, enter, isolate, open_to_uid
from repotune.evaluate.sandbox.execution import Limits
from repotune.evaluate.sandbox.frames import receive_frame, send_frame
from repotune.evaluate.sandbox.root import SCRATCH
from repotune.evaluate.sandbox.tester import Running, Tester
from repotune.evaluate.sandbox.zygote import Zygote

_ZYGOTES = 2  # while the tests of one candidate run, the next one loads


def main(arguments: list[str]) -> None:
    """Serves programs on the socket that the JSON in `arguments[0]` names, until its owner is gone."""
    specification = json.loads(arguments[0])
    owner = socket.socket(fileno=specification["socket"])
    kernel.die_with_parent(signal.SIGKILL)
    os.sched_setaffinity(0, {specification["core"]})
    sys.path += specification["packages"]
    level, limits = Level(specification["level"]), Limits(**specification["limits"])
    try:
        controls = [_start_zygote(specification, level, limits) for _ in range(_ZYGOTES)]
        _hold_tester(specification, level, limits)
    except OSError as error:
        send_frame(owner, json.dumps({"error": str(error)}).encode())
        return
    send_frame(owner, b"{}")
    _serve(owner, [Tester(control, limits) for control in controls])


def _serve(owner: socket.socket, testers: list[Tester]) -> None:
    """Runs one program after the other, and lets the next candidate load meanwhile, in the other zygote."""
    free, started = deque(testers), deque[tuple[Tester, Running]]()
    while True:
        while free and (not started or select.select([owner], [], [], 0)[0]):
            frame = receive_frame(owner)
            if frame is None:
                return
            tester = free.popleft()
            started.append((tester, tester.start(*json.loads(frame[0]))))
        tester, running = started.popleft()
        outcome = tester.finish(running)
        free.append(tester)
        send_frame(owner, json.dumps([getattr(outcome, name) for name in outcome.__slots__]).encode())


def _places(specification: dict[str, Any], level: Level) -> Places:
    writable = () if level >= Level.FULL else (specification["scratch"],)
    return Places(tuple(specification["readable"]), writable, scratch=level >= Level.FULL)


def _start_zygote(specification: dict[str, Any], level: Level, limits: Limits) -> socket.socket:
    """The socket to a zygote that is ready and ends when the socket does. Raises OSError where it cannot start."""
    ours, its = socket.socketpair()
    between = os.fork()
    if between == 0:
        _become_zygote(specification, level, limits, its)
    its.close()
    os.waitpid(between, 0)
    ready = receive_frame(ours)
    if ready is None or ready[0]:
        raise OSError(ready[0].decode() if ready else "the zygote ended")
    return ours


def _become_zygote(specification: dict[str, Any], level: Level, limits: Limits, control: socket.socket) -> None:
    """The forked child; it never returns. It forks again, since a process can make but one pid namespace."""
    try:
        kernel.die_first()
        isolate(level)
        if os.fork():
            os._exit(0)
        os.closerange(0, control.fileno())
        os.closerange(control.fileno() + 1, 1 << 20)
        for _ in range(3):
            os.open(os.devnull, os.O_RDWR)
        uid, places = specification["uid"], _places(specification, level)
        open_to_uid(uid, places.writable)
        enter(level, places)
        hold = Hold(level, places, limits, uid, address_space=True)
        scratch = SCRATCH if level >= Level.FULL else specification["scratch"]
        Zygote(control, hold, level, scratch, limits).serve()
    except OSError as error:
        send_frame(control, str(error).encode())
    finally:
        os._exit(0)


def _hold_tester(specification: dict[str, Any], level: Level, limits: Limits) -> None:
    """The tests are trusted, what they read is not: this process too loses what it does not need."""
    if level < Level.CONFINED:
        return
    Hold(level, Places(tuple(specification["readable"])), None, None, address_space=False).share()
    # An answer of 16 MB is ten times that as Python's objects, and the tests may keep several.
    resource.setrlimit(resource.RLIMIT_AS, (2 * limits.memory, 2 * limits.memory))
