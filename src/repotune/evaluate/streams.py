"""Many questions to one model, answered some at a time where its engine computes streams together."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from itertools import islice
from queue import SimpleQueue
from typing import TypeVar

from repotune.infer.engine import Engine, EngineStats
from repotune.infer.paged.pages import PagesFullError
from repotune.infer.speed import computes_together

STREAMS = 8
"""Whose contexts have room at once in the CPU engine, where the machine's memory allows it."""

# Where a token takes less, threads wait for each other longer than for the model: 8 streams write 0.7 times as fast as
# one for 1.3M parameters (0.1 ms a token on two cores), 1.3 times for 9M (0.5 ms), twice for 125M (6 ms).
_HANDED_OVER = 0.3e-3
_TRIED = 4  # questions answered by one stream, to know

Question = TypeVar("Question")
Answer = TypeVar("Answer")


def answer_all(
    engine: Engine,
    questions: Sequence[Question],
    answer: Callable[[Engine, Question], Answer],
    streams: int | None = None,
) -> Iterator[Answer]:
    """`answer` to each of `questions`, in their order. It may be called from several threads, each with an engine over
    the same weights, and depends on the question alone: such an engine's numbers do not tell who else asks.

    `streams` are by default STREAMS where the engine computes them together and that pays, else one.
    """
    tried = questions[:_TRIED] if streams is None and computes_together(engine) else ()
    for question in tried:
        yield answer(engine, question)
    if streams is None:
        streams = STREAMS if tried and _pays(engine.stats()) else 1
    left = questions[len(tried) :]
    if streams > 1:
        yield from _together(engine, left, answer, streams)
    else:
        for question in left:
            yield answer(engine, question)


def _pays(stats: EngineStats) -> bool:
    return stats.step_seconds > _HANDED_OVER * stats.steps


def _together(
    engine: Engine, questions: Sequence[Question], answer: Callable[[Engine, Question], Answer], streams: int
) -> Iterator[Answer]:
    engines = [engine, *(engine.another() for _ in range(1, streams))]
    free: SimpleQueue[Engine] = SimpleQueue()
    for each in engines:
        free.put(each)

    def answer_one(question: Question) -> Answer:
        taken = free.get()
        try:
            return answer(taken, question)
        finally:
            free.put(taken)

    threads = ThreadPoolExecutor(streams)
    under_way: deque[tuple[Question, Future[Answer]]] = deque()
    left = iter(questions)
    try:
        while True:
            # Twice as many, so that no stream waits while the first in order is a long one.
            for question in islice(left, 2 * streams - len(under_way)):
                under_way.append((question, threads.submit(answer_one, question)))
            if not under_way:
                return
            question, future = under_way.popleft()
            try:
                answered = future.result()
            except PagesFullError:  # there is room for one whole context in any case
                wait([one for _, one in under_way])
                answered = answer(engine, question)
            yield answered
    finally:
        threads.shutdown(wait=False, cancel_futures=True)
        for each in engines:
            each.cancel()  # none of them begins anything more: what is under way is wanted by nobody
        threads.shutdown()
        for each in engines:
            each.end()
