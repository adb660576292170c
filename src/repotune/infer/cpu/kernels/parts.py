"""The parts that a layer is made of, each for some rows or some outputs: what threads share out.

Whatever is computed together, a row's numbers are the same bits. The last layer's rows serve logits alone, so behind
its keys and values only the rows whose logits are wanted are computed.
"""

from __future__ import annotations

from repotune.infer.cpu.kernels import tables as t
from repotune.infer.cpu.kernels.attention import attend, remember, rotate
from repotune.infer.cpu.kernels.compiling import compiled
from repotune.infer.cpu.kernels.products import PIECE, pieces_of, product
from repotune.infer.cpu.kernels.reading import get, layer_at
from repotune.infer.cpu.kernels.rows import activate, embed, normalise, quantise
from repotune.infer.cpu.kernels.simd import load, load_float, load_long, store, store_float, store_long
from repotune.infer.cpu.kernels.tables import BITS, GROUP, INPUTS, OUTPUTS, PAGE, SCRATCH_QUERIES, SWIGLU
from repotune.infer.cpu.kernels.team import read

# In their order: those of a layer, one before the first, two behind the last.
(
    TO_QKV, QKV_PART, PLACE, ATTEND, TO_OUTPUT, OUTPUT_PART, TO_UP, UP_PART, DOWN_PART, EMBED, TO_LOGITS, LOGITS_PART,
) = range(12)  # fmt: skip

_ROWS_A_PIECE = 8


@compiled
def pieces_of_part(model: int, job: int, layer: int, part: int) -> int:
    """Into how many pieces a part falls that anybody may compute in any order."""
    rows = _rows(model, job, layer, part)
    if part == UP_PART:
        return get(model, t.HIDDEN) // _fed(model, layer) if rows else 0
    if part in (QKV_PART, OUTPUT_PART, DOWN_PART, LOGITS_PART):
        return pieces_of(_matrix(model, layer, part)) if rows else 0
    if part == ATTEND:
        last = layer == get(model, t.LAYERS) - 1
        return get(job, t.LAST_BLOCK_COUNT if last else t.BLOCK_COUNT) * get(model, t.KV_HEADS)
    return (rows + _ROWS_A_PIECE - 1) // _ROWS_A_PIECE


