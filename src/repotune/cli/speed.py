"""`repotune speed`: how fast a model is on this machine with each engine that can read it, and which one is served."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path

from repotune.core.artefact import require_artefact
from repotune.core.console import Console, write_data
from repotune.core.errors import UserError
from repotune.core.settings import ServeSettings
from repotune.infer.candidates import Candidate, candidates
from repotune.infer.index.gate import model_hash
from repotune.infer.quickest import judge, read_measured, write_down
from repotune.infer.speed import ANSWER, Speed, measure
from repotune.pipeline.project import open_project
from repotune.serve.facts import read_facts

_PROMISE = 0.25  # seconds: Replit's, at the 95th percentile


def speed(arguments: argparse.Namespace) -> int:
    """Measures and prints a line for each engine; with `--json` all figures, on stdout. With `--renew` the server's
    next start goes by these figures."""
    model, settings = arguments.model, ServeSettings()
    if model is None:
        project = open_project(arguments.config)
        model, settings = project.workspace / "release", project.config.serve
        require_artefact(model)
    served = _served(model, settings)
    console = Console(quiet=arguments.json)
    found, left_out = _measure_all(model, served, console)
    if not found:
        raise UserError(f"No engine reads {model}.", next(iter(left_out.values()), None))
    if arguments.json:
        write_data(json.dumps({name: asdict(measured) for name, measured in found.items()}, indent=2))
    best = min(found, key=lambda name: found[name].completion)
    kept = "within" if found[best].completion < _PROMISE else "not within"
    console.say(f"quickest: {best}; a completion after a keystroke is {kept} {1000 * _PROMISE:.0f} ms")
    names = [str(candidate) for candidate in served]
    speeds = {name: found[name] for name in names if name in found}
    if arguments.renew and len(names) > 1 and speeds:
        failed = {name: left_out[name] for name in names if name in left_out}
        write_down(judge(served, model_hash(model), speeds, failed), console)
    console.say(_server_line(model, settings, served))
    return 0


def _served(model: Path, settings: ServeSettings) -> list[Candidate]:
    """What the server chooses among; nothing where `model` is no release, or a server elsewhere is asked."""
    if settings.remote or not (model / "release.json").is_file():
        return []
    return candidates(model, settings.engine, settings.weights, read_facts(model).weights)


def _measure_all(model: Path, served: Sequence[Candidate], console: Console) -> tuple[dict[str, Speed], dict[str, str]]:
    """The speeds of all that may read `model`, also with weights that are not served, and why others could not be
    measured."""
    found, left_out = {}, {}
    every = [Candidate("ours", "int8"), Candidate("ours", "int4"), Candidate("torch", "bf16")]
    every += [Candidate("openvino", "int8")] if find_spec("openvino") else []
    for candidate in dict.fromkeys([*every, *served]):
        name = str(candidate)
        try:
            found[name] = measure(candidate.open(model))
        except UserError as error:
            left_out[name] = error.message
            console.warn(f"{name}: {error.message}")
            continue
        console.say(_line(name, found[name]))
    return found, left_out


def _line(name: str, speed: Speed) -> str:
    return (
        f"{name:14} {1000 * speed.cold:6.0f} ms to the first token of {speed.prompt}, "
        f"{1000 * speed.keystroke:4.0f} ms after a keystroke, {1000 * speed.completion:5.0f} ms for {ANSWER} tokens, "
        f"{1000 * speed.typical:5.0f} ms typical, {speed.tokens_per_second:4.0f} tokens/s"
    )


def _server_line(model: Path, settings: ServeSettings, served: Sequence[Candidate]) -> str:
    """Which engine `repotune serve` takes, and why."""
    if settings.remote:
        return f"served: {settings.remote}, as serve.engine says"
    if not served:
        return f"{model} is no release, so nothing of it is served"
    if len(served) == 1:
        told = settings.engine != "auto"
        return f"served: {served[0]}, {'as serve.engine says' if told else 'the only one that can'}"
    known = read_measured(served, model_hash(model))
    if known is None:
        return "served: what the server's first start finds the quickest; --renew lets it go by these figures"
    return f"served: {known.line()}"
