"""Which models have seen a corpus: the artefacts whose manifests lead back to it by their inputs' hashes."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from repotune.core.artefact import MANIFEST_NAME, STARTED_NAME

_MODELS = frozenset({"run", "release"})  # the steps whose folders hold weights
_RELEASE = "release.json"


@dataclass(frozen=True)
class Model:
    """A folder with weights. It has `seen` the corpus, or cannot be told from what is here to have or not to have."""

    folder: Path
    step: str
    seen: Literal["yes", "perhaps"]


@dataclass(frozen=True)
class _Artefact:
    folder: Path
    step: str
    contents: str
    inputs: frozenset[str]


def models_of(corpora: Collection[str], places: Sequence[Path]) -> list[Model]:
    """The models in and under `places` that learnt from a corpus whose contents have one of these hashes.

    Finished ones, those being trained, and releases that were copied away with their release.json. A model is told
    by the chain of hashes from step to step; where a link of it is gone, it is `perhaps` one of them.
    """
    found = list({artefact.folder: artefact for place in places for artefact in _artefacts(place)}.values())
    reached, grown = set(corpora), True
    while grown:
        new = {artefact.contents for artefact in found if artefact.inputs & reached} - reached - {""}
        reached |= new
        grown = bool(new)
    here = {artefact.contents for artefact in found}
    models = []
    for artefact in sorted(found, key=lambda artefact: artefact.folder):
        if artefact.step in _MODELS and artefact.inputs & reached:
            models.append(Model(artefact.folder, artefact.step, "yes"))
        elif artefact.step in _MODELS and not artefact.inputs <= here:
            models.append(Model(artefact.folder, artefact.step, "perhaps"))
    return models


def _artefacts(place: Path) -> Iterator[_Artefact]:
    for path in sorted(place.rglob("*.json")):
        if path.name not in (MANIFEST_NAME, STARTED_NAME, _RELEASE):
            continue
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            artefact = _read(path, data)
        except (OSError, ValueError, TypeError, AttributeError, KeyError):
            continue  # another program's file of that name
        if artefact is not None:
            yield artefact


def _read(path: Path, data: dict[str, Any]) -> _Artefact | None:
    folder = path.parent.resolve()
    if path.name == _RELEASE:
        if (path.parent / MANIFEST_NAME).exists():
            return None  # its manifest says the same
        return _Artefact(folder, "release", "", frozenset(data["created_from"].values()))
    step = data["step"] if path.name == MANIFEST_NAME else folder.name
    return _Artefact(folder, step, data.get("contents", ""), frozenset(data["inputs"].values()))
