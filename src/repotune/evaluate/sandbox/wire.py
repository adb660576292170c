"""Python values as text between the trusted tests and the untrusted candidate, safe to read from either.

JSON, with an object of one key for what JSON has no form for: {"t": [1, 2]} is a tuple. Reading makes nothing but the
types listed here, whatever is sent, and what cannot be sent as a value crosses as a reference: a number that means
something to its owner alone. A subclass crosses as the built-in type that it extends, since an answer is compared, and
must not bring its own idea of being equal.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

_PLAIN = frozenset((type(None), bool, int, float, str))
_NARROW = frozenset((type(None), bool, float, str))  # where an int is too long for JSON's decimal digits

# type: (tag, to JSON, from JSON). The order matters for subclasses: datetime is a date, and bool an int.
_Form = tuple[str, Callable[[Any], Any], Callable[[Any], Any]]
_FORMS: dict[type, _Form] = {
    datetime: ("datetime", datetime.isoformat, datetime.fromisoformat),
    date: ("date", date.isoformat, date.fromisoformat),
    time: ("time", time.isoformat, time.fromisoformat),
    timedelta: ("delta", lambda it: [it.days, it.seconds, it.microseconds], lambda it: timedelta(*it)),
    Decimal: ("decimal", str, lambda it: Decimal(str(it))),
    Fraction: ("fraction", lambda it: [hex(it.numerator), hex(it.denominator)], lambda it: Fraction(*map(_whole, it))),
    bytes: ("b", bytes.hex, bytes.fromhex),
    bytearray: ("bytearray", bytearray.hex, bytearray.fromhex),
    complex: ("complex", lambda it: [it.real, it.imag], lambda it: complex(*it)),
    range: ("range", lambda it: [hex(it.start), hex(it.stop), hex(it.step)], lambda it: range(*map(_whole, it))),
}
_COLLECTIONS: dict[type, tuple[str, Callable[[Any], Any]]] = {
    tuple: ("t", tuple),
    set: ("s", set),
    frozenset: ("f", frozenset),
    deque: ("deque", deque),
}
# A subclass as what it extends, by that type's own reading: the text of a StrEnum's member is another than its value.
_BUILT_IN: dict[type, Callable[[Any], Any]] = {
    int: int.__pos__,
    float: float.__pos__,
    str: str.__str__,
    list: lambda it: list(list.__iter__(it)),
    dict: lambda it: dict(dict.items(it)),
}
_MAKERS = {tag: make for tag, _, make in _FORMS.values()} | dict(_COLLECTIONS.values())
MUTABLE = (list, dict, set, bytearray, deque)


def _whole(text: str) -> int:
    return int(text, 16)


class Codec:
    """`refer` gives the number of an object that cannot be sent; `resolve` makes of a number what stands for it."""

    def __init__(self, refer: Callable[[Any], list[Any]], resolve: Callable[[Any], Any]) -> None:
        self._refer, self._resolve, self._plain = refer, resolve, _PLAIN
        self._write = json.JSONEncoder(check_circular=False, separators=(",", ":")).encode
        self._read = json.JSONDecoder(object_hook=self._made).decode

    def encode(self, value: object) -> str:
        """`value` as one line of ASCII. Raises RecursionError for one that holds itself."""
        try:
            return self._write(self._packed(value))
        except ValueError:  # Python writes no int of more than 4300 digits (CVE-2020-10735), and reads none either
            self._plain = _NARROW
            try:
                return self._write(self._packed(value))
            finally:
                self._plain = _PLAIN

    def decode(self, text: str) -> Any:
        """The value in `text`. Raises ValueError, TypeError, RecursionError, ArithmeticError or MemoryError."""
        return self._read(text)

    def _packed(self, value: Any) -> Any:
        kind = type(value)
        if kind in self._plain:
            return value
        if kind is list:
            return value if self._plain.issuperset(map(type, value)) else [self._packed(each) for each in value]
        if kind is dict:
            return {"d": [self._packed(list(value)), self._packed(list(value.values()))]}
        if kind in _COLLECTIONS:
            return {_COLLECTIONS[kind][0]: self._packed(list(value))}
        if kind is int:
            return {"i": hex(value)}
        return self._packed_other(value)

    def _packed_other(self, value: Any) -> Any:
        for kind, read in _BUILT_IN.items():
            if isinstance(value, kind):
                return self._packed(read(value))
        for kind in _COLLECTIONS:
            if isinstance(value, kind):
                return self._packed(kind(value))
        for kind, (tag, to_json, _) in _FORMS.items():
            if isinstance(value, kind):
                return {tag: to_json(value)}
        if hasattr(type(value), "__index__"):  # an integer of numpy's, say
            return self._packed(value.__index__())
        return {"o": self._refer(value)}

    def _made(self, tagged: dict[str, Any]) -> Any:
        ((tag, content),) = tagged.items()
        if tag == "d":
            keys, values = content
            return dict(zip(keys, values, strict=True))
        if tag == "i":
            return _whole(content)
        if tag == "o":
            return self._resolve(content)
        return _MAKERS[tag](content)


def refill(old: Any, new: Any) -> None:
    """Makes a mutable `old` hold what `new` does, where a call changed its argument."""
    if type(old) is not type(new) or not isinstance(old, MUTABLE):
        return
    if isinstance(old, list | bytearray):
        old[:] = new
    elif isinstance(old, deque):
        old.clear()
        old.extend(new)
    else:
        old.clear()
        old.update(new)
