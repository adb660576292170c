"""Holes that a file's text alone tells, in any language.

    rest      the rest of a line from a random place in it
    line      a whole line, its indentation included
    block     2 to 8 consecutive lines at one level of indentation
    nothing   no text at all: a line ends here that may be whole, and the next one goes on at its level or further out

A place in a line is where a word or a run of punctuation begins, before the blanks that lead to it: never inside a word
and never after a blank, so that no contestant is hurt by how the tokenizer splits there. Holes hold a word and are no
prose: comments, and texts that document, as far as their first characters or a syntax tree tell them.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence

LONGEST_LINE = 160  # characters; longer ones are data or generated
BLOCK_LINES = range(2, 9)

Span = tuple[int, int]
"""Start and stop in characters."""

_PLACE = re.compile(r"\s*(?:\w+|[^\w\s]+)")
_WORD = re.compile(r"\w")
_COMMENT = re.compile(r"\s*(?://|/\*|\*(?=\s|/|$)|<!--|--\s|;;|\"\"\"|''')")
_HASH_COMMENT = re.compile(r"\s*#")
_HASH_IS_CODE = frozenset({"C", "C++", "C#", "CUDA", "Objective-C", "CSS", "SCSS", "Less", "Rust", "Markdown", "HTML"})
# After an opening bracket, a comma, a colon or an operator a line wants to go on.
_MAY_BE_WHOLE = re.compile(r"[\w)\]}'\";]\Z")


def is_code(text: str, language: str) -> bool:
    """Whether `text`, a line or the rest of one, says something: it holds a word and is no comment alone."""
    if not _WORD.search(text) or _COMMENT.match(text):
        return False
    return language in _HASH_IS_CODE or not _HASH_COMMENT.match(text)


class Lines:
    """The lines of `text`, their line ends left out, and the holes that begin in each. `chosen` is a large number that
    decides where more than one hole can be made; None says that there is none. `prose` are spans, in order, of what
    is no code."""

    def __init__(self, text: str, language: str, prose: Sequence[Span] = ()) -> None:
        self._text, self._language, self._prose = text, language, prose
        self.spans = _line_spans(text)

    def __len__(self) -> int:
        return len(self.spans)

    def rest(self, line: int, chosen: int) -> Span | None:
        if not self._says(line):
            return None
        start, stop = self.spans[line]
        places = [match.start() for match in _PLACE.finditer(self._text, start, stop)][1:]
        if not places:
            return None
        at = places[chosen % len(places)]
        return (at, stop) if is_code(self._text[at:stop], self._language) and not self._in_prose(at) else None

    def line(self, line: int, chosen: int) -> Span | None:
        return self.spans[line] if self._says(line) else None

    def block(self, line: int, chosen: int) -> Span | None:
        """Lines of code from `line` on that follow each other at one indentation: as many as chosen, or are there."""
        if not self._says(line):
            return None
        wanted, level, last = BLOCK_LINES[chosen % len(BLOCK_LINES)], self._indentation(line), line
        while last - line + 1 < wanted and self._says(last + 1) and self._indentation(last + 1) == level:
            last += 1
        return (self.spans[line][0], self.spans[last][1]) if last > line else None

    def nothing(self, line: int, chosen: int) -> Span | None:
        start, stop = self.spans[line]
        following = self._after(line)
        if following is None or not (self._says(line) and self._says(following)):
            return None
        goes_on = len(self._indentation(following)) > len(self._indentation(line))
        if goes_on or not _MAY_BE_WHOLE.search(self._text, start, stop) or self._in_prose(stop - 1):
            return None
        return (stop, stop)

    def _after(self, line: int) -> int | None:
        """The next line that is not blank."""
        return next(
            (after for after in range(line + 1, len(self)) if self._text[slice(*self.spans[after])].strip()), None
        )

    def _says(self, line: int) -> bool:
        if line >= len(self):
            return False
        start, stop = self.spans[line]
        if stop - start > LONGEST_LINE or not is_code(self._text[start:stop], self._language):
            return False
        return not self._in_prose(start + len(self._indentation(line)))

    def _in_prose(self, at: int) -> bool:
        place = bisect_right(self._prose, (at, len(self._text))) - 1
        return place >= 0 and at < self._prose[place][1]

    def _indentation(self, line: int) -> str:
        start, stop = self.spans[line]
        text = self._text[start:stop]
        return text[: len(text) - len(text.lstrip())]


def _line_spans(text: str) -> list[Span]:
    spans, start = [], 0
    for line in text.split("\n"):
        spans.append((start, start + len(line)))
        start += len(line) + 1
    return spans
