"""Files shown one by one on corpus.html: what rules left out, and near-duplicates side by side."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from repotune.core.console import size
from repotune.report.inputs import Json
from repotune.report.numbers import percent

_WHY = {"largest": "one of the largest groups", "least alike": "one of the least alike"}


@dataclass(frozen=True)
class Example:
    """A file that was left out; `text` is part of it from line `line`, where there is some to show."""

    title: str
    size: str
    reason: str
    line: int | None
    text: str


@dataclass(frozen=True)
class Reason:
    """A rule and some of what it left out."""

    rule: str
    said: str
    examples: tuple[Example, ...]


@dataclass(frozen=True)
class Line:
    """A line of one side; `changed` is what the other side does not have, `before` and `after` what it has too."""

    number: int
    before: str
    changed: str
    after: str

    @property
    def text(self) -> str:
        return self.before + self.changed + self.after


@dataclass(frozen=True)
class Row:
    """A line of each side, or of one only. A row without either stands for equal lines that are left out."""

    kept: Line | None
    dropped: Line | None

    @property
    def kind(self) -> str:
        if self.kept is None and self.dropped is None:
            return "gap"
        same = self.kept is not None and self.dropped is not None and self.kept.text == self.dropped.text
        return "same" if same else "differs"


@dataclass(frozen=True)
class Pair:
    """Two near-duplicates."""

    title: str
    said: str
    kept: str
    dropped: str
    rows: tuple[Row, ...]

    @property
    def as_diff(self) -> str:
        """The rows as a diff from what is kept to what is left out."""
        lines = []
        for row in self.rows:
            if row.kind == "same" and row.kept:
                lines.append("  " + row.kept.text)
            elif row.kind == "gap":
                lines.append("  …")
            else:
                lines += [f"{sign} {side.text}" for sign, side in (("-", row.kept), ("+", row.dropped)) if side]
        return "\n".join(lines)


def reasons(examples: Json) -> list[Reason]:
    """The commonest rules, each with its examples."""
    return [
        Reason(
            reason["rule"].replace("_", " "),
            f"{reason['files']:,} file{'s' * (reason['files'] != 1)}, {size(reason['bytes'])}",
            tuple(_example(reason["rule"], row) for row in reason["examples"]),
        )
        for reason in examples["reasons"]
    ]


def _example(rule: str, row: Json) -> Example:
    if rule.endswith("_duplicate"):
        alike = f"at least {row['threshold']} alike" if rule == "near_duplicate" else row["threshold"]
        reason = f"{row['value']} is kept in its place ({alike})"
    else:
        reason = _found(rule, row["value"]) + (f", where {row['threshold']} is asked" if row["threshold"] else "")
    excerpt = row["excerpt"] or {"line": None, "text": ""}
    return Example(_name(row), size(row["size"]), reason, excerpt["line"], excerpt["text"])


def _found(rule: str, value: str) -> str:
    """What was found, in words: the items of benchmarks are written as JSON."""
    if rule == "contamination":
        try:
            return "; ".join(f"{name}: {', '.join(items)}" for name, items in json.loads(value).items())
        except ValueError:  # cut short
            return value
    return value


def pairs(examples: Json) -> list[Pair]:
    """The near-duplicates, as they were chosen."""
    return [
        Pair(
            title=f"{_name(pair['dropped'])} for {_name(pair['kept'])}",
            said=f"{percent(pair['similarity'], 0)} alike, {pair['files']:,} files in the group; {_WHY[pair['why']]}",
            kept=_side(pair["kept"]),
            dropped=_side(pair["dropped"]),
            rows=tuple(_row(row) for row in pair["rows"]),
        )
        for pair in examples["near_duplicates"]["pairs"]
    ]


def _name(row: Json) -> str:
    return f"{row['repository']}/{row['path']}"


def _side(side: Json) -> str:
    changed = f", changed {side['committed']}" if side["committed"] else ""
    return f"{side['lines']:,} lines{changed}"


def _row(row: Json | None) -> Row:
    if row is None:
        return Row(None, None)
    return Row(_line(row["kept"], row["dropped"]), _line(row["dropped"], row["kept"]))


def _line(side: Json | None, opposite: Json | None) -> Line | None:
    """A line, and how far it agrees with the one opposite; without one, the whole line tells."""
    if side is None:
        return None
    if opposite is None:
        return Line(side["line"], side["text"], "", "")
    mine, other = side["text"], opposite["text"]
    before = _agreeing(mine, other)
    after = min(_agreeing(mine[::-1], other[::-1]), len(mine) - before, len(other) - before)
    end = len(mine) - after
    return Line(side["line"], mine[:before], mine[before:end], mine[end:])


def _agreeing(first: Sequence[str], second: Sequence[str]) -> int:
    """How many characters at the beginning are equal."""
    return next(
        (place for place, (a, b) in enumerate(zip(first, second, strict=False)) if a != b),
        min(len(first), len(second)),
    )
