"""The other side: a server with OpenAI's POST /v1/completions that honours `suffix`, as `repotune serve` is.

A question that is cancelled closes its connection, at which the server stops computing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx

from repotune.core.errors import RepotuneError, UserError
from repotune.editor.context import Window

_TIMEOUT = httpx.Timeout(20.0, connect=2.0)


class NoAnswerError(RepotuneError):
    """The server gave no completion; the text says why, for a person."""


@dataclass(frozen=True)
class Question:
    """A gap to fill in the file `path`, in at most `max_tokens` tokens or up to the first of `stop`."""

    window: Window
    path: str
    max_tokens: int
    stop: tuple[str, ...]


class CompletionServer:
    """A server by its address, such as http://127.0.0.1:8750. Raises UserError for what is no such address."""

    def __init__(self, address: str) -> None:
        self.address = address.rstrip("/")
        try:
            url = httpx.URL(self.address)
        except httpx.InvalidURL as error:
            raise _bad_address(address) from error
        if url.scheme not in ("http", "https") or not url.host:
            raise _bad_address(address)
        # The environment's proxies are left out: code goes to the address that was given and nowhere else.
        self._client = httpx.AsyncClient(timeout=_TIMEOUT, trust_env=False)

    async def complete(self, question: Question) -> str:
        """The text for the gap, empty where the model has nothing to add. Raises NoAnswerError."""
        body = {
            "prompt": question.window.prefix,
            "suffix": question.window.suffix,
            "path": question.path,
            "max_tokens": question.max_tokens,
            "stop": list(question.stop),
            "temperature": 0,
        }
        try:
            answer = await self._client.post(f"{self.address}/v1/completions", json=body)
        except httpx.ConnectError as error:
            raise NoAnswerError(
                f"There is no server at {self.address} ({error}); repotune serve starts one."
            ) from error
        except httpx.TimeoutException as error:
            raise NoAnswerError(f"The server at {self.address} did not answer in time.") from error
        except httpx.HTTPError as error:
            raise NoAnswerError(f"The server at {self.address} broke off: {error}") from error
        return self._text_of(answer)

    async def close(self) -> None:
        """Lets go of the connections."""
        await self._client.aclose()

    def _text_of(self, answer: httpx.Response) -> str:
        try:
            body: Any = answer.json()
            if answer.is_success and isinstance(text := body["choices"][0]["text"], str):
                return text
            said = f": {body['error']['message']}"
        except (ValueError, LookupError, TypeError):
            said = "" if answer.is_error else ", but no completion"
        raise NoAnswerError(f"The server at {self.address} answered {answer.status_code}{said}")


def _bad_address(address: str) -> UserError:
    return UserError(f"{address!r} is not a server's address.", "give it as http://127.0.0.1:8750")
