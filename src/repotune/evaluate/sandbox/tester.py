"""The trusted side: runs the tests here, and has the candidate's functions called in its own process.

So no frame, no object and no byte of the candidate's process knows what the tests expect or what they have found: what
comes back is a plain value, and the verdict is made here.
"""

from __future__ import annotations

import builtins
import functools
import importlib
import json
import os
import signal
import socket
import symtable
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import CodeType, FrameType
from typing import Any

from repotune.evaluate.sandbox.candidate import OUT_OF_MEMORY
from repotune.evaluate.sandbox.execution import Limits, Outcome, Verdict
from repotune.evaluate.sandbox.frames import receive_frame, send_frame
from repotune.evaluate.sandbox.link import Link, LinkClosedError, describe
from repotune.evaluate.sandbox.remote import Remote
from repotune.evaluate.sandbox.wire import Codec
from repotune.evaluate.sandbox.zygote import ENDED

_LOADED_VERDICTS = {"compile error": Verdict.COMPILE_ERROR, "memory": Verdict.MEMORY, "failed": Verdict.FAILED}


class _OutOfTimeError(BaseException):
    """The tests themselves have used the CPU time that a program has."""


class _UnsendableError(BaseException):
    """The tests pass something to the candidate that does not cross: the harness's fault, not the candidate's."""


@dataclass(frozen=True, slots=True)
class Running:
    """A candidate that loads, and the code of its tests; `fault` says why there is none."""

    connection: socket.socket
    session: _Session
    code: CodeType | None
    wanted: tuple[str, ...]
    fault: str


class Tester:
    """Runs programs, one at a time; `control` is the socket to the zygote that forks their candidates."""

    def __init__(self, control: socket.socket, limits: Limits) -> None:
        self._control, self._limits = control, limits
        signal.signal(signal.SIGPROF, _out_of_time)

    def start(self, candidate: str, tests: str, entry_point: str | None) -> Running:
        """Has the candidate loaded. Raises OSError where the zygote is gone."""
        code, wanted, fault = _compiled(tests, entry_point)
        mine, theirs = socket.socketpair()
        with theirs:
            send_frame(self._control, json.dumps([candidate, wanted]).encode(), theirs.fileno())
        return Running(mine, _Session(mine), code, wanted, fault)

    def finish(self, running: Running) -> Outcome:
        """Runs the tests and ends the candidate. Raises OSError where the zygote is gone."""
        started = time.monotonic()
        session = running.session
        with running.connection:
            session.link.bound(self._limits.wall)
            verdict, detail = self._judge(running)
        self._control.sendall(b"e")
        ended = receive_frame(self._control)
        if ended is None:
            raise OSError("the zygote is gone")
        status, seconds = ENDED.unpack_from(ended[0])
        if session.link.lost is not None:
            verdict, detail = self._judge_end(session.link.lost, os.waitstatus_to_exitcode(status), seconds)
        elif verdict == Verdict.PASSED and seconds > self._limits.cpu_seconds:
            verdict, detail = Verdict.TIMEOUT, f"{seconds:.1f} s of CPU time"
        output = ended[0][ENDED.size :].decode("utf-8", "replace")
        return Outcome(verdict, output, seconds, time.monotonic() - started, detail)

    def _judge(self, running: Running) -> tuple[Verdict, str]:
        if running.code is None:
            return Verdict.HARNESS_ERROR, running.fault
        try:
            signal.setitimer(signal.ITIMER_PROF, self._limits.cpu_seconds)
            loaded, content = running.session.link.hear()
            if loaded:
                return _LOADED_VERDICTS.get(loaded, Verdict.FAILED), str(content)
            exec(running.code, _namespace(content, running.wanted))
        except LinkClosedError as error:
            return Verdict.FAILED, str(error)
        except _OutOfTimeError:
            return Verdict.TIMEOUT, "the tests did not end"
        except _UnsendableError as error:
            return Verdict.HARNESS_ERROR, str(error)
        except MemoryError as error:
            return Verdict.MEMORY, describe(error)
        except BaseException as error:
            return Verdict.FAILED, describe(error)
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
        return Verdict.PASSED, ""

    def _judge_end(self, lost: str, code: int, seconds: float) -> tuple[Verdict, str]:
        """Why a candidate has gone in the middle of its tests."""
        if lost == Link.TOO_LATE:
            return Verdict.TIMEOUT, f"still there after {self._limits.wall:g} s"
        if lost != Link.ENDED:
            return Verdict.FAILED, lost
        if code < 0 and seconds >= self._limits.cpu_seconds:
            return Verdict.TIMEOUT, f"{seconds:.1f} s of CPU time"
        if code == OUT_OF_MEMORY:
            return Verdict.MEMORY, "MemoryError"
        if code == -signal.SIGKILL:
            # By its own hand, or by the zygote's after it has closed its end of the link, when it may also just have
            # had the time to end: chance is not to make two verdicts of that.
            return Verdict.EARLY_EXIT, "gone before the last test"
        if code < 0:
            return Verdict.FAILED, f"ended by {signal.Signals(-code).name}"
        return Verdict.EARLY_EXIT, f"exit status {code} before the last test"


