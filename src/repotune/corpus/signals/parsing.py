"""How much of a document does not parse: Python by its own parser, other languages by tree-sitter."""

from __future__ import annotations

import ast
import importlib.util
import tomllib
import warnings
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from repotune.core.errors import UserError
from repotune.corpus.signals.signal import Columns, Signal
from repotune.corpus.signals.texts import Texts

if TYPE_CHECKING:
    from tree_sitter import Node, Parser

SIGNALS = (
    Signal(
        "parse_error_share",
        "share",
        "of bytes",
        "in stretches that tree-sitter cannot parse; of Python 1 or 0, by `ast`; null where nothing was parsed",
        "OpenCoder (arXiv 2411.04905), Replit (2023)",
    ),
)

_PACKAGE = "tree_sitter_language_pack"


@cache
def grammars() -> dict[str, str]:
    """The tree-sitter grammar of each language that has one."""
    text = (files("repotune.corpus.signals") / "grammars.toml").read_text(encoding="utf-8")
    return dict(tomllib.loads(text))


def parsable() -> frozenset[str]:
    """The languages that can be parsed."""
    return frozenset({"Python", *grammars()})


def require_parsers(languages: Iterable[str]) -> None:
    """Raises UserError where one of `languages` needs tree-sitter and it is not installed."""
    if not {"Python"}.issuperset(languages) and importlib.util.find_spec(_PACKAGE) is None:
        raise UserError(
            "Parsing languages other than Python needs tree-sitter, which is not installed.",
            'pip install "repotune[parsers]", or set corpus.parse = false',
        )


def measure(texts: Texts, parsed: frozenset[str]) -> Columns:
    """The signals of the documents in the languages `parsed`; null for others."""
    shares = [
        _error_share(document, language) if language in parsed else None
        for document, language in zip(texts.documents, texts.languages, strict=True)
    ]
    return {"parse_error_share": shares}


def _error_share(document: bytes, language: str) -> float | None:
    if language == "Python":
        return 0.0 if _is_python(document) else 1.0
    if language in grammars() and document:
        return _error_bytes(_parser(language).parse(document).root_node) / len(document)
    return None


def _is_python(document: bytes) -> bool:
    """Whether this Python parses it. What it cannot, for another version's syntax or for its depth, counts as not."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of invalid escapes and the like
        try:
            ast.parse(document)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return False
    return True


@cache
def _parser(language: str) -> Parser:
    from tree_sitter_language_pack import get_parser

    name: Any = grammars()[language]
    return get_parser(name)


def _error_bytes(root: Node) -> int:
    """The bytes in the outermost errors. Only what holds one is looked into."""
    total, waiting = 0, [root]
    while waiting:
        node = waiting.pop()
        if node.is_error:
            total += node.end_byte - node.start_byte
        elif node.has_error:
            waiting += node.children
    return total
