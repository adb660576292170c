"""The one contract of all sources: what is there, and the bytes of any part of it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Protocol

from repotune.corpus.exclusion import Exclusion
from repotune.corpus.rows import Dropped, Listed


class Source(Protocol):
    """Something with files in it. Picklable and small: any process that sees the same disk can read from it.

    A source is open from the start: what could not be read at random (a compressed archive, a file elsewhere) lies
    unpacked in the scratch folder, where nothing is ever written under a name that came from outside.
    """

    @property
    def name(self) -> str:
        """The repository's name in the rows: never a path of this machine."""

    def listing(self, exclusion: Exclusion) -> Iterator[Listed | Dropped]:
        """Every file, in an order that depends on the source alone; what cannot be one is dropped with its rule.

        A folder on the disk that `exclusion` leaves out is one dropped row and never walked. Raises UserError for a
        source that is damaged as a whole.
        """

    def read(self, files: Sequence[Listed]) -> list[bytes | str]:
        """The bytes of each of `files`, which this source listed, or in words why they cannot be had."""


def as_text(path: bytes) -> tuple[str, bool]:
    """`path` as text, and whether its bytes are not UTF-8; then they are shown escaped."""
    try:
        return path.decode(), False
    except UnicodeDecodeError:
        return path.decode("utf-8", "backslashreplace"), True


def shown(place: str) -> str:
    """`place` as it may be told: a URL without its password and its signature, a path as it is."""
    if "://" not in place:
        return place
    return re.sub(r"(?<=://)[^/@]*:[^/@]*@", "", place.partition("?")[0])
