"""How fast this device multiplies at best: what a training step's speed is a share of."""

from __future__ import annotations

import time
from functools import cache

import torch

from repotune.train.step import Precision

_WIDTH = {"cpu": 1024, "cuda": 8192}
_SECONDS = 0.3


@cache
def product_peak(device: str, threads: int) -> float:
    """Operations per second of a square product in the type that training multiplies in: the best within 0.3 s,
    since other work only ever slows it. Measured, not a data sheet's figure, once a process."""
    precision = Precision.of(device)
    dtype = torch.bfloat16 if precision.bf16 else torch.float32
    width = _WIDTH[device]
    matrix = torch.ones(width, width, device=device, dtype=dtype)
    best, until = float("inf"), time.perf_counter() + _SECONDS
    while time.perf_counter() < until or best == float("inf"):
        started = time.perf_counter()
        product = matrix @ matrix
        float(product[0, 0])  # waits for a GPU
        best = min(best, time.perf_counter() - started)
    return 2 * width**3 / best
