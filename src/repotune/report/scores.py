"""The scores as a section: each measure a small table with a dot and its whiskers for every contestant."""

from __future__ import annotations

from collections.abc import Callable

from repotune.report.content import Section, Table
from repotune.report.inputs import Json
from repotune.report.numbers import interval, percent, plain
from repotune.report.plots import axis, nice_scale, strip

CONTESTANTS = {"model": "Model", "ngram": "n-gram", "base": "Base", "untrained": "Untrained"}
_KINDS = {"line": "Rest of a line", "block": "Block of lines"}
_MEASURES = {"exact_match": "exact", "edit_similarity": "edit similarity"}

Write = Callable[[float], str]


def scores_section(results: Json) -> Section:
    """Likelihood and infilling of held-out files with 95 % intervals, beside the n-gram and what it began from."""
    text = (
        "All contestants get the same tokenizer and the same held-out files; the network also sees what follows a "
        "hole. The n-gram counts every sequence of the training tokens and of the file so far. Answers are greedy; a "
        "line is cut at its end, a block after as many lines as were taken out. Intervals are 95 %, clustered by file."
    )
    tables = [_bits(results["likelihood"])]
    for kind, measured in results["infilling"].items():
        for measure, name in _MEASURES.items():
            tables.append(_share(f"{_KINDS[kind]}: {name}", measured, measure))
    tables.append(_differences(results["differences"]))
    if results.get("languages"):
        tables.append(_languages(results["languages"]))
    return Section("scores", "How good it is", text, tables=tuple(tables))


def _bits(likelihood: Json) -> Table:
    any_ = next(iter(likelihood.values()))
    caption = f"Bits per byte, fewer is better ({any_['bytes']:,} bytes of {any_['files']:,} files)"
    return _whiskers(caption, {name: of["bits_per_byte"] for name, of in likelihood.items()}, {}, plain)


def _share(caption: str, measured: Json, measure: str) -> Table:
    items = {name: of["items"] for name, of in measured.items()}
    return _whiskers(caption, {name: of[measure] for name, of in measured.items()}, items, percent)


def _whiskers(caption: str, scores: Json, items: Json, write: Write) -> Table:
    scale = nice_scale([n for s in scores.values() for n in s.values() if n is not None], most_ticks=4, zero=True)
    names = [name for name in CONTESTANTS if name in scores]
    rows, strips = [], []
    for name in names:
        score = scores[name]
        said = (CONTESTANTS[name], write(score["value"]), interval(score, write))
        rows.append((*said, f"{items[name]:,}") if items else said)
        title = f"{said[0]}: {said[1]}, 95 % interval {said[2]}"
        strips.append(strip(score["value"], score["low"], score["high"], scale, name == "model", title))
    columns = ("", "Score", "95 % interval", "Items") if items else ("", "Score", "95 % interval")
    return Table(caption, columns, rows, strips, axis(scale, lambda tick: _tick(tick, write)))


def _tick(value: float, write: Write) -> str:
    return percent(value, 0) if write is percent else f"{value:g}"


def _differences(differences: Json) -> Table:
    rows = []
    for opponent, measured in differences.items():
        for part, scores in measured.items():
            for measure, score in scores.items():
                bits = measure == "bits_per_byte"
                name = "bits per byte" if bits else f"{_KINDS[part].lower()}, {_MEASURES[measure]}"
                write: Write = plain if bits else percent
                told = _told_apart(score, fewer_is_better=bits)
                rows.append((f"{CONTESTANTS[opponent]}, {name}", write(score["value"]), interval(score, write), told))
    return Table("Model minus opponent, pair by pair", ("", "Difference", "95 % interval", "Model is"), rows)


def _told_apart(score: Json, fewer_is_better: bool) -> str:
    if score["low"] is None or score["low"] <= 0 <= score["high"]:
        return "not told apart"
    return "better" if (score["value"] < 0) == fewer_is_better else "worse"


def _languages(languages: Json) -> Table:
    rows = []
    for language, kinds in languages.items():
        cells = []
        for kind, measure in (("line", "exact_match"), ("block", "edit_similarity")):
            of = kinds.get(kind)
            cells += [percent(of[name][measure]["value"]) if of else "–" for name in ("model", "ngram")]
            cells.append(f"{of['model']['items']:,}" if of else "0")
        rows.append((language, *cells))
    columns = ("Language", "Lines exact", "n-gram", "Items", "Blocks alike", "n-gram", "Items")
    return Table("By language (few items each: read with care)", columns, rows)
