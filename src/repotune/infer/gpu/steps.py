"""Steps: a few rows of any streams, in shapes that are compiled and captured once, while others go on op by op.

A bucket is first computed op by op, at once. A thread compiles it beside that, a minute where Inductor has not seen the
shape on this machine before and seconds where it has, captures it between two passes (a moment) and puts it in place.
One layer is compiled and serves all, since weights are arguments: a thirtieth of the time for a whole network, and what
no compiler could fuse across layers anyway is what the graph takes the launches from.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from repotune.infer.gpu.graphs import Capturer, Step
from repotune.infer.gpu.jobs import Bucket, Piece
from repotune.infer.gpu.model import GpuModel, Layer
from repotune.infer.gpu.places import Held, Rows

_log = logging.getLogger("repotune.infer")

# For a GPU. Products with one row are taken apart only where coordinate descent tunes the kernel, and int8 weights are
# converted within a product of several rows only where products are chosen by trial (torch/_inductor/decomposition.py
# and scheduler.py).
_INDUCTOR = {"coordinate_descent_tuning": True, "max_autotune_gemm": True}
# Shapes of one function before Dynamo gives up: seven numbers of rows times as many of pages, at most.
_SHAPES = 64


def _begin(model: GpuModel, job_RC: Tensor) -> tuple[Tensor, Rows]:
    return model.begin(job_RC)


def _through(layer: Layer, x_RD: Tensor, rows: Rows, held: Held) -> Tensor:
    return layer(x_RD, rows, held)


def _finish(model: GpuModel, x_RD: Tensor) -> Tensor:
    return model.finish(x_RD)


class Steps:
    """Computes pieces of streams over the keys and values `held`, a layer each.

    `empty_page` belongs to no stream. `alone` is held by whoever computes. `compiler` is a backend of torch.compile, or
    None for op by op.
    """

    def __init__(
        self, model: GpuModel, held: Sequence[Held], empty_page: int, alone: threading.Lock, compiler: str | None
    ) -> None:
        self._model, self._held, self._empty_page, self._alone = model, held, empty_page, alone
        self._compiled = None if compiler is None else self._compile(compiler)
        self._capture = Capturer(model.device) if model.device.type == "cuda" and compiler else None
        self._ready: dict[Bucket, Step] = {}
        self._asked: set[Bucket] = set()
        self._waiting: deque[Bucket] = deque()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._error: Exception | None = None

    def __call__(self, pieces: Sequence[Piece]) -> Tensor:
        """Logits of all rows of `pieces`, R×V (float32, on the device), good until the next call. The caller holds
        `alone`."""
        bucket = Bucket.of(pieces)
        job = torch.from_numpy(bucket.job(pieces, self._empty_page))
        rows = sum(len(piece.ids) for piece in pieces)
        step = self._ready.get(bucket)
        if step is not None:
            return step(job)[:rows]
        self._ask(bucket)
        return self._run((_begin, _through, _finish), job.to(self._model.device))[:rows]

    def settle(self) -> None:
        """Waits until all buckets asked for are in place. Raises what their compiler raised."""
        while thread := self._thread:
            thread.join()
        if self._error:
            raise self._error

    def _run(self, functions: tuple[Callable[..., Any], ...], job_RC: Tensor) -> Tensor:
        begin, through, finish = functions
        x_RD, rows = begin(self._model, job_RC)
        for layer, held in zip(self._model.layers, self._held, strict=True):
            x_RD = through(layer, x_RD, rows, held)
        logits_RV: Tensor = finish(self._model, x_RD)
        return logits_RV

    def _compile(self, backend: str) -> tuple[Callable[..., Any], ...]:
        options = _INDUCTOR if backend == "inductor" and self._model.device.type == "cuda" else None
        return tuple(
            torch.compile(function, fullgraph=True, dynamic=False, backend=backend, options=dict(options or {}))
            for function in (_begin, _through, _finish)
        )

    def _ask(self, bucket: Bucket) -> None:
        """Has `bucket` prepared, unless it was asked for before. The thread ends with the last, so that no engine
        outlives its use."""
        if self._compiled is None or bucket in self._asked:
            return
        with self._lock:
            self._asked.add(bucket)
            self._waiting.append(bucket)
            if self._thread is None:
                self._thread = threading.Thread(target=self._prepare_all, name="compiling steps", daemon=True)
                self._thread.start()

    def _prepare_all(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._thread = None
                    return
                bucket = self._waiting.popleft()
            try:
                self._prepare(bucket)
            except Exception as error:  # a compiler fails in many ways, and the step goes on without it
                _log.warning("steps of %s rows stay uncompiled: %s", bucket.rows, error)
                self._error = error

    @torch.no_grad()
    def _prepare(self, bucket: Bucket) -> None:
        """Compiles with spare rows alone, which touch nothing but the empty page, so that passes go on beside it."""
        compiled = self._compiled
        assert compiled is not None
        job_RC = torch.from_numpy(bucket.job((), self._empty_page)).to(self._model.device)

        def run(job: Tensor) -> Tensor:
            return self._run(compiled, job)

        with torch._dynamo.config.patch(recompile_limit=_SHAPES):
            run(job_RC)
        with self._alone:
            self._ready[bucket] = self._capture(run, job_RC) if self._capture else run
