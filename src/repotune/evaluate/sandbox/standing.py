"""A launcher that stays: it forks for each command, where a fresh interpreter takes 35 ms of CPU time to start.

    with StandingLauncher() as launcher:
        run_command(["true"], folder, level=level, limits=limits, environment={}, launcher=launcher)

What it forks is the launcher as it would have started by itself, so a command is held no less.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import socket
import subprocess
from contextlib import suppress
from types import TracebackType
from typing import Any

from repotune.evaluate.sandbox import kernel, launcher
from repotune.evaluate.sandbox.starting import start_interpreter

_LARGEST = 1 << 17  # bytes of a specification; the kernel takes 200 kB at once


class Launched:
    """A command that a standing launcher has started: the part of subprocess.Popen that talking with it takes."""

    def __init__(self, stdin: int, stdout: int, owner: StandingLauncher) -> None:
        self.stdin, self.stdout = os.fdopen(stdin, "wb", 0), os.fdopen(stdout, "rb", 0)
        self._owner = owner

    def kill(self) -> None:
        """Ends the command, and the launcher with it."""
        self._owner.close()

    def __enter__(self) -> Launched:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stdout.close()
        with suppress(BrokenPipeError):
            self.stdin.close()


class StandingLauncher:
    """For one command at a time. It starts with the first, again after it has died, and ends with that thread."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None

    def __enter__(self) -> StandingLauncher:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def launch(self, specification: dict[str, Any], report: int) -> Launched:
        """As command.launch, stdout and stderr together. Raises OSError."""
        inner_stdin, stdin = os.pipe()
        stdout, inner_stdout = os.pipe()
        try:
            self._send(json.dumps(specification).encode(), [inner_stdin, inner_stdout, report])
        except BaseException:
            os.close(stdin)
            os.close(stdout)
            raise
        finally:
            os.close(inner_stdin)
            os.close(inner_stdout)
        return Launched(stdin, stdout, self)

    def _send(self, message: bytes, descriptors: list[int]) -> None:
        try:
            socket.send_fds(self._started(), [message], descriptors)
        except (BrokenPipeError, ConnectionError):
            self.close()
            socket.send_fds(self._started(), [message], descriptors)

    def _started(self) -> socket.socket:
        if self._socket is None:
            # A socket that keeps messages apart, and tells the other side of its end.
            self._socket, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with its:
                self._process = start_interpreter(__name__, [str(its.fileno())], pass_fds=[its.fileno()])
        return self._socket

    def close(self) -> None:
        """Ends it and what it has started; a later command starts another."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def main(arguments: list[str]) -> None:
    """Forks a launcher for each specification that comes, until nobody holds the other end."""
    kernel.die_with_parent(signal.SIGKILL)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps what is forked here
    connection = socket.socket(fileno=int(arguments[0]))
    gc.freeze()
    while True:
        message, descriptors, _, _ = socket.recv_fds(connection, _LARGEST, 3)
        if not message:
            return
        if os.fork() == 0:
            _become_launcher(connection, message, descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


def _become_launcher(connection: socket.socket, message: bytes, descriptors: list[int]) -> None:
    """The forked child turns into the launcher of one command; it never returns."""
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        connection.close()
        stdin, stdout, report = descriptors
        for inner, outer in ((stdin, 0), (stdout, 1), (stdout, 2)):
            os.dup2(inner, outer)
        os.close(stdin)
        os.close(stdout)
        launcher.main([json.dumps({**json.loads(message), "report": report})])
    finally:
        os._exit(0)
