"""An object file made ready to run: what a linker and a loader do, for the little that the kernels need of it.

The format is ELF of x86-64 (System V ABI, AMD64 supplement, chapter 4), and every reference in it an absolute address
of 64 bits. So code is loaded by laying its sections out and writing those addresses; LLVM, whose loader would do the
same, takes 0.4 s and 90 MB of each process that has it.
"""

from __future__ import annotations

import ctypes
import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_IDENTITY = b"\x7fELF\x02\x01\x01"  # 64 bits, little-endian, version 1
_OBJECT, _X86_64 = 1, 62
_SYMBOLS, _REFERENCES, _UNWINDING = 2, 4, 0x70000001
_LOADED = 2  # a section's flag
_ABSOLUTE = 1  # R_X86_64_64
_UNDEFINED, _FIRST_RESERVED = 0, 0xFF00
_GLOBAL_FUNCTION = 1 << 4 | 2

_kept: list[mmap.mmap] = []  # code may run until the process ends


@dataclass(frozen=True)
class _Section:
    kind: int
    flags: int
    offset: int
    size: int
    link: int
    target: int
    alignment: int


@dataclass(frozen=True)
class _Symbol:
    name: str
    kind: int
    section: int
    value: int


def load_object(code: bytes) -> dict[str, int]:
    """The addresses of the functions in the object file `code`, by name, ready to be called until the process ends.

    Raises ValueError for a file that is none, and for one that needs what is not known here.
    """
    try:
        sections = list(_sections(code))
        return _load(code, sections)
    except (struct.error, IndexError, KeyError, StopIteration) as error:
        raise ValueError(f"the object file is damaged or cut short: {error}") from error


def _load(code: bytes, sections: list[_Section]) -> dict[str, int]:
    places, size = _places(sections)
    memory = mmap.mmap(-1, max(size, 1), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    base = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    for index, place in places.items():
        section = sections[index]
        memory[place : place + section.size] = code[section.offset : section.offset + section.size]
    table = next(index for index, section in enumerate(sections) if section.kind == _SYMBOLS)
    symbols = list(_symbols(code, sections[table], sections[sections[table].link]))
    addresses = {index: base + place for index, place in places.items()}
    for section in sections:
        if section.kind == _REFERENCES and section.target in places:
            _refer(code, section, memory, places[section.target], symbols, addresses)
    _make_runnable(base, size)
    _kept.append(memory)
    return {
        symbol.name: addresses[symbol.section] + symbol.value for symbol in symbols if symbol.kind == _GLOBAL_FUNCTION
    }


def _sections(code: bytes) -> Iterator[_Section]:
    if not code.startswith(_IDENTITY) or struct.unpack_from("<HH", code, 16) != (_OBJECT, _X86_64):
        raise ValueError("it is no object file of x86-64")
    (start,) = struct.unpack_from("<Q", code, 40)
    entry, count = struct.unpack_from("<HH", code, 58)
    for at in range(start, start + count * entry, entry):
        _, kind, flags, _, offset, size, link, target, alignment, _ = struct.unpack_from("<IIQQQQIIQQ", code, at)
        yield _Section(kind, flags, offset, size, link, target, alignment)


def _places(sections: list[_Section]) -> tuple[dict[int, int], int]:
    """Where each section that is loaded lies, and how much room they take. Nobody unwinds these functions."""
    places, end = {}, 0
    for index, section in enumerate(sections):
        if section.flags & _LOADED and section.size and section.kind != _UNWINDING:
            places[index] = -(-end // section.alignment) * section.alignment
            end = places[index] + section.size
    return places, end


def _symbols(code: bytes, table: _Section, names: _Section) -> Iterator[_Symbol]:
    for at in range(table.offset, table.offset + table.size, 24):
        name, kind, _, section, value, _ = struct.unpack_from("<IBBHQQ", code, at)
        start = names.offset + name
        yield _Symbol(code[start : code.index(b"\0", start)].decode(), kind, section, value)


def _refer(
    code: bytes,
    section: _Section,
    memory: mmap.mmap,
    place: int,
    symbols: list[_Symbol],
    addresses: dict[int, int],
) -> None:
    """Writes the addresses that `section` lists into what lies at `place`."""
    for at in range(section.offset, section.offset + section.size, 24):
        offset, info, addend = struct.unpack_from("<QQq", code, at)
        symbol, kind = symbols[info >> 32], info & 0xFFFFFFFF
        if kind != _ABSOLUTE or symbol.section >= _FIRST_RESERVED:
            raise ValueError(f"there is a reference of kind {kind} to {symbol.name or 'a section'}")
        start = _found(symbol.name) if symbol.section == _UNDEFINED else addresses[symbol.section] + symbol.value
        struct.pack_into("<Q", memory, place + offset, start + addend)


def _found(name: str) -> int:
    """The address of a function of the C library."""
    try:
        function: Any = ctypes.CDLL(None)[name]
    except AttributeError:
        raise ValueError(f"there is no {name} here") from None
    address = ctypes.cast(function, ctypes.c_void_p).value
    assert address is not None
    return address


def _make_runnable(base: int, size: int) -> None:
    """Code can be run or written, never both."""
    protect = ctypes.CDLL(None, use_errno=True).mprotect
    protect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    if protect(base, size, mmap.PROT_READ | mmap.PROT_EXEC):
        number = ctypes.get_errno()
        raise OSError(number, "the system does not let code be loaded")
