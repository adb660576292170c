"""What an engine is that gives text and no logits: a server of others, asked over HTTP.

Sampling is its own, so token healing, drafts and the index of one's own code, which choose among logits, are not to be
had with it. Everything is asynchronous, as a server's requests are: to stop reading is to cancel.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Literal, Protocol

from repotune.core.errors import UserError
from repotune.infer.decoding import Sampling


@dataclass(frozen=True)
class TextRequest:
    """A question: with a `suffix`, even an empty one, what stands between both is asked for; with None, what follows.
    `path` is the file's, as far as the model was trained to read one; `extras` are pieces of other files, (path, text),
    for models that read them."""

    prefix: str
    suffix: str | None
    max_tokens: int
    sampling: Sampling = Sampling()  # noqa: RUF009 (it is frozen)
    stop: tuple[str, ...] = ()
    path: str = ""
    extras: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class TextPiece:
    """Text as it comes. `finish` is set on the last piece alone, with how many tokens the server counted where it
    says so."""

    text: str
    finish: Literal["stop", "length"] | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class RemoteError(UserError):
    """A server that is asked failed; `status` is that of its refusal, where it was one."""

    def __init__(self, message: str, hint: str | None = None, status: int | None = None) -> None:
        super().__init__(message, hint)
        self.status = status


class TextEngine(Protocol):
    """A completion engine over text. Any number of requests at once; the server orders them."""

    @property
    def context(self) -> int:
        """The most tokens a prompt and what follows it may take together, as far as that is known here."""

    @property
    def fills(self) -> bool:
        """Whether a request's suffix is heeded; where it is not, one with a suffix is refused with ValueError."""

    def complete(self, request: TextRequest) -> AsyncIterator[TextPiece]:
        """The completion, piece by piece; the last piece has a `finish`.

        Closing the iterator, or cancelling the task that reads it, closes the connection, by which servers know that
        nobody waits any more. Raises RemoteError where the server cannot be reached, refuses, or stops in the middle.
        """

    async def close(self) -> None:
        """Closes the connections. What is under way ends with an error."""
