"""What stands in the trusted tests for an object of the candidate's: a function, a class, a generator."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from repotune.evaluate.sandbox.link import Link


class Remote:
    """Asks the candidate's process for everything but what a verdict hangs on.

    It equals itself alone and has no order and no arithmetic: an object whose `==` or `<` is always true says nothing
    here. Its attributes, items and calls give plain values, which compare as they do everywhere.
    """

    __slots__ = ("_link", "_number")
    _link: Link
    _number: int

    def __init__(self, link: Link, number: int) -> None:
        object.__setattr__(self, "_link", link)
        object.__setattr__(self, "_number", number)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return self._link.call(self._number, arguments, named)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name not in ("__name__", "__doc__"):
            raise AttributeError(name)  # what copying and pickling look for is not the candidate's to give
        return self._link.ask("attribute", self._number, name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._link.ask("assign", self._number, name, value)

    def __getitem__(self, key: Any) -> Any:
        return self._link.ask("item", self._number, key)

    def __setitem__(self, key: Any, value: Any) -> None:
        self._link.ask("put", self._number, key, value)

    def __iter__(self) -> Iterator[Any]:
        return Remote(self._link, int(self._link.ask("iterate", self._number)))

    def __next__(self) -> Any:
        for value in self._link.ask("next", self._number):
            return value
        raise StopIteration

    def __len__(self) -> int:
        return int(self._link.ask("length", self._number))

    def __contains__(self, value: Any) -> bool:
        return self._link.ask("contains", self._number, value) is True

    def __bool__(self) -> bool:
        return self._link.ask("truth", self._number) is True

    def __str__(self) -> str:
        return str(self._link.ask("text", self._number))

    __repr__ = __str__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Remote) and other._number == self._number and other._link is self._link

    def __hash__(self) -> int:
        return self._number
