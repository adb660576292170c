"""The engine's arithmetic on a CPU: rows of any sequences in, logits out, over pages of keys and values.

Weights are mapped from the packed file; the kernels (`kernels/`) read them where they lie.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from repotune.infer.cpu.kernels import tables
from repotune.infer.cpu.kernels.tables import (
    GELU,
    GELU_TANH,
    JOB_LONGS,
    LAYER_BYTES,
    MATRIX_BYTES,
    MODEL_LONGS,
    MOST_FED,
    PAGE,
    SCRATCH_QUERIES,
    SWIGLU,
    Longs,
    address_of,
)
from repotune.infer.cpu.packed import SMALLEST_GROUP, Array, Matrix, PackedModel, group_of
from repotune.infer.cpu.threads import Team
from repotune.infer.engine import Cancelled, Logits
from repotune.infer.paged.pages import Pages, Stream
from repotune.model.configuration import ModelConfig

# Rows computed in one pass. More share a read of the weights; fewer need less room.
MOST_ROWS = 512
# Rows that a thread takes through a layer alone, at least. Two threads then take 0.93 of the time that they take where
# they share the outputs of each product, and 0.8 beside other work; with 64 rows 1.05.
_ROWS_A_CHUNK = 128
_ACTIVATIONS = {"swiglu": SWIGLU, "gelu": GELU, "gelu-tanh": GELU_TANH}


class _ModelTable:
    """A packed model's numbers and addresses, as `kernels/tables.py` reads them. Keeps alive what it points to."""

    def __init__(self, model: PackedModel, pages: int) -> None:
        config = model.config
        self._model = model
        self._kept: list[Array] = []
        head = "embedding" if config.tied else "head"
        ends = self._keep(np.array([self._matrix(name) for name in ("embedding", head)], np.int64))
        layers = self._keep(np.array([self._layer(index) for index in range(config.layers)], np.int64))
        numbers = {
            tables.WIDTH: config.width,
            tables.LAYERS: config.layers,
            tables.HEADS: config.heads,
            tables.KV_HEADS: config.kv_heads,
            tables.HEAD_WIDTH: config.head_width,
            tables.HIDDEN: model.matrices["0.down"].inputs,
            tables.ACTIVATION: _ACTIVATIONS[config.activation],
            tables.RMS: int(config.norm == "rms"),
            tables.WINDOW: config.window or 0,
            tables.TURNS: self._keep(_turns(model)) if config.position == "rope" else 0,
            tables.SLOPES: self._vector("slopes"),
            tables.EMBEDDING: ends,
            tables.HEAD: ends + MATRIX_BYTES,
            tables.LAST_NORM: self._vector("norm.weight"),
            tables.LAST_BIAS: self._vector("norm.bias"),
            tables.LAYER_TABLE: layers,
            tables.PAGES: pages,
        }
        self.longs: Longs = np.array([numbers.get(place, 0) for place in range(MODEL_LONGS)], np.int64)
        self.longs[tables.EPSILON : tables.EPSILON + 1].view(np.float32)[0] = config.norm_epsilon

    def _matrix(self, name: str) -> list[int]:
        matrix: Matrix = self._model.matrices[name]
        bits = self._model.bits
        bias = 0 if matrix.bias is None else address_of(matrix.bias)
        shape = [matrix.inputs, matrix.outputs, group_of(bits, matrix.inputs), bits, 0]
        return [address_of(matrix.weights), address_of(matrix.scales), bias, *shape]

    def _layer(self, index: int) -> list[int]:
        matrices = [number for name in ("qkv", "output", "up", "down") for number in self._matrix(f"{index}.{name}")]
        norms = (f"blocks.{index}.{part}_norm" for part in ("attention", "feed_forward"))
        vectors = [self._vector(f"{norm}.{kind}") for norm in norms for kind in ("weight", "bias")]
        assert 8 * len(matrices + vectors) == LAYER_BYTES
        return matrices + vectors

    def _vector(self, name: str) -> int:
        vector = self._model.vectors.get(name)
        return 0 if vector is None else address_of(vector)

    def _keep(self, array: Array) -> int:
        self._kept.append(array)
        return address_of(array)


