"""Compressed files are unpacked once, as one stream into one file, and never beyond what is plausible."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from pathlib import Path
from typing import BinaryIO, Literal, cast

import pyarrow as pa

from repotune.core.console import size
from repotune.core.errors import UserError

Compression = Literal["gzip", "bzip2", "xz", "zstd"]

_MAGIC: dict[bytes, Compression] = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\0": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
}
_BLOCK = 1 << 20
# Source text packs to a fifth with gzip and a tenth with xz; a thousand versions of one file side by side reach a
# hundredth. What unpacks to more is made to fill a disk. Up to a gibibyte that does no harm.
_MOST_TIMES, _ALWAYS = 200, 1 << 30
DAMAGED = (EOFError, OSError, zlib.error, lzma.LZMAError, ValueError)


def compression_of(head: bytes) -> Compression | None:
    """What a file that begins with `head` (at least six bytes) is compressed with."""
    return next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), None)


def open_compressed(path: Path, kind: Compression | None) -> BinaryIO:
    """A stream of what `path` holds unpacked, or of its own bytes for None."""
    match kind:
        case "gzip":
            return cast(BinaryIO, gzip.open(path))
        case "bzip2":
            return cast(BinaryIO, bz2.open(path))
        case "xz":
            return cast(BinaryIO, lzma.open(path))
        case "zstd":
            return cast(BinaryIO, pa.input_stream(str(path), compression="zstd"))
        case None:
            return path.open("rb")


def unpack(path: Path, kind: Compression, into: Path) -> Path:
    """Writes what `path` holds to the file `into`, and returns it. Raises UserError where it is damaged or a bomb."""
    into.parent.mkdir(parents=True, exist_ok=True)
    packed, total = path.stat().st_size, 0
    with into.open("wb") as target, open_compressed(path, kind) as source:
        while block := _next(path, source):
            total += len(block)
            refuse_bomb(path, packed, total)
            target.write(block)
    return into


def refuse_bomb(path: Path, packed: int, unpacked: int) -> None:
    """Raises UserError where `packed` bytes of `path` hold implausibly many; both in bytes."""
    if unpacked > max(_ALWAYS, _MOST_TIMES * packed):
        raise UserError(
            f"{path.name} holds more than {size(unpacked)} in {size(packed)}, as only a decompression bomb does.",
            "unpack it yourself, and name the folder in its place",
        )


def _next(path: Path, source: BinaryIO) -> bytes:
    try:
        return source.read(_BLOCK)
    except DAMAGED as error:
        raise UserError(f"{path.name} is damaged: {error}.", "fetch or pack it again") from error
