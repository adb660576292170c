"""Steps: a few rows of any streams, in shapes that are compiled and captured once, while others go on op by op.

A bucket is first computed op by op, at once. A thread compiles it beside that, captures it between two passes and puts
it in place: by estimate in a minute where Inductor has not tried its products on this machine before, in seconds where
it has.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Sequence

import torch
from torch import Tensor

from repotune.infer.gpu.graphs import Capturer, Step
from repotune.infer.gpu.jobs import Bucket, Piece
from repotune.infer.gpu.model import GpuModel
from repotune.infer.gpu.places import Held
from repotune.infer.gpu.stages import PLAIN, Stages

_log = logging.getLogger("repotune.infer")

# Shapes of one function before Dynamo gives up: seven numbers of rows times as many of pages, at most.
_SHAPES = 64


class Steps:
    """Computes pieces of streams over the keys and values `held`, a layer each.

    `empty_page` belongs to no stream. `alone` is held by whoever computes. `compiler` is a backend of torch.compile, or
    None for op by op.
    """

    def __init__(
        self, model: GpuModel, held: Sequence[Held], empty_page: int, alone: threading.Lock, compiler: str | None
    ) -> None:
        self._model, self._held, self._empty_page, self._alone = model, held, empty_page, alone
        self._compiled = None if compiler is None else PLAIN.compiled(compiler, model.device)
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
        return self._run(PLAIN, job.to(self._model.device))[:rows]

    def settle(self) -> None:
        """Waits until all buckets asked for are in place. Raises what their compiler raised."""
        while thread := self._thread:
            thread.join()
        if self._error:
            raise self._error

    def _run(self, stages: Stages, job_RC: Tensor) -> Tensor:
        x_RD, rows = stages.begin(self._model, job_RC)
        for layer, held in zip(self._model.layers, self._held, strict=True):
            x_RD = stages.layer(layer, x_RD, rows, held)
        return stages.finish(self._model, x_RD)

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