def _turns(model: PackedModel) -> Array:
    """Each position's E/2 cosines and E/2 sines."""
    angles = np.outer(np.arange(model.config.context, dtype=np.float32), model.vectors["frequencies"])
    return np.concatenate([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


class CpuPasses:
    """Passes (`repotune.infer.paged.passes`) of a packed model, with the threads that compute."""

    most_rows = MOST_ROWS
    rows_beside_steps = 64  # about 20 ms for 100M parameters on two cores, where a token takes 5

    def __init__(self, model: PackedModel, threads: int, tokens: int) -> None:
        """With room for `tokens` tokens of keys and values."""
        config = model.config
        self.config, self.precision = config, f"int{model.bits}"
        count = -(-tokens // PAGE)
        # Layer × page × head × 16·E bfloat16, which numpy has no name for. What no token reached takes no memory.
        shape = (config.layers, count, config.kv_heads, config.head_width * PAGE)
        self._keys: NDArray[np.uint16] = np.zeros(shape, np.uint16)
        self._values: NDArray[np.uint16] = np.zeros(shape, np.uint16)
        self.pages = Pages(count, PAGE, config.context, self._copy)
        self._model = _ModelTable(model, count)
        self._cancelled = np.zeros(1, np.int64)
        self._room = _Room(model, threads)
        self._team = Team(threads, self._model.longs, self._room.job)

    def compute(self, parts: Sequence[tuple[Stream, Sequence[int], int]]) -> list[Logits]:
        """See `Passes.compute`."""
        for stream, ids, _ in parts:
            self.pages.reserve(stream, len(ids))
        out = self._room.fill(parts, (self._keys, self._values), address_of(self._cancelled))
        if not self._team.run():
            raise Cancelled
        for stream, ids, _ in parts:
            stream.tokens.extend(ids)
        ends = np.cumsum([wanted for _, _, wanted in parts])
        return [
            out[end - wanted : end, : self.config.vocabulary] for end, (_, _, wanted) in zip(ends, parts, strict=True)
        ]

    def cancel(self) -> None:
        """See `Passes.cancel`."""
        self._cancelled[0] = 1

    def resume(self) -> None:
        """See `Passes.resume`."""
        self._cancelled[0] = 0

    def settle(self) -> None:
        """See `Passes.settle`: the kernels are compiled before they are first used."""

    def _copy(self, page: int, to: int) -> None:
        self._keys[:, to], self._values[:, to] = self._keys[:, page], self._values[:, page]


class _Room:
    """Buffers for one pass, allocated once: up to MOST_ROWS rows."""

    def __init__(self, model: PackedModel, threads: int) -> None:
        config: ModelConfig = model.config
        matrices = model.matrices
        rows, hidden = MOST_ROWS, matrices["0.down"].inputs
        self._logits_width = matrices["embedding"].outputs
        self._config, self._threads = config, threads
        scores_row = -(-config.context // PAGE) * PAGE
        floats = {
            tables.X: (rows, config.width),
            tables.NORMED: (rows, config.width),
            tables.QKV_OUT: (rows, matrices["0.qkv"].outputs),
            tables.MIXED: (rows, config.width),
            tables.ROW_SCALES: (rows, config.width // SMALLEST_GROUP),
            tables.ROW_ZEROS: (rows, config.width // SMALLEST_GROUP),
            tables.GATED: (threads * rows, 2 * MOST_FED),
            tables.ACTIVE_SCALES: (rows, hidden // SMALLEST_GROUP),
            tables.ACTIVE_ZEROS: (rows, hidden // SMALLEST_GROUP),
            tables.SCORES: (threads * SCRATCH_QUERIES, scores_row),
        }
        self._arrays: dict[int, Array] = {place: np.zeros(shape, np.float32) for place, shape in floats.items()}
        self._arrays[tables.QUANTISED] = np.zeros((rows, config.width), np.int8)
        self._arrays[tables.ACTIVE] = np.zeros((rows, hidden), np.int8)
        self._arrays[tables.ROUNDED] = np.zeros((threads * SCRATCH_QUERIES, config.head_width), np.uint16)
        self._arrays[tables.SCRATCH] = np.zeros(threads * SCRATCH_QUERIES * 5, np.int64)
        self.job: Longs = np.zeros(JOB_LONGS, np.int64)
        self._fixed = {place: address_of(array) for place, array in self._arrays.items()}
        self._fixed[tables.SCORES_ROW] = scores_row * 4
        self._fixed[tables.GATED_BYTES] = rows * 2 * MOST_FED * 4
        self._block = max(1, min(4, SCRATCH_QUERIES * config.kv_heads // config.heads))

    def fill(
        self, parts: Sequence[tuple[Stream, Sequence[int], int]], held: tuple[Array, Array], cancel: int
    ) -> NDArray[np.float32]:
        """Writes the job of `parts` over `held` keys and values. Returns the rows of logits that it will compute."""
        counts = [len(ids) for _, ids, _ in parts]
        starts = np.cumsum([0, *counts]).tolist()
        runs = list(pairwise(starts))
        wanted_runs = [(end - wanted, end) for (_, end), (_, _, wanted) in zip(runs, parts, strict=True)]
        arrays: dict[int, Array] = {
            tables.TOKENS: np.concatenate([np.asarray(ids, np.int64) for _, ids, _ in parts]),
            tables.POSITIONS: np.concatenate(
                [np.arange(len(stream.tokens), len(stream.tokens) + len(ids)) for stream, ids, _ in parts]
            ),
            tables.TABLES: np.repeat([address_of(stream.table) for stream, _, _ in parts], counts),
            tables.BLOCKS: self._blocks(runs),
            tables.LAST_BLOCKS: self._blocks(wanted_runs),
            tables.WANTED: np.concatenate([np.arange(*run) for run in wanted_runs]),
        }
        arrays[tables.CHUNKS] = _chunks(arrays[tables.BLOCKS], starts[-1], self._threads)
        wanted = len(arrays[tables.WANTED])
        out = np.empty((wanted, self._logits_width), np.float32)
        numbers = self._fixed | {place: address_of(array) for place, array in arrays.items()}
        numbers |= {
            tables.ROWS: starts[-1],
            tables.BLOCK_COUNT: len(arrays[tables.BLOCKS]),
            tables.CHUNK_COUNT: len(arrays[tables.CHUNKS]),
            tables.LAST_BLOCK_COUNT: len(arrays[tables.LAST_BLOCKS]),
            tables.WANTED_COUNT: wanted,
            tables.LOGITS: address_of(out),
            tables.KEYS: address_of(held[0]),
            tables.VALUES: address_of(held[1]),
            tables.CANCEL: cancel,
        }
        for place, number in numbers.items():
            self.job[place] = number
        self._arrays |= arrays
        return out

    def _blocks(self, runs: Sequence[tuple[int, int]]) -> Longs:
        """Each block's first row and how many rows it has; rows of different runs share none."""
        blocks = [
            (first, min(self._block, end - first)) for start, end in runs for first in range(start, end, self._block)
        ]
        return np.array(blocks, np.int64).reshape(-1, 2)


def _chunks(blocks: Longs, rows: int, threads: int) -> Longs:
    """What each thread takes through a layer, whole blocks: first and last row, first and last block; the longest, the
    last of a prompt, first. None where a thread would have few rows, as each reads all weights."""
    if threads == 1 or rows < threads * _ROWS_A_CHUNK:
        return np.zeros((0, 4), np.int64)
    cuts = np.linspace(0, len(blocks), threads * round(rows / threads / _ROWS_A_CHUNK) + 1).astype(np.int64)
    firsts, lasts = cuts[:-1], cuts[1:] - 1
    return np.stack([blocks[firsts, 0], blocks[lasts].sum(1), firsts, lasts + 1], 1)[::-1].copy()
