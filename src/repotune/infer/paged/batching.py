"""Streams computed together: whoever asks while a pass is under way goes into the next one.

There is no thread of its own for it. A caller that finds nobody computing computes for all who wait; so one stream
alone costs no change of threads, and ten cost one reading of the weights a token.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np

from repotune.infer.engine import Cancelled, Logits
from repotune.infer.paged.pages import Stream
from repotune.infer.paged.passes import Passes


class Request:
    """Ids to append to a stream, and how many rows of logits are wanted from their end."""

    def __init__(self, stream: Stream, ids: Sequence[int], wanted: int) -> None:
        self.stream, self.ids, self.wanted = stream, ids, wanted
        self.taken = 0
        self.rows: list[Logits] = []
        self.error: Exception | None = None
        self.cancelled = False
        self.finished = False
        self.awake = threading.Event()

    def part(self, rows: int) -> tuple[Stream, Sequence[int], int]:
        """The next `rows` ids or fewer, with the logits that are wanted of them."""
        end = min(self.taken + rows, len(self.ids))
        first_wanted = max(self.taken, len(self.ids) - self.wanted)
        return self.stream, self.ids[self.taken : end], max(0, end - first_wanted)


class Batcher:
    """Gathers requests into passes. Safe to call from any number of threads."""

    def __init__(self, passes: Passes) -> None:
        self._passes = passes
        self._lock = threading.Lock()
        self._waiting: list[Request] = []
        self._computing = False
        self._under_way: list[Request] = []

    def compute(self, request: Request) -> Logits:
        """The logits that `request` wants, rows × vocabulary. Raises Cancelled, and what the pass raises; the stream
        then holds what was whole."""
        with self._lock:
            self._waiting.append(request)
            leads = not self._computing
            self._computing = True
        while not request.finished:
            if leads:
                self._lead(request)
            else:
                request.awake.wait()
                request.awake.clear()
            leads = True  # woken unfinished: who computed so far has handed over
        if request.error is not None:
            raise request.error
        return np.concatenate(request.rows)

    def cancel(self, request: Request) -> None:
        """Ends `request`: at once where it waits, at the next layer where its pass has no other, else with its pass."""
        with self._lock:
            request.cancelled = True
            if self._under_way == [request]:
                self._passes.cancel()

    def _lead(self, own: Request) -> None:
        """Computes until `own` is finished, and hands over to one who waits."""
        while not own.finished:
            with self._lock:
                parts = self._choose()
                self._under_way = [request for request, _ in parts]
                self._passes.resume()
            if parts:
                self._pass(parts)
            with self._lock:
                self._under_way = []
                ended = [request for request in self._waiting if request.finished]
                self._waiting = [request for request in self._waiting if not request.finished]
            for request in ended:
                if request is not own:
                    request.awake.set()
        with self._lock:
            self._computing = bool(self._waiting)
            if self._waiting:
                self._waiting[0].awake.set()

    def _choose(self) -> list[tuple[Request, int]]:
        """Who computes how many rows in the next pass: single tokens first, then prompts in the order they came."""
        for request in self._waiting:
            if request.cancelled:
                request.error = Cancelled("cancelled")
                request.finished = True
        alive = [request for request in self._waiting if not request.finished]
        alive.sort(key=lambda request: len(request.ids) - request.taken > 1)
        chosen: list[tuple[Request, int]] = []
        room = self._passes.most_rows
        for request in alive:
            left = len(request.ids) - request.taken
            most = room if left == 1 or len(alive) == 1 else min(room, self._passes.rows_beside_steps)
            rows = min(left, most)
            if rows:
                chosen.append((request, rows))
                room -= rows
        return chosen

    def _pass(self, parts: list[tuple[Request, int]]) -> None:
        try:
            given = self._passes.compute([request.part(rows) for request, rows in parts])
        except Exception as error:
            for request, _ in parts:
                request.error = error
                request.finished = True
            return
        for (request, rows), logits in zip(parts, given, strict=True):
            request.taken += rows
            request.rows.append(logits)
            if request.taken == len(request.ids):
                request.finished = True
