"""A language's parser, with a query for the nodes that somebody looks for in its trees.

Python's grammar comes with `repotune[train]`, others with `repotune[parsers]`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from repotune.corpus.signals.parsing import grammars

if TYPE_CHECKING:
    from tree_sitter import Language, Parser, Query


@dataclass(frozen=True)
class Grammar:
    """What parses a text, and the query whose captures are the kinds of nodes."""

    parser: Parser
    kinds: Query


def open_grammar(language: str, patterns: Iterable[str]) -> Grammar | None:
    """The grammar of `language` with those of `patterns` whose nodes it has; None where it is not installed, or has
    none of them."""
    found = _language(language)
    if found is None:
        return None
    from tree_sitter import Parser, Query

    known = [pattern for pattern in patterns if _is_of(found, pattern)]
    return Grammar(Parser(found), Query(found, "\n".join(known))) if known else None


def _language(name: str) -> Language | None:
    if name == "Python":
        import tree_sitter_python
        from tree_sitter import Language

        return Language(tree_sitter_python.language())
    if name not in grammars() or find_spec("tree_sitter_language_pack") is None:
        return None
    from tree_sitter_language_pack import get_language

    grammar: Any = grammars()[name]
    return get_language(grammar)


def _is_of(language: Language, pattern: str) -> bool:
    """Whether the grammar has what the pattern names, where the pattern has it."""
    from tree_sitter import Query, QueryError

    try:
        Query(language, pattern)
    except QueryError:
        return False
    return True
