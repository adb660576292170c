"""What goes on between an editor and the completion server: open documents, questions under way, what was shown.

Of each document one question at most is under way: a change, a newer question or a cancellation drops it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from lsprotocol import types

from repotune.editor.context import window
from repotune.editor.documents import Document
from repotune.editor.remote import CompletionServer, NoAnswerError, Question

_LINE_TOKENS, _BLOCK_TOKENS = 48, 128
_INVOKED = types.InlineCompletionTriggerKind.Invoked


class Session:
    """Completions from `remote`; `log` shows a warning. `delay_ms` is the pause after a keystroke before a question."""

    def __init__(self, remote: CompletionServer, log: Callable[[str], None]) -> None:
        self.remote = remote
        self.delay_ms = 60.0
        self._log = log
        self._documents: dict[str, Document] = {}
        self._under_way: dict[str, asyncio.Task[str]] = {}
        self._answers: dict[str, _Answer] = {}
        self._warned = ""

    def open(self, uri: str, document: Document) -> None:
        """Takes in a document that the editor opened."""
        self._documents[uri] = document

    def change(self, uri: str, changes: list[types.TextDocumentContentChangeEvent]) -> None:
        """Follows the editor's changes, in order; what was asked for the older version is dropped."""
        self._drop(uri)
        if document := self._documents.get(uri):
            for change in changes:
                document.apply(change)

    def close(self, uri: str) -> None:
        """Forgets a document."""
        self._drop(uri)
        self._documents.pop(uri, None)
        self._answers.pop(uri, None)

    async def end(self) -> None:
        """Drops every question and hangs up."""
        for uri in list(self._under_way):
            self._drop(uri)
        await self.remote.close()

    async def complete(self, params: types.InlineCompletionParams) -> str:
        """The text to show after the cursor, or after the entry selected in the editor's own list; empty for none.

        Raises CancelledError where the caller is cancelled, but not where a newer version or question takes over.
        """
        uri = params.text_document.uri
        self._drop(uri)
        if uri not in self._documents:
            return ""
        task = self._under_way[uri] = asyncio.create_task(self._complete(self._documents[uri], params))
        try:
            return await task
        except asyncio.CancelledError:
            caller = asyncio.current_task()
            if caller and caller.cancelling():
                raise
            return ""
        finally:
            if self._under_way.get(uri) is task:
                del self._under_way[uri]

    def warn(self, message: str) -> None:
        """Logs it once, not at each keystroke: again only after a completion came or another fault was met."""
        if message != self._warned:
            self._warned = message
            self._log(message)

    async def _complete(self, document: Document, params: types.InlineCompletionParams) -> str:
        uri, invoked = params.text_document.uri, params.context.trigger_kind == _INVOKED
        before, after = _around_cursor(document, params)
        if not invoked:
            if uri in self._answers and (rest := self._answers[uri].rest(before, after)):
                return rest
            await asyncio.sleep(self.delay_ms / 1000)
        max_tokens, stop = _extent(before, after, invoked)
        try:
            text = await self.remote.complete(Question(window(before, after), document.path, max_tokens, stop))
        except NoAnswerError as error:
            self.warn(str(error))
            return ""
        self._warned = ""
        self._answers[uri] = _Answer(before, after, text)
        return text

    def _drop(self, uri: str) -> None:
        if task := self._under_way.pop(uri, None):
            task.cancel()


@dataclass(frozen=True)
class _Answer:
    """A completion with the whole text around the gap that it was for."""

    before: str
    after: str
    text: str

    def rest(self, before: str, after: str) -> str:
        """What is left of it when the user has typed along; empty when the text is another now."""
        if after != self.after or not before.startswith(self.before):
            return ""
        typed = before[len(self.before) :]
        return self.text[len(typed) :] if self.text.startswith(typed) else ""


def _around_cursor(document: Document, params: types.InlineCompletionParams) -> tuple[str, str]:
    cursor = document.offset(params.position)
    selected = params.context.selected_completion_info
    if selected is None:
        return document.text[:cursor], document.text[cursor:]
    start, end = document.offset(selected.range.start), document.offset(selected.range.end)
    return document.text[:start] + selected.text, document.text[max(end, cursor) :]


def _extent(before: str, after: str, invoked: bool) -> tuple[int, tuple[str, ...]]:
    """How much to ask for: what the user calls for may be long; what comes by itself ends with the line, or with the
    paragraph where the line is still blank."""
    if invoked:
        return _BLOCK_TOKENS, ()
    blank = not (before.rpartition("\n")[2] + after.partition("\n")[0]).strip()
    return (_BLOCK_TOKENS, ("\n\n",)) if blank else (_LINE_TOKENS, ("\n",))
