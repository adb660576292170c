"""The threads that compute together: how they wait for each other and share out work, without the system's help.

A token of a small model takes a few milliseconds and some hundred meetings of all threads; waking a thread by the
system takes 50 µs each, spinning a tenth of one. A thread that finds nothing to do for a while goes to sleep.
"""

from __future__ import annotations

import platform
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numpy.typing import NDArray

from repotune.infer.cpu.kernels.compiling import compiled
from repotune.infer.cpu.kernels.simd import call, operation

# Where each number of the shared state lies, in bytes. Each has a cache line of its own.
ARRIVED, TURN, NEXT, JOB, HALT, STOPPED = 0, 128, 256, 384, 512, 640
STATE_BYTES = 768

_SPINS_BEFORE_YIELD = 2_000  # some 30 µs: longer than any thread lags behind unless the system took it off its core
_SPINS_BEFORE_SLEEP = 20_000  # some 300 µs: longer than Python takes from one token to the next

Longs = NDArray[np.int64]

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
def meet(team: int, threads: int) -> None:
    """Waits until all threads are here; what each wrote before is seen by all. Work is shared out from 0 again."""
    turn = read(team + TURN)
    if fetch_add(team + ARRIVED, 1) == threads - 1:
        write(team + ARRIVED, 0)
        write(team + NEXT, 0)
        write(team + TURN, turn + 1)
        return
    spins = 0
    while read(team + TURN) == turn:
        pause()
        spins += 1
        if spins > _SPINS_BEFORE_YIELD:
            give_way()


@compiled
def take(team: int) -> int:
    """The next piece of work since the last meeting: 0, 1, 2 … to whoever asks first."""
    return int(fetch_add(team + NEXT, 1))


@compiled
def await_job(team: int, done: int) -> int:
    """The number of the job after `done`; `done` itself when none came for a while, -1 when there will be none."""
    for _ in range(_SPINS_BEFORE_SLEEP):
        if read(team + HALT):
            return -1
        job = read(team + JOB)
        if job != done:
            return int(job)
        pause()
    return done


def new_state() -> Longs:
    """The shared state of a team, all zero."""
    return np.zeros(STATE_BYTES // 8, np.int64)


def address_of(array: NDArray[Any]) -> int:
    """Where the first number of `array` lies."""
    address: int = array.ctypes.data
    return address
