"""One pass of the decoder over some rows, by all threads together.

A row is a token at its place in a sequence. Rows of several sequences are computed at once; those of one sequence stand
one after the other. All threads run `advance` on the same numbers and meet after each part.
"""

from __future__ import annotations

from repotune.infer.cpu.kernels.attention import PAGE, attend, remember, rotate
from repotune.infer.cpu.kernels.compiling import compiled
from repotune.infer.cpu.kernels.products import GROUP, INPUTS, MATRIX_BYTES, product
from repotune.infer.cpu.kernels.rows import activate, embed, normalise, quantise
from repotune.infer.cpu.kernels.simd import load_float, load_long, store_float, store_long
from repotune.infer.cpu.kernels.team import STOPPED, meet, read, take, write

# The model: longs at these places (times eight bytes).
(WIDTH, LAYERS, HEADS, KV_HEADS, HEAD_WIDTH, HIDDEN, ACTIVATION, RMS, EPSILON, WINDOW, TURNS, SLOPES, EMBEDDING, HEAD,
 LAST_NORM, LAST_BIAS, LAYER_TABLE, PAGES) = range(18)  # fmt: skip
MODEL_LONGS = 18
# A layer: four matrices, then the two norms' weights and biases.
QKV, OUTPUT, UP, DOWN = (index * MATRIX_BYTES for index in range(4))
ATTENTION_NORM, ATTENTION_BIAS, FEED_NORM, FEED_BIAS = (4 * MATRIX_BYTES + index * 8 for index in range(4))
LAYER_BYTES = 4 * MATRIX_BYTES + 4 * 8
# A job: the rows and where everything that is computed goes.
(ROWS, TOKENS, POSITIONS, TABLES, BLOCKS, BLOCK_COUNT, WANTED, WANTED_COUNT, LOGITS, X, NORMED, QKV_OUT, MIXED,
 HIDDEN_OUT, ACTIVE, QUANTISED, ROW_SCALES, ROW_ZEROS, SCORES, SCORES_ROW, SCRATCH, KEYS, VALUES,
 CANCEL) = range(24)  # fmt: skip
JOB_LONGS = 24

SCRATCH_QUERIES = 128  # the most queries of a block: rows times heads that share a key-value head


@compiled
def _get(table: int, index: int) -> int:
    return int(load_long(table + index * 8))


@compiled
def advance(me: int, threads: int, team: int, model: int, job: int) -> bool:
    """Computes a job's rows and the logits that are wanted. False where it was cancelled: then keys and values of these
    rows are unfinished."""
    rows = _get(job, ROWS)
    width = _get(model, WIDTH)
    x = _get(job, X)
    for row in range(me, rows, threads):
        embed(_get(model, EMBEDDING), load_long(_get(job, TOKENS) + row * 8), width, x + row * width * 4)
    for layer in range(_get(model, LAYERS)):
        if me == 0:
            write(team + STOPPED, read(_get(job, CANCEL)))
        meet(team, threads)
        if read(team + STOPPED):
            meet(team, threads)
            return False
        _layer(me, threads, team, model, job, layer)
    _logits(me, threads, team, model, job)
    return True


@compiled
def _layer(me: int, threads: int, team: int, model: int, job: int, index: int) -> None:
    layer = _get(model, LAYER_TABLE) + index * LAYER_BYTES
    rows, width, x = _get(job, ROWS), _get(model, WIDTH), _get(job, X)
    _normalise_all(me, threads, model, job, layer, ATTENTION_NORM, layer + QKV)
    meet(team, threads)
    qkv_width = (_get(model, HEADS) + 2 * _get(model, KV_HEADS)) * _get(model, HEAD_WIDTH)
    qkv_row = _padded(qkv_width) * 4
    _product(team, job, layer + QKV, rows, _get(job, QKV_OUT), qkv_row, False)
    meet(team, threads)
    _place_all(me, threads, model, job, index, qkv_row)
    meet(team, threads)
    _attend_all(me, team, model, job, index, qkv_row)
    meet(team, threads)
    mixed_row = _get(model, HEADS) * _get(model, HEAD_WIDTH) * 4
    _quantise_all(me, threads, job, _get(job, MIXED), mixed_row, layer + OUTPUT)
    meet(team, threads)
    _product(team, job, layer + OUTPUT, rows, x, width * 4, True)
    meet(team, threads)
    _normalise_all(me, threads, model, job, layer, FEED_NORM, layer + UP)
    meet(team, threads)
    hidden = _get(model, HIDDEN)
    kind = _get(model, ACTIVATION)
    up_row = hidden * 8 if kind == 0 else hidden * 4
    _product(team, job, layer + UP, rows, _get(job, HIDDEN_OUT), up_row, False)
    meet(team, threads)
    for row in range(me, rows, threads):
        active = _get(job, ACTIVE) + row * hidden * 4
        activate(_get(job, HIDDEN_OUT) + row * up_row, hidden, kind, active)
        _quantise(job, active, layer + DOWN, row)
    meet(team, threads)
    _product(team, job, layer + DOWN, rows, x, width * 4, True)
    meet(team, threads)


@compiled
def _padded(width: int) -> int:
    return (width + 63) // 64 * 64


@compiled
def _product(team: int, job: int, matrix: int, rows: int, out: int, out_row: int, adds: bool) -> None:
    product(team, matrix, rows, _get(job, QUANTISED), _get(job, ROW_SCALES), _get(job, ROW_ZEROS), out, out_row, adds)