@compiled
def compute_piece(me: int, model: int, job: int, layer: int, part: int, piece: int) -> None:
    """A piece of a part, by thread `me`."""
    rows = _rows(model, job, layer, part)
    if part in (QKV_PART, OUTPUT_PART, UP_PART, DOWN_PART, LOGITS_PART):
        _compute_outputs(me, model, job, layer, part, piece, 0, rows)
    elif part == ATTEND:
        blocks, count, kv_heads = get(job, t.BLOCKS), get(job, t.BLOCK_COUNT), get(model, t.KV_HEADS)
        if layer == get(model, t.LAYERS) - 1:
            blocks, count = get(job, t.LAST_BLOCKS), get(job, t.LAST_BLOCK_COUNT)
        # The longest, the last of a prompt, first.
        _attend(me, model, job, layer, blocks + (count - 1 - piece // kv_heads) * t.BLOCK_BYTES, piece % kv_heads)
    else:
        _compute_rows(model, job, layer, part, piece * _ROWS_A_PIECE, min(rows, (piece + 1) * _ROWS_A_PIECE))


@compiled
def compute_chunk(me: int, model: int, job: int, layer: int, index: int) -> None:
    """A chunk of rows from its attention in the layer before `layer`, or from its tokens, until its keys and values are
    placed in `layer`: so far it needs nothing of other chunks, and stays in the cache of the thread's core. Left
    unfinished where the job is cancelled."""
    chunk = get(job, t.CHUNKS) + index * t.CHUNK_BYTES
    start, end = load_long(chunk), load_long(chunk + 8)
    if layer == 0:
        _compute_rows(model, job, layer, EMBED, start, end)
    else:
        for block in range(load_long(chunk + 16), load_long(chunk + 24)):
            for head in range(get(model, t.KV_HEADS)):
                _attend(me, model, job, layer - 1, get(job, t.BLOCKS) + block * t.BLOCK_BYTES, head)
        for part in range(TO_OUTPUT, EMBED):
            if not read(get(job, t.CANCEL)):
                _compute_part(me, model, job, layer - 1, part, start, end)
    for part in range(ATTEND):
        if not read(get(job, t.CANCEL)):
            _compute_part(me, model, job, layer, part, start, end)


@compiled
def _compute_part(me: int, model: int, job: int, layer: int, part: int, start: int, end: int) -> None:
    if part in (QKV_PART, OUTPUT_PART, UP_PART, DOWN_PART):
        for piece in range(pieces_of_part(model, job, layer, part)):
            _compute_outputs(me, model, job, layer, part, piece, start, end)
    else:
        _compute_rows(model, job, layer, part, start, end)


@compiled
def _last(model: int, layer: int, part: int) -> bool:
    """Whether a part computes the wanted rows alone, which lie one behind the other then."""
    return part >= TO_LOGITS or (TO_OUTPUT <= part < EMBED and layer == get(model, t.LAYERS) - 1)


@compiled
def _rows(model: int, job: int, layer: int, part: int) -> int:
    return get(job, t.WANTED_COUNT if _last(model, layer, part) else t.ROWS)


@compiled
def _residual(model: int, job: int, layer: int, part: int) -> int:
    """Where the rows lie that the layers add to: at last where queries, keys and values were."""
    return get(job, t.QKV_OUT if _last(model, layer, part) else t.X)


@compiled
def _matrix(model: int, layer: int, part: int) -> int:
    """The matrix that a part multiplies with, or quantises for."""
    if part >= TO_LOGITS:
        return get(model, t.HEAD)
    return layer_at(model, layer) + (t.QKV, t.QKV, t.QKV, t.QKV, t.OUTPUT, t.OUTPUT, t.UP, t.UP, t.DOWN)[part]


@compiled
def _compute_rows(model: int, job: int, layer: int, part: int, start: int, end: int) -> None:
    for row in range(start, end):
        if part == EMBED:
            out = get(job, t.X) + row * get(model, t.WIDTH) * 4
            embed(get(model, t.EMBEDDING), load_long(get(job, t.TOKENS) + row * 8), get(model, t.WIDTH), out)
        elif part == PLACE:
            _place(model, job, layer, row)
        else:
            _prepare(model, job, layer, part, row)


@compiled
def _prepare(model: int, job: int, layer: int, part: int, row: int) -> None:
    """A row for the product of the next part: normed, or as attention left it, and quantised."""
    width, table = get(model, t.WIDTH), layer_at(model, layer)
    x, ready = _residual(model, job, layer, part) + row * width * 4, get(job, t.NORMED) + row * width * 4
    if part == TO_QKV:
        _normalise(model, x, load_long(table + t.ATTENTION_NORM), load_long(table + t.ATTENTION_BIAS), ready)
    elif part == TO_UP:
        _normalise(model, x, load_long(table + t.FEED_NORM), load_long(table + t.FEED_BIAS), ready)
    elif part == TO_LOGITS:
        _normalise(model, x, get(model, t.LAST_NORM), get(model, t.LAST_BIAS), ready)
    else:
        given = row
        if _last(model, layer, part):
            given = load_long(get(job, t.WANTED) + row * 8)
            _copy(get(job, t.X) + given * width * 4, width, x)
        ready = get(job, t.MIXED) + given * width * 4
    matrix = _matrix(model, layer, part)
    group, bits = load_long(matrix + GROUP), load_long(matrix + BITS)
    side = row * (width // group) * 4
    quantise(
        ready, width, group, bits, get(job, t.QUANTISED) + row * width, get(job, t.ROW_SCALES) + side,
        get(job, t.ROW_ZEROS) + side,
    )  # fmt: skip


@compiled
def _normalise(model: int, x: int, weight: int, bias: int, out: int) -> None:
    epsilon = load_float(model + t.EPSILON * 8)
    normalise(x, get(model, t.WIDTH), weight, bias, epsilon, get(model, t.RMS) == 1, out)


@compiled
def _copy(row: int, width: int, out: int) -> None:
    for at in range(0, width * 4, 64):
        store(out + at, load(row + at))


@compiled
def _compute_outputs(me: int, model: int, job: int, layer: int, part: int, piece: int, start: int, end: int) -> None:
    """64 outputs of the rows from `start` to `end`."""
    if part == UP_PART:
        _feed(me, model, job, layer, piece, start, end)
        return
    matrix = _matrix(model, layer, part)
    out, adds = _residual(model, job, layer, part), True
    if part == QKV_PART:
        out, adds = get(job, t.QKV_OUT), False
    elif part == LOGITS_PART:
        out, adds = get(job, t.LOGITS), False
    x, scales, zeros = t.QUANTISED, t.ROW_SCALES, t.ROW_ZEROS
    if part == DOWN_PART:
        x, scales, zeros = t.ACTIVE, t.ACTIVE_SCALES, t.ACTIVE_ZEROS
    inputs, out_row = load_long(matrix + INPUTS), load_long(matrix + OUTPUTS) * 4
    side = start * (inputs // load_long(matrix + GROUP)) * 4
    product(
        piece, matrix, end - start, get(job, x) + start * inputs, get(job, scales) + side, get(job, zeros) + side,
        out + start * out_row + piece * PIECE * 4, out_row, adds,
    )  # fmt: skip


@compiled
def _fed(model: int, layer: int) -> int:
    return max(PIECE, int(load_long(layer_at(model, layer) + t.DOWN + GROUP)))


@compiled
def _feed(me: int, model: int, job: int, layer: int, piece: int, start: int, end: int) -> None:
    """A group of the hidden numbers, activated and quantised while they are in the nearest cache: in float32 they would
    be the most that a layer writes."""
    up, down = layer_at(model, layer) + t.UP, layer_at(model, layer) + t.DOWN
    width, hidden, kind = get(model, t.WIDTH), get(model, t.HIDDEN), get(model, t.ACTIVATION)
    fed, group, bits = _fed(model, layer), load_long(down + GROUP), load_long(down + BITS)
    gated, row_bytes = get(job, t.GATED) + me * get(job, t.GATED_BYTES), 2 * fed * 4
    side = start * (width // load_long(up + GROUP)) * 4
    x, scales, zeros = (
        get(job, t.QUANTISED) + start * width,
        get(job, t.ROW_SCALES) + side,
        get(job, t.ROW_ZEROS) + side,
    )
    for part in range(0, fed, PIECE):
        column, out = (piece * fed + part) // PIECE, gated + part * 4
        product(column, up, end - start, x, scales, zeros, out, row_bytes, False)
        if kind == SWIGLU:
            product(hidden // PIECE + column, up, end - start, x, scales, zeros, out + fed * 4, row_bytes, False)
    for row in range(start, end):
        at, first = gated + (row - start) * row_bytes, row * hidden + piece * fed
        activate(at, fed, kind, at)
        quantise(
            at, fed, group, bits, get(job, t.ACTIVE) + first, get(job, t.ACTIVE_SCALES) + first // group * 4,
            get(job, t.ACTIVE_ZEROS) + first // group * 4,
        )  # fmt: skip


@compiled
def _place(model: int, job: int, layer: int, row: int) -> None:
    """Turns a row's queries and keys to its place and writes its keys and values into its page."""
    heads, kv_heads, head_width = get(model, t.HEADS), get(model, t.KV_HEADS), get(model, t.HEAD_WIDTH)
    layer_bytes = layer * get(model, t.PAGES) * kv_heads * head_width * PAGE * 2
    at = get(job, t.QKV_OUT) + row * load_long(layer_at(model, layer) + t.QKV + OUTPUTS) * 4
    position = load_long(get(job, t.POSITIONS) + row * 8)
    if get(model, t.TURNS):
        rotate(at, heads + kv_heads, head_width, get(model, t.TURNS) + position * head_width * 4)
    key = at + heads * head_width * 4
    value = key + kv_heads * head_width * 4
    page = load_long(load_long(get(job, t.TABLES) + row * 8) + position // PAGE * 8)
    keys, values = get(job, t.KEYS) + layer_bytes, get(job, t.VALUES) + layer_bytes
    remember(key, value, kv_heads, head_width, keys, values, page, position % PAGE)


@compiled
def _attend(me: int, model: int, job: int, layer: int, block: int, head: int) -> None:
    """The rows of a block by the queries of a key-value head."""
    first, count = load_long(block), load_long(block + 8)
    heads, kv_heads, head_width = get(model, t.HEADS), get(model, t.KV_HEADS), get(model, t.HEAD_WIDTH)
    shared = heads // kv_heads
    qkv_row = load_long(layer_at(model, layer) + t.QKV + OUTPUTS) * 4
    layer_bytes = layer * get(model, t.PAGES) * kv_heads * head_width * PAGE * 2
    scratch = get(job, t.SCRATCH) + me * SCRATCH_QUERIES * 40
    queries, firsts, ends = scratch, scratch + SCRATCH_QUERIES * 8, scratch + SCRATCH_QUERIES * 16
    outs, slopes, shares = (
        scratch + SCRATCH_QUERIES * 24,
        scratch + SCRATCH_QUERIES * 32,
        scratch + SCRATCH_QUERIES * 36,
    )
    window = get(model, t.WINDOW)
    for index in range(count * shared):
        row, own = first + index // shared, head * shared + index % shared
        end = load_long(get(job, t.POSITIONS) + row * 8) + 1
        store_long(queries + index * 8, get(job, t.QKV_OUT) + row * qkv_row + own * head_width * 4)
        store_long(outs + index * 8, get(job, t.MIXED) + (row * heads + own) * head_width * 4)
        store_long(firsts + index * 8, max(0, end - window) if window else 0)
        store_long(ends + index * 8, end)
        if get(model, t.SLOPES):
            store_float(slopes + index * 4, load_float(get(model, t.SLOPES) + own * 4))
    table = load_long(get(job, t.TABLES) + first * 8)
    scores_row = get(job, t.SCORES_ROW)
    scores = get(job, t.SCORES) + me * SCRATCH_QUERIES * scores_row
    rounded = get(job, t.ROUNDED) + me * SCRATCH_QUERIES * head_width * 2
    attend(
        queries, count * shared, head_width, table, get(job, t.KEYS) + layer_bytes, get(job, t.VALUES) + layer_bytes,
        head, kv_heads, firsts, ends, slopes if get(model, t.SLOPES) else 0, rounded, shares, scores, scores_row, outs,
    )  # fmt: skip
