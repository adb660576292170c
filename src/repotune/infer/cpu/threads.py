"""The threads of a team: asleep when there is nothing to do, and together on each job."""

from __future__ import annotations

import threading
import weakref

from repotune.infer.cpu.kernels.forward import advance
from repotune.infer.cpu.kernels.team import HALT, JOB, Longs, address_of, await_job, new_state


class Team:
    """The calling thread and `threads` - 1 others, which end when nobody holds the team any more."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._state = new_state()
        self._job = [0, 0]  # addresses of the model's table and of the job
        self._awake = [threading.Event() for _ in range(1, threads)]
        for me, awake in enumerate(self._awake, 1):
            arguments = (me, threads, self._state, self._job, awake)
            threading.Thread(target=_help, args=arguments, name=f"kernel-{me}", daemon=True).start()
        weakref.finalize(self, _end, self._state, self._awake)

    def run(self, model: int, job: int) -> bool:
        """Computes a job with all threads. False where it was cancelled."""
        self._job[:] = model, job
        self._state[JOB // 8] += 1
        for awake in self._awake:
            awake.set()
        return advance(0, self._threads, address_of(self._state), model, job)


def _help(me: int, threads: int, state: Longs, job: list[int], awake: threading.Event) -> None:
    team, done = address_of(state), 0
    while (number := await_job(team, done)) >= 0:
        if number == done:
            awake.wait()
            awake.clear()
        else:
            advance(me, threads, team, job[0], job[1])
            done = number


def _end(state: Longs, awake: list[threading.Event]) -> None:
    state[HALT // 8] = 1
    for event in awake:
        event.set()
