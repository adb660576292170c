"""Where the statement at the cursor ends, by the language's grammar.

A completion may open a block: the rest of a function's head, its body. Where that is closed, the next line at the
cursor's indentation is another statement, which nobody asked for. The tree tells the two apart in a few tenths of a
millisecond: of 2,532 functions, classes and compound statements of the standard library, each with all that follows
it as the completion, 98 % were cut where they end; by indentation alone 25 % were.

Python's grammar comes with `repotune[train]`, others with `repotune[parsers]`; they are loaded when a file of their
language is first asked about.
"""

from __future__ import annotations

import re
from functools import cache, cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tree_sitter import Node, Parser

# A head of a function or a class that goes over more lines than these is taken to be none.
_MOST_HEAD_LINES = 12
# What goes on with a statement that could have ended on the line before; other words and signs begin one or do not.
_CONTINUING = frozenset(
    ["else", "elif", "elsif", "elseif", "except", "catch", "finally", "rescue", "ensure", "where", "and", "in"]
)
_LABELS = frozenset(["case", "default", "when"])
_WORD = re.compile(r"\w+")
_BEGINNING = re.compile(r"[\w@#\"'`/$~\[]")
# By parts of the names that grammars give to their nodes.
_CLAUSE = re.compile(r"clause|else|elif|elsif|catch|except|finally|rescue|ensure|case|default|comment")
_BEFORE_DEFINITION = re.compile(r"decorator|annotation|attribute|modifier|template")
_DEFINITION = re.compile(r"func|method|class|interface|struct|trait|impl|enum|constructor|decorated|type_decl|export")
_OF_MEMBERS = re.compile(r"class|interface|struct|trait|impl|enum|object|namespace")


def load_parser(path: str) -> Parser | None:
    """The parser of the language that the file's extension tells; None where there is no grammar of it here. The first
    call takes a third of a second, others next to nothing."""
    from repotune.corpus.languages import likely_language

    return _parser(likely_language(path))


@cache
def _parser(language: str) -> Parser | None:
    from repotune.train.grammars import open_grammar

    grammar = open_grammar(language, ["(_) @node"])
    return grammar.parser if grammar else None


class Statement:
    """The statement that stands on the cursor's line behind `prefix`; on a line of blanks a function, or the like, that
    a completion begins at the margin or among others of a class."""

    def __init__(self, parser: Parser, prefix: str) -> None:
        self._parser, self._prefix = parser, prefix
        self._line = prefix[prefix.rfind("\n") + 1 :]
        self._one_line = False
        self._known: dict[str, bool] = {}

    @cached_property
    def _before(self) -> str:
        """What the statement stands in, and the cursor's line up to it."""
        return "\n".join([*_heads(self._prefix.split("\n")), self._line])

    def ends_before(self, line: str, completion: str, whole: bool) -> bool | None:
        """Whether the statement fills several lines and has ended with `completion`, so that `line`, which comes next
        at the cursor's indentation, is another one; None where more than its beginning has to be known. The same
        `completion` is asked about again while `line` grows."""
        if not _BEGINNING.match(line):
            return False
        if completion not in self._known:
            self._known[completion] = self._ended(completion)
        if not self._known[completion]:
            return False
        word = _WORD.match(line)
        begun = word[0] if word else ""
        if not whole and begun == line and any(continuing.startswith(begun) for continuing in _CONTINUING):
            return None
        return begun not in _CONTINUING

    def _ended(self, completion: str) -> bool:
        if self._one_line:
            return False
        place = self._begins(completion)
        tree = self._parser.parse((self._before + completion).encode(errors="replace"))
        node = tree.root_node.descendant_for_byte_range(place, place + 1)
        if node is None:
            return False
        node = _outermost(node)
        if node.has_error or node.is_error or node.parent is None:
            return False
        if node.start_point.row == node.end_point.row:
            # Within an error it may be the beginning of what is not whole yet.
            self._one_line = not node.parent.is_error and not _BEFORE_DEFINITION.search(node.type)
            return False
        return bool(self._line.strip()) or _stands_alone(node)

    def _begins(self, completion: str) -> int:
        """The byte at which the statement begins."""
        text = self._before + completion
        start = len(self._before) - len(self._line)
        return len(text[: len(text) - len(text[start:].lstrip())].encode(errors="replace"))


def indentation(line: str) -> int:
    """How many blanks `line` begins with."""
    return len(line) - len(line.lstrip())


def _heads(lines: list[str]) -> list[str]:
    """The heads of what the last of `lines` stands in, by their indentation: of the class, the function, the loop.

    Parsed alone they are as good as the whole file, take no time, and do not mislead where the file's beginning is not
    sent, which may be the first half of a string.
    """
    heads: list[str] = []
    limit = indentation(lines[-1])
    for number in range(len(lines) - 2, -1, -1):
        line = lines[number]
        word = _WORD.match(line, indent := indentation(line))
        if indent < limit and word and word[0] not in _CONTINUING | _LABELS:
            heads[:0] = _head(lines, number)
            limit = indent
        if not limit:
            break
    return heads


def _head(lines: list[str], number: int) -> list[str]:
    """The line of that number, and the next ones up to where the brackets that it opens are closed and a body begins;
    it alone where that is not before the last line."""
    depth = 0
    for stop in range(number, min(number + _MOST_HEAD_LINES, len(lines) - 1)):
        depth += sum((character in "([") - (character in ")]") for character in lines[stop])
        if depth <= 0:
            opened = stop + 2 < len(lines) and lines[stop + 1].strip() == "{"
            return lines[number : stop + 1 + opened]
    return [lines[number]]


def _outermost(node: Node) -> Node:
    """The innermost of the largest nodes that begin where `node` does and are one statement: not a row of several that
    begin in the same column."""
    column, row, parent = node.start_point.column, node.start_point.row, node.parent
    while parent is not None and parent.start_byte == node.start_byte:
        others = (child for child in parent.named_children if child.start_point.row > row)
        in_a_row = any(child.start_point.column == column and not _CLAUSE.search(child.type) for child in others)
        if parent.is_error or parent.parent is None or (in_a_row and not _BEFORE_DEFINITION.search(node.type)):
            break
        node = parent if parent.end_byte > node.end_byte else node
        parent = parent.parent
    return node


def _stands_alone(node: Node) -> bool:
    """Whether it is a definition at the margin or a member of a class: statements in a body belong together."""
    holder = node.parent
    while holder is not None and holder.start_byte == node.start_byte and holder.parent is not None:
        holder = holder.parent  # a row of statements begins where its first does
    if holder is None or holder.is_error or not _DEFINITION.search(node.type):
        return False
    owner = holder.parent
    return owner is None or bool(_OF_MEMBERS.search(holder.type) or _OF_MEMBERS.search(owner.type))
