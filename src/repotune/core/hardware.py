"""What this machine is: cores, memory, disk, accelerator, and how fast it multiplies matrices. No torch here."""

from __future__ import annotations

import math
import os
import platform
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil


@dataclass(frozen=True)
class Gpu:
    """One accelerator, as the driver names it."""

    name: str
    memory: int


@dataclass(frozen=True)
class Hardware:
    """A machine. Memory and disk in bytes; `fp32_flops` measured in numpy on all cores, in operations per second."""

    processor: str
    cores: int
    memory: int
    memory_free: int
    disk_free: int
    bf16: bool
    fp32_flops: float
    gpus: tuple[Gpu, ...]
    compiler: str | None


def probe(folder: Path) -> Hardware:
    """Measures this machine in about half a second. `folder` is where the work will lie, for the room on its disk."""
    memory = psutil.virtual_memory()
    return Hardware(
        processor=processor_name(),
        cores=available_cores(),
        memory=memory.total,
        memory_free=memory.available,
        disk_free=shutil.disk_usage(_existing(folder)).free,
        bf16=has_bf16(),
        fp32_flops=_matmul_flops(),
        gpus=_gpus(),
        compiler=shutil.which("g++") or shutil.which("clang++"),
    )


def available_cores() -> int:
    """Cores this process may use: its affinity where the system knows one, which a container's limit sets."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def has_bf16() -> bool:
    """Whether the CPU multiplies bfloat16 natively (AVX-512 BF16, AMX, or ARM's BF16 as Linux reports them)."""
    flags = cpu_flags()
    return bool(flags & {"avx512_bf16", "amx_bf16", "bf16"})


def cpu_flags() -> set[str]:
    """What the processor can do, as Linux names it; nothing elsewhere."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return set()
    for line in text.splitlines():
        if line.startswith(("flags", "Features")):
            return set(line.partition(":")[2].split())
    return set()


def processor_name() -> str:
    """The processor as the system names it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _matmul_flops(width: int = 1024, seconds: float = 0.3) -> float:
    """The best rate of a square float32 product within `seconds`: the best, since other work only ever slows it."""
    a = np.ones((width, width), np.float32)
    best, until = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < until:
        started = time.perf_counter()
        a @ a
        best = min(best, time.perf_counter() - started)
    return 2 * width**3 / best


def memory_bandwidth(size: int = 1 << 27, tries: int = 5) -> float:
    """Bytes a second that one core copies between arrays too large for a cache, what it reads and what it writes
    counted both; the best of a few tries, as other work only slows it."""
    import numpy as np

    source, target = np.ones(size // 8), np.empty(size // 8)
    best = math.inf
    for _ in range(tries):
        started = time.perf_counter()
        np.copyto(target, source)
        best = min(best, time.perf_counter() - started)
    return 2 * size / best


def _gpus() -> tuple[Gpu, ...]:
    command = shutil.which("nvidia-smi")
    if command is None:
        return ()
    query = [command, "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    try:
        lines = subprocess.run(query, capture_output=True, text=True, timeout=10, check=True).stdout.splitlines()
    except (OSError, subprocess.SubprocessError):
        return ()
    rows = (line.rpartition(",") for line in lines if "," in line)
    return tuple(Gpu(name.strip(), int(mebibytes) * 2**20) for name, _, mebibytes in rows)


def _existing(folder: Path) -> Path:
    """The nearest folder above `folder` that is there."""
    folder = folder.absolute()
    while not folder.exists():
        folder = folder.parent
    return folder
