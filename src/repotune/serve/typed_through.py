"""Answers that the user types along: what comes next was predicted already, so the model is not asked again.

Editors ask at every keystroke. Where the text typed since an answer is what the answer begins with, its rest is the
answer, in well under a millisecond and without the flicker of another opinion.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from repotune.infer.decoding import Piece, Sampling

if TYPE_CHECKING:
    from repotune.serve.completion import Finish
    from repotune.serve.source import Ask

# Answers kept: a few of each file that a team has open.
MOST_KEPT = 256


@dataclass(frozen=True)
class _Answer:
    prefix: str
    text: str
    finish: Finish
    prompt_tokens: int


class Answers:
    """The latest answer to each gap, for greedy asks alone: another draw of chance is another answer."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Ask, _Answer] = OrderedDict()

    def remember(self, ask: Ask, text: str, finish: Finish, prompt_tokens: int) -> None:
        """Keeps an answer that came to its end."""
        gap = _gap(ask)
        if gap is None or not text:
            return
        self._kept[gap] = _Answer(ask.prefix, text, finish, prompt_tokens)
        self._kept.move_to_end(gap)
        while len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)

    def rest(self, ask: Ask) -> Told | None:
        """What is left of an answer that `ask` types along, where that is worth showing: to its end, or a whole line
        of one that was cut short."""
        gap = _gap(ask)
        answer = None if gap is None else self._kept.get(gap)
        if answer is None or not ask.prefix.startswith(answer.prefix):
            return None
        typed = ask.prefix[len(answer.prefix) :]
        rest = answer.text[len(typed) :]
        if not answer.text.startswith(typed) or not rest.strip() or (answer.finish == "length" and "\n" not in rest):
            return None
        return Told(rest, answer.finish, answer.prompt_tokens)


def _gap(ask: Ask) -> Ask | None:
    """What asks at the same gap have in common; the likeliest text is the same for all seeds. None where answers are
    not kept: of plain prompts, of draws, and where tokens are asked for, which an answer told again has not."""
    if ask.suffix is None or ask.sampling.temperature or ask.probabilities:
        return None
    return replace(ask, prefix="", sampling=Sampling())


@dataclass(frozen=True)
class Told:
    """An answer without the model: a Reply (`repotune.serve.source`). `prompt_tokens` are those of the first answer;
    none of them is computed again."""

    text: str
    finish: Finish
    prompt_tokens: int
    completion_tokens: int = 0
    prefill_seconds: float = 0.0

    @property
    def cached_tokens(self) -> int:
        return self.prompt_tokens

    def cancel(self) -> None:
        """There is nothing to end."""

    async def __aiter__(self) -> AsyncIterator[Piece]:
        yield Piece(self.text, (), self.finish)
