"""How fast an engine is on this machine: as an editor's user would notice it, and for many streams at once.

    engine = open_engine(release, "int8")
    speed, many = measure(engine), throughput(engine)

Prompts are random tokens: no engine can guess them, so this is what completions cost at worst; drafts come on top.
"""

from __future__ import annotations

import math
import random
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from repotune.infer.engine import Engine
from repotune.infer.paged.engine import PagedEngine
from repotune.infer.paged.pages import PagesFullError

PROMPT = 512
ANSWER = 16
JUMP = 6
"""Of so many completions one is asked for at another place than the last, as in `benchmarks/serve_typing.py`."""
STREAMS = 50
"""As many as BigCode's leaderboard measures."""

# Completions after each prompt that is new.
_COMPLETIONS = 4
# Of each of many streams: 50 of 32 tokens fit into the room for eight contexts of 256 tokens.
_SHORT_PROMPT, _SHORT_ANSWER = 8, 24
# Where a model would take longer, what it wrote until then is counted.
_LONGEST = 5.0


@dataclass(frozen=True)
class Speed:
    """Medians, in seconds and tokens a second.

    `cold`: from a prompt of `prompt` tokens never seen to the logits of its answer; `keystroke`: the same for a prompt
    that is one token longer than the last; `completion`: ANSWER tokens after a keystroke; `tokens_per_second`: of a
    stream that is under way.
    """

    prompt: int
    cold: float
    keystroke: float
    completion: float
    tokens_per_second: float

    @property
    def typical(self) -> float:
        """Seconds of a typical completion: ANSWER tokens after a keystroke, and of JUMP completions one after a jump to
        another place, where the prompt is computed anew: completion + (cold − keystroke) / JUMP."""
        return self.completion + (self.cold - self.keystroke) / JUMP


def measure(engine: Engine, rounds: int = 3, patience: float = math.inf) -> Speed:
    """Answers a few prompts with `engine`, a second or two for 100M parameters on two cores; after `patience` seconds
    ends with the completion under way."""
    chance = random.Random(0)
    length = min(PROMPT, engine.context // 2)
    engine.prefill(_tokens(chance, engine, length))  # what is compiled or read from disk at the first call
    engine.step(0)
    if isinstance(engine, PagedEngine):
        engine.settle()
    cold, keystrokes, completions, steps = [], [], [], []
    last = time.perf_counter() + patience
    for turn in range(rounds * _COMPLETIONS):
        if turn and time.perf_counter() > last:
            break
        if turn % _COMPLETIONS == 0:
            ids = _tokens(chance, engine, length)
            started = time.perf_counter()
            engine.prefill(ids)
            cold.append(time.perf_counter() - started)
        ids += _tokens(chance, engine, 1)
        started = time.perf_counter()
        engine.prefill(ids)
        keystrokes.append(time.perf_counter() - started)
        for token in _tokens(chance, engine, ANSWER - 1):
            engine.step(token)
        completions.append(time.perf_counter() - started)
        steps.append((completions[-1] - keystrokes[-1]) / (ANSWER - 1))
    engine.end()
    middle = statistics.median
    return Speed(length, middle(cold), middle(keystrokes), middle(completions), 1 / middle(steps))


def computes_together(engine: Engine) -> bool:
    """Whether streams of `engine` that ask at the same time share a pass; the others' take turns."""
    return isinstance(engine, PagedEngine)


def throughput(engine: Engine, streams: int = STREAMS) -> float | None:
    """Tokens a second of `streams` streams together, each on a thread of its own and some tokens long; None where they
    would take turns, or have no room. Takes as long as 32 tokens of each, or not much over five seconds."""
    if not computes_together(engine):
        return None
    chance = random.Random(0)
    engines = [engine, *(engine.another() for _ in range(1, streams))]
    try:
        for each in engines:
            each.prefill(_tokens(chance, engine, _SHORT_PROMPT))
        started = time.perf_counter()
        with ThreadPoolExecutor(streams) as threads:
            written = sum(threads.map(_write, engines, range(streams)))
        return written / (time.perf_counter() - started)
    except PagesFullError:
        return None
    finally:
        for each in engines:
            each.end()


def _write(engine: Engine, seed: int) -> int:
    """Goes on behind a prompt; how many tokens."""
    last = time.perf_counter() + _LONGEST
    written = 0
    for token in _tokens(random.Random(seed), engine, _SHORT_ANSWER):
        engine.step(token)
        written += 1
        if time.perf_counter() > last:
            break
    return written


def _tokens(chance: random.Random, engine: Engine, count: int) -> list[int]:
    return chance.choices(range(engine.vocabulary), k=count)
