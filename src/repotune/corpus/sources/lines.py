"""Files of lines, read with bounded memory whatever lies in them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO


def bounded_lines(file: BinaryIO, longest: int) -> Iterator[tuple[bytes, int]]:
    """Each line and its length in bytes; of one that has more than `longest` only its beginning."""
    while line := file.readline(longest):
        length, rest = len(line), line
        while len(rest) == longest and not rest.endswith(b"\n"):
            rest = file.readline(longest)
            length += len(rest)
        yield line, length
