"""What an engine is: token ids in, logits out, one sequence at a time.

Text, prompts and sampling live outside of it (`prompts`, `decoding`), so another engine needs these members alone.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from repotune.core.errors import RepotuneError

Logits = NDArray[np.float32]


class Cancelled(RepotuneError):  # noqa: N818 (it is no fault)
    """Another thread cancelled the call that was under way."""


@dataclass(frozen=True)
class EngineStats:
    """What an engine has done since it was opened. Tokens reused are those of a prompt that were not computed again."""

    prompts: int = 0
    prompt_tokens: int = 0
    reused_tokens: int = 0
    steps: int = 0
    prefill_seconds: float = 0.0
    step_seconds: float = 0.0

    def with_prompt(self, tokens: int, reused: int, started: float) -> EngineStats:
        """These and a prompt, which began at `started` (time.perf_counter) and ends now."""
        return replace(
            self,
            prompts=self.prompts + 1,
            prompt_tokens=self.prompt_tokens + tokens,
            reused_tokens=self.reused_tokens + reused,
            prefill_seconds=self.prefill_seconds + time.perf_counter() - started,
        )

    def with_step(self, started: float) -> EngineStats:
        """These and a step, likewise."""
        return replace(self, steps=self.steps + 1, step_seconds=self.step_seconds + time.perf_counter() - started)


class Engine(Protocol):
    """A language model over token ids. One call at a time; only `held`, `cancel` and `stats` may come from another
    thread."""

    @property
    def context(self) -> int:
        """The most tokens a prompt and what follows it may take together."""

    @property
    def precision(self) -> str:
        """What weights are read as: "f32", "bf16", "int8", "fp8" or "int4"."""

    @property
    def vocabulary(self) -> int:
        """The length of the logits."""

    def held(self, ids: Sequence[int]) -> int:
        """How many of the first of `ids` a prefill would not have to compute now. From any thread."""

    def prefill(self, ids: Sequence[int]) -> Logits:
        """Begins a sequence with `ids` and returns the logits of the next token, float32 of length `vocabulary`.

        The longest prefix that the engine still holds is not computed again. Raises ValueError for no ids, for ids
        outside of the vocabulary and for more than `context` of them; raises Cancelled.
        """

    def step(self, token: int) -> Logits:
        """Appends `token` to the sequence and returns the logits of the next one.

        Raises ValueError before the first prefill, for a token outside of the vocabulary and when the context is full;
        raises Cancelled.
        """

    def extend(self, ids: Sequence[int]) -> Logits:
        """Appends `ids` and returns the logits after each of them, len(ids) × `vocabulary`: the same numbers that as
        many calls of `step` return, on a GPU close ones, for little more than the time of one. Raises as `step` does.
        """

    def rewind(self, count: int) -> None:
        """Takes the last `count` tokens back. Raises ValueError where not one would stay."""

    def end(self) -> None:
        """Ends the sequence, if there is one, and its cancelling: what was computed of it may serve another engine's
        prompt."""

    def another(self) -> Engine:
        """An engine over the same weights for another sequence, to be used at the same time from another thread."""

    def cancel(self) -> None:
        """Makes the call under way raise Cancelled, at its next layer where it computes alone, or the next call where
        none is under way; `end` takes that back. What was whole in the cache stays of use.
        """

    def stats(self) -> EngineStats: ...


def check_ids(ids: Sequence[int], vocabulary: int, room: int, context: int) -> None:
    """Raises ValueError where an engine with `room` left of its `context` cannot append `ids`."""
    if not ids:
        raise ValueError("a prompt needs at least one token")
    if len(ids) > room:
        raise ValueError(f"{len(ids)} tokens do not fit into the {room} of {context} that are left")
    if not 0 <= min(ids) <= max(ids) < vocabulary:
        raise ValueError(f"token ids run from 0 to {vocabulary - 1}, not from {min(ids)} to {max(ids)}")
