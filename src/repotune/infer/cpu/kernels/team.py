"""How threads share a pass: one leads, others help where they can, nobody waits for a thread that holds no work.

A token of a small model takes a few milliseconds and some sixty parts, each of which needs the one before. Waking a
thread by the system takes 50 µs, so helpers spin between parts; and on a busy machine the system takes a helper off its
core for milliseconds, so the leader waits for pieces that a helper took, never for the helper itself. (With a barrier
of all threads after each part, a token took twice as long on two threads as on one beside other work.)
"""

from __future__ import annotations

import platform
from typing import Any

from llvmlite import ir
from numba import types

from repotune.infer.cpu.kernels.compiling import compiled
from repotune.infer.cpu.kernels.simd import call, operation
from repotune.infer.cpu.kernels.tables import BUSY, DONE, HALT, WORK

_COUNT_BITS, _PART_BITS = 20, 4
_MASK = (1 << _COUNT_BITS) - 1

_SPINS_BEFORE_YIELD = 2_000  # some 30 µs: a piece takes less, unless its thread was taken off its core
_SPINS_BEFORE_SLEEP = 3_000  # some 400 µs: longer than Python takes from one token to the next

_LONG = ir.IntType(64)


def _pointer(builder: ir.IRBuilder, address: ir.Value) -> ir.Value:
    return builder.inttoptr(address, _LONG.as_pointer())


def _pause(builder: ir.IRBuilder) -> None:
    """Tells the processor that this is a loop that waits."""
    if platform.machine() in ("x86_64", "AMD64"):
        call(builder, "llvm.x86.sse2.pause", result=ir.VoidType())
    else:
        call(builder, "llvm.aarch64.hint", ir.Constant(ir.IntType(32), 1), result=ir.VoidType())


fetch_add = operation(
    types.int64,
    (types.int64, types.int64),
    lambda builder, address, value: builder.atomic_rmw("add", _pointer(builder, address), value, "seq_cst"),
)
read = operation(
    types.int64,
    (types.int64,),
    lambda builder, address: builder.load_atomic(_pointer(builder, address), "acquire", 8),
)
write = operation(
    types.void,
    (types.int64, types.int64),
    lambda builder, address, value: builder.store_atomic(value, _pointer(builder, address), "release", 8),
)
pause = operation(types.void, (), _pause)
give_way: Any = types.ExternalFunction("sched_yield", types.int32())


@compiled
def share(team: int, layer: int, part: int, pieces: int) -> None:
    """The leader begins a part: from now on its pieces can be taken."""
    write(team + DONE, 0)
    write(team + WORK, ((layer << _PART_BITS | part) << _COUNT_BITS | pieces) << _COUNT_BITS)


@compiled
def take(team: int) -> int:
    """A piece of the part under way, as `piece_of`, `part_of` and `layer_of` read it; -1 where none is left."""
    work = read(team + WORK)
    if work & _MASK >= work >> _COUNT_BITS & _MASK:
        return -1
    work = fetch_add(team + WORK, 1)
    return work if work & _MASK < work >> _COUNT_BITS & _MASK else -1


@compiled
def piece_of(work: int) -> int:
    """The number of a piece that was taken."""
    return work & _MASK


@compiled
def part_of(work: int) -> int:
    """The part that a piece belongs to."""
    return work >> 2 * _COUNT_BITS & (1 << _PART_BITS) - 1


@compiled
def layer_of(work: int) -> int:
    """The layer that a piece belongs to."""
    return work >> 2 * _COUNT_BITS + _PART_BITS


@compiled
def finish(team: int) -> None:
    """A piece that was taken is done, and what it wrote can be seen."""
    fetch_add(team + DONE, 1)


@compiled
def await_pieces(team: int, pieces: int) -> None:
    """The leader waits for pieces that helpers took."""
    spins = 0
    while read(team + DONE) < pieces:
        pause()
        spins += 1
        if spins > _SPINS_BEFORE_YIELD:
            give_way()


@compiled
def await_work(team: int) -> int:
    """A piece as soon as there is one; -1 when there was none for a while and no job is under way, -2 when there will
    be none."""
    spins = 0
    while spins < _SPINS_BEFORE_SLEEP or read(team + BUSY):
        if read(team + HALT):
            return -2
        work = take(team)
        if work >= 0:
            return work
        pause()
        spins += 1
        if spins > _SPINS_BEFORE_YIELD:
            give_way()
    return -1
