"""The untrusted side: loads a candidate in a forked child and performs what the tests ask of it.

Nothing here is trusted once the candidate has run, and nothing here holds what the tests expect.
"""

from __future__ import annotations

import gc
import os
import socket
import sys
import threading
import types
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from repotune.evaluate.sandbox.link import Link, LinkClosedError, describe
from repotune.evaluate.sandbox.wire import Codec

OUT_OF_MEMORY = 86  # an exit status: not even the answer that memory is out could be written
_NAME = "candidate"
_REHEARSAL = """
from typing import Dict, List

def repeat(values: List[float], names: Dict[str, object]) -> List[float]:
    '''As long as those of a benchmark.'''
    found = []
    for place, value in enumerate(values):
        if isinstance(value, float) and value > 0.5:
            found.append(f"{place}: {value}")
    values.append(len(names))
    return sorted(str(each) for each in values) + found
"""


def serve(connection: socket.socket, source: str, wanted: Sequence[str]) -> None:
    """Loads `source`, tells what it has for the names `wanted`, and does what is asked. Never returns."""
    status = 0
    try:
        gc.enable()
        _Side(connection).run(source, wanted)
    except LinkClosedError:
        pass
    except MemoryError:
        status = OUT_OF_MEMORY
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 1
    except BaseException:
        status = 1
    os._exit(status & 0xFF)


def rehearse() -> None:
    """Does what every child will do, so that each finds caches filled and copies fewer pages of memory."""
    for _ in range(12):  # CPython 3.11 specialises code after 8 runs, and so writes to it
        ours, theirs = socket.socketpair()
        with ours, theirs:
            side = _Side(ours)
            served = threading.Thread(target=_serve_once, args=(side,))
            served.start()
            tests = Link(theirs, Codec(side._refer, side._resolve), side._perform)
            tests.hear()
            tests.call(0, ([1, 2.5, "a", (3,)], {"b": None}), {})
            theirs.shutdown(socket.SHUT_RDWR)
            served.join()
    del sys.modules[_NAME]


def _serve_once(side: _Side) -> None:
    with suppress(LinkClosedError):
        side.run(_REHEARSAL, ["repeat"])


class _Side:
    def __init__(self, connection: socket.socket) -> None:
        self._objects: list[Any] = []
        self._numbers: dict[int, int] = {}
        self._module = types.ModuleType(_NAME)
        self._link = Link(connection, Codec(self._refer, self._resolve), self._perform)

    def run(self, source: str, wanted: Sequence[str]) -> None:
        try:
            code = compile(source, f"{_NAME}.py", "exec", dont_inherit=True)
        except Exception as error:
            self._link.tell("=", ["compile error", describe(error)])
            return
        sys.modules[_NAME] = self._module
        try:
            exec(code, self._module.__dict__)
            self._link.tell("=", ["", self._found(wanted)])
        except MemoryError:
            self._link.tell("=", ["memory", "MemoryError"])
            return
        except Exception as error:
            self._link.tell("=", ["failed", describe(error)])
            return
        self._link.serve()

    def _refer(self, value: Any) -> list[Any]:
        """The number of an object that stays here, the same for the same object."""
        number = self._numbers.setdefault(id(value), len(self._objects))
        if number == len(self._objects):
            self._objects.append(value)
        return ["here", number]

    def _resolve(self, reference: list[Any]) -> Any:
        """Ours by its number, or a function that calls one of the tests'."""
        owner, number = reference
        if owner == "here":
            return self._objects[number]
        return lambda *arguments, **named: self._link.call(number, arguments, named)

    def _perform(self, what: str, fields: Sequence[Any], arguments: Any) -> object:
        return _ACTIONS[what](self, fields, arguments)

    def _found(self, wanted: Sequence[str]) -> list[list[Any]]:
        """[name, "value" or "module", value] of those of the names that the candidate has."""
        namespace = self._module.__dict__
        values = [(name, namespace[name]) for name in wanted if name in namespace]
        return [
            [name, "module", value.__name__] if isinstance(value, types.ModuleType) else [name, "value", value]
            for name, value in values
        ]

    def _call(self, fields: Sequence[Any], arguments: Any) -> object:
        positional, named = arguments
        return self._objects[fields[0]](*positional, **named)

    def _next(self, fields: Sequence[Any], _: Any) -> object:
        """[value], or nothing where the iterator has ended: StopIteration would end the wrong one."""
        for value in self._objects[fields[0]]:
            return [value]
        return []


_ACTIONS: dict[str, Callable[[_Side, Sequence[Any], Any], object]] = {
    "call": _Side._call,
    "next": _Side._next,
    "iterate": lambda side, fields, _: side._refer(iter(side._objects[fields[0]]))[1],
    "attribute": lambda side, fields, _: getattr(side._objects[fields[0]], fields[1]),
    "assign": lambda side, fields, _: setattr(side._objects[fields[0]], fields[1], fields[2]),
    "item": lambda side, fields, _: side._objects[fields[0]][fields[1]],
    "put": lambda side, fields, _: side._objects[fields[0]].__setitem__(fields[1], fields[2]),
    "length": lambda side, fields, _: len(side._objects[fields[0]]),
    "contains": lambda side, fields, _: fields[1] in side._objects[fields[0]],
    "truth": lambda side, fields, _: bool(side._objects[fields[0]]),
    "text": lambda side, fields, _: str(side._objects[fields[0]]),
}
