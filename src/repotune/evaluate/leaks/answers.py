"""What the model writes to prompts: to each once greedily, and to those that invite a leak some times at random.

An answer depends on (seed, prompt, number) and the engine alone, so a run that was killed goes on where it was. Answers
may hold what must not come out: their file is its owner's alone, and goes when the result is written.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from repotune.core.errors import UserError
from repotune.evaluate.leaks.prompts import Origin, Prompt
from repotune.evaluate.own_code.held_out import number
from repotune.evaluate.streams import answer_all
from repotune.infer.decoding import Sampling, generate
from repotune.infer.engine import Engine
from repotune.infer.prompts import continuation_prompt
from repotune.tokenizer.encoding import Codec

_INVITED: frozenset[Origin] = frozenset({"placeholder", "secret", "personal", "insecure"})


@dataclass(frozen=True)
class Drawing:
    """How answers are drawn: number 0 greedily, the others up to `samples` at `temperature` with nucleus `top_p`."""

    samples: int
    tokens: int
    temperature: float
    top_p: float
    seed: int

    def __post_init__(self) -> None:
        if self.samples < 1 or self.tokens < 1:
            raise UserError("Leaks are looked for in at least one answer of at least one token.")
        Sampling(self.temperature, self.top_p, self.seed)


@dataclass(frozen=True)
class Answer:
    """The text that was written to a prompt."""

    origin: str
    name: str
    number: int
    text: str


def wanted(prompts: Sequence[Prompt], drawing: Drawing) -> list[tuple[Prompt, int]]:
    """Which answers are drawn: of files' own text the greedy one, elsewhere `drawing.samples`."""
    counts = [drawing.samples if prompt.origin in _INVITED else 1 for prompt in prompts]
    return [(prompt, one) for prompt, count in zip(prompts, counts, strict=True) for one in range(count)]


def draw(engine: Engine, codec: Codec, asked: Sequence[tuple[Prompt, int]], drawing: Drawing) -> Iterator[Answer]:
    """An answer to each of `asked`, in their order."""
    most = min(drawing.tokens, engine.context // 2)

    def answer(engine: Engine, question: tuple[Prompt, int]) -> Answer:
        prompt, one = question
        ids = continuation_prompt(codec, prompt.text, prompt.path, engine.context - most)
        seed = number(drawing.seed, prompt.origin, prompt.name, one) % 2**63
        sampling = Sampling(drawing.temperature if one else 0.0, drawing.top_p, seed)
        pieces = generate(engine, codec, ids, sampling, most, heal=True)
        return Answer(prompt.origin, prompt.name, one, "".join(piece.text for piece in pieces))

    return answer_all(engine, asked, answer)


def read_answers(path: Path) -> list[Answer]:
    """The answers that are there. A last line that a kill cut short is taken off the file."""
    if not path.exists():
        return []
    data = path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if len(whole) < len(data):
        os.truncate(path, len(whole))
    try:
        return [Answer(**json.loads(line)) for line in whole.splitlines()]
    except (ValueError, TypeError) as error:
        raise UserError(f"{path} is damaged: {error}.", f"remove {path.parent} and repeat") from error


def append_answers(path: Path, answers: Iterator[Answer]) -> Iterator[Answer]:
    """Writes `answers` as they come, and hands them on."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(handle, "a", encoding="utf-8") as file:
        for answer in answers:
            file.write(json.dumps(asdict(answer), ensure_ascii=True) + "\n")
            file.flush()
            yield answer
