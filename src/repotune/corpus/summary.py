"""summary.json: how many files and bytes passed each stage, what they are, and what dropped the others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from repotune.corpus.engines import Engine

# The stages in order, and the rules by which files leave at each; None is for all rules that no other stage has.
_STAGES: tuple[tuple[str, frozenset[str] | None], ...] = (
    (
        "selected",
        frozenset({"excluded", "opted_out", "language", "file_size"})
        | frozenset({"symbolic_link", "submodule", "special_file", "path_encoding"}),
    ),
    ("readable", frozenset({"unreadable", "binary", "encoding", "empty"})),
    ("licensed", frozenset({"licence"})),
    ("private", frozenset({"secret", "personal_data"})),
    ("in the profile", None),
    ("unseen by benchmarks", frozenset({"contamination"})),
    ("distinct", frozenset({"exact_duplicate"})),
    ("not alike", frozenset({"near_duplicate"})),
    ("chosen by examples", frozenset({"quality", "importance"})),
)

_DROPPED = """
SELECT rule, count(*) AS files, CAST(sum(size) AS BIGINT) AS bytes FROM all_dropped GROUP BY rule ORDER BY rule
"""
_FOUND = """
SELECT count(*) AS files, CAST(coalesce(sum(size), 0) AS BIGINT) AS bytes
FROM (SELECT size FROM documents UNION ALL SELECT size FROM dropped) AS found
"""
_KEPT = """
SELECT {column} AS name, count(*) AS files, CAST(sum(d.text_bytes) AS BIGINT) AS bytes
FROM documents AS d JOIN placed ON d.document = placed.document GROUP BY {column} ORDER BY {column}
"""
_REPLACED = """
SELECT r.kind AS name, count(*) AS files, CAST(sum(r.count) AS BIGINT) AS count
FROM replaced AS r JOIN placed ON r.document = placed.document GROUP BY r.kind ORDER BY r.kind
"""

Counts = dict[str, dict[str, int]]
"""By name: `files`, and `bytes` or the `count` of something."""


def dropped_by_rule(engine: Engine) -> Counts:
    """Files and bytes of `all_dropped` by rule, as they lie in the repositories."""
    return by_name(engine.collect(_DROPPED), "rule")


def summarise(engine: Engine, dropped: Counts) -> dict[str, Any]:
    """The contents of summary.json, once documents are `placed`."""
    found = engine.collect(_FOUND).to_pylist()[0]
    kept = {
        name: by_name(engine.collect(_KEPT.format(column=column)))
        for name, column in (("languages", "d.language"), ("licences", "d.licence"), ("splits", "placed.split"))
    }
    kept["replaced"] = by_name(engine.collect(_REPLACED))
    return {"funnel": funnel(found, dropped), **kept, "dropped": dropped}


def funnel(found: Mapping[str, int], dropped: Counts) -> list[dict[str, Any]]:
    """Files and bytes as they lie in the repositories, from all that is `found` to what is left after each stage."""
    here = dict(found)
    stages: list[dict[str, Any]] = [{"stage": "found", **here}]
    profile = dropped.keys() - frozenset[str]().union(*(rules for _, rules in _STAGES if rules))
    for stage, named in _STAGES:
        rules = (profile if named is None else named) & dropped.keys()
        here = {unit: here[unit] - sum(dropped[rule][unit] for rule in rules) for unit in here}
        stages.append({"stage": stage, **here})
    return stages


def top_reasons(dropped: Counts) -> str:
    """The commonest rules in words, for a person."""
    ordered = sorted(dropped.items(), key=lambda item: (-item[1]["files"], item[0]))[:4]
    named = ", ".join(f"{rule.replace('_', ' ')} {counts['files']}" for rule, counts in ordered)
    total = sum(counts["files"] for counts in dropped.values())
    return f"{total} are dropped ({named})" if dropped else "none are dropped"


def by_name(table: pa.Table, key: str = "name") -> Counts:
    """The rows of `table` by their column `key`."""
    return {row.pop(key): row for row in table.to_pylist()}
