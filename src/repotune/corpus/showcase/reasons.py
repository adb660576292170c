"""Files that were dropped, some for each of the commonest rules, with the text that a rule saw where it may be shown.

Dropped files have no text in the tables, so those shown are read once more, by the very steps that read them for the
corpus. What is dropped among these (for its licence, a secret, an opt-out) is dropped again, and so never shown.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any

import numpy as np
import pyarrow as pa

from repotune.corpus.contamination import Decontaminate, Index, grams_of, load_index
from repotune.corpus.engines import Engine
from repotune.corpus.engines.steps import Step, run_steps
from repotune.corpus.profiles import Decide
from repotune.corpus.showcase.excerpts import (
    WIDEST,
    Excerpt,
    cut,
    excerpt,
    first_line,
    longest_line,
    safe,
    safe_name,
    split_lines,
)
from repotune.corpus.signals.annotate import Annotate

_MOST_RULES = 10
_EXAMPLES = 3
_BY_LINE = ("mean_line", "longest_line", "longest_encoded", "minified", "encoded_share")  # seen in the longest line
_WINDOW = 8

# Drawn by a hash that both engines have. Rules are compared by theirs: a profile may name them in any characters.
_CHOSEN = """
SELECT repository, path, rule, value, threshold, size, place FROM (
    SELECT *, row_number() OVER (
        PARTITION BY rule ORDER BY md5(concat('{seed} ', repository, '/', path)), repository, path, value, size
    ) AS place
    FROM all_dropped WHERE md5(rule) IN ({rules})
) AS drawn
WHERE place <= {most}
"""
_LISTED = """
SELECT l.* FROM listed AS l JOIN (
    SELECT DISTINCT repository, path FROM reasons_shown WHERE rule NOT LIKE '%duplicate'
) AS shown
ON l.repository = shown.repository AND l.path = shown.path ORDER BY l.document
"""

Place = tuple[str, str]
"""A repository and a path."""


def reasons(
    engine: Engine, steps: Sequence[Step], dropped: Mapping[str, Mapping[str, int]], seed: int
) -> list[dict[str, Any]]:
    """The commonest rules by files `dropped`, each with some of what it dropped. Needs `all_dropped` and `listed`."""
    rules = sorted(dropped, key=lambda rule: (-dropped[rule]["files"], rule))[:_MOST_RULES]
    if not rules:
        return []
    hashes = ", ".join(f"'{hashlib.md5(rule.encode(), usedforsecurity=False).hexdigest()}'" for rule in rules)
    engine.sql("reasons_shown", _CHOSEN.format(seed=seed, rules=hashes, most=_EXAMPLES))
    chosen = engine.collect("SELECT * FROM reasons_shown ORDER BY rule, place").to_pylist()
    texts = _texts(engine.collect(_LISTED), steps)
    look = _Look(steps)
    return [
        {
            "rule": cut(rule),
            **{unit: dropped[rule][unit] for unit in ("files", "bytes")},
            "examples": [_example(row, texts, look) for row in chosen if row["rule"] == rule],
        }
        for rule in rules
    ]


def _texts(listed: pa.Table, steps: Sequence[Step]) -> dict[Place, tuple[str, str]]:
    """The texts of `listed` and their languages, as they were before anything was measured of them."""
    reading = list(takewhile(lambda step: not isinstance(step, Annotate), steps))
    texts: dict[Place, tuple[str, str]] = {}
    times: Counter[Place] = Counter()
    for batch in listed.combine_chunks().to_batches():
        for row in run_steps(batch, reading)[0].select(["repository", "path", "language", "text"]).to_pylist():
            texts[row["repository"], row["path"]] = row["text"], row["language"]
        times.update(zip(batch.column("repository").to_pylist(), batch.column("path").to_pylist(), strict=True))
    # A data set may hold two files of one name; which of them was dropped is not known here.
    return {place: text for place, text in texts.items() if times[place] == 1}


def _example(row: Mapping[str, Any], texts: Mapping[Place, tuple[str, str]], look: _Look) -> dict[str, Any]:
    found = texts.get((row["repository"], row["path"]))
    shown = None
    if found and not row["rule"].endswith("_duplicate"):
        text, language = found
        lines = split_lines(safe(text, row["path"], language))
        shown = look.at(row["rule"], lines).as_json()
    return {
        "repository": safe_name(row["repository"]),
        "path": safe_name(row["path"]),
        "value": cut(safe(row["value"]).replace("\n", "␊"), 2 * WIDEST),
        "threshold": cut(safe(row["threshold"]).replace("\n", "␊"), 2 * WIDEST),
        "size": row["size"],
        "excerpt": shown,
    }


class _Look:
    """Finds the lines of a file in which its rule is seen best."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self._signals = {
            rule.name: rule.signal for step in steps if isinstance(step, Decide) for rule in step.profile.rules
        }
        self._index: Index | None = next(
            (load_index(step.paths) for step in steps if isinstance(step, Decontaminate)), None
        )

    def at(self, rule: str, lines: Sequence[str]) -> Excerpt:
        if rule == "contamination" and self._index is not None:
            return excerpt(lines, _densest(self._index, lines))
        return excerpt(lines, longest_line(lines) if self._signals.get(rule) in _BY_LINE else first_line(lines))


def _densest(index: Index, lines: Sequence[str]) -> int:
    """The place where the most word sequences of benchmarks stand."""
    starts = range(0, max(1, len(lines) - _WINDOW // 2), _WINDOW // 2)
    texts = ("\n".join(lines[start : start + _WINDOW]).encode() for start in starts)
    counts = [int(np.isin(grams_of(text), index.grams).sum()) for text in texts]
    return starts[counts.index(max(counts))] + _WINDOW // 4
