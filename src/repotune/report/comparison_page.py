"""A comparison on a page of its own, comparison.html, and the same as comparison.md: from comparison.json and
samples.jsonl alone, of models on a team's own code or on a benchmark."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from repotune.core.errors import UserError
from repotune.report.content import Figure, Section, Table
from repotune.report.inputs import Json
from repotune.report.numbers import interval, percent, plain, short_number, signless
from repotune.report.plots import axis, nice_scale, strip
from repotune.report.scores import KINDS
from repotune.report.writing import fitting, write_page

_PARTS = {"likelihood": "Whole files", "all": "All kinds", **KINDS, "later": "Later lines"}
_MEASURES = {
    "bits_per_byte": "Bits per byte",
    "exact_match": "Exact answers",
    "edit_similarity": "Edit similarity",
    "identifier_f1": "Identifier F1",
}
_TOLD = {"better": "better", "worse": "worse", "not told apart": "·"}
_HOW = (
    "Each dot is the new model minus the old one, taken item by item; the line spans 95 % of {resamples:,} resamples "
    "of whole {clusters}, and where it leaves out zero, so must the analytic interval for a difference to be told. "
    "Where no answer differs it says what so few {clusters} may hide. · stands for what nobody can tell."
)
_RULE = (
    "Of each kind the items whose answers differ most in their scores: where the models part, not how they usually do."
)
_MOST_SAMPLES, _OF_A_KIND = 12, 2
_LINES_AROUND = 4


def build_comparison_page(comparison: Path, folder: Path) -> None:
    """Writes comparison.html and comparison.md of the folder `comparison` into `folder`.

    Raises UserError where one of its files is absent, damaged or lacks a key.
    """
    record, samples = _read(comparison)
    with fitting():
        said = comparison_content(record, samples)
    write_page(folder, "comparison", said)


def _read(folder: Path) -> tuple[Json, list[Json]]:
    try:
        record = json.loads((folder / "comparison.json").read_text(encoding="utf-8"))
        # Code may hold what str.splitlines takes for a line's end, a line feed alone ends a sample.
        lines = (folder / "samples.jsonl").read_text(encoding="utf-8").split("\n")
        return record, [json.loads(line) for line in lines if line]
    except (OSError, ValueError) as error:
        raise UserError(
            f"There is no whole comparison in {folder}: {error}.", "repotune evaluate compare OLD NEW makes one"
        ) from error


def comparison_content(record: Json, samples: Sequence[Json]) -> dict[str, Any]:
    """What the templates `comparison` say."""
    return {
        "name": " and ".join(record["models"]),
        "verdict": record["verdict"],
        "figures": _figures(record),
        "sections": [_difference_section(record, opponent) for opponent in record["differences"]] + [_models(record)],
        "rule": _RULE,
        "samples": list(_samples(record, samples)) if "likelihood" in record else [],
    }


def _figures(record: Json) -> list[Figure]:
    """The measure that says most, of everyone."""
    if "likelihood" in record:
        scores = {name: of["bits_per_byte"] for name, of in record["likelihood"].items()}
        write: Callable[[float], str] = plain
        label = "bits per byte of whole files"
    else:
        scores = {name: of["1"] for name, of in record["pass_at_k"].items()}
        write, label = percent, f"pass@1 of {record['benchmark']}"
    return [
        Figure(write(score["value"]), f"{name}: {label}", f"95 %: {interval(score, write)}")
        for name, score in scores.items()
    ]


def _difference_section(record: Json, opponent: str) -> Section:
    parts = record["differences"][opponent]
    measures = list(dict.fromkeys(measure for of in parts.values() for measure in of))
    tables = [_differences(measure, parts) for measure in measures]
    of = record.get("by_language", {}).get(opponent, {})
    if len(of) > 1:
        tables += [_by_language(measure, of) for measure in ("likelihood", "exact_match")]
    clusters = "files" if "likelihood" in record else "problems"
    text = _HOW.format(resamples=record["resamples"], clusters=clusters)
    if len(record["differences"]) > 1:
        text += " What is told is corrected for several comparisons with one model (Holm)."
    place = list(record["differences"]).index(opponent)
    return Section(f"differences-{place}", f"{opponent} beside {record['first']}", text, tables=tuple(tables))


def _differences(measure: str, parts: Json) -> Table:
    rows = [(_PARTS.get(part, part), of[measure]) for part, of in parts.items() if measure in of]
    return _dots(_caption(measure), rows)


def _by_language(measure: str, languages: Json) -> Table:
    rows = [(language, of[measure]) for language, of in languages.items() if measure in of]
    name = "bits_per_byte" if measure == "likelihood" else measure
    return _dots(f"{_caption(name)}, by language", rows)


def _caption(measure: str) -> str:
    better = "fewer is better" if measure == "bits_per_byte" else "more is better"
    return f"{_MEASURES.get(measure, measure)}: the difference ({better})"


def _dots(caption: str, rows: Sequence[tuple[str, Json]]) -> Table:
    """A dot with its whiskers for each (name, difference); what is told apart stands out."""
    write = plain if any(of["fewer_is_better"] for _, of in rows) else percent
    ends = [of[end] for _, of in rows for end in ("value", "low", "high") if of[end] is not None]
    scale = nice_scale([0.0, *ends], most_ticks=4)
    cells, strips = [], []
    for name, of in rows:
        value, between = _signed(of["value"], write), interval(of, write)
        cells.append((name, value, between, _share(of["better"]), _TOLD[of["told"]], f"{of['items']:,}"))
        title = f"{name}: {value}, 95 % interval {between}"
        strips.append(strip(of["value"], of["low"], of["high"], scale, of["told"] != "not told apart", title))
    columns = ("", "Difference", "95 % interval", "Better in", "", "Items")
    return Table(caption, columns, cells, strips, axis(scale, lambda tick: _tick(tick, write)))


def _signed(value: float, write: Callable[[float], str]) -> str:
    return f"+{write(value)}" if value > 0 else write(value)


def _tick(value: float, write: Callable[[float], str]) -> str:
    return percent(value, 0) if write is percent else signless(f"{value:g}")


def _share(share: float | None) -> str:
    return "–" if share is None else percent(share, 0)


def _models(record: Json) -> Section:
    if "likelihood" not in record:
        return Section("models", "What was compared", f"{record['benchmark']}, seed {record['seed']}.")
    data = record["data"]
    text = (
        f"{data['items']:,} holes and {data['bytes']:,} bytes of {data['files']:,} held-out files; "
        f"{data['left_out']:,} more were left out because a model may have seen them. Each model reads the same bytes "
        "in its own vocabulary, and is compared as it is served: with its index where there is one."
    )
    rows = [
        (
            name,
            short_number(of["parameters"]),
            f"{of['context']:,}",
            f"{of['vocabulary']:,}",
            f"{of['index']['indexed_files']:,} files" if of["index"] else "–",
            of["contents"][:12],
        )
        for name, of in record["models"].items()
    ]
    table = Table("Models", ("", "Parameters", "Context", "Vocabulary", "Index", "Contents (SHA-256)"), rows)
    return Section("models", "What was compared", text, tables=(table,))


def _samples(record: Json, samples: Sequence[Json]) -> Iterator[dict[str, Any]]:
    """The items that differ most between the first and the last model, at most a few of each kind."""
    ends = record["first"], list(record["differences"])[-1]
    taken: dict[str, int] = {}
    for sample in sorted(samples, key=lambda sample: -_distance(sample, ends)):
        kind = sample["kind"]
        if _distance(sample, ends) and taken.get(kind, 0) < _OF_A_KIND and sum(taken.values()) < _MOST_SAMPLES:
            taken[kind] = taken.get(kind, 0) + 1
            yield _shown(sample)


def _distance(sample: Json, ends: tuple[str, str]) -> float:
    ours, theirs = (sample["scores"][name] for name in ends)
    return float(sum(abs(ours[measure] - theirs[measure]) for measure in ("exact_match", "edit_similarity")))


def _shown(sample: Json) -> dict[str, Any]:
    return {
        "title": f"{sample['path']} · {sample['language']}",
        "kind": KINDS[sample["kind"]],
        "before": "\n".join(sample["prefix"].split("\n")[-_LINES_AROUND:])[-600:],
        "expected": sample["expected"],
        "after": "\n".join(sample["suffix"].split("\n")[:_LINES_AROUND])[:400].rstrip(),
        "answers": [
            {"who": name, "score": _score(sample["scores"][name]), "text": answer.rstrip()}
            for name, answer in sample["answers"].items()
        ],
    }


def _score(scores: Json) -> str:
    return "exact" if scores["exact_match"] == 1 else f"{percent(scores['edit_similarity'], 0)} alike"
