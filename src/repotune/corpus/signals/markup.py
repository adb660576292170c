"""What is particular to pages and plain text: the text that a reader sees, and names that promise prose."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

import numpy as np

from repotune.corpus.signals.signal import Columns, Signal, ratio, where_known
from repotune.corpus.signals.texts import Texts

_STARCODER = "StarCoder (arXiv 2305.06161)"

SIGNALS = (
    Signal("xml_declaration", "yes", "", "`<?xml version=` within the first 100 bytes", _STARCODER),
    Signal(
        "visible_text",
        "count",
        "characters",
        "of HTML, outside tags, comments, scripts, styles, and no white space; else null",
        _STARCODER,
    ),
    Signal("visible_share", "share", "of characters", "the same as a share; null but for HTML", _STARCODER),
    Signal(
        "prose_name",
        "yes",
        "",
        "of plain text: named readme, notes, todo, description, cmakelists or with `requirement`; null for others",
        "StarCoder2 (arXiv 2402.19173)",
    ),
)

_PROSE_STEMS = frozenset({"cmakelists", "description", "notes", "readme", "todo"})
_MARKUP = re.compile(r"<!--|-->|<(/?)(script|style)\b|<[/!a-z]|>", re.IGNORECASE)


def measure(texts: Texts) -> Columns:
    """The columns of SIGNALS, a value for each document."""
    html = texts.of("HTML")
    visible = np.zeros(len(texts), np.int64)
    for number in np.flatnonzero(html).tolist():
        visible[number] = _visible_characters(texts.documents[number].decode())
    named = zip(texts.paths, texts.of("Text").tolist(), strict=True)
    return {
        "xml_declaration": [b"<?xml version=" in document[:100] for document in texts.documents],
        "visible_text": where_known(visible, html),
        "visible_share": where_known(ratio(visible, texts.characters), html),
        "prose_name": [_has_prose_name(path) if text else None for path, text in named],
    }


def _visible_characters(html: str) -> int:
    """Characters, white space aside, outside tags, comments, scripts and styles. One pass, whatever the markup."""
    visible, position, closing = 0, 0, ""
    for match in _MARKUP.finditer(html):
        token = match[0].lower()
        if not closing:
            visible += len("".join(html[position : match.start()].split()))
            if token == "<!--":
                closing = "-->"
            elif token.startswith("<"):
                closing = f"</{match[2].lower()}" if match[2] and not match[1] else ">"
        elif token == closing:
            closing = ">" if token.startswith("</") else ""
        position = match.end()
    return visible + (len("".join(html[position:].split())) if not closing else 0)


def _has_prose_name(path: str) -> bool:
    name = PurePosixPath(path).name.lower()
    return "requirement" in name or PurePosixPath(name).stem in _PROSE_STEMS
