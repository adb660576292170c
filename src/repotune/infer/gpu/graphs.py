"""CUDA graphs: the one part of this package that needs a GPU to run at all, and so has never run.

A step of 32 layers is some 400 kernels of microseconds each. Launched from Python they come every 5 µs or more; in a
graph the device takes one after another by itself.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Step = Callable[[Tensor], Tensor]

# Before a capture: libraries take their workspaces, and kernels are loaded, at the first run.
_WARMING_RUNS = 2


class Capturer:
    """Captures steps on `device` in one pool of memory: only one of them runs at a time, so they may share it."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._pool = torch.cuda.graph_pool_handle()
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def __call__(self, run: Step, job_RC: Tensor) -> Step:
        """`run` as a graph, captured with the harmless job `job_RC` (on the device), whose memory it reads ever after.

        What it returns is good until the next step. Nothing else may compute meanwhile but what other threads do on
        streams of their own ("thread_local").
        """
        self._stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._stream):
            for _ in range(_WARMING_RUNS):
                run(job_RC)
        torch.cuda.synchronize(self._device)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, self._pool, self._stream, capture_error_mode="thread_local"):
            logits_RV = run(job_RC)

        def replay(job: Tensor) -> Tensor:
            job_RC.copy_(job)
            graph.replay()
            return logits_RV

        return replay
