"""The model and the job of a pass as kernels see them: tables of longs, most of them addresses.

`passes.py` writes them. A row is a token at its place in a sequence; rows of one sequence lie one after the other.
"""

from __future__ import annotations

from repotune.infer.cpu.kernels.compiling import compiled
from repotune.infer.cpu.kernels.products import MATRIX_BYTES
from repotune.infer.cpu.kernels.simd import load_long

# The model: longs at these places (times eight bytes).
(WIDTH, LAYERS, HEADS, KV_HEADS, HEAD_WIDTH, HIDDEN, ACTIVATION, RMS, EPSILON, WINDOW, TURNS, SLOPES, EMBEDDING, HEAD,
 LAST_NORM, LAST_BIAS, LAYER_TABLE, PAGES) = range(18)  # fmt: skip
MODEL_LONGS = 18
# A layer: four matrices, then the two norms' weights and biases.
QKV, OUTPUT, UP, DOWN = (index * MATRIX_BYTES for index in range(4))
ATTENTION_NORM, ATTENTION_BIAS, FEED_NORM, FEED_BIAS = (4 * MATRIX_BYTES + index * 8 for index in range(4))
LAYER_BYTES = 4 * MATRIX_BYTES + 4 * 8
# A job: the rows, how they are shared out, and where everything that is computed goes. Blocks are rows of one sequence
# that attend together (first row, count); chunks are what a thread takes through a layer (first and last row, first and
# last block). The last layer has blocks of its own, of the rows whose logits are wanted.
(ROWS, TOKENS, POSITIONS, TABLES, BLOCKS, BLOCK_COUNT, CHUNKS, CHUNK_COUNT, LAST_BLOCKS, LAST_BLOCK_COUNT, WANTED,
 WANTED_COUNT, LOGITS, X, NORMED, QKV_OUT, MIXED, QUANTISED, ROW_SCALES, ROW_ZEROS, GATED, GATED_BYTES, ACTIVE,
 ACTIVE_SCALES, ACTIVE_ZEROS, SCRATCH, ROUNDED, SCORES, SCORES_ROW, KEYS, VALUES, CANCEL) = range(32)  # fmt: skip
JOB_LONGS = 32

BLOCK_BYTES, CHUNK_BYTES = 16, 32


@compiled
def get(table: int, index: int) -> int:
    """A long of a table."""
    return int(load_long(table + index * 8))


@compiled
def layer_at(model: int, layer: int) -> int:
    """The table of a layer."""
    return get(model, LAYER_TABLE) + layer * LAYER_BYTES