@compiled
def _quantise(job: int, x: int, matrix: int, row: int) -> None:
    inputs = load_long(matrix + INPUTS)
    place = row * (inputs // load_long(matrix + GROUP)) * 4
    quantise(
        x, matrix, _get(job, QUANTISED) + row * inputs, _get(job, ROW_SCALES) + place, _get(job, ROW_ZEROS) + place
    )


@compiled
def _quantise_all(me: int, threads: int, job: int, x: int, x_row: int, matrix: int) -> None:
    for row in range(me, _get(job, ROWS), threads):
        _quantise(job, x + row * x_row, matrix, row)


@compiled
def _normalise_all(me: int, threads: int, model: int, job: int, layer: int, norm: int, matrix: int) -> None:
    width = _get(model, WIDTH)
    for row in range(me, _get(job, ROWS), threads):
        normed = _get(job, NORMED) + row * width * 4
        _normalise(model, _get(job, X) + row * width * 4, load_long(layer + norm), load_long(layer + norm + 8), normed)
        _quantise(job, normed, matrix, row)


@compiled
def _normalise(model: int, x: int, weight: int, bias: int, out: int) -> None:
    epsilon = load_float(model + EPSILON * 8)
    normalise(x, _get(model, WIDTH), weight, bias, epsilon, _get(model, RMS) == 1, out)


@compiled
def _place_all(me: int, threads: int, model: int, job: int, layer: int, qkv_row: int) -> None:
    """Turns queries and keys to their places and writes keys and values into the rows' pages."""
    heads, kv_heads, head_width = _get(model, HEADS), _get(model, KV_HEADS), _get(model, HEAD_WIDTH)
    page_bytes = kv_heads * head_width * PAGE * 2
    keys = _get(job, KEYS) + layer * _get(model, PAGES) * page_bytes
    values = _get(job, VALUES) + layer * _get(model, PAGES) * page_bytes
    turns = _get(model, TURNS)
    for row in range(me, _get(job, ROWS), threads):
        at = _get(job, QKV_OUT) + row * qkv_row
        position = load_long(_get(job, POSITIONS) + row * 8)
        if turns:
            rotate(at, heads + kv_heads, head_width, turns + position * head_width * 4)
        key = at + heads * head_width * 4
        value = key + kv_heads * head_width * 4
        page = load_long(load_long(_get(job, TABLES) + row * 8) + position // PAGE * 8)
        remember(key, value, kv_heads, head_width, keys, values, page, position % PAGE)


@compiled
def _attend_all(me: int, team: int, model: int, job: int, layer: int, qkv_row: int) -> None:
    """Shared out by blocks of rows and by key-value heads; the longest, the last of a prompt, first."""
    kv_heads = _get(model, KV_HEADS)
    pieces = _get(job, BLOCK_COUNT) * kv_heads
    piece = take(team)
    while piece < pieces:
        block = _get(job, BLOCKS) + (_get(job, BLOCK_COUNT) - 1 - piece // kv_heads) * 16
        _attend(me, model, job, layer, qkv_row, load_long(block), load_long(block + 8), piece % kv_heads)
        piece = take(team)


@compiled
def _attend(me: int, model: int, job: int, layer: int, qkv_row: int, first: int, count: int, head: int) -> None:
    heads, kv_heads, head_width = _get(model, HEADS), _get(model, KV_HEADS), _get(model, HEAD_WIDTH)
    shared = heads // kv_heads
    page_bytes = kv_heads * head_width * PAGE * 2
    layer_bytes = layer * _get(model, PAGES) * page_bytes
    scratch = _get(job, SCRATCH) + me * SCRATCH_QUERIES * 40
    queries, firsts, ends = scratch, scratch + SCRATCH_QUERIES * 8, scratch + SCRATCH_QUERIES * 16
    outs, slopes = scratch + SCRATCH_QUERIES * 24, scratch + SCRATCH_QUERIES * 32
    window = _get(model, WINDOW)
    for index in range(count * shared):
        row, own = first + index // shared, head * shared + index % shared
        end = load_long(_get(job, POSITIONS) + row * 8) + 1
        store_long(queries + index * 8, _get(job, QKV_OUT) + row * qkv_row + own * head_width * 4)
        store_long(outs + index * 8, _get(job, MIXED) + (row * heads + own) * head_width * 4)
        store_long(firsts + index * 8, max(0, end - window) if window else 0)
        store_long(ends + index * 8, end)
        if _get(model, SLOPES):
            store_float(slopes + index * 4, load_float(_get(model, SLOPES) + own * 4))
    table = load_long(_get(job, TABLES) + first * 8)
    scores_row = _get(job, SCORES_ROW)
    scores = _get(job, SCORES) + me * SCRATCH_QUERIES * scores_row
    attend(
        queries, count * shared, head_width, table, _get(job, KEYS) + layer_bytes, _get(job, VALUES) + layer_bytes,
        head, kv_heads, firsts, ends, slopes if _get(model, SLOPES) else 0, scores, scores_row, outs,
    )  # fmt: skip


@compiled
def _logits(me: int, threads: int, team: int, model: int, job: int) -> None:
    """Of the wanted rows alone: the head is a fifth of a small model."""
    width, count, head = _get(model, WIDTH), _get(job, WANTED_COUNT), _get(model, HEAD)
    for index in range(me, count, threads):
        row = load_long(_get(job, WANTED) + index * 8)
        normed = _get(job, NORMED) + index * width * 4
        _normalise(model, _get(job, X) + row * width * 4, _get(model, LAST_NORM), _get(model, LAST_BIAS), normed)
        _quantise(job, normed, head, index)
    meet(team, threads)
    _product(team, job, head, count, _get(job, LOGITS), load_long(head + 32) * 4, False)
    meet(team, threads)
