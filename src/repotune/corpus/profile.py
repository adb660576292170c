"""Which documents are kept: rules over their signals, as published with StarCoder2.

A rule is data: the signal, on which side of which threshold a document is dropped, and for which languages. The first
rule that a document breaks is the one that is told. False drops on 640 files of the Python standard library: lines,
letters and encoded data none, generated 0.8 % (some really are).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from repotune.corpus.rows import with_reasons

STARCODER2 = "StarCoder2 (arXiv 2402.19173)"
CODEX = "Codex (arXiv 2107.03374), The Stack (arXiv 2211.15533)"
LINGUIST = "StarCoder2, linguist's generated.rb"


@dataclass(frozen=True)
class Rule:
    """A document is dropped when `signal` is below or above `threshold`, equals it (`is`), or holds a text (`any`).

    `only` and `without` limit the languages. A signal that is null, not measured for the language, drops nothing.
    """

    name: str
    signal: str
    side: Literal["below", "above", "is", "any"]
    threshold: float | bool | None
    source: str
    only: frozenset[str] = field(default=frozenset())
    without: frozenset[str] = field(default=frozenset())


MAX_BYTES = 1_000_000
"""Larger files are dropped before they are read (Codex, The Stack)."""

_MARKUP = frozenset({"HTML", "JSON", "Markdown", "Roff", "SMT", "TeX", "Text", "XML"})
_DATA = frozenset({"JSON", "Text", "YAML"})
_LOW_LEVEL = frozenset({"Assembly", "WebAssembly"})

RULES = (
    Rule("generated", "generated", "any", None, LINGUIST),
    Rule("mean_line", "mean_line", "above", 100, CODEX, without=_MARKUP),
    Rule("longest_line", "longest_line", "above", 1_000, CODEX, without=_MARKUP),
    Rule("longest_line", "longest_line", "above", 100_000, STARCODER2, only=_MARKUP),
    Rule("lines", "lines", "above", 100_000, STARCODER2, without=_DATA),
    Rule("lines", "lines", "above", 512, STARCODER2, only=_DATA),
    Rule("alphabetic_share", "alphabetic_share", "below", 0.25, STARCODER2, without=_LOW_LEVEL),
    Rule("alphanumeric_share", "alphanumeric_share", "below", 0.25, STARCODER2, only=_LOW_LEVEL),
    Rule("encoded_data", "longest_encoded", "above", 1_024, STARCODER2),
    Rule("encoded_data", "encoded_share", "above", 0.5, STARCODER2),
    Rule("xml_in_disguise", "xml_declaration", "is", True, STARCODER2, without=frozenset({"XML", "HTML"})),
    Rule("html_text", "visible_text", "below", 100, STARCODER2),
    Rule("html_text", "visible_share", "below", 0.2, STARCODER2),
    Rule("text_name", "prose_name", "is", False, STARCODER2),
)


def decide(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Marks the documents of `batch` (with `language` and `signals`) that break a rule."""
    reasons: list[tuple[str, str, str] | None] = [None] * batch.num_rows
    for rule in RULES:
        values = pc.struct_field(batch.column("signals"), rule.signal)
        broken = pc.and_(_breaks(rule, values), _applies(rule, batch.column("language")))
        for place in pc.indices_nonzero(pc.fill_null(broken, False)).to_pylist():
            reasons[place] = reasons[place] or (rule.name, _shown(values[place].as_py()), _limit(rule))
    return with_reasons(batch, reasons)


def _breaks(rule: Rule, values: pa.Array) -> pa.Array:
    if rule.side == "any":
        return pc.not_equal(values, "")
    compare = {"below": pc.less, "above": pc.greater, "is": pc.equal}[rule.side]
    return compare(values, rule.threshold)


def _applies(rule: Rule, languages: pa.Array) -> pa.Array:
    if rule.only:
        return pc.is_in(languages, value_set=pa.array(sorted(rule.only)))
    return pc.invert(pc.is_in(languages, value_set=pa.array(sorted(rule.without), pa.string())))


def _limit(rule: Rule) -> str:
    return {"any": "no marker of a generator", "is": f"not {str(rule.threshold).lower()}"}.get(
        rule.side, f"{'at least' if rule.side == 'below' else 'at most'} {rule.threshold}"
    )


def _shown(value: float | str | bool) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
