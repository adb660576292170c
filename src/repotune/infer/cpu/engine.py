"""Our engine on a CPU: a model's packed weights, computed by the kernels for any number of paged streams."""

from __future__ import annotations

import psutil

from repotune.infer.cpu.packed import PackedModel
from repotune.infer.cpu.passes import CpuPasses
from repotune.infer.paged.engine import PagedEngine
from repotune.model.configuration import ModelConfig

# Whole contexts that have room at once, those under way and those kept for the next keystroke, in a share of memory:
# the server's four streams at their longest, and some files that one comes back to.
_CONTEXTS = 6
_LEAST_TOKENS = 2560  # of short contexts: fifty streams of three pages
_SHARE = 0.25


def cpu_engine(model: PackedModel, threads: int) -> PagedEngine:
    """`model` computed by `threads` threads. Results are the same bits whoever else computes, whatever was held before
    and with any number of threads."""
    return PagedEngine(CpuPasses(model, threads, _tokens(model.config)))


def _tokens(config: ModelConfig) -> int:
    """How many tokens' keys and values there is room for: one context in any case."""
    bytes_a_token = 2 * 2 * config.layers * config.kv_heads * config.head_width
    room = int(_SHARE * psutil.virtual_memory().total) // bytes_a_token
    return max(config.context, min(max(_CONTEXTS * config.context, _LEAST_TOKENS), room))
