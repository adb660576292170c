"""Freed memory stays in the process: once it has grown, work that repeats itself asks for no new pages."""

from __future__ import annotations

import subprocess
import sys

import pytest

# glibc's own accounts are asked and not the kernel's count of page faults: some kernels of containers count none.
_PROGRAM = """
import ctypes, sys, torch
from repotune.train.allocation import keep_freed_memory

class Accounts(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in (
        "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")]

try:
    mallinfo2 = ctypes.CDLL(None).mallinfo2
except AttributeError:
    sys.exit(3)
mallinfo2.restype = Accounts
torch.set_num_threads(1)
if sys.argv[1] == "kept" and not keep_freed_memory():
    sys.exit(3)
for _ in range(3):
    ones = torch.ones(16_000_000)
    doubled = ones * 2
    del ones, doubled
held = mallinfo2()
print(held.arena + held.hblkhd)
"""

# Two blocks of 64 MB: glibc maps every block beyond 32 MB on its own, whatever was freed before.
_FREED = 2 * 16_000_000 * 4


def _held_after_freeing(memory: str) -> int:
    done = subprocess.run([sys.executable, "-c", _PROGRAM, memory], capture_output=True, text=True, timeout=120)
    if done.returncode == 3:
        pytest.skip("the C library is not glibc 2.33 or later")
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc gives blocks back at once")
def test_freed_blocks_stay_for_the_next_ones() -> None:
    assert _held_after_freeing("kept") - _held_after_freeing("given back") >= 0.95 * _FREED
