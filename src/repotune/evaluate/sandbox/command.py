"""Runs a command of any language in the sandbox: bounded, without a network, with one folder to write in."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from repotune.core.errors import UserError
from repotune.evaluate.sandbox.confinement import Level, require_reachable, unused_uid
from repotune.evaluate.sandbox.execution import Limits
from repotune.evaluate.sandbox.probe import probe, require
from repotune.evaluate.sandbox.standing import Launched, StandingLauncher
from repotune.evaluate.sandbox.starting import start_interpreter

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_BACKSTOP_SECONDS = 10.0  # beyond the wall limit, which the launcher keeps: then it is the launcher that hangs
_CHUNK = 1 << 16


Running = subprocess.Popen[bytes] | Launched


class SandboxError(RuntimeError):
    """The sandbox itself could not start or finish a command, which says nothing about the command."""


@dataclass(frozen=True, slots=True)
class Finished:
    """What became of a command. `status` is its exit status, None where a signal (`signal`) ended it.

    `exceeded` is the limit that ended it; "output" did not end it, but what is beyond the limit was thrown away.
    """

    status: int | None
    signal: int | None
    output: str
    cpu_seconds: float
    wall_seconds: float
    exceeded: Literal["cpu", "wall", "memory", "output"] | None


def run_command(
    argv: Sequence[str],
    folder: Path,
    *,
    level: Level,
    limits: Limits,
    environment: Mapping[str, str],
    readable: Sequence[Path] = (),
    stdin: bytes = b"",
    launcher: StandingLauncher | None = None,
) -> Finished:
    """Runs `argv` with `folder` as working directory and the only place to write, and waits for its end.

    It sees the system's libraries, `readable` and `folder`; `environment` is added to PATH, HOME, TMPDIR (both
    `folder`) and LANG. stdout and stderr come back as one text, in the order written. Where root runs this, `folder`
    and what is in it changes hands to an unused uid. A `launcher` that stays saves starting one.

    A command that is not there ends with status 127, as in a shell. Raises UserError where the machine does not reach
    `level` or a path is missing, SandboxError where the sandbox failed.
    """
    require(level)
    for path in (folder, *readable):
        if not path.exists():
            raise UserError(f"{path} is not there, and a command in the sandbox needs it.", "name a path that exists")
    require_reachable([folder, *readable], level)
    reading, writing = os.pipe()
    try:
        process: Running
        if launcher is not None:
            specification = _specification(argv, folder, level, limits, environment, readable)
            process = launcher.launch(specification, writing)
        else:
            process = launch(argv, folder, level, limits, environment, readable, writing)
    except BaseException:
        os.close(reading)
        raise
    finally:
        os.close(writing)
    with os.fdopen(reading, "rb") as report:
        output, dropped = _feed(process, stdin, limits)
        told = json.loads(report.readline() or "null")
    if not told or "error" in told:
        raise SandboxError(f"the sandbox could not run {argv[0]}: {told['error'] if told else 'the launcher ended'}")
    return _finished(told, output.decode("utf-8", "replace"), dropped, limits)


def launch(
    argv: Sequence[str],
    folder: Path,
    level: Level,
    limits: Limits,
    environment: Mapping[str, str],
    readable: Sequence[Path],
    report: int,
    stderr: int = subprocess.STDOUT,
) -> subprocess.Popen[bytes]:
    """The launcher of a command, with pipes to the command's stdin and stdout, for who talks with it while it runs.

    The JSON line about its end comes on the descriptor `report`. Killing the launcher ends the command, and at the
    level full all that it has started.
    """
    specification = {**_specification(argv, folder, level, limits, environment, readable), "report": report}
    return start_interpreter(
        "repotune.evaluate.sandbox.launcher",
        [json.dumps(specification)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        pass_fds=[report],
    )


def _specification(
    argv: Sequence[str],
    folder: Path,
    level: Level,
    limits: Limits,
    environment: Mapping[str, str],
    readable: Sequence[Path],
) -> dict[str, Any]:
    """What a launcher is told."""
    home = str(folder.resolve())
    return {
        "argv": [str(each) for each in argv],
        "folder": home,
        "level": int(level),
        "limits": asdict(limits),
        "environment": {"PATH": _PATH, "HOME": home, "TMPDIR": home, "LANG": "C.UTF-8", **environment},
        "readable": [str(path.absolute()) for path in readable],
        "uid": unused_uid(home) if level >= Level.CONFINED else None,
        "proc": level >= Level.FULL and probe().proc,
    }


def _feed(process: Running, stdin: bytes, limits: Limits) -> tuple[bytes, bool]:
    """Writes `stdin`, keeps the first bytes of the output, and reaps the launcher; whether something was dropped."""
    assert process.stdin is not None
    assert process.stdout is not None
    kept, dropped, rest = bytearray(), False, memoryview(stdin)
    deadline = time.monotonic() + limits.wall + _BACKSTOP_SECONDS
    with process, selectors.DefaultSelector() as selector:
        os.set_blocking(process.stdin.fileno(), False)
        selector.register(process.stdout, selectors.EVENT_READ)
        selector.register(process.stdin, selectors.EVENT_WRITE)
        while process.stdout in {key.fileobj for key in selector.get_map().values()}:
            if time.monotonic() > deadline:
                process.kill()
                deadline = float("inf")
            for key, _ in selector.select(1.0):
                if key.fileobj is process.stdin:
                    rest = _write_some(process, selector, rest)
                    continue
                chunk = os.read(process.stdout.fileno(), _CHUNK)
                if not chunk:
                    selector.unregister(process.stdout)
                room = limits.output - len(kept)
                kept += chunk[:room]
                dropped = dropped or len(chunk) > room
        with suppress(BrokenPipeError):
            process.stdin.close()
    return bytes(kept), dropped


def _write_some(process: Running, selector: selectors.BaseSelector, rest: memoryview[int]) -> memoryview[int]:
    assert process.stdin is not None
    try:
        rest = rest[os.write(process.stdin.fileno(), rest[:_CHUNK]) :] if rest else rest
    except BrokenPipeError:
        rest = rest[:0]
    if not rest:
        selector.unregister(process.stdin)
        process.stdin.close()
    return rest


def _finished(told: dict[str, Any], output: str, dropped: bool, limits: Limits) -> Finished:
    code = os.waitstatus_to_exitcode(told["status"])
    killed = -code if code < 0 else None
    exceeded: Literal["cpu", "wall", "memory", "output"] | None = "output" if dropped else None
    if told["exceeded"] is not None:
        exceeded = told["exceeded"]
    elif killed in (signal.SIGXCPU, signal.SIGKILL):
        # Nobody else kills it outright than the kernel, for its limit of CPU time or since memory has run out.
        exceeded = "cpu" if told["cpu_seconds"] >= limits.cpu_seconds else "memory"
    return Finished(
        status=None if killed else code,
        signal=killed,
        output=output,
        cpu_seconds=told["cpu_seconds"],
        wall_seconds=told["wall_seconds"],
        exceeded=exceeded,
    )
