"""The sections of corpus.html: what a team wants to see of a corpus before it trusts a model."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from repotune.core.console import size
from repotune.corpus.licences.kinds import KINDS, kind_of
from repotune.report.content import Drawing, Figure, Section, Table, funnel, left_out, shares
from repotune.report.histogram import Bins, histogram
from repotune.report.inputs import Json
from repotune.report.numbers import percent, short_number, signless
from repotune.report.plots import Scale, axis, bar, strip

_KINDS = {"other": "other, or not on the SPDX list", "unknown": "unknown: none was found"}
_MOST_ITEMS = 6


def said_of(summary: Json) -> str:
    """The corpus in a sentence."""
    found, kept = summary["funnel"][0], summary["funnel"][-1]
    text = sum(split["bytes"] for split in summary["splits"].values())
    languages = len(summary["languages"])
    kinds = _kinds(summary["licences"])
    licensed = ", ".join(
        f"{_about(kinds[kind]['bytes'] / text)} {kind}" for kind in KINDS if text and kinds[kind]["bytes"]
    )
    return (
        f"{kept['files']:,} of {found['files']:,} files are kept: {size(text)} of text in {languages} "
        f"language{'s' * (languages != 1)}. By licence, {licensed or 'nothing'}."
    )


def headline(summary: Json, examples: Json) -> list[Figure]:
    """The few figures that matter."""
    found, kept = summary["funnel"][0], summary["funnel"][-1]
    replaced, benchmarks = summary["replaced"], summary["contamination"]
    alike = sum(summary["dropped"].get(rule, {"files": 0})["files"] for rule in ("near_duplicate", "exact_duplicate"))
    figures = [
        Figure(percent(kept["files"] / max(1, found["files"]), 0), "of the files are kept", f"{kept['files']:,} files"),
        Figure(
            f"{alike:,}",
            "copies were left out",
            f"{examples['near_duplicates']['dropped']:,} of them only alike, not equal",
        ),
        Figure(
            f"{sum(of['count'] for of in replaced.values()):,}",
            "secrets and personal data replaced",
            f"in {len(replaced)} kinds" if replaced else "none was found in what is kept",
        ),
    ]
    searched = sum(of["searched"] for of in benchmarks.values())
    if searched:
        items = sum(of["items"] for of in benchmarks.values())
        figures.append(Figure(f"{items:,}", "items of benchmarks found and left out", f"{searched:,} were looked for"))
    return figures


def sections(summary: Json, examples: Json) -> list[Section]:
    """All of it but the examples."""
    found = [
        Section(
            "funnel",
            "From what was found to what is kept",
            "Each stage leaves out what its rules name. Every file that is left out is in dropped.parquet with its "
            "reason; repotune corpus why PATH tells it.",
            tables=(
                funnel("What is left after each stage", summary["funnel"]),
                left_out(summary["dropped"]),
                shares("Languages", "Language", summary["languages"]),
                shares("Splits", "Split", summary["splits"]),
            ),
        ),
        _licences(summary["licences"]),
        _sizes(examples["sizes"]),
        _cleaned(summary),
    ]
    if examples["mixture"]:
        found.append(_mixture(examples["mixture"]))
    if examples["signals"]:
        found.append(_signals(examples["signals"]))
    return found


def _kinds(licences: Mapping[str, Json]) -> dict[str, Counter[str]]:
    summed = {kind: Counter[str]() for kind in KINDS}
    for name, of in licences.items():
        summed[kind_of(name)].update({unit: of[unit] for unit in ("files", "bytes")})
    return summed


def _licences(licences: Mapping[str, Json]) -> Section:
    text = (
        "Of a choice of licences the one that asks least counts; of licences found together, the one that asks most. "
        "Permissive ones are those of the Blue Oak Council's list; unknown is what has none that is recognised."
    )
    total = sum(of["bytes"] for of in licences.values()) or 1
    kinds = {_KINDS.get(kind, kind): of for kind, of in _kinds(licences).items()}
    rows = [(name, f"{of['files']:,}", size(of["bytes"]), percent(of["bytes"] / total)) for name, of in kinds.items()]
    plots = [bar(of["bytes"] / total, f"{name}: {percent(of['bytes'] / total)}") for name, of in kinds.items()]
    by_kind = Table("By what they ask", ("Kind", "Files", "Size", "Share"), rows, plots)
    return Section("licences", "Licences", text, tables=(by_kind, shares("By name", "Licence", licences)))


def _sizes(sizes: Json) -> Section:
    bins = Bins(sizes["edges"], sizes["files"], [0] * len(sizes["files"]), linear=False)
    files = sum(sizes["files"])
    drawing = Drawing(
        "Files by size",
        histogram(bins, title=f"{files:,} files by size of their text", label=_size_tick),
    )
    languages = sizes["languages"]
    logs = [math.log10(max(1, of[which])) for of in languages for which in ("low", "high")] or [0.0]
    ends = math.floor(min(logs)), max(math.ceil(max(logs)), math.floor(min(logs)) + 1)
    scale = Scale(*ends, tuple(range(ends[0], ends[1] + 1)))
    rows, strips = [], []
    for of in languages:
        low, median, high = (math.log10(max(1, of[which])) for which in ("low", "median", "high"))
        rows.append(
            (of["language"], f"{of['files']:,}", size(of["median"]), f"{size(of['low'])} to {size(of['high'])}")
        )
        strips.append(strip(median, low, high, scale, False, f"{of['language']}: {size(of['median'])}"))
    table = Table(
        "By language: the dot is the median, the line spans nine files in ten",
        ("Language", "Files", "Median", "Nine in ten"),
        rows,
        strips,
        axis(scale, lambda power: _size_tick(10**power)),
    )
    return Section("sizes", "How large the files are", "Of what is kept, as text in UTF-8.", (drawing,), (table,))


def _cleaned(summary: Json) -> Section:
    replaced = sorted(summary["replaced"].items(), key=lambda item: (-item[1]["count"], item[0]))
    rows = [(kind, f"{of['files']:,}", f"{of['count']:,}") for kind, of in replaced]
    tables = [Table("Replaced in what is kept, by kind", ("Placeholder", "Files", "Times"), rows)] if rows else []
    benchmarks = summary["contamination"]
    found = [
        (name, f"{of['searched']:,}", f"{of['items']:,}", f"{of['files']:,}", _some(of["found"]))
        for name, of in benchmarks.items()
    ]
    if found:
        columns = ("Benchmark", "Looked for", "Found", "Files left out", "Which")
        tables.append(Table("Items of benchmarks", columns, found))
    dropped = {rule: summary["dropped"].get(rule, {"files": 0})["files"] for rule in ("secret", "personal_data")}
    text = (
        f"{'Secrets and personal data stand as placeholders such as <EMAIL>. ' if rows else 'Nothing was replaced. '}"
        f"{dropped['secret']:,} files were left out for secrets and {dropped['personal_data']:,} for personal data. "
        + ("A file that holds an item of a benchmark is left out whole." if found else "No benchmark was looked for.")
    )
    return Section("cleaned", "What must not be learnt", text, tables=tuple(tables))


def _some(items: Sequence[str]) -> str:
    rest = len(items) - _MOST_ITEMS
    return ", ".join(items[:_MOST_ITEMS]) + (f" and {rest:,} more" if rest > 0 else "") or "–"


def _mixture(mixture: Mapping[str, Sequence[Json]]) -> Section:
    tables = []
    for caption, column, key in (
        ("By language", "Language", "languages"),
        ("By repository", "Repository", "repositories"),
    ):
        total = sum(of["epoch_bytes"] for of in mixture[key]) or 1
        rows = [
            (of["name"], size(of["bytes"]), size(of["epoch_bytes"]),
             f"{signless(format(of['epoch_bytes'] / max(1, of['bytes']), '.2f'))} ×")
            for of in mixture[key]
        ]  # fmt: skip
        plots = [bar(of["epoch_bytes"] / total, percent(of["epoch_bytes"] / total)) for of in mixture[key]]
        tables.append(Table(caption, (column, "Text", "An epoch", "Seen"), rows, plots))
    text = "An epoch sees some files more often than others, by the weights of the mixture and by importance."
    return Section("mixture", "What an epoch is made of", text, tables=tuple(tables))


def _signals(signals: Sequence[Json]) -> Section:
    text = (
        "The rules with a number for a limit that left out the most files. Bars are files: those that passed all "
        "rules, and on top of them those that this rule left out. What another rule left out is in neither."
    )
    drawings, rows = [], []
    for of in signals:
        limit = _limit(of)
        passed, broken = sum(of["passed"]), sum(of["broken"])
        name = of["rule"].replace("_", " ")
        rows.append((name, limit, f"{passed:,}", f"{broken:,}", of["source"] or "–"))
        title = f"{name}: {passed:,} files passed and {broken:,} were left out; {limit} is asked"
        bins = Bins(of["edges"], of["passed"], of["broken"], of["scale"] == "linear")
        label = (lambda tick: percent(tick, 0)) if bins.linear else short_number
        drawings.append(
            Drawing(
                f"{name}, in {of['unit']}" if of["unit"] and not bins.linear else name,
                histogram(bins, title=title, label=label, threshold=float(of["threshold"]), limit=limit),
            )
        )
    table = Table("The same in numbers", ("Rule", "Asked", "Passed", "Left out", "As published"), rows)
    return Section("signals", "What rules look at", text, tuple(drawings), (table,))


def _about(share: float) -> str:
    """A share without digits; what is there is never said to be nothing, nor what is not whole to be all."""
    if share < 0.01:
        return "under 1 %"
    return "over 99 %" if 0.99 < share < 1 else percent(share, 0)


def _limit(of: Json) -> str:
    shown = percent(of["threshold"], 0) if of["scale"] == "linear" else f"{of['threshold']:,}"
    return f"at {'most' if of['side'] == 'above' else 'least'} {shown}"


def _size_tick(count: float) -> str:
    return size(count).replace(".0 ", " ")
