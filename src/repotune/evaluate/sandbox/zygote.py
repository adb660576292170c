"""Forks a child for each candidate, from an interpreter that has the common modules loaded, and tells what it used.

It is the first process of its pid namespace: nothing inside can send it a signal that it does not want, and one call
kills all that a candidate has left. It never sees a test, so no child inherits one in its memory.
"""

from __future__ import annotations

import gc
import importlib
import io
import itertools
import json
import os
import select
import socket
import stat
import struct
import sys
from pathlib import Path

from repotune.evaluate.sandbox import candidate, kernel
from repotune.evaluate.sandbox.confinement import Hold, Level
from repotune.evaluate.sandbox.execution import Limits
from repotune.evaluate.sandbox.frames import receive_frame, send_frame
from repotune.evaluate.sandbox.sweep import kill_all, reap_all

ENDED = struct.Struct("<id")  # what became of a candidate: wait status, CPU seconds; its output follows
_CONNECTION = 3
_CHUNK = 1 << 16

# What programs of benchmarks import most; loaded once instead of by each child.
_LOADED = """
    abc bisect collections copy dataclasses datetime decimal enum fractions functools hashlib heapq itertools json
    math operator random re statistics string sys time typing
"""


class Zygote:
    """`control` is the socket to the trusted side; `scratch` the folder that candidates write in."""

    def __init__(self, control: socket.socket, hold: Hold, level: Level, scratch: str, limits: Limits) -> None:
        self._control, self._hold, self._level = control, hold, level
        self._scratch, self._limits = Path(scratch), limits
        self._clean = self._state()

    def serve(self) -> None:
        """Runs candidates until the trusted side is gone."""
        for name in _LOADED.split():
            importlib.import_module(name)
        candidate.rehearse()
        for stream in (sys.stdout, sys.stderr):
            assert isinstance(stream, io.TextIOWrapper)
            # A candidate is killed at its end, and what it still held back would be lost.
            stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)
        os.chdir(self._scratch)
        if self._level >= Level.FULL:
            self._hold.share()
        self._try()
        send_frame(self._control, b"")
        gc.collect()
        gc.disable()
        gc.freeze()  # children that never touch the collector's lists share their pages
        while program := receive_frame(self._control):
            loading, connection = program
            assert connection is not None
            self._run(loading, connection)

    def _hold_child(self) -> None:
        if self._level < Level.FULL:  # without a pid namespace this process must stay outside to be safe from it
            self._hold.share()
        self._hold.enter()

    def _try(self) -> None:
        """Holds a child as every candidate will be. Raises OSError where that is refused, before any is run."""
        child = os.fork()
        if child == 0:
            try:
                self._hold_child()
            except BaseException:
                os._exit(1)
            os._exit(0)
        if os.waitpid(child, 0)[1]:
            raise OSError("a child could not be held")

    def _run(self, loading: bytes, connection: int) -> None:
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            self._become(loading, connection, writing)
        os.close(connection)
        os.close(writing)
        output = self._wait(child, reading)
        status, seconds = self._sweep(child)
        output += self._read(reading, self._limits.output - len(output))
        os.close(reading)
        if self._state() != self._clean:
            self._renew()
        send_frame(self._control, ENDED.pack(status, seconds) + output)

    def _become(self, loading: bytes, connection: int, writing: int) -> None:
        """The forked child turns into the candidate; it never returns."""
        try:
            os.setsid()
            os.dup2(writing, 1)
            os.dup2(writing, 2)
            self._hold_child()
            if connection != _CONNECTION:
                os.dup2(connection, _CONNECTION)
            os.closerange(_CONNECTION + 1, 1 << 20)
            candidate.serve(socket.socket(fileno=_CONNECTION), *json.loads(loading))
        finally:
            os._exit(1)

    def _wait(self, child: int, reading: int) -> bytes:
        """Reads what the candidate writes until the trusted side says that it has seen enough."""
        handle, kept = os.pidfd_open(child), bytearray()
        waiting = select.poll()
        for descriptor in (handle, reading, self._control.fileno()):
            waiting.register(descriptor, select.POLLIN)
        alive, left = True, self._limits.cpu_seconds
        while True:
            ready = dict(waiting.poll(1000 * left + 1 if alive and self._level >= Level.LIMITED else None))
            if alive and (handle in ready or (left := self._left(child)) <= 0):
                kill_all(self._level)  # its orphans too, that hold the socket open
                waiting.unregister(handle)
                alive = False
            if reading in ready:
                chunk = os.read(reading, _CHUNK)
                kept += chunk[: self._limits.output - len(kept)]
                if not chunk:
                    waiting.unregister(reading)
            if self._control.fileno() in ready:
                if not self._control.recv(1):
                    os._exit(0)  # the trusted side is gone, and the namespace goes with its init
                os.close(handle)
                return bytes(kept)

    def _left(self, child: int) -> float:
        used = kernel.cpu_seconds(child) if self._level >= Level.LIMITED else 0.0
        return self._limits.cpu_seconds - used

    def _sweep(self, child: int) -> tuple[int, float]:
        """The candidate's wait status, and the CPU seconds of all that it was."""
        status, seconds = 0, 0.0
        for pid, ended, used in reap_all(self._level):
            seconds += used.ru_utime + used.ru_stime
            if pid == child:
                status = ended
        return status, seconds

    def _read(self, reading: int, room: int) -> bytes:
        """What is left in the pipe of the dead."""
        os.set_blocking(reading, False)
        try:
            return os.read(reading, room) if room > 0 else b""
        except BlockingIOError:
            return b""

    def _state(self) -> tuple[int, ...]:
        """Differs where a candidate has left something in the scratch folder or done something to it."""
        told = self._scratch.stat()
        return told.st_mode, told.st_mtime_ns, told.st_nlink, told.st_size

    def _renew(self) -> None:
        _empty(self._scratch)
        self._clean = self._state()


def _empty(folder: Path) -> None:
    """Removes what is in `folder`, however deep, closed or full of links it is.

    Folders move up before they are gone into, so that no path grows long; a candidate can nest thousands.
    """
    folder.chmod(stat.S_IMODE(folder.stat().st_mode) | stat.S_IRWXU)
    names = itertools.count()
    while entries := list(folder.iterdir()):
        for entry in entries:
            if entry.is_symlink() or not entry.is_dir():
                entry.unlink()
                continue
            entry.chmod(stat.S_IRWXU)
            for inner in entry.iterdir():
                if inner.is_symlink() or not inner.is_dir():
                    inner.unlink()
                else:
                    inner.chmod(stat.S_IRWXU)  # a folder that may not be written does not let go of itself
                    inner.rename(folder / f"{next(names)} {entry.name[:64]} moved")
            entry.rmdir()
