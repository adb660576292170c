"""Answers that the user types along: what comes next was predicted already, so the model is not asked again.

Editors ask at every keystroke. Where the text typed since an answer is what the answer begins with, its rest is the
answer, in well under a millisecond and without the flicker of another opinion.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from repotune.infer.decoding import Piece

if TYPE_CHECKING:
    from repotune.serve.completion import Ask, Finish

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
        if ask.suffix is None or ask.sampling.temperature or not text:
            return
        gap = replace(ask, prefix="")
        self._kept[gap] = _Answer(ask.prefix, text, finish, prompt_tokens)
        self._kept.move_to_end(gap)
        while len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)

    def rest(self, ask: Ask) -> Told | None:
        """What is left of an answer that `ask` types along, where that is worth showing: to its end, or a whole line
        of one that was cut short."""
        answer = self._kept.get(replace(ask, prefix=""))
        if answer is None or not ask.prefix.startswith(answer.prefix):
            return None
        typed = ask.prefix[len(answer.prefix) :]
        rest = answer.text[len(typed) :]
        if not answer.text.startswith(typed) or not rest.strip() or (answer.finish == "length" and "\n" not in rest):
            return None
        return Told(rest, answer.finish, answer.prompt_tokens)


@dataclass(frozen=True)
class Told:
    """An answer without the model, in the place of a Generation. `prompt_tokens` are those of the first answer."""

    text: str
    finish: Finish
    prompt_tokens: int
    cached_tokens: int = 0
    prefill_seconds: float = 0.0

    def cancel(self) -> None:
        """There is nothing to end."""

    async def __aiter__(self) -> AsyncIterator[Piece]:
        yield Piece(self.text, (), self.finish)
