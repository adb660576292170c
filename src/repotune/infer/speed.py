"""How fast an engine is on this machine, as an editor's user would notice it.

    speed = measure(open_engine(release, "int8"))

Prompts are random tokens: no engine can guess them, so this is what completions cost at worst; drafts come on top.
"""

from __future__ import annotations

import random
import statistics
import time
from dataclasses import dataclass

from repotune.infer.engine import Engine

PROMPT = 512
ANSWER = 16


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


def measure(engine: Engine, rounds: int = 3) -> Speed:
    """Answers a few prompts with `engine`, a second or two for 100M parameters on two cores."""
    chance = random.Random(0)
    length = min(PROMPT, engine.context // 2)
    engine.prefill(_tokens(chance, engine, 16))  # what is compiled or read from disk at the first call
    cold, keystrokes, completions, steps = [], [], [], []
    for _ in range(rounds):
        ids = _tokens(chance, engine, length)
        started = time.perf_counter()
        engine.prefill(ids)
        cold.append(time.perf_counter() - started)
        for _ in range(4):
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


def _tokens(chance: random.Random, engine: Engine, count: int) -> list[int]:
    return chance.choices(range(engine.vocabulary), k=count)
