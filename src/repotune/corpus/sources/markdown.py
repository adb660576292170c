"""The HTML of posts as Markdown: code fenced, paragraphs and lists as such, everything else as its text."""

from __future__ import annotations

import re
from html.parser import HTMLParser

_BLOCKS = frozenset({"p", "div", "ul", "ol", "blockquote", "table", "tr", "hr", "dl", "dt", "dd", "details", "summary"})
_HEADINGS = {f"h{level}": "#" * level for level in range(1, 7)}


def markdown_of(html: str) -> str:
    """`html` as Markdown, without a line end at its end. Any text gives some answer."""
    parser = _Parser()
    parser.feed(html)
    parser.close()
    return parser.text()


class _Parser(HTMLParser):
    """Collects blocks: texts that a blank line parts, and code as it is."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._blocks: list[str] = []
        self._block = ""
        self._code: str | None = None  # what <pre> holds so far
        self._lists: list[int | None] = []  # the next number of each list that is open, None for bullets
        self._quotes = 0

    def text(self) -> str:
        self._end_code()
        self._end_block()
        return "\n\n".join(self._blocks)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self._code is not None:
            return
        if tag == "pre":
            self._end_block()
            self._code = ""
        elif tag == "br":
            self._block += "\n"
        elif tag == "code":
            self._block += "`"
        elif tag in _HEADINGS:
            self._end_block()
            self._block = _HEADINGS[tag] + " "
        elif tag == "li":
            self._end_block()
            self._block = self._bullet()
        elif tag in _BLOCKS:
            if not re.fullmatch(r"\s*(?:-|\d+\.) ", self._block):  # <li><p>: the bullet keeps its paragraph
                self._end_block()
            if tag in ("ul", "ol"):
                self._lists.append(1 if tag == "ol" else None)
            self._quotes += tag == "blockquote"

    def handle_endtag(self, tag: str) -> None:
        if tag == "pre":
            self._end_code()
        elif self._code is not None:
            return
        elif tag == "code":
            self._block += "`"
        elif tag in _BLOCKS or tag in _HEADINGS or tag == "li":
            self._end_block()
            if tag in ("ul", "ol") and self._lists:
                self._lists.pop()
            self._quotes = max(0, self._quotes - (tag == "blockquote"))

    def handle_data(self, data: str) -> None:
        if self._code is not None:
            self._code += data
        else:
            # Line ends of the source are white space, and so is what stands at a block's beginning.
            flat = re.sub(r"\s+", " ", data)
            self._block += flat if self._block.strip() else flat.lstrip()

    def _bullet(self) -> str:
        indent = "  " * max(0, len(self._lists) - 1)
        number = self._lists[-1] if self._lists else None
        if number is None:
            return f"{indent}- "
        self._lists[-1] = number + 1
        return f"{indent}{number}. "

    def _end_block(self) -> None:
        if self._block.strip():
            mark = "> " * self._quotes
            self._blocks.append("\n".join(mark + line.rstrip() for line in self._block.rstrip().split("\n")))
        self._block = ""

    def _end_code(self) -> None:
        if self._code is not None:
            code = self._code.strip("\n")
            fence = "`" * max(3, 1 + max((len(run) for run in re.findall(r"`+", code)), default=0))
            self._blocks += [f"{fence}\n{code}\n{fence}"] if code.strip() else []
        self._code = None
