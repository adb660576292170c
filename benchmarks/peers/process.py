"""A peer in its process, seen from the benchmark that asks it.

with Peer("llama.cpp q8_0", [sys.executable, "-m", "peers.llama_cpp", "model.gguf", "2"]) as peer:
    answer = peer.complete(ids, 64)
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

import psutil

_FOLDER = Path(__file__).parents[1]


class Answer(NamedTuple):
    """Tokens, and seconds from the request to the first and to the last of them."""

    tokens: list[int]
    first: float
    total: float

    @property
    def rate(self) -> float:
        """Tokens a second after the first."""
        return (len(self.tokens) - 1) / (self.total - self.first)


class PeerFailed(Exception):  # noqa: N818 (a peer that is not installed is no fault of the benchmark's)
    """A peer did not start, or died: its name and the last line it wrote."""


class Peer:
    """A peer that has said that it is ready, and what it said with it. It is stopped (SIGSTOP) while others are asked,
    so that threads of its own that wait by spinning take no time from them."""

    def __init__(self, name: str, command: Sequence[str]) -> None:
        self.name = name
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the process)
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            cwd=_FOLDER,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
            text=True,
            start_new_session=True,
        )
        self.ready: dict[str, Any] = self._read()

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def complete(self, ids: Sequence[int], count: int) -> Answer:
        """`count` greedy tokens after `ids`."""
        assert self._process.stdin is not None
        self.wake()
        try:
            self._process.stdin.write(json.dumps({"ids": list(ids), "count": count}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise PeerFailed(self._last_line()) from None
        answer = self._read()
        self.sleep()
        return Answer(answer["tokens"], answer["first"], answer["total"])

    def wake(self) -> None:
        """Lets it run."""
        os.killpg(self._process.pid, signal.SIGCONT)

    def sleep(self) -> None:
        """Stops it until it is asked again."""
        os.killpg(self._process.pid, signal.SIGSTOP)

    def memory(self) -> float:
        """Resident megabytes, its children's among them; files that are mapped count as far as they were read."""
        process = psutil.Process(self._process.pid)
        return sum(one.memory_info().rss for one in [process, *process.children(recursive=True)]) / 1e6

    def close(self) -> None:
        """Ends it."""
        if self._process.poll() is None:
            self.wake()
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._log):
            assert pipe is not None
            pipe.close()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            raise PeerFailed(self._last_line())
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _last_line(self) -> str:
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        return f"{self.name}: {lines[-1] if lines else f'it ended with status {self._process.returncode}'}"
