"""What runs in a peer's process: requests as lines of JSON on stdin, answers as lines of JSON on stdout.

    {"ids": [...], "count": 16}  ->  {"tokens": [...], "first": seconds to the first token, "total": seconds}

Times are taken here, around the engine's own calls, so the pipe is in none of them. Only the standard library is used:
a peer's environment need not hold anything of ours.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TextIO

# Continues token ids greedily by exactly so many tokens, whatever they are; yields each as soon as it is known.
Complete = Callable[[Sequence[int], int], Iterator[int]]


def answer_requests(complete: Complete) -> None:
    """Says that it is ready, then answers until stdin ends. What a library prints itself goes to stderr."""
    answers = say_ready({})
    for line in sys.stdin:
        request = json.loads(line)
        print(json.dumps(_measured(complete, request["ids"], request["count"])), file=answers, flush=True)


def say_ready(facts: dict[str, object]) -> TextIO:
    """Tells the benchmark that requests may come, and `facts`. Returns where answers go."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    print(json.dumps(facts), file=answers, flush=True)
    return answers


def _measured(complete: Complete, ids: list[int], count: int) -> dict[str, object]:
    started = time.perf_counter()
    tokens, first = [], 0.0
    for token in complete(ids, count):
        first = first or time.perf_counter() - started
        tokens.append(int(token))
    return {"tokens": tokens, "first": first, "total": time.perf_counter() - started}
