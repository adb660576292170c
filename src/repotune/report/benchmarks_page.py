"""The leaderboard: every benchmark's results.json below a folder on one page, benchmarks.html, and as benchmarks.md."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from repotune.core.console import size
from repotune.core.errors import UserError
from repotune.report.content import Section, Table
from repotune.report.inputs import Json
from repotune.report.numbers import interval, percent, plain, short_number
from repotune.report.plots import axis, nice_scale, strip
from repotune.report.writing import fitting, write_page

_EXPLANATION = (
    "An answer passes when its program passes the benchmark's tests, in a sandbox. pass@k is how likely one of k "
    "answers passes, unbiased; intervals are 95 %, clustered by problem. A benchmark's own references ran first: a "
    "language whose references fail here is not scored. Bits per byte are those of the references, and move long "
    "before a first answer passes. Tokens a second are those of one stream, and of fifty together where the engine "
    "computes them together, on the machine that ran the benchmark; so is the bandwidth that one stream uses."
)


def build_benchmarks_page(results: Path, name: str) -> Path:
    """Writes the page of all that was measured into `results` and returns its path.

    Raises UserError where nothing is there, or a results.json is damaged.
    """
    found = [_read(path) for path in sorted(results.glob("*/*/results.json"))]
    if not found:
        raise UserError(f"No benchmark was measured in {results}.", "repotune evaluate benchmark humaneval")
    with fitting():
        said = benchmarks_content(found, name)
    write_page(results, "benchmarks", said)
    return results / "benchmarks.html"


def benchmarks_content(found: Sequence[Json], name: str) -> dict[str, Any]:
    """What the templates `benchmarks` say."""
    by_benchmark: dict[str, list[Json]] = defaultdict(list)
    for result in found:
        by_benchmark[result["benchmark"]].append(result)
    board = Section("leaderboard", "Leaderboard", _EXPLANATION, tables=(_leaderboard(found, sorted(by_benchmark)),))
    return {"name": name, "sections": [board, *(_section(*item) for item in sorted(by_benchmark.items()))]}


def _leaderboard(found: Sequence[Json], benchmarks: Sequence[str]) -> Table:
    models: dict[str, dict[str, Json]] = defaultdict(dict)
    for result in sorted(found, key=lambda result: result["circumstances"]["drawing"]["samples"]):
        models[_model(result)][result["benchmark"]] = result  # of several runs, that with the most answers
    rows = []
    for model, of in sorted(models.items()):
        fastest = max((result["generation"] for result in of.values()), key=_one_stream)
        cells = [percent(of[name]["pass_at_k"]["1"]["value"]) if name in of else "–" for name in benchmarks]
        rows.append((model, *cells, *_speed(fastest)))
    columns = ("Model", *benchmarks, "Tokens/s", "of 50 streams", "Memory", "Bandwidth used")
    return Table("pass@1 of every benchmark, and what an answer costs", columns, rows)


def _one_stream(generation: Json) -> float:
    return float(generation["tokens_per_second"])


def _speed(generation: Json) -> tuple[str, ...]:
    together = generation["tokens_per_second_of_50"]
    return (
        short_number(_one_stream(generation)),
        "–" if together is None else short_number(together),
        size(generation["peak_memory"]),
        percent(generation["bandwidth_share"], 0),
    )


def _section(benchmark: str, results: Sequence[Json]) -> Section:
    unusable = {key: reason for result in results for key, reason in result["unusable_languages"].items()}
    refused = {key for result in results for key in result["refused"]}
    said = [f"Not scored here: {key} ({reason})." for key, reason in sorted(unusable.items())]
    if refused:
        said.append(f"Left out, since their own references fail: {', '.join(sorted(refused))}.")
    tables = (_groups(results), _verdicts(results))
    return Section(benchmark, benchmark, " ".join(said), tables=tables)


def _groups(results: Sequence[Json]) -> Table:
    """pass@k by language or kind, with whiskers."""
    lines = [
        (result, group, k, score)
        for result in results
        for group, of in [("all", result), *result["groups"].items()]
        if group == "all" or len(result["groups"]) > 1
        for k, score in of["pass_at_k"].items()
    ]
    scale = nice_scale([edge for *_, score in lines for edge in _edges(score)], zero=True)
    rows, plots = [], []
    for result, group, k, score in lines:
        problems = result["groups"][group]["problems"] if group != "all" else _problems(result)
        label = f"{_model(result)}, {group}" if group != "all" else _model(result)
        rows.append((label, f"pass@{k}", percent(score["value"]), interval(score, percent), f"{problems:,}"))
        title = f"{label}: {percent(score['value'])}"
        plots.append(strip(score["value"], score["low"], score["high"], scale, group == "all", title))
    columns = ("Model", "Score", "Value", "95 %", "Problems")
    return Table("Share of problems solved", columns, rows, plots, axis(scale, lambda value: percent(value, 0)))


def _verdicts(results: Sequence[Json]) -> Table:
    """What became of the answers, and how well the references are foreseen."""
    kinds = sorted({kind for result in results for kind in result["verdicts"]})
    rows = []
    for result in results:
        drawing, bits = result["circumstances"]["drawing"], result["reference_bits_per_byte"]
        drawn = "greedy" if drawing["temperature"] == 0 else f"{drawing['samples']} at {drawing['temperature']:g}"
        counts = [f"{result['verdicts'].get(kind, 0):,}" for kind in kinds]
        rows.append((_model(result), drawn, *counts, plain(bits["value"]) if bits else "–"))
    return Table("Verdicts", ("Model", "Answers", *(kind.capitalize() for kind in kinds), "Bits per byte"), rows)


def _edges(score: Json) -> tuple[float, ...]:
    return tuple(float(score[name]) for name in ("value", "low", "high") if score[name] is not None)


def _problems(result: Json) -> int:
    return sum(int(of["problems"]) for of in result["groups"].values())


def _model(result: Json) -> str:
    """Its name, and the beginning of its weights' hash: every project's release is called release."""
    weights = "".join(result["circumstances"]["weights"].values())
    return f"{result['model']} {weights[:6]} {result['circumstances']['precision']}"


def _read(path: Path) -> Json:
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}.", f"remove {path.parent} and measure again") from error
    if not isinstance(result, dict) or result.get("schema") != 2:
        raise UserError(f"{path} is of another version.", f"remove {path.parent} and measure again")
    return result
