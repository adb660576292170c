"""The language server itself: answers textDocument/inlineCompletion (LSP 3.18) over stdio.

initializationOptions, both optional: `{"address": "http://127.0.0.1:8750", "delay": 60}`; `delay` is the pause in
milliseconds after a keystroke before the server is asked, so that a burst of typing costs one question.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lsprotocol import types
from pygls.lsp.server import LanguageServer
from pygls.protocol import LanguageServerProtocol, lsp_method
from pygls.uris import to_fs_path

from repotune import __version__
from repotune.core.errors import UserError
from repotune.editor.documents import Document, model_path
from repotune.editor.remote import CompletionServer
from repotune.editor.session import Session

DEFAULT_ADDRESS = "http://127.0.0.1:8750"


def serve_stdio(address: str = DEFAULT_ADDRESS) -> None:
    """Speaks LSP on stdin and stdout until the editor ends it. Raises UserError for what is no server's address."""
    logging.getLogger("pygls").setLevel(logging.ERROR)  # it warns of every $/cancelRequest that comes too late
    create_server(address).start_io()


class _Protocol(LanguageServerProtocol):
    """pygls' protocol, whose own documents lose step (see `documents`) and alter the positions they are handed."""

    @lsp_method(types.TEXT_DOCUMENT_DID_CHANGE)
    def lsp_text_document__did_change(self, params: types.DidChangeTextDocumentParams) -> Iterator[Any]:
        """Leaves the change to the handler that is registered."""
        yield self.fm.features[types.TEXT_DOCUMENT_DID_CHANGE], (params,), None


class EditorServer(LanguageServer):
    """A language server with its session."""

    def __init__(self, address: str) -> None:
        super().__init__("repotune", __version__, types.TextDocumentSyncKind.Incremental, protocol_cls=_Protocol)
        self.session = Session(CompletionServer(address), self._log_warning)

    def _log_warning(self, message: str) -> None:
        self.window_log_message(types.LogMessageParams(type=types.MessageType.Warning, message=message))


def create_server(address: str) -> EditorServer:
    """A language server that asks the completion server at `address` unless the editor names another."""
    server = EditorServer(address)
    server.feature(types.INITIALIZE)(_initialize)
    server.feature(types.SHUTDOWN)(_shut_down)
    server.feature(types.TEXT_DOCUMENT_DID_OPEN)(_open)
    server.feature(types.TEXT_DOCUMENT_DID_CHANGE)(_change)
    server.feature(types.TEXT_DOCUMENT_DID_CLOSE)(_close)
    server.feature(types.TEXT_DOCUMENT_INLINE_COMPLETION, types.InlineCompletionOptions())(_inline_completion)
    return server


def _initialize(ls: EditorServer, params: types.InitializeParams) -> None:
    options: Any = params.initialization_options
    if not isinstance(options, dict):
        return
    session, delay = ls.session, options.get("delay", ls.session.delay_ms)
    if isinstance(delay, int | float) and delay >= 0:
        session.delay_ms = delay
    else:
        session.warn(f"delay is {delay!r}, which is no number of milliseconds: {session.delay_ms:.0f} is used")
    if "address" in options:
        try:
            session.remote = CompletionServer(str(options["address"]))
        except UserError as error:
            session.warn(f"{error.message} {session.remote.address} is used")


async def _shut_down(ls: EditorServer, _: None) -> None:
    await ls.session.end()


def _open(ls: EditorServer, params: types.DidOpenTextDocumentParams) -> None:
    item, root = params.text_document, ls.workspace.root_path
    file = to_fs_path(item.uri) if item.uri.startswith("file:") else None
    path = model_path(Path(file) if file else None, Path(root) if root else None)
    encoding = types.PositionEncodingKind(ls.server_capabilities.position_encoding or "utf-16")
    ls.session.open(item.uri, Document(item.text, path, encoding.value))


def _change(ls: EditorServer, params: types.DidChangeTextDocumentParams) -> None:
    ls.session.change(params.text_document.uri, list(params.content_changes))


def _close(ls: EditorServer, params: types.DidCloseTextDocumentParams) -> None:
    ls.session.close(params.text_document.uri)


async def _inline_completion(ls: EditorServer, params: types.InlineCompletionParams) -> types.InlineCompletionList:
    text = await ls.session.complete(params)
    if not text:
        return types.InlineCompletionList(items=[])
    place = types.Range(start=params.position, end=params.position)
    if selected := params.context.selected_completion_info:
        text, place = selected.text + text, selected.range
    return types.InlineCompletionList(items=[types.InlineCompletionItem(insert_text=text, range=place)])
