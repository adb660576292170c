"""From an engine's logits to text: choosing tokens, stop strings, whole characters.

for piece in generate(engine, codec, prompt, Sampling(), max_tokens=64, stop=["\\n\\n"]):
    show(piece.text)
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from repotune.core.errors import UserError
from repotune.infer.engine import Engine, Logits
from repotune.infer.healing import Healing, Ids
from repotune.tokenizer.encoding import Codec


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen. Temperature 0 is greedy; `top_p` keeps the likeliest tokens that reach that share
    (nucleus sampling, Holtzman et al. 2020); the same seed gives the same text. Raises UserError out of range."""

    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < float("inf"):
            raise UserError(f"A temperature of {self.temperature} cannot be sampled at.", "0 is greedy; usual: 0 to 1")
        if not 0 < self.top_p <= 1:
            raise UserError(f"top_p is a share above 0 and up to 1, not {self.top_p}.")
        if self.seed < 0:
            raise UserError(f"A seed is a whole number from 0, not {self.seed}.")


class Token(NamedTuple):
    """A generated token, what it adds to the text, and its log-probability (before temperature, in nats)."""

    id: int
    data: bytes
    log_probability: float


@dataclass(frozen=True)
class Piece:
    """Text that became whole, with the tokens read for it.

    `finish` is set on the last piece alone: "stop" at the end token or a stop string, "length" at a limit.
    """

    text: str
    tokens: tuple[Token, ...]
    finish: Literal["stop", "length"] | None = None


def generate(
    engine: Engine,
    codec: Codec,
    prompt: Sequence[int],
    sampling: Sampling,
    max_tokens: int,
    stop: Sequence[str] = (),
    heal: bool = False,
) -> Iterator[Piece]:
    """Continues `prompt` by up to `max_tokens` tokens, and never beyond the engine's context.

    With `heal`, the last token of `prompt` may be read as the beginning of a longer one (`infer/healing.py`); what only
    spells it again is no part of the text nor counted.

    A special token ends the text and is never part of it; neither is a stop string or the beginning of one that the
    text goes on to complete. A character whose bytes are not all there is held back, and dropped at the end. Raises
    UserError for settings without sense, and Cancelled when the engine is cancelled.
    """
    if max_tokens < 1:
        raise UserError(f"At least one token must be asked for, not {max_tokens}.")
    text, choose = StoppingText(stop), _Chooser(sampling)
    healing = Healing(codec, prompt if heal else ())
    try:
        yield from _generate(engine, codec, healing.prompt or prompt, choose, max_tokens, text, healing)
    finally:
        engine.end()


def _generate(
    engine: Engine,
    codec: Codec,
    prompt: Sequence[int],
    choose: _Chooser,
    max_tokens: int,
    text: StoppingText,
    healing: Healing,
) -> Iterator[Piece]:
    tokens: list[Token] = []
    count = 0
    room = engine.context - len(prompt) + 1
    logits = engine.prefill(prompt)
    while True:
        token, log_probability = choose(logits[: codec.size], healing.candidates() if healing.begun else None)
        if token in codec.special:
            yield Piece(text.flush(), tuple(tokens), "stop")
            return
        beyond = healing.take(codec.decode_bytes([token]))
        room -= 1
        if beyond:
            count += 1
            tokens.append(Token(token, beyond, log_probability))
        whole = text.push(beyond)
        full = count == max_tokens or not room
        finish: Literal["stop", "length"] | None = "stop" if text.stopped else "length" if full else None
        if finish == "length":
            whole += text.flush()
        if whole or finish:
            yield Piece(whole, tuple(tokens), finish)
            tokens.clear()
        if finish:
            return
        logits = engine.step(token)


class StoppingText:
    """Bytes in, text out: only whole characters, up to the first stop string, and no beginning of one until it is
    known to be none."""

    def __init__(self, stop: Sequence[str]) -> None:
        if "" in stop:
            raise UserError("An empty stop string would stop before the first character.")
        self.stopped = False
        self._stop = tuple(stop)
        self._held = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, data: bytes) -> str:
        """What `data` makes certain."""
        self._held += self._decoder.decode(data)
        found = [position for text in self._stop if (position := self._held.find(text)) >= 0]
        if found:
            self.stopped = True
            certain, self._held = self._held[: min(found)], ""
            return certain
        keep = max((_overlap(self._held, text) for text in self._stop), default=0)
        certain, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
        return certain

    def flush(self) -> str:
        """What was held back in case a stop string would follow; none did."""
        certain, self._held = self._held, ""
        return certain


def _overlap(text: str, stop: str) -> int:
    """The length of the longest end of `text` that begins `stop`."""
    return next((size for size in range(min(len(text), len(stop) - 1), 0, -1) if text.endswith(stop[:size])), 0)


class _Chooser:
    """The next token, of `allowed` ids where these are given, and its log-probability among all."""

    def __init__(self, sampling: Sampling) -> None:
        self._sampling = sampling
        self._random = np.random.default_rng(sampling.seed)

    def __call__(self, logits_V: Logits, allowed: Ids | None) -> tuple[int, float]:
        shifted_V = logits_V - logits_V.max()
        log_total = float(np.log(np.exp(shifted_V).sum()))
        choice = shifted_V if allowed is None else shifted_V[allowed]
        place = int(choice.argmax()) if self._sampling.temperature == 0 else self._draw(choice)
        token = place if allowed is None else int(allowed[place])
        return token, float(shifted_V[token]) - log_total

    def _draw(self, shifted_V: Logits) -> int:
        # float64: a cumulative float32 sum over a vocabulary is off by more than its rarest tokens weigh.
        # From their own maximum: ids that healing allows may all be unlikely.
        weights_V = np.exp((shifted_V - shifted_V.max()).astype(np.float64) / self._sampling.temperature)
        order_V = np.argsort(-weights_V, kind="stable")
        cumulative_V = weights_V[order_V].cumsum()
        kept = int(np.searchsorted(cumulative_V, self._sampling.top_p * cumulative_V[-1])) + 1
        drawn = self._random.random() * cumulative_V[min(kept, len(order_V)) - 1]
        return int(order_V[np.searchsorted(cumulative_V, drawn, side="right")])
