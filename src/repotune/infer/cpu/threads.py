"""The threads of a team: one leads a job, the others help, and sleep when there is nothing to do."""

from __future__ import annotations

import threading
import weakref

import numpy as np

from repotune.infer.cpu.kernels.native import Kernels, open_kernels
from repotune.infer.cpu.kernels.tables import BUSY, HALT, STATE_BYTES, Longs, address_of


class Team:
    """The calling thread and `threads` - 1 helpers, which end when nobody holds the team any more."""

    def __init__(self, threads: int, model: Longs, job: Longs) -> None:
        """For jobs that the caller writes into `job`, of the model whose table is `model` (`kernels/forward.py`)."""
        self._kernels = open_kernels()
        self._state, self._model, self._job = np.zeros(STATE_BYTES // 8, np.int64), model, job
        self._awake = [threading.Event() for _ in range(1, threads)]
        for me, awake in enumerate(self._awake, 1):
            arguments = (self._kernels, me, self._state, model, job, awake)
            threading.Thread(target=_help, args=arguments, name=f"kernel-{me}", daemon=True).start()
        weakref.finalize(self, _end, self._state, self._awake)

    def run(self) -> bool:
        """Computes the job. False where it was cancelled."""
        self._state[BUSY // 8] = 1  # from here on nobody goes to sleep
        for awake in self._awake:
            awake.set()
        try:
            return self._kernels.lead(address_of(self._state), address_of(self._model), address_of(self._job))
        finally:
            self._state[BUSY // 8] = 0


def _help(kernels: Kernels, me: int, state: Longs, model: Longs, job: Longs, awake: threading.Event) -> None:
    while kernels.help_out(me, address_of(state), address_of(model), address_of(job)):
        awake.wait()
        awake.clear()


def _end(state: Longs, awake: list[threading.Event]) -> None:
    state[HALT // 8] = 1
    for event in awake:
        event.set()
