"""One pass of the decoder over some rows, by all threads together.

One thread runs `lead`, part after part; the others run `help_out`. Few rows are bound by the reading of the weights:
threads share the outputs of each product. Of many rows each thread takes some through a whole layer, and meets the
others once a layer, where attention needs all keys. Results do not depend on it.
"""

from __future__ import annotations

from repotune.infer.cpu.kernels import tables as t
from repotune.infer.cpu.kernels.compiling import compiled
from repotune.infer.cpu.kernels.parts import (
    ATTEND,
    EMBED,
    LOGITS_PART,
    TO_LOGITS,
    TO_QKV,
    compute_chunk,
    compute_piece,
    pieces_of_part,
)
from repotune.infer.cpu.kernels.reading import get
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

_CHUNK = LOGITS_PART + 1  # a layer's part where rows are shared out: `compute_chunk`


@compiled
def lead(team: int, model: int, job: int) -> bool:
    """Computes a job's rows and the logits that are wanted. False where it was cancelled: then keys and values of these
    rows are unfinished."""
    layers, by_rows = get(model, t.LAYERS), get(job, t.CHUNK_COUNT) > 0
    if not by_rows:
        _do(team, model, job, 0, EMBED)
    for layer in range(layers):
        if read(get(job, t.CANCEL)):
            return False
        if by_rows:
            _do(team, model, job, layer, _CHUNK)
        if layer == layers - 1 or not by_rows:
            for part in range(ATTEND if by_rows else TO_QKV, EMBED):
                _do(team, model, job, layer, part)
    _do(team, model, job, 0, TO_LOGITS)
    _do(team, model, job, 0, LOGITS_PART)
    return not read(get(job, t.CANCEL))


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
    pieces = get(job, t.CHUNK_COUNT) if part == _CHUNK else pieces_of_part(model, job, layer, part)
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
def _compute(me: int, model: int, job: int, layer: int, part: int, piece: int) -> None:
    if part == _CHUNK:
        compute_chunk(me, model, job, layer, piece)
    else:
        compute_piece(me, model, job, layer, part, piece)
