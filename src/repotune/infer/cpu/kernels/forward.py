"""One pass of the decoder over some rows, by all threads together.

A row is a token at its place in a sequence. Rows of several sequences are computed at once; those of one sequence stand
one after the other. One thread runs `lead`, part after part; the others run `help_out`. A part is made of pieces, which
can be computed in any order by anybody, so results do not depend on the threads.
"""

from __future__ import annotations

from repotune.infer.cpu.kernels.attention import PAGE, attend, remember, rotate
from repotune.infer.cpu.kernels.compiling import compiled
from repotune.infer.cpu.kernels.products import GROUP, INPUTS, MATRIX_BYTES, OUTPUTS, pieces_of, product
from repotune.infer.cpu.kernels.rows import activate, embed, normalise, quantise
from repotune.infer.cpu.kernels.simd import load_float, load_long, store_float, store_long
from repotune.infer.cpu.kernels.team import (
    await_pieces,
    await_work,
    finish,
    layer_of,
    part_of,
    piece_of,
    read,
    share,
    take,
)

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
_ROWS_A_PIECE = 8
# The parts of a layer in their order, then the one before the first layer and the two behind the last.
(
    TO_QKV, QKV_PART, PLACE, ATTEND, TO_OUTPUT, OUTPUT_PART, TO_UP, UP_PART, TO_DOWN, DOWN_PART, EMBED, TO_LOGITS,
    LOGITS_PART,
) = range(13)  # fmt: skip


@compiled
def lead(team: int, model: int, job: int) -> bool:
    """Computes a job's rows and the logits that are wanted. False where it was cancelled: then keys and values of these
    rows are unfinished."""
    _do(team, model, job, 0, EMBED)
    for layer in range(_get(model, LAYERS)):
        if read(_get(job, CANCEL)):
            return False
        for part in range(EMBED):
            _do(team, model, job, layer, part)
    _do(team, model, job, 0, TO_LOGITS)
    _do(team, model, job, 0, LOGITS_PART)
    return True


@compiled
def help_out(me: int, team: int, model: int, job: int) -> bool:
    """Computes pieces of what `lead` shares out. True when there was none for a while, False when the team ends."""
    while True:
        work = await_work(team)
        if work < 0:
            return work == -1
        _compute(me, model, job, layer_of(work), part_of(work), piece_of(work))
        finish(team)


@compiled
def _do(team: int, model: int, job: int, layer: int, part: int) -> None:
    pieces = _pieces(model, job, layer, part)
    if pieces == 1:  # not worth telling anybody
        _compute(0, model, job, layer, part, 0)
        return
    share(team, layer, part, pieces)
    work = take(team)
    while work >= 0:
        _compute(0, model, job, layer, part, piece_of(work))
        finish(team)
        work = take(team)
    await_pieces(team, pieces)


@compiled
def _get(table: int, index: int) -> int:
    return int(load_long(table + index * 8))


@compiled
def _layer_at(model: int, layer: int) -> int:
    return _get(model, LAYER_TABLE) + layer * LAYER_BYTES


@compiled
def _matrix(model: int, layer: int, part: int) -> int:
    """The matrix that a part multiplies with, or quantises for."""
    if part >= TO_LOGITS:
        return _get(model, HEAD)
    which = (0, 0, 0, 0, 1, 1, 2, 2, 3, 3)[part]
    return _layer_at(model, layer) + which * MATRIX_BYTES


@compiled
def _pieces(model: int, job: int, layer: int, part: int) -> int:
    if part in (QKV_PART, OUTPUT_PART, UP_PART, DOWN_PART, LOGITS_PART):
        return pieces_of(_matrix(model, layer, part))
    if part == ATTEND:
        return _get(job, BLOCK_COUNT) * _get(model, KV_HEADS)
    rows = _get(job, WANTED_COUNT if part == TO_LOGITS else ROWS)
    return (rows + _ROWS_A_PIECE - 1) // _ROWS_A_PIECE


@compiled
def _compute(me: int, model: int, job: int, layer: int, part: int, piece: int) -> None:
    if part in (QKV_PART, OUTPUT_PART, UP_PART, DOWN_PART, LOGITS_PART):
        _multiply(model, job, layer, part, piece)
        return
    if part == ATTEND:
        _attend_piece(me, model, job, layer, piece)
        return
    rows = _get(job, WANTED_COUNT if part == TO_LOGITS else ROWS)
    for row in range(piece * _ROWS_A_PIECE, min(rows, (piece + 1) * _ROWS_A_PIECE)):
        if part == EMBED:
            out = _get(job, X) + row * _get(model, WIDTH) * 4
            embed(_get(model, EMBEDDING), load_long(_get(job, TOKENS) + row * 8), _get(model, WIDTH), out)
        elif part == PLACE:
            _place(model, job, layer, row)
        else:
            _prepare(model, job, layer, part, row)


