"""summary.json: how many files and bytes passed each stage, what they are, and what dropped the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from repotune.corpus.rows import Dropped

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


def summarise(found: int, found_bytes: int, dropped: Sequence[Dropped], kept: pa.Table) -> dict[str, Any]:
    """The contents of summary.json. The funnel and `dropped` count files as they lie in the repositories, the rest
    counts text; `kept` has a row per kept file with split, language, licence and size."""
    files, sizes = Counter(row.rule for row in dropped), Counter[str]()
    for row in dropped:
        sizes[row.rule] += row.size
    funnel = [{"stage": "found", "files": found, "bytes": found_bytes}]
    profile = files.keys() - frozenset[str]().union(*(rules for _, rules in _STAGES if rules))
    for stage, named in _STAGES:
        rules = profile if named is None else named
        found -= sum(files[rule] for rule in rules)
        found_bytes -= sum(sizes[rule] for rule in rules)
        funnel.append({"stage": stage, "files": found, "bytes": found_bytes})
    return {
        "funnel": funnel,
        "languages": _grouped(kept, "language"),
        "licences": _grouped(kept, "licence"),
        "splits": _grouped(kept, "split"),
        "replaced": _replaced(kept),
        "dropped": {rule: {"files": files[rule], "bytes": sizes[rule]} for rule in sorted(files)},
    }


def top_reasons(dropped: Sequence[Dropped]) -> str:
    """The commonest rules in words, for a person."""
    counts = Counter(row.rule for row in dropped)
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:4]
    named = ", ".join(f"{rule.replace('_', ' ')} {count}" for rule, count in ordered)
    return f"{len(dropped)} are dropped ({named})" if dropped else "none are dropped"


def _replaced(kept: pa.Table) -> dict[str, dict[str, int]]:
    """How many placeholders of each kind were put into how many files."""
    files, count = Counter[str](), Counter[str]()
    for row in kept.column("replaced").to_pylist():
        files.update(kind for kind, _ in row)
        count.update(dict(row))
    return {kind: {"files": files[kind], "count": count[kind]} for kind in sorted(files)}


def _grouped(kept: pa.Table, column: str) -> dict[str, dict[str, int]]:
    groups = kept.group_by(column).aggregate([("size", "count"), ("size", "sum")]).sort_by(column)
    return {row[column]: {"files": row["size_count"], "bytes": row["size_sum"]} for row in groups.to_pylist()}
