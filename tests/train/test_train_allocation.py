"""Freed memory stays in the process: once it has grown, work that repeats itself asks for no new pages."""

from __future__ import annotations

import subprocess
import sys

import pytest

_PROGRAM = """
import resource, sys, torch
from repotune.train.allocation import keep_freed_memory
torch.set_num_threads(1)
if sys.argv[1] == "kept" and not keep_freed_memory():
    sys.exit(3)
for turn in range(20):
    if turn == 10:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    ones = torch.ones(8_000_000)
    doubled = ones * 2
    rooted = (ones + doubled).sqrt()
    del ones, doubled, rooted
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def _faults(memory: str) -> int:
    done = subprocess.run([sys.executable, "-c", _PROGRAM, memory], capture_output=True, text=True, timeout=120)
    if done.returncode == 3:
        pytest.skip("the C library is not glibc")
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc gives blocks back at once")
def test_pages_of_freed_blocks_are_used_again() -> None:
    assert _faults("kept") < _faults("given back") / 10
