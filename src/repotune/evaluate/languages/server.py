"""A compiler that stays: one confined process that is given sources on stdin and gives back what it made of them.

Messages are blocks, each four bytes of length, big-endian, and that many bytes. A question is two blocks, the file's
name and its text. An answer is a block with the errors, empty where there are none, then name and content of each
file that came out, then an empty block.
"""

from __future__ import annotations

import os
import select
import struct
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from repotune.evaluate.languages.compiling import first_error
from repotune.evaluate.sandbox.command import launch
from repotune.evaluate.sandbox.confinement import Level
from repotune.evaluate.sandbox.execution import Limits, Outcome, Verdict

_LENGTH = struct.Struct(">I")
_CHUNK = 1 << 16
_FOREVER = 1e7  # seconds; each question has its own time


@dataclass(frozen=True, slots=True)
class Answer:
    """What a compiler said: `errors` is empty where it made `files`."""

    errors: str
    files: Mapping[str, bytes]

    def put_into(self, folder: Path) -> Outcome | None:
        """Writes the files; an outcome where there are errors, or a name that leads out of `folder`."""
        if self.errors:
            return Outcome(Verdict.COMPILE_ERROR, self.errors, detail=first_error(self.errors))
        for name, content in self.files.items():
            place = folder / name
            if ".." in place.parts or not place.is_relative_to(folder):
                return Outcome(Verdict.HARNESS_ERROR, detail=f"the compiler named a file {name!r}")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
        return None


class _GoneError(Exception):
    """The process ended, or was too slow."""


class CompileServer:
    """`argv` is started at the first question and again after it has died; `readable` is what it may read."""

    def __init__(self, argv: Sequence[str], readable: Sequence[Path], level: Level, limits: Limits) -> None:
        self._argv, self._readable, self._level = argv, readable, level
        self._limits = Limits(
            cpu_seconds=_FOREVER, wall_seconds=_FOREVER, memory=limits.memory, processes=limits.processes
        )
        self._process: subprocess.Popen[bytes] | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def compile(self, name: str, text: str, seconds: float) -> Answer | None:
        """What became of a file; None where the process died of it or took longer than `seconds`."""
        deadline = time.monotonic() + seconds
        try:
            process = self._started()
            self._write(process, b"".join(_block(each.encode()) for each in (name, text)), deadline)
            errors, files = self._read_block(process, deadline).decode("utf-8", "replace"), {}
            while file := self._read_block(process, deadline).decode():
                files[file] = self._read_block(process, deadline)
        except (_GoneError, OSError, UnicodeDecodeError):
            self.close()
            return None
        return Answer(errors, files)

    def close(self) -> None:
        """Ends the process; a later question starts another."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            self._folder = tempfile.TemporaryDirectory(prefix="repotune-", ignore_cleanup_errors=True)
            with Path(os.devnull).open("wb") as nowhere:
                self._process = launch(
                    self._argv,
                    Path(self._folder.name),
                    self._level,
                    self._limits,
                    {},
                    self._readable,
                    nowhere.fileno(),
                    stderr=subprocess.DEVNULL,
                )
            assert self._process.stdin is not None
            os.set_blocking(self._process.stdin.fileno(), False)
        return self._process

    def _write(self, process: subprocess.Popen[bytes], data: bytes, deadline: float) -> None:
        assert process.stdin is not None
        descriptor, rest = process.stdin.fileno(), memoryview(data)
        while rest:
            if not select.select([], [descriptor], [], _left(deadline))[1]:
                raise _GoneError
            rest = rest[os.write(descriptor, rest[:_CHUNK]) :]

    def _read_block(self, process: subprocess.Popen[bytes], deadline: float) -> bytes:
        return self._read(process, _LENGTH.unpack(self._read(process, _LENGTH.size, deadline))[0], deadline)

    def _read(self, process: subprocess.Popen[bytes], size: int, deadline: float) -> bytes:
        assert process.stdout is not None
        if size > self._limits.memory:
            raise _GoneError
        descriptor, data = process.stdout.fileno(), bytearray()
        while len(data) < size:
            if not select.select([descriptor], [], [], _left(deadline))[0]:
                raise _GoneError
            chunk = os.read(descriptor, min(_CHUNK, size - len(data)))
            if not chunk:
                raise _GoneError
            data += chunk
        return bytes(data)


def _block(data: bytes) -> bytes:
    return _LENGTH.pack(len(data)) + data


def _left(deadline: float) -> float:
    return max(0.0, deadline - time.monotonic())
