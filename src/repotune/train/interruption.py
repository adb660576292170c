"""Stopping between two steps instead of within one."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class StopRequest:
    """Whether somebody asked the run to stop."""

    def __init__(self) -> None:
        self.made = False


@contextmanager
def noticing_signals() -> Iterator[StopRequest]:
    """The first SIGINT or SIGTERM only makes the request; a second one does what it always does. Outside the main
    thread, where Python takes no signals, nobody can ask."""
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    former = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in former.items():
            signal.signal(number, handler)

    def notice(number: int, frame: FrameType | None) -> None:
        request.made = True
        restore()

    for number in former:
        signal.signal(number, notice)
    try:
        yield request
    finally:
        restore()
