"""One end of the socket between the trusted tests and the untrusted candidate. Both ends ask and both answer.

A message is its length in four bytes and one or two lines of JSON: ["?", what, …] asks, ["=", value] answers and
["!", [names of the exception's types], text] says that the question raised. The second line of a call holds its
arguments, and the second line of an answer what they have become, where the call changed them.
"""

from __future__ import annotations

import builtins
import socket
import struct
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from repotune.evaluate.sandbox.wire import MUTABLE, Codec, refill

_LENGTH = struct.Struct("<I")
_MESSAGE_LIMIT = 16 << 20  # bytes; a list of a million ints is 7 MB
_TOTAL_LIMIT = 256 << 20  # received in one program's life
_CHUNK, _LARGEST = 1 << 13, 1 << 20


class LinkClosedError(BaseException):
    """The other end is gone, or broke the rules; not an Exception, since tests catch those."""


class Link:
    """Asks the other end, and while it waits performs what the other end asks.

    `perform(what, fields, arguments)` does what is asked. `lost` says why the other end is not to be asked any more,
    also where the tests have caught the exception that said so.
    """

    ENDED = "it ended"
    TOO_LATE = "it was too late"

    def __init__(
        self,
        connection: socket.socket,
        codec: Codec,
        perform: Callable[[str, Sequence[Any], Any], object],
    ) -> None:
        self.lost: str | None = None
        self._connection, self._codec, self._perform = connection, codec, perform
        self._buffer, self._received = bytearray(), 0
        self._deadline: float | None = None

    def bound(self, seconds: float) -> None:
        """Gives the other end `seconds` from now to answer all that it is asked."""
        self._deadline = time.monotonic() + seconds
        wait = struct.pack("@ll", int(seconds), int(seconds % 1 * 1e6))
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            self._connection.setsockopt(socket.SOL_SOCKET, option, wait)

    def ask(self, what: str, *fields: object) -> Any:
        """The answer. Raises what the question raised there, as the nearest built-in exception, or LinkClosedError."""
        self._send(self._codec.encode(["?", what, *fields]))
        return self._answer()[0]

    def call(self, number: int, arguments: tuple[Any, ...], named: Mapping[str, Any]) -> Any:
        """Calls the other end's object `number`. Lists and the like that it changes in place are changed here too."""
        self._send(f'["?","call",{number}]\n{self._codec.encode([list(arguments), named])}')
        value, changed = self._answer()
        if changed:
            became, became_named = self._decode(changed)
            for old, new in zip((*arguments, *named.values()), (*became, *became_named.values()), strict=False):
                refill(old, new)
        return value

    def serve(self) -> None:
        """Performs what is asked until the other end is gone."""
        while True:
            head, rest = self._receive()
            self._reply(head, rest)

    def hear(self) -> tuple[str, Any]:
        """What the other end tells without having been asked: (kind, content)."""
        told = self._answer()[0]
        if not isinstance(told, list) or len(told) != 2 or not isinstance(told[0], str):
            raise self._closed("what came is not an answer")
        return told[0], told[1]

    def tell(self, kind: str, *fields: object) -> None:
        self._send(self._codec.encode([kind, *fields]))

    def _answer(self) -> tuple[Any, str]:
        while True:
            head, rest = self._receive()
            if head[0] == "=":
                return head[1], rest
            if head[0] == "!":
                raise exception_named(head[1], str(head[-1]))
            self._reply(head, rest)

    def _reply(self, head: Sequence[Any], rest: str) -> None:
        try:
            arguments = self._decode(rest) if rest else None
            value = self._perform(head[1], head[2:], arguments)
            text = self._codec.encode(["=", value])
            if arguments and any(isinstance(each, MUTABLE) for each in (*arguments[0], *arguments[1].values())):
                became = self._codec.encode(arguments)
                text = text if became == rest else f"{text}\n{became}"
        except Exception as error:
            names = [kind.__name__ for kind in type(error).__mro__]
            text = self._codec.encode(["!", names, describe(error)])
        self._send(text)

    def _send(self, text: str) -> None:
        payload = text.encode("ascii")
        try:
            self._connection.sendall(_LENGTH.pack(len(payload)) + payload)
        except BlockingIOError:
            raise self._closed(self.TOO_LATE) from None
        except OSError:
            raise self._closed(self.ENDED) from None

    def _receive(self) -> tuple[list[Any], str]:
        """The first line decoded, and the second as it is."""
        (length,) = _LENGTH.unpack(self._take(_LENGTH.size))
        self._received += length
        if length > _MESSAGE_LIMIT or self._received > _TOTAL_LIMIT:
            raise self._closed(f"an answer of {length} bytes is too long")
        try:
            line, _, rest = self._take(length).decode("ascii").partition("\n")
        except UnicodeDecodeError:
            raise self._closed("what came is not an answer") from None
        head = self._decode(line)
        if not isinstance(head, list) or len(head) < 2 or head[0] not in ("=", "!", "?"):
            raise self._closed("what came is not an answer")
        return head, rest

    def _decode(self, text: str) -> Any:
        try:
            return self._codec.decode(text)
        except (ValueError, TypeError, LookupError, RecursionError, ArithmeticError) as error:
            raise self._closed(f"what came is not an answer: {describe(error)}") from None

    def _take(self, count: int) -> bytes:
        while len(self._buffer) < count:
            if self._deadline is not None and time.monotonic() > self._deadline:
                raise self._closed(self.TOO_LATE)
            try:
                chunk = self._connection.recv(min(max(count - len(self._buffer), _CHUNK), _LARGEST))
            except BlockingIOError:
                raise self._closed(self.TOO_LATE) from None
            except OSError:
                raise self._closed(self.ENDED) from None
            if not chunk:
                raise self._closed(self.ENDED)
            self._buffer += chunk
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken

    def _closed(self, reason: str) -> LinkClosedError:
        self.lost = reason
        return LinkClosedError(reason)


def describe(error: BaseException) -> str:
    """An exception in one line of at most 300 characters; its own text is not to be trusted to come."""
    try:
        text = str(error)
    except BaseException:
        text = "(it has no text)"
    return f"{type(error).__name__}: {text}".partition("\n")[0][:300].rstrip(": ")


def exception_named(names: object, text: str) -> Exception:
    """The nearest of `names`, an exception's type and its bases, that is a built-in exception."""
    for name in names if isinstance(names, list) else ():
        kind = getattr(builtins, name, None) if isinstance(name, str) else None
        if isinstance(kind, type) and issubclass(kind, Exception):
            try:
                return kind(text)
            except TypeError:  # UnicodeDecodeError and its like take five arguments
                continue
    return Exception(text)