@compiled
def _multiply(model: int, job: int, layer: int, part: int, piece: int) -> None:
    matrix = _matrix(model, layer, part)
    out, adds = _get(job, X), True
    if part == QKV_PART:
        out, adds = _get(job, QKV_OUT), False
    elif part == UP_PART:
        out, adds = _get(job, HIDDEN_OUT), False
    elif part == LOGITS_PART:
        out, adds = _get(job, LOGITS), False
    rows = _get(job, WANTED_COUNT if part == LOGITS_PART else ROWS)
    quantised, scales, zeros = _get(job, QUANTISED), _get(job, ROW_SCALES), _get(job, ROW_ZEROS)
    product(piece, matrix, rows, quantised, scales, zeros, out, load_long(matrix + OUTPUTS) * 4, adds)


@compiled
def _prepare(model: int, job: int, layer: int, part: int, row: int) -> None:
    """A row for the product of the next part: normed, activated or as attention left it, and quantised."""
    width, hidden = _get(model, WIDTH), _get(model, HIDDEN)
    matrix, table = _matrix(model, layer, part), _layer_at(model, layer)
    x, normed = _get(job, X) + row * width * 4, _get(job, NORMED) + row * width * 4
    if part == TO_QKV:
        _normalise(model, x, load_long(table + ATTENTION_NORM), load_long(table + ATTENTION_BIAS), normed)
    elif part == TO_UP:
        _normalise(model, x, load_long(table + FEED_NORM), load_long(table + FEED_BIAS), normed)
    elif part == TO_LOGITS:
        x = _get(job, X) + load_long(_get(job, WANTED) + row * 8) * width * 4
        _normalise(model, x, _get(model, LAST_NORM), _get(model, LAST_BIAS), normed)
    elif part == TO_OUTPUT:
        normed = _get(job, MIXED) + row * width * 4
    else:
        normed = _get(job, ACTIVE) + row * hidden * 4
        up_row = load_long(table + UP + OUTPUTS) * 4
        activate(_get(job, HIDDEN_OUT) + row * up_row, hidden, _get(model, ACTIVATION), normed)
    inputs = load_long(matrix + INPUTS)
    place = row * (inputs // load_long(matrix + GROUP)) * 4
    scales, zeros = _get(job, ROW_SCALES) + place, _get(job, ROW_ZEROS) + place
    quantise(normed, matrix, _get(job, QUANTISED) + row * inputs, scales, zeros)


@compiled
def _normalise(model: int, x: int, weight: int, bias: int, out: int) -> None:
    epsilon = load_float(model + EPSILON * 8)
    normalise(x, _get(model, WIDTH), weight, bias, epsilon, _get(model, RMS) == 1, out)


@compiled
def _place(model: int, job: int, layer: int, row: int) -> None:
    """Turns a row's queries and keys to its place and writes its keys and values into its page."""
    heads, kv_heads, head_width = _get(model, HEADS), _get(model, KV_HEADS), _get(model, HEAD_WIDTH)
    layer_bytes = layer * _get(model, PAGES) * kv_heads * head_width * PAGE * 2
    at = _get(job, QKV_OUT) + row * load_long(_layer_at(model, layer) + QKV + OUTPUTS) * 4
    position = load_long(_get(job, POSITIONS) + row * 8)
    if _get(model, TURNS):
        rotate(at, heads + kv_heads, head_width, _get(model, TURNS) + position * head_width * 4)
    key = at + heads * head_width * 4
    value = key + kv_heads * head_width * 4
    page = load_long(load_long(_get(job, TABLES) + row * 8) + position // PAGE * 8)
    keys, values = _get(job, KEYS) + layer_bytes, _get(job, VALUES) + layer_bytes
    remember(key, value, kv_heads, head_width, keys, values, page, position % PAGE)


@compiled
def _attend_piece(me: int, model: int, job: int, layer: int, piece: int) -> None:
    """A block of rows and a key-value head; the longest, the last of a prompt, first."""
    kv_heads = _get(model, KV_HEADS)
    block = _get(job, BLOCKS) + (_get(job, BLOCK_COUNT) - 1 - piece // kv_heads) * 16
    _attend(me, model, job, layer, load_long(block), load_long(block + 8), piece % kv_heads)


@compiled
def _attend(me: int, model: int, job: int, layer: int, first: int, count: int, head: int) -> None:
    heads, kv_heads, head_width = _get(model, HEADS), _get(model, KV_HEADS), _get(model, HEAD_WIDTH)
    shared = heads // kv_heads
    qkv_row = load_long(_layer_at(model, layer) + QKV + OUTPUTS) * 4
    layer_bytes = layer * _get(model, PAGES) * kv_heads * head_width * PAGE * 2
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
