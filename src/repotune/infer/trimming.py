"""Takes away what an infilling model says beyond what fits the gap, while it streams.

A model that was told the suffix still runs into it now and then: it repeats the suffix, leaves the block, or loops.
The rules, each known from completion engines in use (Tabby's postprocess, llama.vim's render):

1. A line equal to the suffix's next line, indentation included, ends the completion before it.
2. What already stands to the right of the cursor is not repeated at the end of the completion.
3. A line with less indentation than the cursor's has left the block and ends it; closing brackets may still follow.
4. The third equal line in a row ends the completion before it.
5. Blanks at the end are dropped, unless code stands to the right of the cursor.
6. Where a grammar of the language is at hand: when the statement on the cursor's line fills several lines and has
   ended, the next line at the cursor's indentation ends the completion before it (`statement`).

Streaming gives the same text as waiting for the end: `Trimmer` passes on only what no later piece can take away. It
holds back blanks (they stay only if something follows), a line that so far reads like one that would end the
completion, and the last characters where they read like what stands to the right of the cursor.
"""

from __future__ import annotations

import re
from typing import Literal

from repotune.infer.statement import Statement, indentation, load_parser

_OPENERS, _CLOSERS = "([{", ")]}"
_COMMENT = re.compile(r"\s*(#|//|/\*|\*|--)")

Verdict = Literal["stays", "may end", "ends"]


class Trimmer:
    """Trims one completion between `prefix` and `suffix`; `statement` is the one at the cursor.

    `feed` and at last `finish` return text to show. Once `done` is true the model need not go on.
    """

    def __init__(self, prefix: str, suffix: str, statement: Statement | None = None) -> None:
        self.done = False
        self._statement = statement
        self._head = prefix[prefix.rfind("\n") + 1 :]
        self._rest = suffix.partition("\n")[0].rstrip()
        following = [line.rstrip() for line in suffix.split("\n")[1:] if line.strip()]
        self._next_line = following[0] if following and not self._rest else None
        self._text = ""
        self._shown = 0

    def feed(self, piece: str) -> str:
        """Takes the next piece of the completion; returns what now is certain to stay."""
        self._text += piece
        return self._show(last=False)

    def finish(self) -> str:
        """Takes note that nothing follows; returns what was held back and stays."""
        return self._show(last=True)

    def _show(self, last: bool) -> str:
        if self.done:
            return ""
        stays, self.done = self._settle(last)
        fresh = stays[self._shown :]
        self._shown += len(fresh)
        return fresh

    def _settle(self, last: bool) -> tuple[str, bool]:
        """What of the text is certain to stay, and whether the completion ends there."""
        lines = self._text.split("\n")
        lines[0] = self._head + lines[0]
        end = -len(self._head)
        for number, line in enumerate(lines):
            whole = last or number < len(lines) - 1
            verdict = self._judge(line, lines[max(0, number - 2) : number], whole)
            if verdict == "stays" and number:
                verdict = self._in_statement(lines[number:], end, last)
            if verdict != "stays":
                return self._text[: max(0, end)].rstrip(), verdict == "ends"
            end += len(line) + 1
            if number == 0 and len(lines) > 1 and self._repeats_rest(end - 1, len(self._rest)):
                return self._text[: end - 1 - len(self._rest)].rstrip(), True
        return (self._ended() if last else self._text[: len(self._text) - self._overlap()].rstrip()), last

    def _judge(self, line: str, before: list[str], whole: bool) -> Verdict:
        """Whether `line` ends the completion before it (rules 1, 3 and 4); `before` holds up to two lines above it."""
        if not line.strip():
            return "stays"
        if before and indentation(line) < indentation(self._head) and line.lstrip()[0] not in _CLOSERS:
            return "ends"
        enders = [self._next_line] if self._next_line else []
        if len(before) == 2 and before[0] == before[1]:
            enders.append(before[0].rstrip())
        if whole:
            return "ends" if line.rstrip() in enders else "stays"
        return "may end" if any(ender.startswith(line.rstrip()) for ender in enders) else "stays"

    def _in_statement(self, lines: list[str], start: int, last: bool) -> Verdict:
        """Whether the first of `lines`, which begins at `start` of the text, ends the completion before it (rule 6).
        A comment does if what comes behind it does."""
        verdict = self._begins_another(lines[0], start, last or len(lines) > 1)
        if verdict != "ends" or not _COMMENT.match(lines[0]):
            return verdict
        telling = (number for number, line in enumerate(lines) if line.strip() and not _COMMENT.match(line))
        number = next(telling, None)
        if number is None:
            return "ends" if last else "may end"
        if indentation(lines[number]) != indentation(self._head):
            return "ends"
        return self._begins_another(lines[number], start, last or number < len(lines) - 1)

    def _begins_another(self, line: str, start: int, whole: bool) -> Verdict:
        """The same of `line` as if it stood at `start`."""
        if self._statement is None or not line.strip() or indentation(line) != indentation(self._head):
            return "stays"
        ended = self._statement.ends_before(line.strip() if whole else line.lstrip(), self._text[:start], whole)
        return "may end" if ended is None else "ends" if ended else "stays"

    def _overlap(self) -> int:
        """How many characters at the end of the text, at most, begin what stands to the right of the cursor."""
        lengths = range(min(len(self._rest), len(self._text)), 0, -1)
        return next((length for length in lengths if self._text.endswith(self._rest[:length])), 0)

    def _repeats_rest(self, end: int, length: int) -> bool:
        """Whether text[:end] ends in rest[:length] without need: a bracket that the completion opens it must close."""
        kept, repeated = self._text[: max(0, end - length)], self._text[max(0, end - length) : end]
        if not length or repeated != self._rest[:length]:
            return False
        if length < len(self._rest) and any(character.isalnum() for character in repeated):
            return False  # `s` before `self.size` is chance; `)` before `):` is not
        return not (_unmatched(repeated)[1] and _unmatched(kept)[0])

    def _ended(self) -> str:
        """The whole text under rules 2 and 5."""
        text = self._text
        for length in range(len(self._rest), 0, -1):
            if self._repeats_rest(len(text), length):
                return text[:-length]
        return text if self._rest and text.strip() else text.rstrip()


def open_trimmer(prefix: str, suffix: str, path: str) -> Trimmer:
    """The trimmer of a completion in the file `path`, whose extension tells the grammar; without one rule 6 is left
    out. The first of a language loads its grammar, in a third of a second."""
    parser = load_parser(path) if path else None
    return Trimmer(prefix, suffix, parser and Statement(parser, prefix))


def trim(prefix: str, suffix: str, completion: str, statement: Statement | None = None) -> str:
    """What of a whole `completion` fits between `prefix` and `suffix`; `statement` is the one at the cursor."""
    trimmer = Trimmer(prefix, suffix, statement)
    return trimmer.feed(completion) + trimmer.finish()


def _unmatched(text: str) -> tuple[int, int]:
    """The numbers of opening and of closing brackets in `text` that have no partner in it."""
    opened = closed = 0
    for character in text:
        if character in _OPENERS:
            opened += 1
        elif character in _CLOSERS and opened:
            opened -= 1
        elif character in _CLOSERS:
            closed += 1
    return opened, closed
