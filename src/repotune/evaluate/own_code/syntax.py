"""Holes that are parts of the syntax tree.

    body        what a function does: its whole body, of up to ten lines, less a text that documents it
    arguments   what stands between the brackets of a call
    imports     a statement that imports, on lines of its own

The tree also tells what is prose. syntax.toml has the names of the nodes; Python's grammar comes with
`repotune[train]`, others with `repotune[parsers]`. A node with an error in it is none to choose.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from operator import attrgetter
from typing import TYPE_CHECKING, Literal

from repotune.evaluate.own_code.lines import Span, is_code
from repotune.train.grammars import Grammar, open_grammar

if TYPE_CHECKING:
    from tree_sitter import Node

SyntaxKind = Literal["body", "arguments", "imports"]

# Greedy answers of more lines are next to never exact, and take the most time by far.
BODY_LINES, BODY_CHARACTERS = 10, 600
ARGUMENTS_CHARACTERS = 160
IMPORT_LINES = 8

_BLANKS = " \t"


class Nodes:
    """The nodes of each kind in `text`, and the hole that each one makes."""

    def __init__(self, text: str, language: str) -> None:
        self._text, self._language = text, language
        self._source = text.encode(errors="replace")
        self._plain = len(self._source) == len(text)
        self._found = _nodes_by_kind(self._source, language)

    def of(self, kind: SyntaxKind) -> list[Node]:
        """In the order of the text."""
        return self._found.get(kind, [])

    def prose(self) -> list[Span]:
        """Comments, and texts that document, in order."""
        return [self._characters(*node.byte_range) for node in self._found.get("prose", [])]

    def hole(self, kind: SyntaxKind, node: Node) -> Span | None:
        """Start and stop of the hole that `node` makes; None where it holds an error, says nothing or too much."""
        if node.has_error:
            return None
        shape = {"body": self._body, "arguments": self._arguments, "imports": self._import}[kind]
        hole = shape(node)
        return hole if hole is not None and _WORTH[kind](self._text[slice(*hole)], self._language) else None

    def _body(self, node: Node) -> Span:
        if _is_bracketed(node, "{}"):
            return self._inside(node)
        first = node.named_children[0] if node.named_child_count else node
        after = first.next_named_sibling
        start, stop = self._characters(
            (after if after is not None and _is_text(first) else node).start_byte, node.end_byte
        )
        return self._from_blanks(start), stop

    def _arguments(self, node: Node) -> Span | None:
        return self._inside(node) if _is_bracketed(node, "()") else None

    def _import(self, node: Node) -> Span | None:
        start, stop = self._characters(node.start_byte, node.end_byte)
        stop = start + len(self._text[start:stop].rstrip())  # some grammars count the line's end in
        start = self._from_blanks(start)
        alone = self._text[start - 1 : start] in ("", "\n") and self._text[stop : stop + 1] in ("", "\n")
        return (start, stop) if alone else None

    def _inside(self, node: Node) -> Span:
        """Between a node's brackets, up to the blanks that lead to the closing one."""
        start, stop = self._characters(node.start_byte, node.end_byte)
        return start + 1, start + 1 + len(self._text[start + 1 : stop - 1].rstrip())

    def _from_blanks(self, start: int) -> int:
        """Before the blanks that lead to `start`."""
        while start and self._text[start - 1] in _BLANKS:
            start -= 1
        return start

    def _characters(self, start: int, stop: int) -> Span:
        """Bytes as characters."""
        if self._plain:
            return start, stop
        return len(self._source[:start].decode()), len(self._source[:stop].decode())


def _nodes_by_kind(source: bytes, language: str) -> dict[str, list[Node]]:
    """The nodes in their order; empty where there is no grammar here."""
    from tree_sitter import QueryCursor

    grammar = _grammar(language)
    if grammar is None:
        return {}
    captures = QueryCursor(grammar.kinds).captures(grammar.parser.parse(source).root_node)
    return {kind: sorted(nodes, key=attrgetter("byte_range")) for kind, nodes in captures.items()}


def _is_bracketed(node: Node, brackets: str) -> bool:
    return node.child_count > 1 and node.children[0].type + node.children[-1].type == brackets


def _is_text(node: Node) -> bool:
    """Whether it is a text that stands for itself, as what documents a function does."""
    return (
        node.type == "expression_statement" and node.named_child_count == 1 and node.named_children[0].type == "string"
    )


def _is_body(text: str, language: str) -> bool:
    lines = text.strip("\n").split("\n")
    return len(text) <= BODY_CHARACTERS and len(lines) <= BODY_LINES and any(is_code(line, language) for line in lines)


def _is_argument(text: str, language: str) -> bool:
    return len(text) <= ARGUMENTS_CHARACTERS and is_code(text, language)


def _is_import(text: str, language: str) -> bool:
    return text.count("\n") < IMPORT_LINES


_WORTH = {"body": _is_body, "arguments": _is_argument, "imports": _is_import}


@cache
def _grammar(language: str) -> Grammar | None:
    return open_grammar(language, _patterns())


def _patterns() -> Iterator[str]:
    kinds = tomllib.loads((files("repotune.evaluate.own_code") / "syntax.toml").read_text(encoding="utf-8"))
    for kind, ways in kinds.items():
        for field, types in ways.get("fields", {}).items():
            yield from (f"({outer} {field}: (_) @{kind})" for outer in types)
        for inner, types in ways.get("children", {}).items():
            yield from (f"({outer} ({inner}) @{kind})" for outer in types)
        yield from (f"({name}) @{kind}" for name in ways.get("nodes", ()))
