"""The outermost layer: who may ask, what every answer carries, the count of answers, and what becomes of a failure."""

from __future__ import annotations

import logging
from collections.abc import Callable

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from repotune.serve.errors import FAILED, error_response

_log = logging.getLogger("repotune.serve")
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
}


class Guard:
    """ASGI middleware. `host` is the address that the server is bound to; `answered` is told each path and status.

    A server on the loopback answers only to the loopback's names: a web page that points a name of its own at 127.0.0.1
    (DNS rebinding) sends that name as Host, and one that posts blindly across sites sends its Origin. On other
    addresses the operator chose who reaches it, and what stands in front of it decides about names.
    """

    def __init__(self, app: ASGIApp, host: str, answered: Callable[[str, int], None]) -> None:
        self._app = app
        self._loopback = host in _LOOPBACK
        self._answered = answered

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        started = False

        async def send_guarded(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                self._answered(scope["path"], message["status"])
            await send(message)

        refusal = self._refusal(Headers(scope=scope)) if self._loopback else None
        if refusal:
            await error_response(403, refusal)(scope, receive, send_guarded)
            return
        try:
            await self._app(scope, receive, send_guarded)
        except Exception:  # not left to uvicorn, which would drop the connection after its answer
            _log.exception("A request to %s failed", scope["path"])
            if not started:
                await error_response(500, FAILED)(scope, receive, send_guarded)

    def _refusal(self, headers: Headers) -> str | None:
        host = headers.get("host", "")
        if _hostname(host) not in _LOOPBACK:
            return f"This server listens on the loopback and does not answer to the name {host!r}."
        origin = headers.get("origin")
        if origin is not None and origin != f"http://{host}":
            return f"Pages of {origin!r} may not ask this server."
        return None


def _hostname(host: str) -> str:
    """A Host header without its port: `localhost:8750` and `[::1]:8750` are `localhost` and `::1`."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()
