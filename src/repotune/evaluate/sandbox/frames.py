"""Whole messages over a stream socket between processes that trust each other: four bytes of length, then the bytes."""

from __future__ import annotations

import socket
import struct

_LENGTH = struct.Struct("<I")


def send_frame(connection: socket.socket, payload: bytes, descriptor: int | None = None) -> None:
    """Sends `payload`, and with it a copy of an open `descriptor`."""
    frame = _LENGTH.pack(len(payload)) + payload
    if descriptor is not None:
        frame = frame[socket.send_fds(connection, [frame], [descriptor]) :]
    if frame:
        connection.sendall(frame)


def receive_frame(connection: socket.socket) -> tuple[bytes, int | None] | None:
    """The next message and the descriptor that came with it; None when the other end is gone."""
    head, descriptors, _, _ = socket.recv_fds(connection, _LENGTH.size, 1)
    while 0 < len(head) < _LENGTH.size:
        more = connection.recv(_LENGTH.size - len(head))
        head = head + more if more else b""
    if not head:
        return None
    missing = _LENGTH.unpack(head)[0]
    parts = []
    while missing:
        parts.append(connection.recv(missing))
        if not parts[-1]:
            return None
        missing -= len(parts[-1])
    return b"".join(parts), descriptors[0] if descriptors else None
