"""How much of a document is comment, documentation and string, by a lexical scan (`scanning`)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from repotune.corpus.signals.scanning import STRING_OPENERS
from repotune.corpus.signals.signal import Columns, Signal, ratio, where_known
from repotune.corpus.signals.spans import Spans
from repotune.corpus.signals.texts import Texts, member, number_of

SIGNALS = (
    Signal(
        "comment_share",
        "share",
        "of characters",
        "comments with their marks, docstrings aside; null where the language's are not known",
        "SantaCoder (arXiv 2301.03988)",
    ),
    Signal(
        "docstring_share",
        "share",
        "of characters",
        "Python's triple-quoted strings at the beginning of a module, class or function; null for others",
        "SantaCoder (arXiv 2301.03988)",
    ),
    Signal(
        "string_share",
        "share",
        "of characters",
        "strings with their quotes, docstrings aside; null where the language's are not known",
        "OpenCoder (arXiv 2411.04905)",
    ),
    Signal(
        "todo_count", "count", "words", "`TODO`, `FIXME`, `XXX`, `HACK` in capitals", "OpenCoder (arXiv 2411.04905)"
    ),
)

_THREE_DOUBLE, _THREE_SINGLE = (number_of(mark) for mark in (b'"""', b"'''"))
_OPENS_STRING = member(STRING_OPENERS)
_TODO = [number_of(word) for word in (b"TODO", b"FIXME", b"XXX", b"HACK")]


def measure(texts: Texts) -> Columns:
    """The columns of SIGNALS, a value for each document."""
    spans, known = texts.lexemes.spans, texts.lexemes.known
    widths = texts.width(spans.starts, spans.ends)
    string = _OPENS_STRING.take(texts.data[spans.starts], mode="clip")
    documenting = _docstrings(texts, spans, string)
    shares = {
        "comment_share": (~string, known),
        "docstring_share": (documenting, texts.of("Python")),
        "string_share": (string & ~documenting, known),
    }
    columns = {
        name: where_known(ratio(spans.sum(widths * chosen), texts.characters), where)
        for name, (chosen, where) in shares.items()
    }
    return {**columns, "todo_count": texts.words.sum(np.isin(texts.word_heads, _TODO))}


def _docstrings(texts: Texts, spans: Spans, string: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Which of `spans` are docstrings of Python."""
    found = np.zeros(len(spans), np.bool_)
    opening = texts.eight(spans.starts, np.full(len(spans), 3))
    triple = string & ((opening == _THREE_DOUBLE) | (opening == _THREE_SINGLE))
    for document in np.flatnonzero(texts.of("Python")).tolist():
        first, end = spans.bounds[document : document + 2].tolist()
        for number in (first + np.flatnonzero(triple[first:end])).tolist():
            found[number] = _documents(texts, document, number, string)
    return found


def _documents(texts: Texts, document: int, number: int, string: npt.NDArray[np.bool_]) -> bool:
    """Whether before the string `number`, alone on its line, there is a colon, or nothing at all, but for comments."""
    spans = texts.lexemes.spans
    first, end = int(spans.bounds[document]), int(spans.starts[number])
    prefix, own_line = b"rRuU", False
    while True:
        begin = int(spans.ends[number - 1] if number > first else texts.starts[document])
        before = texts.data[begin:end].tobytes().rstrip(prefix)
        code = before.rstrip()
        own_line = own_line or b"\n" in before[len(code) :]
        if code:
            return own_line and code.endswith(b":")
        if number == first:
            return True
        number, end, prefix = number - 1, int(spans.starts[number - 1]), b""
        if string[number]:
            return False
