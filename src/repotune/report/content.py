"""What the report says, section by section, as text and tables: the page and the Markdown print the same."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from repotune.core.artefact import Manifest
from repotune.core.console import duration, size
from repotune.report.inputs import Inputs, Json
from repotune.report.numbers import milliseconds, percent, plain, short_number
from repotune.report.plots import axis, bar, curve, nice_scale, strip, thinned

_MOST_ROWS = 12
_CURVE_POINTS = 400
_NOTHING: Json = {"files": 0, "bytes": 0}


@dataclass(frozen=True)
class Table:
    """Rows of text below named columns; the first column is a name, the others are set to the right.

    `plots`, one a row, stand behind the name, `axis` under them, and need no reading: the cells hold what they show.
    """

    caption: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    plots: Sequence[Markup] = ()
    axis: Markup | None = None
    pairs: bool = False  # of names and values, which are text too

    @property
    def wide(self) -> bool:
        """Whether it wants the whole width of the page."""
        return self.axis is not None or (len(self.columns) > 3 and not self.plots)


@dataclass(frozen=True)
class Drawing:
    """A plot below its caption."""

    caption: str
    plot: Markup


@dataclass(frozen=True)
class Section:
    """A heading with what stands under it, in this order."""

    identity: str
    title: str
    text: str = ""
    drawings: tuple[Drawing, ...] = ()
    tables: tuple[Table, ...] = ()
    more: tuple[str, str] | None = None  # a page beside this one, and what it is called


@dataclass(frozen=True)
class Figure:
    """A number worth a large type, and what to compare it with."""

    value: str
    label: str
    beside: str


def headline(inputs: Inputs) -> list[Figure]:
    """The few figures that matter."""
    judged = inputs.results["judged"]
    bits = {name: of["bits_per_byte"]["value"] for name, of in inputs.results["likelihood"].items()}
    figures = [
        Figure(plain(bits[judged]), "bits per byte of unseen code", f"n-gram {plain(bits['ngram'])}; fewer is better")
    ]
    if rests := inputs.results["infilling"].get("rest"):
        exact = {name: percent(rests[name]["exact_match"]["value"]) for name in (judged, "ngram")}
        figures.append(Figure(exact[judged], "of line ends written exactly", f"n-gram {exact['ngram']}"))
    if latency := inputs.trial["keystroke"]["total_ms"]:
        p50, p95 = milliseconds(latency["p50"]), milliseconds(latency["p95"])
        figures.append(Figure(p50, "for a completion as you type", f"19 of 20 within {p95}"))
    parameters, context = short_number(inputs.release["parameters"]), inputs.release["context"]
    figures.append(Figure(parameters, "parameters", f"context {context:,} tokens"))
    return figures


def corpus_section(summary: Json) -> Section:
    """What it was trained on: what came in, what was left out and why, in which languages and under which licences."""
    kept = {split: summary["splits"].get(split, _NOTHING) for split in ("train", "validation", "test")}
    text = (
        f"{kept['train']['files']:,} files ({size(kept['train']['bytes'])}) were learnt from. "
        f"{kept['validation']['files']:,} were kept aside to steer by and {kept['test']['files']:,} to measure on; "
        "the model has seen none of these."
    )
    return Section(
        "corpus",
        "What it learnt from",
        text,
        tables=(
            funnel("From what was found to what was learnt", summary["funnel"]),
            shares("Languages", "Language", summary["languages"]),
            shares("Licences", "Licence", summary["licences"]),
            left_out(summary["dropped"]),
        ),
        more=("corpus.html", "A closer look at the corpus"),
    )


def funnel(caption: str, stages: Sequence[Json]) -> Table:
    """What is left after each stage."""
    most = max([stage["bytes"] for stage in stages] or [0])
    rows = [(stage["stage"], f"{stage['files']:,}", size(stage["bytes"])) for stage in stages]
    plots = [bar(stage["bytes"] / most if most else 0, f"{size(stage['bytes'])} left") for stage in stages]
    return Table(caption, ("Stage", "Files", "Size"), rows, plots)


def left_out(dropped: Mapping[str, Json]) -> Table:
    """What each rule dropped."""
    return shares("Left out, by rule", "Rule", {rule.replace("_", " "): of for rule, of in dropped.items()})


def vocabulary_section(compression: Json) -> Section:
    """How many bytes a token holds, on text the vocabulary was trained on and on text it was not."""
    seen, unseen = (compression["splits"][split] for split in ("train", "validation"))
    text = (
        f"{compression['size']:,} entries. A token holds {_ratio(seen)} bytes of the code it was learnt from and "
        f"{_ratio(unseen)} of code it has not seen: the closer, the less was learnt by heart."
    )
    languages = sorted(seen["languages"], key=lambda name: -seen["languages"][name]["bytes"])[:_MOST_ROWS]
    nothing: Json = {"bytes_per_token": None}
    rows = [
        (name, _ratio(seen["languages"][name]), _ratio(unseen["languages"].get(name, nothing))) for name in languages
    ]
    table = Table("Bytes per token", ("Language", "Learnt from", "Unseen"), rows)
    return Section("vocabulary", "The vocabulary", text, tables=(table,))


def training_section(metrics: Sequence[Json], manifest: Manifest) -> Section:
    """The loss curve and the points at which it was checked on files kept aside."""
    losses = [(float(line["tokens"]), float(line["loss"])) for line in metrics]
    checked = [line for line in metrics if "validation_loss" in line]
    if not losses:
        return Section("training", "The training", "Nothing was recorded.")
    text = f"{short_number(losses[-1][0])} tokens in {duration(manifest.seconds)}."
    if len(losses) > _CURVE_POINTS:
        text += f" Each point of the line is the mean of about {len(losses) / _CURVE_POINTS:.0f} steps."
    drawn = curve(
        thinned(losses, _CURVE_POINTS),
        [(float(line["tokens"]), float(line["validation_loss"])) for line in checked],
        names=("training loss", "validation loss"),
        title="Loss by tokens read",
        description=f"Training loss falls from {losses[0][1]:.2f} to {losses[-1][1]:.2f} nats per token"
        + (f"; validation loss ends at {checked[-1]['validation_loss']:.2f}." if checked else "."),
        x_label=short_number,
        identity="loss",
    )
    rows = [
        (f"{line['step']:,}", short_number(line["tokens"]), plain(line["loss"]), plain(line["validation_loss"]),
         plain(line["validation_bits_per_byte"]) if "validation_bits_per_byte" in line else "–")
        for line in _spread(checked, _MOST_ROWS)
    ]  # fmt: skip
    columns = ("Step", "Tokens", "Training loss", "Validation loss", "Bits per byte")
    tables = (Table("Checked on files kept aside", columns, rows),) if rows else ()
    caption = Markup("Loss in nats per token, by tokens read {}{}").format(
        *(
            Markup('<span class="key {}">{}</span>').format(*key)
            for key in (("line", "training"), ("dot", "validation"))
        )
    )
    return Section("training", "The training", text, (Drawing(caption, drawn),), tables)


def latency_section(trial: Json) -> Section:
    """How long a real server took."""
    shown = [
        (f"{how}, {what}", trial[key][measure])
        for key, how in (("cold", "Cursor comes to a place"), ("keystroke", "One more keystroke"))
        for measure, what in (("first_text_ms", "first text"), ("total_ms", "whole"))
        if trial[key][measure]
    ]
    text = (
        f"A server was started on this machine and asked {trial['questions']:,} times for a completion in a held-out "
        f"file, of up to {trial['max_tokens']} tokens, over HTTP. It was ready after {trial['ready_seconds']:.1f} s."
    )
    if not shown:
        return Section("latency", "How fast it answers", text + " It wrote nothing.")
    scale = nice_scale([value for _, times in shown for value in times.values()], zero=True)
    rows = [(name, milliseconds(times["p50"]), milliseconds(times["p95"])) for name, times in shown]
    strips = [
        strip(
            times["p50"],
            times["p50"],
            times["p95"],
            scale,
            "keystroke" in name,
            f"{name}: {rows[place][1]}, 95 % {rows[place][2]}",
        )
        for place, (name, times) in enumerate(shown)
    ]
    caption = "Time to answer: the dot is the median, the line ends where 95 % were done"
    table = Table(caption, ("", "Median", "95 % within"), rows, strips, axis(scale, milliseconds))
    return Section("latency", "How fast it answers", text, tables=(table,))


def run_section(inputs: Inputs) -> Section:
    """What was run: steps, plan, settings and circumstances, enough to run it again."""
    manifests = inputs.manifests
    total = sum(manifest.seconds for manifest in manifests.values())
    steps = [
        (name, duration(m.seconds), m.contents[:12], m.finished[:19].replace("T", " ")) for name, m in manifests.items()
    ]
    first = next(iter(manifests.values()))
    environment = {
        "repotune": first.version,
        "host": first.host,
        "seed": first.seed,
        **inputs.results.get("environment", {}),
    }
    settings = {f"{step}.{key}": value for step, m in manifests.items() for key, value in m.settings.items()}
    return Section(
        "run",
        "What was run",
        f"{len(steps)} steps, {duration(total)} in all. The same inputs, settings and seed give the same contents.",
        tables=(
            Table("Steps", ("Step", "Took", "Contents (SHA-256)", "Finished (UTC)"), steps),
            _pairs("Training plan", _flat(inputs.plan)),
            _pairs(
                "Measured data and contestants",
                _flat({k: inputs.results[k] for k in ("data", "contestants") if k in inputs.results}),
            ),
            _pairs("Settings", settings),
            _pairs("Environment", environment),
        ),
    )


def shares(caption: str, column: str, counts: Mapping[str, Json]) -> Table:
    """The largest by bytes, and the others in one row."""
    ordered = sorted(counts.items(), key=lambda pair: (-pair[1]["bytes"], pair[0]))
    if len(ordered) > _MOST_ROWS:
        rest = [of for _, of in ordered[_MOST_ROWS - 1 :]]
        summed = {key: sum(of[key] for of in rest) for key in ("files", "bytes")}
        ordered = [*ordered[: _MOST_ROWS - 1], (f"{len(rest)} others", summed)]
    total = sum(of["bytes"] for of in counts.values()) or 1
    rows = [(name, f"{of['files']:,}", size(of["bytes"]), percent(of["bytes"] / total)) for name, of in ordered]
    plots = [bar(of["bytes"] / total, f"{name}: {percent(of['bytes'] / total)}") for name, of in ordered]
    return Table(caption, (column, "Files", "Size", "Share"), rows, plots)


def _ratio(of: Json) -> str:
    return plain(of["bytes_per_token"], 2) if of["bytes_per_token"] else "–"


def _spread(lines: Sequence[Json], most: int) -> list[Json]:
    """At most `most` of them, evenly, the last always among them."""
    if len(lines) <= most:
        return list(lines)
    return [lines[round((number + 1) * len(lines) / most) - 1] for number in range(most)]


def _flat(value: Any, name: str = "") -> dict[str, Any]:
    """Nested objects as dotted names."""
    if not isinstance(value, dict):
        return {name: value}
    return {
        key: leaf for part, inner in value.items() for key, leaf in _flat(inner, f"{name}.{part}".strip(".")).items()
    }


def _pairs(caption: str, values: Mapping[str, Any]) -> Table:
    return Table(caption, ("Name", "Value"), [(name, _said(value)) for name, value in values.items()], pairs=True)


def _said(value: Any) -> str:
    """A JSON value for a person."""
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
