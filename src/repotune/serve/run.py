"""Starts the server for a release and runs it until it is told to stop."""

from __future__ import annotations

import errno
import os
import socket
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from repotune.core.console import Console
from repotune.core.errors import UserError
from repotune.core.settings import ServeSettings
from repotune.infer.assistance import assist
from repotune.infer.candidates import candidates
from repotune.infer.cpu.kernels.native import are_compiled
from repotune.infer.engine import Engine
from repotune.infer.index.folder import Index, open_index
from repotune.infer.index.gate import Gate, model_hash, read_gate
from repotune.infer.quickest import open_quickest
from repotune.serve.app import create_app
from repotune.serve.attribution import Attribution
from repotune.serve.facts import ReleaseFacts, read_facts
from repotune.serve.local import Local
from repotune.serve.source import Source
from repotune.tokenizer.encoding import Codec, load_codec

KEY = "REPOTUNE_ENGINE_KEY"
"""The environment's name for the key that a server elsewhere wants, sent to it as a bearer token."""

_GRACE_SECONDS = 2  # for answers under way, when told to stop
_QUIET = Console(quiet=True)


@dataclass(frozen=True)
class BoundServer:
    """A server whose address is taken and whose model is loaded; `server.run(sockets=[listener])` runs it."""

    server: uvicorn.Server
    listener: socket.socket
    url: str

    def run(self) -> None:
        """Answers until SIGINT or SIGTERM."""
        self.server.run(sockets=[self.listener])


def serve(
    release_folder: Path,
    settings: ServeSettings,
    console: Console,
    report: Path | None = None,
    index: Path | None = None,
) -> None:
    """Serves `release_folder` until Ctrl-C; `report` is shown at /report, and `index` is the project's.

    Raises UserError for a folder without a release and for an address that cannot be taken.
    """
    bound = open_server(release_folder, settings, report, index, console)
    console.say(f"serving {release_folder} at {bound.url} — Ctrl-C stops it")
    if settings.host not in ("127.0.0.1", "localhost", "::1"):
        console.warn(f"whoever reaches {settings.host} can use it: there is no password")
    with suppress(KeyboardInterrupt):  # uvicorn raises it again when it has shut down
        bound.run()
    console.say("stopped")


def open_server(
    release_folder: Path,
    settings: ServeSettings,
    report: Path | None = None,
    index: Path | None = None,
    console: Console = _QUIET,
) -> BoundServer:
    """Takes the address and loads the model. Raises UserError as `serve`."""
    facts = read_facts(release_folder)
    listener = _listen(settings)
    try:
        codec, found = load_codec(release_folder), _index(settings, index)
        if settings.remote:
            source: Source = _relay(settings.remote, settings, facts, codec, console)
            if found is not None:
                console.say("of the index completions only say what they repeat: it drafts for an engine here")
        else:
            engine = _open_engine(release_folder, settings, facts, console)
            gate = None if found is None else _gate(found, facts, release_folder)
            source = Local(assist(engine, codec.special, found, gate), codec)
        app = create_app(source, facts, settings.host, report, _attribution(found, codec, settings))
    except BaseException:
        listener.close()
        raise
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        ws="none",
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    # From here on a client waits instead of being refused: whoever is told the address may ask at once.
    listener.listen(config.backlog)
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return BoundServer(uvicorn.Server(config), listener, f"http://{host}:{listener.getsockname()[1]}")


def _index(settings: ServeSettings, folder: Path | None) -> Index | None:
    if folder is not None and settings.index:
        return open_index(folder)
    if settings.allowed_licences:
        raise UserError(
            "serve.allowed_licences needs the index of the code that was trained on.",
            "repotune run builds it; serve with --index FOLDER, and serve.index = true",
        )
    return None


def _gate(index: Index, facts: ReleaseFacts, release_folder: Path) -> Gate | None:
    return read_gate(index.folder, facts.model_hash or model_hash(release_folder), index.tokenizer)


def _attribution(index: Index | None, codec: Codec, settings: ServeSettings) -> Attribution | None:
    return None if index is None else Attribution(index, codec, settings.repeat_tokens, settings.allowed_licences)


def _open_engine(folder: Path, settings: ServeSettings, facts: ReleaseFacts, console: Console) -> Engine:
    """The engine that is named, else the quickest that reads weights whose loss the release accepts."""
    found = candidates(folder, settings.engine, settings.weights, facts.weights)
    if any(candidate.engine == "ours" for candidate in found) and not are_compiled():
        console.say("compiling the engine for this processor, once: some fifteen seconds")
    if len(found) == 1:
        return found[0].open(folder)
    return open_quickest(folder, found, facts.model_hash or model_hash(folder), console)


def _relay(url: str, settings: ServeSettings, facts: ReleaseFacts, codec: Codec, console: Console) -> Source:
    # httpx takes a tenth of a second to import, and most servers ask nobody.
    from repotune.infer.adapters.greeting import open_remote
    from repotune.serve.relay import Relay

    engine = open_remote(url, codec, facts.context, settings.model, os.environ.get(KEY))
    console.say(f"asking {engine}; what is around the cursor goes there")
    return Relay(engine)


def _listen(settings: ServeSettings) -> socket.socket:
    """Takes the address before the model is loaded, so that a taken port is told at once; port 0 takes a free one."""
    try:
        found = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    except socket.gaierror as error:
        raise UserError(
            f"{settings.host} is no address of this machine: {error.strerror}.", 'serve.host = "127.0.0.1" is'
        ) from error
    family, kind, protocol, _, address = found[0]
    # With the protocol named, asyncio turns Nagle's algorithm off for each connection: 1 ms an answer instead of 44.
    listener = socket.socket(family, kind, protocol)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            hint = f"stop what listens there, or choose another: --port {settings.port + 1}; 0 takes a free one"
            raise UserError(f"Port {settings.port} of {settings.host} is taken.", hint) from error
        raise UserError(f"{settings.host}:{settings.port} cannot be listened on: {error.strerror}.") from error
    return listener