class _Session:
    """One candidate as its tests see it."""

    def __init__(self, connection: socket.socket) -> None:
        self._passed: list[Callable[..., Any]] = []
        self._codec = Codec(self._refer, self._resolve)
        self.link = Link(connection, self._codec, self._perform)

    def _refer(self, value: Any) -> list[Any]:
        if isinstance(value, Remote):
            return ["here", value._number]
        if callable(value):
            self._passed.append(value)
            return ["there", len(self._passed) - 1]
        raise _UnsendableError(f"the tests pass a {type(value).__name__} to the candidate, which does not cross")

    def _resolve(self, reference: Any) -> Any:
        owner, number = reference
        return self._passed[number] if owner == "there" else Remote(self.link, int(number))

    def _perform(self, what: str, fields: Sequence[Any], arguments: Any) -> object:
        """The candidate may call a function that the tests have passed to it, and nothing else."""
        if what != "call":
            raise PermissionError(what)
        positional, named = arguments
        value = self._passed[fields[0]](*positional, **named)
        try:
            self._codec.encode(value)
        except _UnsendableError as error:  # here the candidate has asked for it, and is not to void its own verdict
            raise TypeError(str(error)) from None
        return value


def _namespace(found: Any, wanted: Sequence[str]) -> dict[str, Any]:
    """The tests' globals: what they use and do not define is the candidate's; modules are ours, by their own names."""
    names: dict[str, Any] = {"__name__": "tests"}
    for name, kind, value in found:
        if name not in wanted:
            continue
        if kind == "value":
            names[name] = value
        elif value == name and name in sys.stdlib_module_names:
            names[name] = importlib.import_module(name)
    return names


@functools.lru_cache(maxsize=256)
def _compiled(tests: str, entry_point: str | None) -> tuple[CodeType | None, tuple[str, ...], str]:
    """The tests, the global names that they use and do not define, and why they cannot be compiled.

    A built-in name is the candidate's only as the entry point: nobody's `abs` decides a verdict. Samples of one problem
    share their tests, so they are compiled once.
    """
    try:
        code = compile(tests, "tests.py", "exec", dont_inherit=True)
    except Exception as error:
        return None, (), f"the tests do not compile: {describe(error)}"
    top = symtable.symtable(tests, "tests.py", "exec")
    used: set[str] = set()
    _collect(top, used)
    defined = {symbol.get_name() for symbol in top.get_symbols() if symbol.is_assigned() or symbol.is_imported()}
    defined |= set(dir(builtins)) - {entry_point} | {"__name__"}
    return code, tuple(sorted(used - defined)), ""


def _collect(table: symtable.SymbolTable, used: set[str]) -> None:
    for symbol in table.get_symbols():
        if symbol.is_referenced() and (symbol.is_global() or table.get_type() == "module"):
            used.add(symbol.get_name())
    for child in table.get_children():
        _collect(child, used)


def _out_of_time(number: int, frame: FrameType | None) -> None:
    raise _OutOfTimeError
