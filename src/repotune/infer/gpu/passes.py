"""The passes of a model on a GPU: short pieces as one step, long ones op by op, over pages of keys and values.

An answer's next token, the few of a keystroke and a draft to be checked are rows of a step alike, captured and all. A
prompt is op by op: its products are long enough for the device to be busy while the next operation is launched.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from repotune.infer.engine import Cancelled, Logits
from repotune.infer.gpu.jobs import Piece
from repotune.infer.gpu.model import GpuModel
from repotune.infer.gpu.places import PAGE, Part, Parts, Room
from repotune.infer.gpu.stages import PLAIN
from repotune.infer.gpu.steps import Steps
from repotune.infer.paged.pages import Pages, Stream

# Rows computed in one pass, which the weights' products are long enough for.
MOST_ROWS = 512
# A piece of so many rows goes into a step, where each row looks up its pages; a longer one looks them up once.
SHORT = 16
# Rows of a step, and bytes of a layer that they look up, which a step takes twice before it is compiled: for
# replit-code-v1.5-3b 64 rows of 4,096 tokens.
_MOST_STEP_ROWS = 64
_MOST_SEEN = 1 << 30


class GpuPasses:
    """Passes (`repotune.infer.paged.passes`) of `model`, with room for `tokens` tokens of keys and values.

    Sums are taken in another order for another number of rows, so results are close and not the same bits in another
    company. `compiler` is a backend of torch.compile for steps, or None.
    """

    most_rows = MOST_ROWS
    rows_beside_steps = MOST_ROWS  # milliseconds, by arithmetic

    def __init__(self, model: GpuModel, tokens: int, compiler: str | None) -> None:
        config = model.config
        self.config, self.precision = config, str(model.precision)
        count = -(-tokens // PAGE)
        self._room = Room(config, count + 1, model.dtype, model.device)
        self._most_seen = _MOST_SEEN // (2 * model.dtype.itemsize * PAGE * config.kv_heads * config.head_width)
        self.pages = Pages(count, PAGE, config.context, self._room.copy)
        self._model, self._alone, self._cancelled = model, threading.Lock(), threading.Event()
        self._steps = Steps(model, self._room.layers, count, self._alone, compiler)

    @torch.no_grad()
    def compute(self, parts: Sequence[tuple[Stream, Sequence[int], int]]) -> list[Logits]:
        """See `Passes.compute`."""
        window = self._model.order.window
        with self._alone:
            for stream, ids, _ in parts:
                self.pages.reserve(stream, len(ids))
            pieces = [Piece(stream, ids, wanted, window) for stream, ids, wanted in parts]
            given: dict[Piece, Logits] = {}
            if long := [piece for piece in pieces if len(piece.ids) > SHORT]:
                given |= self._split(long, self._prompts(long))
            for short in _steps((piece for piece in pieces if len(piece.ids) <= SHORT), self._most_seen):
                self._check()
                given |= self._split(short, self._steps(short)[_wanted(short)])
            for stream, ids, _ in parts:
                stream.tokens.extend(ids)
            return [given[piece] for piece in pieces]

    def cancel(self) -> None:
        """See `Passes.cancel`. A step that is captured has no layers to stop at: it ends, in milliseconds."""
        self._cancelled.set()

    def resume(self) -> None:
        """See `Passes.resume`."""
        self._cancelled.clear()

    def settle(self) -> None:
        """Waits until every shape of step that was computed is compiled and captured. Raises what the compiler does."""
        self._steps.settle()

    def _check(self) -> None:
        if self._cancelled.is_set():
            raise Cancelled

    def _prompts(self, pieces: Sequence[Piece]) -> Tensor:
        """The wanted logits of long pieces, computed together but for attention."""
        device, order = self._model.device, self._model.order
        ids_R, positions_R, slots_R = (
            torch.from_numpy(np.concatenate(columns)).to(device)
            for columns in zip(
                *((np.asarray(piece.ids), piece.positions, piece.slots) for piece in pieces), strict=True
            )
        )
        parts, first = [], 0
        for piece in pieces:
            end = first + len(piece.ids)
            pages_P = torch.from_numpy(piece.pages).to(device)
            parts.append(Part.of(first, positions_R[first:end], pages_P, piece.origin, order, self._model.dtype))
            first = end
        place = Parts(order.rotation(positions_R), slots_R, parts)
        x_RD = self._model.embed(ids_R)
        for layer, held in zip(self._model.layers, self._room.layers, strict=True):
            self._check()
            x_RD = PLAIN.layer(layer, x_RD, place, held)
        return PLAIN.finish(self._model, x_RD[_wanted(pieces)])

    def _split(self, pieces: Sequence[Piece], logits_WV: Tensor) -> dict[Piece, Logits]:
        """Each piece's rows of `logits_WV`, on the host: pinned there, which is five times as fast to copy to."""
        pinned = logits_WV.device.type == "cuda"
        host = torch.empty(logits_WV.shape, pin_memory=pinned).copy_(logits_WV).numpy()
        ends = np.cumsum([piece.wanted for piece in pieces])
        return {piece: host[end - piece.wanted : end] for piece, end in zip(pieces, ends, strict=True)}


def _steps(pieces: Iterator[Piece], most_seen: int) -> Iterator[list[Piece]]:
    """`pieces` in steps, each bounded in rows and in pages that these see, but for a piece alone."""
    step: list[Piece] = []
    for piece in pieces:
        more = [*step, piece]
        rows = sum(len(each.ids) for each in more)
        seen = rows * max(len(each.pages) for each in more)
        if step and (rows > _MOST_STEP_ROWS or seen > most_seen):
            yield step
            more = [piece]
        step = more
    if step:
        yield step


def _wanted(pieces: Sequence[Piece]) -> list[int] | slice:
    """Which rows of `pieces` have logits."""
    if all(piece.wanted == len(piece.ids) for piece in pieces):
        return slice(None)
    ends = np.cumsum([len(piece.ids) for piece in pieces]).tolist()
    return [row for piece, end in zip(pieces, ends, strict=True) for row in range(end - piece.wanted, end)]
