"""Near-duplicates side by side: the largest clusters and the pairs least alike, with the lines in which they differ.

Both texts come from `documents`, so they are what the corpus holds or would have held. What is shown is drawn among
equals by `draw`, never by the order of reading.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from typing import Any

from repotune.corpus.engines import Engine
from repotune.corpus.showcase.excerpts import cut, safe, safe_name, split_lines

_LARGEST, _LEAST_ALIKE = 3, 3
_ROWS = 24
_CONTEXT = 2
_MOST_COMPARED = 2000  # lines of a side: difflib takes quadratic time, and the first differences are enough

# A cluster is shown once: by the file drawn first, or by the one least like what is kept.
_PAIRS = """
WITH alike AS (
    SELECT near.document, near.kept, edges.similarity, d.draw,
           count(*) OVER (PARTITION BY near.kept) + 1 AS files,
           row_number() OVER (PARTITION BY near.kept ORDER BY d.draw, near.document) AS by_draw,
           row_number() OVER (PARTITION BY near.kept ORDER BY edges.similarity, d.draw, near.document) AS by_likeness
    FROM near JOIN edges ON near.document = edges.document AND near.kept = edges.other
    JOIN documents AS d ON near.document = d.document
), large AS (
    SELECT *, row_number() OVER (ORDER BY files DESC, draw, document) AS place FROM alike WHERE by_draw = 1
), unlike AS (
    SELECT alike.*, row_number() OVER (ORDER BY alike.similarity, alike.draw, alike.document) AS place
    FROM alike LEFT JOIN (SELECT kept FROM large WHERE place <= {largest}) AS shown ON alike.kept = shown.kept
    WHERE shown.kept IS NULL AND alike.by_likeness = 1
)
SELECT 'largest' AS why, place, document, kept, similarity, files FROM large WHERE place <= {largest}
UNION ALL
SELECT 'least alike' AS why, place, document, kept, similarity, files FROM unlike WHERE place <= {least}
"""
_COUNTED = "SELECT count(DISTINCT kept) AS clusters, count(*) AS dropped FROM near"
# By their numbers: a join may take all texts into memory to find these few.
_TEXTS = "SELECT document, repository, path, language, committed, text FROM documents WHERE document IN ({numbers})"


def likenesses(engine: Engine) -> dict[str, Any]:
    """How many clusters there are, how many files went, and the pairs to look at. Needs `near` and `edges`."""
    engine.sql("pairs_shown", _PAIRS.format(largest=_LARGEST, least=_LEAST_ALIKE))
    pairs = engine.collect("SELECT * FROM pairs_shown ORDER BY why, place").to_pylist()
    shown = {number for pair in pairs for number in (pair["document"], pair["kept"])}
    numbers = ", ".join(map(str, sorted(shown))) or "NULL"
    texts = {row["document"]: row for row in engine.collect(_TEXTS.format(numbers=numbers)).to_pylist()}
    return {
        **engine.collect(_COUNTED).to_pylist()[0],
        "pairs": [_pair(pair, texts[pair["kept"]], texts[pair["document"]]) for pair in pairs],
    }


def _pair(pair: dict[str, Any], kept: dict[str, Any], dropped: dict[str, Any]) -> dict[str, Any]:
    sides = [split_lines(safe(row["text"], row["path"], row["language"])) for row in (kept, dropped)]
    return {
        "why": pair["why"],
        "files": pair["files"],
        "similarity": round(pair["similarity"], 4),
        "kept": _named(kept, len(sides[0])),
        "dropped": _named(dropped, len(sides[1])),
        "rows": list(differing(*sides)),
    }


def _named(row: dict[str, Any], lines: int) -> dict[str, Any]:
    names = {name: safe_name(row[name]) for name in ("repository", "path")}
    return {**names, "committed": row["committed"][:10], "lines": lines}


def differing(kept: Sequence[str], dropped: Sequence[str]) -> Iterator[dict[str, Any] | None]:
    """The first _ROWS rows in which two texts differ, with some context: each side's line and its number, or null.

    A null row stands for equal lines that are left out.
    """
    start = _agreeing(kept, dropped)
    first = max(0, start - _CONTEXT)
    left, right = (side[first : first + _MOST_COMPARED] for side in (kept, dropped))
    rows = 0
    for number, group in enumerate(difflib.SequenceMatcher(None, left, right).get_grouped_opcodes(_CONTEXT)):
        if number:
            yield None
        for _, left_from, left_to, right_from, right_to in group:
            for place in range(max(left_to - left_from, right_to - right_from)):
                if rows == _ROWS:
                    return
                rows += 1
                yield {
                    "kept": _line(left, left_from + place, left_to, first),
                    "dropped": _line(right, right_from + place, right_to, first),
                }


def _line(side: Sequence[str], place: int, end: int, first: int) -> dict[str, Any] | None:
    return {"line": first + place + 1, "text": cut(side[place])} if place < end else None


def _agreeing(first: Sequence[str], second: Sequence[str]) -> int:
    """How many lines at the beginning are equal."""
    return next(
        (place for place, (a, b) in enumerate(zip(first, second, strict=False)) if a != b),
        min(len(first), len(second)),
    )
