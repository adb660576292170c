"""The identifiers of a piece of code: its words, less the language's own and those in quotes.

As CrossCodeEval counts them (Ding et al. 2023, arXiv 2310.11248): most wrong completions name the wrong thing, which
edit similarity hardly sees and an exact match drowns in white space. A hole breaks syntax at both ends, so words are
told by a pattern and not by a parser.
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from functools import cache
from importlib.resources import files

# A text in quotes that ends on its line; an apostrophe alone, as in Rust's lifetimes, takes nothing with it.
_QUOTED = re.compile(r"\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'")
_WORD = re.compile(r"[^\W\d]\w*")
# Languages that are written like another.
_LIKE = {"JSX": "JavaScript", "TSX": "TypeScript", "CUDA": "C++", "Cython": "Python", "Vue": "TypeScript"}


def identifiers(text: str, language: str) -> Counter[str]:
    """How often each identifier occurs in `text`.

    >>> sorted(identifiers("return path.join(path, 'a b')", "Python").elements())
    ['join', 'path', 'path']
    """
    own = _keywords().get(_LIKE.get(language, language), frozenset())
    return Counter(word for word in _WORD.findall(_QUOTED.sub(" ", text)) if word not in own)


@cache
def _keywords() -> dict[str, frozenset[str]]:
    text = (files("repotune.evaluate.own_code") / "keywords.toml").read_text(encoding="utf-8")
    words = {language: frozenset(each.split()) for language, each in tomllib.loads(text).items()}
    return words | {"SQL": words["SQL"] | {word.lower() for word in words["SQL"]}}
