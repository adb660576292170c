"""Distributions as counts between edges: of the sizes of files, and of the signals that rules look at.

Bins are found by comparing with the edges, never by a logarithm: engines round those in their own ways.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from repotune.corpus.engines import Engine
from repotune.corpus.profiles import Profile, Rule
from repotune.corpus.signals.annotate import ALL

_SIGNALS = {signal.name: signal for signal in ALL}
_MOST_SIGNALS = 6
_MOST_LANGUAGES = 12
_MOST = 1e12  # a threshold beyond says that there is none
_SIZE_EDGES = [float(2**power) for power in range(6, 21)]  # 64 bytes to 1 MiB, beyond what a document may have
_A_DECADE = 6  # bins
_DECADES_BELOW, _DECADES_ABOVE = 3, 2
_QUANTILES = {"low": 5, "median": 50, "high": 95}

_SIZES = """
SELECT {bin} AS bin, count(*) AS files
FROM (SELECT d.text_bytes AS value FROM documents AS d JOIN placed ON d.document = placed.document) AS kept
GROUP BY {bin}
"""
_BY_LANGUAGE = """
WITH kept AS (
    SELECT d.language, d.text_bytes,
           row_number() OVER (PARTITION BY d.language ORDER BY d.text_bytes) AS place,
           count(*) OVER (PARTITION BY d.language) AS files
    FROM documents AS d JOIN placed ON d.document = placed.document
)
SELECT language, files, {quantiles} FROM kept GROUP BY language, files ORDER BY files DESC, language LIMIT {most}
"""
_QUANTILE = "max(CASE WHEN place = CAST(floor((files * {percent} + 99) / 100) AS BIGINT) THEN text_bytes END) AS {name}"
_PASSED = """
SELECT {number} AS number, {bin} AS bin, count(*) AS files
FROM (SELECT CAST(d.signals.{signal} AS DOUBLE) AS value FROM documents AS d WHERE {wanted}) AS measured
WHERE value IS NOT NULL GROUP BY {bin}
"""
# What a rule dropped is known by the value that it was dropped for.
_BROKEN = """
SELECT {number} AS number, {bin} AS bin, count(*) AS files
FROM (
    SELECT TRY_CAST(replace(value, '{signal} ', '') AS DOUBLE) AS value FROM dropped WHERE md5(rule) = '{rule}'
) AS broken
WHERE value IS NOT NULL GROUP BY {bin}
"""


def sizes(engine: Engine) -> dict[str, Any]:
    """The kept files by their bytes of text: all in bins, and of each language the median and where nine in ten lie."""
    counts = _filled(engine.collect(_SIZES.format(bin=_bin(_SIZE_EDGES))).to_pylist(), _SIZE_EDGES)
    quantiles = ", ".join(_QUANTILE.format(percent=percent, name=name) for name, percent in _QUANTILES.items())
    languages = engine.collect(_BY_LANGUAGE.format(quantiles=quantiles, most=_MOST_LANGUAGES)).to_pylist()
    return {"scale": "log", "edges": _SIZE_EDGES, "files": counts, "languages": languages}


def signals(engine: Engine, profile: Profile, dropped: Mapping[str, Mapping[str, int]]) -> list[dict[str, Any]]:
    """The signals whose rules have a number for a threshold, those first that dropped the most files.

    `passed` counts what came through the whole profile, in the languages the rule is for; `broken` what the rule
    dropped. What another rule dropped is in neither, for it was not measured further.
    """
    numeric = [rule for rule in profile.rules if rule.side in ("above", "below") and abs(float(rule.threshold)) < _MOST]
    ordered = sorted(numeric, key=lambda rule: -dropped.get(rule.name, {"files": 0})["files"])[:_MOST_SIGNALS]
    counts = {name: _counts(engine, query, ordered) for name, query in (("passed", _PASSED), ("broken", _BROKEN))}
    found = [
        _described(rule) | {name: of[number] for name, of in counts.items()} for number, rule in enumerate(ordered)
    ]
    return [each for each in found if any(each["passed"]) or any(each["broken"])]


def _counts(engine: Engine, query: str, rules: Sequence[Rule]) -> list[list[int]]:
    """For each of `rules` the counts of its bins by `query`, all in one answer."""
    if not rules:
        return []
    queries = [
        query.format(
            number=number,
            bin=_bin(_edges(rule)),
            signal=rule.signal,
            wanted=_wanted(rule),
            rule=hashlib.md5(rule.name.encode(), usedforsecurity=False).hexdigest(),
        )
        for number, rule in enumerate(rules)
    ]
    rows = engine.collect(" UNION ALL ".join(queries)).to_pylist()
    return [
        _filled([row for row in rows if row["number"] == number], _edges(rule)) for number, rule in enumerate(rules)
    ]


def _described(rule: Rule) -> dict[str, Any]:
    signal = _SIGNALS[rule.signal]
    return {
        "rule": rule.name[:80],
        "signal": signal.name,
        "unit": signal.unit,
        "side": rule.side,
        "threshold": rule.threshold,
        "scale": "linear" if _is_share(rule) else "log",
        "edges": _edges(rule),
        "source": rule.source[:160],
    }


def _edges(rule: Rule) -> list[float]:
    """Twenty equal bins for a share; else bins that grow evenly around the threshold, which is itself an edge."""
    threshold = float(rule.threshold)
    if _is_share(rule):
        return sorted({*(number / 20 for number in range(1, 20)), threshold})
    middle = abs(threshold) or 1.0
    powers = range(-_DECADES_BELOW * _A_DECADE, _DECADES_ABOVE * _A_DECADE + 1)
    return [float(f"{middle * 10 ** (power / _A_DECADE):.6g}") if power else middle for power in powers]


def _is_share(rule: Rule) -> bool:
    return _SIGNALS[rule.signal].kind == "share" and 0 <= float(rule.threshold) <= 1


def _bin(edges: Sequence[float]) -> str:
    """The number of edges that `value` has reached, in SQL; a value at the threshold has not gone beyond it."""
    cases = " ".join(f"WHEN value < CAST('{edge!r}' AS DOUBLE) THEN {number}" for number, edge in enumerate(edges))
    return f"CASE {cases} ELSE {len(edges)} END"


def _wanted(rule: Rule) -> str:
    """The languages that a rule is for, in SQL; their names are our own."""
    languages = ", ".join(f"'{name}'" for name in sorted(rule.only or rule.without))
    if not languages:
        return "TRUE"
    return f"d.language {'IN' if rule.only else 'NOT IN'} ({languages})"


def _filled(rows: Sequence[Mapping[str, int]], edges: Sequence[float]) -> list[int]:
    """Counts of all bins, one more than edges."""
    counts = [0] * (len(edges) + 1)
    for row in rows:
        counts[row["bin"]] = row["files"]
    return counts
