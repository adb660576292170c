"""What the kernels and those who call them agree on: numbers, and tables of longs, most of which are addresses.

No compiler is needed to read it. `passes.py` writes the tables. A row is a token at its place in a sequence; rows of
one sequence lie one after the other.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Longs = NDArray[np.int64]

PAGE = 16  # tokens whose keys and values lie together: a vector of scores is a page
SCRATCH_QUERIES = 128  # the most queries of a block: rows times heads that share a key-value head
MOST_FED = 128  # the most of the hidden numbers that are computed together: whole groups of the next product
# Activations of the feed-forward layer, as numbers that compiled code can compare.
SWIGLU, GELU, GELU_TANH = 0, 1, 2

# A matrix: eight longs, at these bytes. Addresses are 0 where there is nothing.
WEIGHTS, SCALES, BIAS, INPUTS, OUTPUTS, GROUP, BITS = 0, 8, 16, 24, 32, 40, 48
MATRIX_BYTES = 64
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

# A team's shared state, in bytes; each number has a cache line of its own. WORK says everything of the part under way
# in one number, so that a piece is taken whole or not at all: layer, part, how many pieces it has, and how many of them
# are taken.
WORK, DONE, BUSY, HALT = 0, 128, 256, 384
STATE_BYTES = 512


def address_of(array: NDArray[Any]) -> int:
    """Where the first number of `array` lies."""
    address: int = array.ctypes.data
    return address
