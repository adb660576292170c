"""`repotune speed`: how fast a model is on this machine, with each engine that can read it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from repotune.core.artefact import require_artefact
from repotune.core.console import Console, write_data
from repotune.core.errors import UserError
from repotune.infer.engine import Engine
from repotune.infer.opening import open_engine
from repotune.infer.speed import ANSWER, Speed, measure
from repotune.pipeline.project import open_project

_PROMISE = 0.25  # seconds: Replit's, at the 95th percentile


def speed(arguments: argparse.Namespace) -> int:
    """Measures and prints a line for each engine; with `--json` all figures, on stdout."""
    model = arguments.model
    if model is None:
        model = open_project(arguments.config).workspace / "release"
        require_artefact(model)
    console, found, failed = Console(), {}, UserError(f"No engine reads {model}.")
    for name, opener in _engines(model):
        try:
            engine = opener()
        except UserError as error:
            console.warn(f"{name}: {error.message}")
            failed = error
            continue
        found[name] = measure(engine)
        if not arguments.json:
            console.say(_line(name, found[name]))
    if not found:
        raise failed
    if arguments.json:
        write_data(json.dumps({name: asdict(measured) for name, measured in found.items()}, indent=2))
    else:
        best = min(found, key=lambda name: found[name].completion)
        kept = "within" if found[best].completion < _PROMISE else "not within"
        console.say(f"quickest: {best}; a completion after a keystroke is {kept} {1000 * _PROMISE:.0f} ms")
    return 0


def _engines(model: Path) -> Iterator[tuple[str, Callable[[], Engine]]]:
    """What may serve `model`, by name: ours, and OpenVINO where it is installed."""
    for weights in ("int8", "int4", "bf16"):
        yield weights, partial(open_engine, model, weights)
    if find_spec("openvino"):
        from repotune.infer.adapters.openvino import open_openvino

        yield "openvino int8", partial(open_openvino, model, "int8")


def _line(name: str, speed: Speed) -> str:
    return (
        f"{name:14} {1000 * speed.cold:6.0f} ms to the first token of {speed.prompt}, "
        f"{1000 * speed.keystroke:4.0f} ms after a keystroke, {1000 * speed.completion:5.0f} ms for {ANSWER} tokens, "
        f"{speed.tokens_per_second:4.0f} tokens/s"
    )
