"""Takes long content that nobody writes by hand out of HTML and CSS, so that the rest stays valid.

Replit's talk of 2023 names the step ("HTML and CSS: long content stripped") and gives no numbers; these are ours.
Without it a page with one inlined font or bundle is dropped whole, by its longest line or as encoded data.
"""

from __future__ import annotations

import re

import pyarrow as pa

from repotune.corpus.rows import with_columns

LONG_DATA = 256
"""Characters of a data: URI or of an SVG path beyond which it is emptied; an icon drawn by hand is shorter."""
LONG_BLOCK = 10_000
"""Characters of an inline script or style beyond which it is emptied: bundles, not what a page's author wrote."""

_PAGES = frozenset({"HTML", "Svelte", "Vue"})
_SHEETS = frozenset({"CSS", "Less", "SCSS"})

# What is emptied begins after a match of the first pattern, and ends before what its group says.
_BLOCK = re.compile(r"<(script|style)\b[^<>]*>", re.IGNORECASE)
_DATA = re.compile(r"""(["'(])\s*data:[\w.+/-]{0,100}(?:;[\w.+=-]{0,100}){0,5},""", re.IGNORECASE)
_SHAPE = re.compile(r"""(?<=\s)(?:d|points)=(["'])""")
_CLOSERS = {
    "script": re.compile(r"</script\b", re.IGNORECASE),
    "style": re.compile(r"</style\b", re.IGNORECASE),
    '"': re.compile('"'),
    "'": re.compile("'"),
    "(": re.compile(r"\)"),
}


def strip(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Strips `text` by `language`. Adds `stripped`, the characters that went; null for languages not looked at."""
    languages = batch.column("language").to_pylist()
    taken: list[int | None] = [None] * len(languages)
    if (_PAGES | _SHEETS).isdisjoint(languages):
        return with_columns(batch, stripped=pa.array(taken, pa.int64()))
    texts = batch.column("text").to_pylist()
    for place, language in enumerate(languages):
        if language in _PAGES | _SHEETS:
            before, texts[place] = texts[place], stripped(texts[place], language)
            taken[place] = len(before) - len(texts[place])
    return with_columns(batch, text=pa.array(texts, pa.string()), stripped=pa.array(taken, pa.int64()))


def stripped(text: str, language: str) -> str:
    """`text` without its long data, and of a page without long inline scripts, styles and shapes."""
    if language in _PAGES:
        text = _emptied(text, _BLOCK, LONG_BLOCK)
        text = _emptied(text, _SHAPE, LONG_DATA)
    if language in _PAGES | _SHEETS:
        text = _emptied(text, _DATA, LONG_DATA)
    return text


def _emptied(text: str, opener: re.Pattern[str], longest: int) -> str:
    """`text` without what stands for more than `longest` characters between `opener` and what closes it."""
    kept, copied, position = [], 0, 0
    never: set[str] = set()  # closers that do not come any more: not looked for again, so time stays linear
    while match := opener.search(text, position):
        position, kind = match.end(), match[1].lower()
        closing = None if kind in never else _CLOSERS[kind].search(text, position)
        if closing is None:
            never.add(kind)
        elif closing.start() - position > longest:
            kept.append(text[copied:position])
            copied = position = closing.start()
    return "".join([*kept, text[copied:]])
