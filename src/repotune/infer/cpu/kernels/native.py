"""The kernels that run a pass, without their compiler.

numba and LLVM take 130 MB of a process, and most of a second to load what they have compiled before. So another process
compiles, once for a machine, and here its machine code is loaded alone. On other systems than Linux on x86-64 numba
itself loads it.
"""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from repotune.core.artefact import digest
from repotune.core.errors import UserError
from repotune.core.hardware import cpu_flags, processor_name
from repotune.infer.cpu.kernels import cache
from repotune.infer.cpu.kernels.object_code import load_object

ENTRIES = {"lead": 3, "help_out": 4}
"""The functions that Python calls, all of longs that answer with a bool, and how many longs each takes."""

# Of x86: without them LLVM calls functions for halves and fused products that no process has. Since 2013 (Intel) and
# 2015 (AMD) processors have them.
_NEEDED = {"avx2", "fma", "f16c"}
_SEAL = 32  # bytes of SHA-256 before the object file


@dataclass(frozen=True)
class Kernels:
    """`lead(team, model, job)` and `help_out(me, team, model, job)` of `forward.py`, run without Python's lock."""

    lead: Callable[[int, int, int], bool]
    help_out: Callable[[int, int, int, int], bool]


def lacking() -> str | None:
    """What the kernels need and this machine has not, if so."""
    if find_spec("numba") is None:
        return "numba is not installed (pip install 'repotune[serve]')"
    flags = cpu_flags()
    if platform.machine() == "x86_64" and flags and not flags >= _NEEDED:
        return "the kernels need a processor with AVX2, FMA and F16C"
    return None


@lru_cache(1)
def open_kernels() -> Kernels:
    """The kernels of this machine, compiled if they are not yet: some fifteen seconds. Raises UserError where they
    cannot be had."""
    if reason := lacking():
        raise UserError(f"The engine does not run here: {reason}.", "serve.engine: openvino, torch or a URL")
    if not _loads_objects():
        from repotune.infer.cpu.kernels.forward import help_out, lead

        return Kernels(lead, help_out)
    addresses = load_object(_object())
    return Kernels(**{name: _callable(addresses[name], longs) for name, longs in ENTRIES.items()})


def are_compiled() -> bool:
    """Whether `open_kernels` needs no compiler; where numba keeps what it compiled, it alone knows."""
    if not _loads_objects():
        return True
    path = _path()
    return path is not None and _read(path) is not None


def _loads_objects() -> bool:
    return (sys.platform, platform.machine()) == ("linux", "x86_64")


def sealed(code: bytes) -> bytes:
    """`code` as it is kept: behind its SHA-256, so that a damaged file is never run."""
    return hashlib.sha256(code).digest() + code


def _object() -> bytes:
    path = _path()
    if path is None:
        with tempfile.TemporaryDirectory(prefix="repotune-") as folder:
            return _build(Path(folder) / "kernels.o")
    code = _read(path)
    if code is None:
        with (path.parent / ".lock").open("w") as lock:  # who comes second finds what the first has made
            fcntl.flock(lock, fcntl.LOCK_EX)
            code = _read(path) or _build(path)
    return code


def _path() -> Path | None:
    """Where the object file of this machine is kept: a home may be shared by machines of several processors, and numba
    may be told of another one (`instructions.processor`)."""
    folder = cache.cache_folder()
    told = [os.environ.get(name, "") for name in ("NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES")]
    return folder and folder / f"passes-{digest([processor_name(), sorted(cpu_flags()), told])[:16]}.o"


def _read(path: Path) -> bytes | None:
    try:
        content = path.read_bytes()
    except OSError:
        return None
    return content[_SEAL:] if sealed(content[_SEAL:]) == content else None


def _build(path: Path) -> bytes:
    # -P: not from the folder that one happens to be in, which may hold anybody's types.py.
    command = [sys.executable, "-P", "-m", "repotune.infer.cpu.kernels.building", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    code = _read(path)
    if code is None:
        said = done.stderr.strip().splitlines()
        raise UserError(f"The engine's kernels cannot be compiled: {said[-1] if said else f'exit {done.returncode}'}.")
    return code


def _callable(address: int, longs: int) -> Callable[..., bool]:
    """The function at `address`, as numba's calling convention has it: the result and what was raised are written where
    the first two arguments say, and the number given back is 0 where nothing was."""
    kinds: list[Any] = [ctypes.POINTER(ctypes.c_uint8), ctypes.POINTER(ctypes.c_void_p), *[ctypes.c_int64] * longs]
    function = ctypes.CFUNCTYPE(ctypes.c_int32, *kinds)(address)

    def call(*given: int) -> bool:
        result, raised = ctypes.c_uint8(), ctypes.c_void_p()
        status = function(ctypes.byref(result), ctypes.byref(raised), *given)
        assert status == 0, "the kernels raise nothing"
        return bool(result)

    return call
