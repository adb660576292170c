"""What the report is made from: the JSON that the other steps wrote, and their manifests."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from repotune.core.artefact import Manifest, require_artefact
from repotune.core.errors import UserError
from repotune.core.flow import Work

Json = dict[str, Any]


@dataclass(frozen=True)
class Inputs:
    """Everything as it was written; `manifests` by step, in the order of the flow."""

    corpus: Json
    examples: Json
    compression: Json
    plan: Json
    metrics: list[Json]
    results: Json
    samples: list[Json]
    release: Json
    trial: Json
    manifests: Mapping[str, Manifest]


def read_inputs(work: Work) -> Inputs:
    """Reads all of it. Raises UserError for a file that is absent or damaged."""
    folders = work.inputs
    corpus, examples = read_corpus(folders["corpus"])
    return Inputs(
        corpus=corpus,
        examples=examples,
        compression=_read_object(folders["tokenizer"] / "compression.json"),
        plan=_read_object(folders["plan"] / "plan.json"),
        metrics=_read_lines(folders["run"] / "metrics.jsonl"),
        results=_read_object(folders["results"] / "results.json"),
        samples=_read_lines(folders["results"] / "samples.jsonl"),
        release=_read_object(folders["release"] / "release.json"),
        trial=_read_object(folders["trial"] / "trial.json"),
        manifests={name: require_artefact(folder) for name, folder in folders.items()},
    )


def read_corpus(folder: Path) -> tuple[Json, Json]:
    """summary.json and examples.json of a corpus. Raises UserError for one that is absent or damaged."""
    return _read_object(folder / "summary.json"), _read_object(folder / "examples.json")


def _read_object(path: Path) -> Json:
    found = _parse(path, _read(path))
    if not isinstance(found, dict):
        raise _damaged(path, "it holds no JSON object")
    return found


def _read_lines(path: Path) -> list[Json]:
    return [_parse(path, line) for line in _read(path).split("\n") if line.strip()]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"There is no {path}.", "repotune run builds what is missing") from None
    except (OSError, UnicodeDecodeError) as error:
        raise _damaged(path, str(error)) from error


def _parse(path: Path, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise _damaged(path, str(error)) from error


def _damaged(path: Path, reason: str) -> UserError:
    return UserError(f"{path} is damaged: {reason}.", f"remove {path.parent} and repeat: repotune run")
