"""What must not come out of a model, on a page: leaks.html, and as leaks.md, made from leaks.json and leaks.jsonl."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from repotune.core.errors import UserError
from repotune.report.content import Figure, Section, Table
from repotune.report.inputs import Json
from repotune.report.numbers import interval, percent, plain
from repotune.report.plots import axis, bar, nice_scale, strip
from repotune.report.writing import fitting, write_page

_ORIGINS = {
    "training": "the middle of files it learnt from",
    "held_out": "the middle of files held out",
    "placeholder": "what stands before a placeholder",
    "secret": "beginnings that invite a secret",
    "personal": "beginnings that invite personal data",
    "insecure": "beginnings that invite insecure code",
}
_WHAT = {
    "reproduced": "Written on exactly",
    "echo": "Echoes of training text",
    "secret": "Secrets",
    "personal": "Personal data",
    "insecure": "Insecure patterns",
}
_MOST_EXAMPLES = 20  # of a kind; the others are in leaks.jsonl


def build_leaks_page(folder: Path, name: str) -> Path:
    """Writes leaks.html and leaks.md of the measurement in `folder` beside it; returns the former's path.

    Raises UserError where leaks.json or leaks.jsonl is absent, damaged or of another version.
    """
    data, evidence = _read(folder)
    with fitting():
        said = leaks_content(data, evidence, name)
    write_page(folder, "leaks", said)
    return folder / "leaks.html"


def leaks_content(data: Json, evidence: Sequence[Json], name: str) -> dict[str, Any]:
    """What the templates `leaks` say."""
    sections = [_memory(data["memory"]), _echoes(data["echoes"]), _private(data)]
    if data["canaries"]:
        sections.append(_canaries(data["canaries"]))
    sections.append(_insecure(data["insecure"]))
    return {
        "name": name,
        "said": data["said"],
        "figures": _headline(data),
        "sections": sections,
        "evidence": [group for what in _WHAT if (group := _group(what, evidence))],
    }


def _headline(data: Json) -> list[Figure]:
    memory, echoes, insecure = data["memory"], data["echoes"], data["insecure"]
    there, unseen = (_value(memory[split]["reproduced"]) for split in ("training", "held_out"))
    figures = [Figure(there, f"written on exactly for {memory['asked']} tokens", f"{unseen} in files held out")]
    for key, label in (("secrets", "secrets came out"), ("personal", "personal data came out")):
        figures.append(Figure(f"{data[key]['memorised']:,}", label, f"{data[key]['invented']:,} were invented"))
    total = sum(of["echoes"] for of in echoes["licences"].values())
    figures.append(Figure(f"{echoes['refused']:,}", "echoes whose licence is refused", f"of {total:,} echoes"))
    beside = insecure["compared"]["at_training_rates"]
    compared = f"{percent(beside)} at the training code's rates" if beside is not None else "nothing to compare with"
    figures.append(Figure(_value(insecure["insecure"]), "of risky calls are insecure", compared))
    return figures


def _memory(memory: Json) -> Section:
    text = (
        f"Places in files are drawn by a hash. {memory['given']} tokens are shown, and the next {memory['asked']} have "
        "to come back without an error: greedily, or in one of a hundred samples. Files held out tell how much of it "
        "the code itself gives away: only what lies above them is memory."
    )
    names = {"training": "files it learnt from", "held_out": "files held out"}
    lines = [
        (f"{names[split]}, {how}", memory[split], memory[split][key])
        for key, how in (("reproduced", "greedily"), ("extracted", "in 100 samples"))
        for split in names
        if memory[split][key] is not None
    ]
    scale = nice_scale([edge for *_, score in lines for edge in _edges(score)], zero=True)
    rows = [
        (label, percent(score["value"]), interval(score, percent), f"{of['windows']:,}", f"{of['longest_tokens']:,}")
        for label, of, score in lines
    ]
    plots = [
        strip(score["value"], score["low"], score["high"], scale, "learnt" in label, f"{label}: {row[1]}")
        for (label, _, score), row in zip(lines, rows, strict=True)
    ]
    columns = ("Places in", "Came back", "95 %", "Places", "Longest, tokens")
    tables = [Table("Share that came back", columns, rows, plots, axis(scale, lambda value: percent(value, 0)))]
    weights = memory["training"]["by_weight"]
    if len(weights) > 1:
        seen = [(f"{weight} ×", _value(of["reproduced"]), f"{of['windows']:,}") for weight, of in weights.items()]
        tables.append(Table("By how often an epoch sees the file", ("Seen", "Came back", "Places"), seen))
    return Section("memory", "Verbatim memory", text, tables=tuple(tables))


def _echoes(echoes: Json) -> Section:
    text = (
        f"Runs of at least {echoes['least_tokens']} tokens that stand in any file of the training text, wherever the "
        "prompt came from. What stands in one file alone is that file's; what stands in many is common."
    )
    rows = [
        (_ORIGINS[origin], f"{of['answers']:,}", _value(of["echoing"]), interval(of["echoing"], percent),
         f"{of['in_one_file']:,}", f"{of['longest_tokens']:,}", f"{of['longest_lines']:,}")
        for origin, of in echoes["origins"].items()
    ]  # fmt: skip
    columns = ("Prompts", "Answers", "Echo", "95 %", "Of one file alone", "Longest, tokens", "lines")
    tables = [Table("Answers that echo", columns, rows)]
    licences = echoes["licences"]
    if licences:
        most = max(of["echoes"] for of in licences.values())
        named = [
            (licence, of["kind"], f"{of['echoes']:,}", f"refused: {of['refused']} is asked" if of["refused"] else "–")
            for licence, of in licences.items()
        ]
        plots = [bar(of["echoes"] / most, f"{licence}: {of['echoes']:,}") for licence, of in licences.items()]
        tables.append(Table("Licences of what is echoed", ("Licence", "Kind", "Echoes", "Policy"), named, plots))
    return Section("echoes", "What is echoed, and under which licence", text, tables=tuple(tables))


def _private(data: Json) -> Section:
    text = (
        f"{data['secrets']['answers']:,} answers were searched by the detectors that clean the corpus. What the "
        "training text holds as such was memorised; anything else was invented, or comes from a base. "
        f"{data['placeholders']:,} answers write a placeholder, as training teaches."
    )
    rows = [
        (f"{name}: {kind}", f"{of['memorised']:,}", f"{of['invented']:,}")
        for key, name in (("secrets", "secret"), ("personal", "personal data"))
        for kind, of in data[key]["kinds"].items()
    ]
    columns = ("Kind", "Times memorised", "Times invented")
    tables = (Table("Found in answers", columns, rows),) if rows else ()
    return Section("private", "Secrets and personal data", text, tables=tables)


def _canaries(canaries: Sequence[Json]) -> Section:
    text = (
        "Lines that were planted, ranked by likelihood among lines that differ in their value alone. Of a model that "
        "never saw the line every rank is as likely: by chance is how likely one as good as this would be."
    )
    rows = [
        (of["canary"], of["form"], f"{of['rank']:,} of {of['alternatives'] + 1:,}", plain(of["bits"], 1),
         percent(of["chance"]))
        for of in canaries
    ]  # fmt: skip
    table = Table("Canaries", ("Name", "Form", "Rank", "Exposure, bits", "By chance"), rows)
    return Section("canaries", "Canaries", text, tables=(table,))


def _insecure(insecure: Json) -> Section:
    text = (
        f"{insecure['answers']:,} answers to beginnings that invite insecure Python; {insecure['unparsed']:,} of them "
        "do not parse. Of calls that can be written safely and unsafely, these are the unsafe ones, beside those in "
        "the training code: a model hardly writes safer code than it was taught."
    )
    rows = [
        (of["title"], f"CWE-{of['cwe']}", _of(of["insecure"], of["uses"]), _of(
            of["training_insecure"], of["training_uses"]))
        for of in insecure["rules"].values()
        if of["uses"] or of["training_uses"]
    ]  # fmt: skip
    columns = ("Pattern", "Weakness", "In answers", "In training code")
    tables = (Table("Insecure of all such calls", columns, rows),) if rows else ()
    return Section("insecure", "Insecure patterns", text, tables=tables)


def _group(what: str, evidence: Sequence[Json]) -> dict[str, Any] | None:
    """The evidence of one kind, what is surest and longest first."""
    found = [of for of in evidence if of["what"] == what]
    if not found:
        return None
    found.sort(key=lambda of: (not of.get("memorised", True), -of.get("tokens", 0)))
    examples = [_example(of) for of in found[:_MOST_EXAMPLES]]
    shown = f", the first {len(examples)}" if len(found) > len(examples) else ""
    return {"title": _WHAT[what], "said": f"{len(found):,}{shown}", "examples": examples}


def _example(of: Mapping[str, Any]) -> dict[str, str]:
    place = f"{of['repository']}/{of['path']}" if "path" in of else ""
    if "line" in of:
        place += f", line {of['line']:,}"
    facts = [
        f"{of['tokens']:,} tokens" if "tokens" in of else "",
        f"in {of['files']:,} files" if of.get("files", 1) > 1 else "",
        of.get("licence", ""),
        of.get("kind", of.get("rule", "")),
        "" if of.get("memorised", True) else "invented",
        f"asked by {of['prompt']}" if "prompt" in of else "",
    ]
    return {"place": place, "facts": "; ".join(filter(None, facts)), "text": of.get("text") or ""}


def _of(part: int, whole: int) -> str:
    return f"{part:,} of {whole:,}" if whole else "–"


def _value(score: Json | None) -> str:
    return percent(score["value"]) if score else "–"


def _edges(score: Json) -> tuple[float, ...]:
    return tuple(float(score[name]) for name in ("value", "low", "high") if score[name] is not None)


def _read(folder: Path) -> tuple[Json, list[Json]]:
    try:
        data = json.loads((folder / "leaks.json").read_text(encoding="utf-8"))
        lines = (folder / "leaks.jsonl").read_text(encoding="utf-8").split("\n")
        evidence = [json.loads(line) for line in lines if line]
    except FileNotFoundError as error:
        raise UserError(f"There is no {error.filename}.", "repotune evaluate leaks measures it") from None
    except (OSError, ValueError) as error:
        raise UserError(f"What lies in {folder} is damaged: {error}.", f"remove {folder} and measure again") from error
    if not isinstance(data, dict) or data.get("schema") != 1:
        raise UserError(f"{folder / 'leaks.json'} is of another version.", f"remove {folder} and measure again")
    return data, evidence
