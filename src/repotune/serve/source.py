"""What completions come from, as the server sees it: an engine in this process (`local`) or a server elsewhere
(`relay`).

Both dialects, OpenAI's and llama.cpp's, come down to an `Ask`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from repotune.core.errors import RepotuneError
from repotune.infer.decoding import Piece, Sampling


class BusyError(RepotuneError):
    """More wait already than could be answered in time."""


class PromptTooLongError(RepotuneError):
    """A plain prompt and what shall follow it are longer than the model's context."""


class NotGivenError(RepotuneError):
    """The field `param` of a request asks for what this source does not give."""

    def __init__(self, message: str, param: str) -> None:
        super().__init__(message)
        self.param = param


@dataclass(frozen=True)
class Ask:
    """A question to the model.

    With a `suffix`, even an empty one, the gap before it is filled; with None the prefix is continued. `extras` are
    pieces of other files, (path, text), which stand before it as far as there is room. With `probabilities` the
    answer's tokens are asked for as well. After `patience` seconds of generating, a completion of more than a line ends
    where it is.
    """

    prefix: str
    suffix: str | None
    max_tokens: int
    sampling: Sampling
    stop: tuple[str, ...] = ()
    path: str = ""
    extras: tuple[tuple[str, str], ...] = ()
    probabilities: bool = False
    patience: float = float("inf")


class Reply(Protocol):
    """An answer under way: an asynchronous iterator of its pieces, which ends after the last or a cancel. Its figures
    are final then; `cached_tokens` and `prefill_seconds` are known from the first piece on."""

    @property
    def prompt_tokens(self) -> int: ...

    @property
    def cached_tokens(self) -> int: ...

    @property
    def completion_tokens(self) -> int: ...

    @property
    def prefill_seconds(self) -> float: ...

    def cancel(self) -> None:
        """Ends it wherever it stands; without effect when it is over."""

    def __aiter__(self) -> AsyncIterator[Piece]: ...


class Source(Protocol):
    """Answers questions between its `start` and its `close`, all on one event loop."""

    @property
    def context(self) -> int:
        """The most tokens a prompt and what follows it may take together."""

    @property
    def running(self) -> int:
        """Replies under way."""

    @property
    def waiting(self) -> int:
        """Replies that have not begun."""

    def start(self) -> None: ...

    async def close(self) -> None:
        """Ends what is under way."""

    async def reply(self, ask: Ask) -> Reply:
        """Admits `ask`. Raises BusyError, NotGivenError and, for a plain prompt, PromptTooLongError."""
