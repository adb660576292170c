"""The scores as a section: likelihood and exact answers as dots with whiskers, everything else as tables by kind."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from repotune.report.content import Section, Table
from repotune.report.inputs import Json
from repotune.report.numbers import interval, percent, plain
from repotune.report.plots import axis, nice_scale, strip

CONTESTANTS = {"served": "As served", "model": "Model", "ngram": "n-gram", "base": "Base", "untrained": "Untrained"}
KINDS = {
    "rest": "Rest of a line",
    "line": "Line",
    "block": "Block of lines",
    "body": "Function body",
    "arguments": "Call arguments",
    "imports": "Import",
    "nothing": "Nothing needed",
}
_MEASURES = {
    "exact_match": "Exact",
    "edit_similarity": "Edit similarity",
    "identifier_f1": "Identifier F1",
    "bits_per_byte": "Bits per byte",
}
# By language, the kinds that have the most items, each with the measure that tells most of it.
_BY_LANGUAGE = (
    ("rest", "exact_match", "Rests exact"),
    ("arguments", "exact_match", "Arguments exact"),
    ("block", "edit_similarity", "Blocks alike"),
)

_SERVED_TEXT = (
    "What an editor gets is the model with the index: what followed elsewhere in the training files, and earlier in "
    "the open file, is mixed into its probabilities. That is what is judged, and the model alone shows what the index "
    "brought. No held-out file is in the index, and the text of a hole is shown to nobody. "
)

Write = Callable[[float], str]


def scores_section(results: Json) -> Section:
    """Likelihood and infilling of held-out files with 95 % intervals, beside the n-gram and what it began from."""
    judged = results["judged"]
    text = (
        f"{_SERVED_TEXT if judged == 'served' else ''}"
        "All contestants get the same tokenizer and the same held-out files; the network also sees what follows a "
        "hole. The n-gram counts every sequence of the training tokens and of the file so far. Answers are greedy, "
        "trimmed as a server trims them, and cut where the hole ends in lines, or in brackets for arguments; where "
        "nothing is needed, nothing must be written. Identifier F1 compares the names used; bits per byte are those of "
        "the text taken out. Intervals are "
        f"95 %, clustered by file. {_later_text(results['later'])}"
    )
    infilling = results["infilling"]
    tables = [_bits(results["likelihood"], judged)]
    if infilling:
        tables += [_exact(infilling, judged), _other_measures(infilling, judged)]
    tables += [_differences(judged, opponent, measured) for opponent, measured in results["differences"].items()]
    if results["other_files"]:
        tables.append(_other_files(results["other_files"]))
    if results["later"]["items"]:
        tables.append(_later(results["later"], judged))
    if results["languages"]:
        tables.append(_languages(results["languages"], judged))
    return Section("scores", "How good it is", text, tables=tuple(tables))


def _bits(likelihood: Json, judged: str) -> Table:
    any_ = next(iter(likelihood.values()))
    caption = f"Bits per byte of whole files, fewer is better ({any_['bytes']:,} bytes of {any_['files']:,} files)"
    rows = [(_called(name, judged), name, likelihood[name]["bits_per_byte"], None) for name in _present(likelihood)]
    return _whiskers(caption, rows, plain, judged)


def _exact(infilling: Json, judged: str) -> Table:
    rows = [
        (
            f"{KINDS[kind]}: {_called(name, judged)}" if name != judged else KINDS[kind],
            name,
            of["exact_match"],
            of["items"],
        )
        for kind, measured in infilling.items()
        for name, of in measured.items()
        if "exact_match" in of
    ]
    ours = _in_a_sentence(_called(judged, judged)) if judged == "served" else "of the model"
    return _whiskers(f"Exact answers {ours}, and below them those of the others", rows, percent, judged)


def _whiskers(caption: str, scores: Iterable[tuple[str, str, Json, int | None]], write: Write, judged: str) -> Table:
    """A row for each (label, contestant, score, items)."""
    scores = list(scores)
    values = [n for _, _, score, _ in scores for n in score.values() if n is not None]
    scale = nice_scale(values, most_ticks=4, zero=True)
    rows, strips = [], []
    for label, name, score, items in scores:
        said = (label, write(score["value"]), interval(score, write))
        rows.append(said if items is None else (*said, f"{items:,}"))
        title = f"{label}: {said[1]}, 95 % interval {said[2]}"
        strips.append(strip(score["value"], score["low"], score["high"], scale, name == judged, title))
    columns = ("", "Score", "95 % interval", "Items")[: len(rows[0])]
    return Table(caption, columns, rows, strips, axis(scale, lambda tick: _tick(tick, write)))


def _tick(value: float, write: Write) -> str:
    return percent(value, 0) if write is percent else f"{value:g}"


def _other_measures(infilling: Json, judged: str) -> Table:
    measures = [measure for measure in _MEASURES if measure != "exact_match"]
    names = [name for name in (judged, "ngram", "base") if any(name in of for of in infilling.values())]
    rows = [
        (KINDS[kind], *(_value(measured.get(name), measure) for measure in measures for name in names))
        for kind, measured in infilling.items()
        if "identifier_f1" in measured[judged]
    ]
    columns = ((_MEASURES[measure] if name == judged else CONTESTANTS[name]) for measure in measures for name in names)
    return Table("The same holes by other measures (bits per byte: fewer is better)", ("", *columns), rows)


def _value(of: Json | None, measure: str) -> str:
    return _writer(measure)(of[measure]["value"]) if of and measure in of else "–"


def _differences(judged: str, opponent: str, measured: Json) -> Table:
    measures = [measure for measure in _MEASURES if any(measure in scores for scores in measured.values())]
    rows = [
        ({**KINDS, "likelihood": "Whole files"}[part], *(_difference(scores.get(name), name) for name in measures))
        for part, scores in measured.items()
    ]
    pair = f"{CONTESTANTS[judged]} minus {_in_a_sentence(_called(opponent, judged))}"
    caption = f"{pair}, pair by pair: 95 % intervals (· not told apart)"
    return Table(caption, ("", *(_MEASURES[measure] for measure in measures)), rows)


def _difference(score: Json | None, measure: str) -> str:
    if score is None:
        return "–"
    told = _told_apart(score, fewer_is_better=measure == "bits_per_byte")
    return f"{interval(score, _writer(measure))} {told}".rstrip()


def _told_apart(score: Json, fewer_is_better: bool) -> str:
    if score["low"] is None or score["low"] <= 0 <= score["high"]:
        return "·"
    return "better" if (score["value"] < 0) == fewer_is_better else "worse"


def _other_files(scores: Json) -> Table:
    rows = []
    for kind, of in scores.items():
        exact, bits = of["exact_match"], of.get("bits_per_byte")
        rows.append((
            "All kinds" if kind == "all" else KINDS[kind],
            percent(exact["without"]["value"]),
            percent(exact["with"]["value"]),
            _difference(exact["difference"], "exact_match"),
            _difference(bits["difference"] if bits else None, "bits_per_byte"),
            f"{of['items']:,}",
        ))  # fmt: skip
    columns = ("", "Exact: file alone", "With other files", "Difference", "Difference in bits per byte", "Items")
    return Table("The model alone, with the most relevant pieces of other files in front", columns, rows)


def _later_text(later: Json) -> str:
    if later["after"] is None:
        return "The history does not tell which lines are later than everything trained on."
    if not later["items"]:
        return f"No hole lies in a line later than {later['after'][:10]}, the newest date of what was trained on."
    return (
        f"{later['items']:,} holes in {later['files']:,} files lie in lines later than {later['after'][:10]}, the "
        "newest date of what was trained on."
    )


def _later(later: Json, judged: str) -> Table:
    rows = [
        (
            KINDS[kind],
            *(_value(measured.get(name), "exact_match") for name in (judged, "ngram")),
            *(_value(measured.get(name), "edit_similarity") for name in (judged, "ngram")),
            f"{measured['model']['items']:,}",
        )
        for kind, measured in later["infilling"].items()
    ]
    columns = ("", "Exact", "n-gram", "Edit similarity", "n-gram", "Items")
    return Table("In lines later than everything trained on", columns, rows)


def _languages(languages: Json, judged: str) -> Table:
    rows = []
    for language, kinds in languages.items():
        cells = []
        for kind, measure, _ in _BY_LANGUAGE:
            of = kinds.get(kind, {})
            cells += [_value(of.get(name), measure) for name in (judged, "ngram")]
            cells.append(f"{of['model']['items']:,}" if of else "0")
        rows.append((language, *cells))
    columns = [column for _, _, title in _BY_LANGUAGE for column in (title, "n-gram", "Items")]
    return Table("By language (few items each: read with care)", ("Language", *columns), rows)


def _present(scores: Json) -> list[str]:
    return [name for name in CONTESTANTS if name in scores]


def _called(name: str, judged: str) -> str:
    return "Model alone" if (name, judged) == ("model", "served") else CONTESTANTS[name]


def _in_a_sentence(name: str) -> str:
    return name[0].lower() + name[1:]


def _writer(measure: str) -> Write:
    return plain if measure == "bits_per_byte" else percent
