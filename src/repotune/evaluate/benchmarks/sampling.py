"""Answers drawn from a model: n to each problem, each line of samples.jsonl one of them.

An answer depends on (seed, problem, number) and the engine alone, so a run that was killed goes on where it was, and
its answers are those that it would have had.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from repotune.core.errors import UserError
from repotune.evaluate.benchmarks.problem import Problem
from repotune.evaluate.own_code.held_out import number
from repotune.evaluate.streams import answer_all
from repotune.infer.decoding import Sampling, generate
from repotune.infer.engine import Engine
from repotune.infer.prompts import continuation_prompt, infilling_prompt
from repotune.tokenizer.encoding import Codec

_LEAST_TOKENS = 16


@dataclass(frozen=True)
class Drawing:
    """How answers are drawn. BigCode's leaderboard draws 50 at temperature 0.2 with top-p 0.95."""

    samples: int = 1
    temperature: float = 0.0
    top_p: float = 0.95
    most_tokens: int = 512
    seed: int = 0

    def __post_init__(self) -> None:
        if self.samples < 1 or self.most_tokens < 1:
            raise UserError("A benchmark needs at least one sample of at least one token.")
        if self.samples > 1 and self.temperature == 0:
            raise UserError(
                f"At temperature 0 all {self.samples} answers would be the same.", "--temperature 0.2, or --samples 1"
            )
        Sampling(self.temperature, self.top_p, self.seed)


@dataclass(frozen=True)
class Answer:
    """What the model wrote for a problem. `finish` is "stop", or "length" where its tokens or its context ended."""

    problem: str
    number: int
    text: str
    tokens: int
    finish: str


def read_answers(path: Path) -> list[Answer]:
    """The answers that are there. A last line that a kill cut short is taken off the file."""
    if not path.exists():
        return []
    data = path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if len(whole) < len(data):
        with path.open("r+b") as file:
            file.truncate(len(whole))
    try:
        return [Answer(**json.loads(line)) for line in whole.decode().splitlines()]
    except (ValueError, TypeError) as error:
        raise UserError(f"{path} is damaged: {error}.", f"remove {path.parent} and repeat") from error


def missing(problems: Sequence[Problem], samples: int, there: Sequence[Answer]) -> list[tuple[Problem, int]]:
    """The (problem, number) that still have no answer, those of one problem together: they share their prompt."""
    have = {(answer.problem, answer.number) for answer in there}
    return [(problem, one) for problem in problems for one in range(samples) if (problem.id, one) not in have]


def draw(
    engine: Engine, codec: Codec, wanted: Sequence[tuple[Problem, int]], drawing: Drawing, endings: dict[str, str]
) -> Iterator[Answer]:
    """An answer to each of `wanted`, in their order. `endings` are the languages' file endings: the header tells the
    language."""

    def answer(engine: Engine, asked: tuple[Problem, int]) -> Answer:
        problem, one = asked
        return _answer(engine, codec, problem, one, drawing, f"solution{endings[problem.language]}")

    return answer_all(engine, wanted, answer)


def _answer(engine: Engine, codec: Codec, problem: Problem, one: int, drawing: Drawing, path: str) -> Answer:
    most = min(drawing.most_tokens, max(_LEAST_TOKENS, engine.context // 2))
    prompt = prompt_of(codec, problem, path, engine.context - most)
    sampling = Sampling(drawing.temperature, drawing.top_p, number(drawing.seed, problem.id, one) % 2**63)
    text, tokens, finish = "", 0, "length"
    for piece in generate(engine, codec, prompt, sampling, most, problem.stop, heal=True):
        text += piece.text
        tokens += len(piece.tokens)
        finish = piece.finish or finish
        if problem.lines is not None and text.count("\n") >= problem.lines:
            finish = "stop"
            break
    return Answer(problem.id, one, cut(text, problem), tokens, finish)


def prompt_of(codec: Codec, problem: Problem, path: str, room: int) -> list[int]:
    """Token ids, at most `room`, after which the model writes the answer."""
    if problem.suffix is None:
        return continuation_prompt(codec, problem.prompt, path, room)
    return infilling_prompt(codec, problem.prompt, problem.suffix, path, room)


def cut(text: str, problem: Problem) -> str:
    """`text`, or as many of its lines as the kind of task asks for, the last one's end with it."""
    if problem.lines is None:
        return text
    return "\n".join(text.split("\n")[: problem.lines]) + "\n"


def line_of(answer: Answer) -> str:
    """A line of samples.jsonl."""
    fields: dict[str, Any] = dict(vars(answer))
    return json.dumps(fields, ensure_ascii=False) + "\n"
