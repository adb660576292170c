"""An open document as the editor has it, kept in step by incremental changes.

Lines end at LF, CR LF and CR alone, and columns count units of the encoding that was agreed on, as LSP 3.18 says
(https://microsoft.github.io/language-server-protocol/specifications/lsp/3.18/specification/#position). pygls' own
documents end lines at form feeds and U+2028 too and would lose step in files that hold them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from lsprotocol import types

_LINE_END = re.compile(r"\r\n|\n|\r")
_UNITS: dict[str, Callable[[str], int]] = {
    "utf-8": lambda letter: len(letter.encode(errors="surrogatepass")),
    "utf-16": lambda letter: 2 if letter > "\uffff" else 1,
    "utf-32": lambda letter: 1,
}


class Document:
    """A document's text. `path` is what the model is told of it; `encoding` is utf-8, utf-16 or utf-32."""

    def __init__(self, text: str, path: str, encoding: str) -> None:
        self.text = text
        self.path = path
        self._units_of = _UNITS[encoding]

    def apply(self, change: types.TextDocumentContentChangeEvent) -> None:
        """Applies one change of a textDocument/didChange; those of a notification come in order."""
        if isinstance(change, types.TextDocumentContentChangeWholeDocument):
            self.text = change.text
        else:
            start, end = self.offset(change.range.start), self.offset(change.range.end)
            self.text = self.text[:start] + change.text + self.text[end:]

    def offset(self, position: types.Position) -> int:
        """The index into `text` of a position; one beyond a line or the document is its end."""
        start = 0
        for _ in range(position.line):
            line_end = _LINE_END.search(self.text, start)
            if line_end is None:
                return len(self.text)
            start = line_end.end()
        line_end = _LINE_END.search(self.text, start)
        line = self.text[start : line_end.start() if line_end else len(self.text)]
        return start + self._column(line, position.character)

    def _column(self, line: str, units: int) -> int:
        if line.isascii():
            return min(units, len(line))
        for index, letter in enumerate(line):
            if units <= 0:
                return index
            units -= self._units_of(letter)
        return len(line)


def model_path(file: Path | None, root: Path | None) -> str:
    """What the model is told of a file: its path in its repository as in training, or in `root`, or else its name."""
    if file is None:
        return ""
    for folder in file.parents:
        if (folder / ".git").exists():
            return file.relative_to(folder).as_posix()
    return file.relative_to(root).as_posix() if root and file.is_relative_to(root) else file.name
