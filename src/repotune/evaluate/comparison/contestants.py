"""The models that are compared: any folders that the engine reads, each with its own vocabulary and context, and with
its index where the flow has built one beside it, as it is served."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Literal

from repotune.core.artefact import digest, file_digest, read_manifest
from repotune.core.errors import UserError
from repotune.evaluate.served import Served, read_served
from repotune.infer.served import served_weights
from repotune.model.weights import read_config
from repotune.tokenizer.encoding import Codec, load_codec, tokenizer_files

_INDEX, _CORPUS = "index", "corpus"  # of a workspace


@dataclass(frozen=True)
class Contestant:
    """A model in `folder`. `contents` hashes weights, shape and tokenizer, and the index that it is `served` with: two
    of one hash are one model. `weights` are what it writes with (`infer.served`)."""

    name: str
    folder: Path
    codec: Codec
    context: int
    parameters: int
    contents: str
    weights: Literal["int8", "f32"]
    served: Served | None = None

    @property
    def learnt(self) -> Path | None:
        """The corpus that its index is of, whose held-out files alone the index does not know."""
        return self.served.index.folder.parent / _CORPUS if self.served else None

    def as_json(self) -> dict[str, Any]:
        return {
            "contents": self.contents,
            "parameters": self.parameters,
            "context": self.context,
            "vocabulary": self.codec.size,
            "weights": self.weights,
            "index": self.served.as_json() if self.served else None,
        }


def open_contestants(folders: Sequence[Path], names: Sequence[str] = ()) -> list[Contestant]:
    """Opens all, to be compared with the first, under `names` or those of their folders. Raises UserError for less than
    two, or one that cannot be read."""
    called = names or distinct_names(at_least_two(folders))
    return [_open(name, folder) for name, folder in zip(called, at_least_two(folders), strict=True)]


def at_least_two(folders: Sequence[Path]) -> Sequence[Path]:
    """`folders`. Raises UserError where they are too few to compare, or one is named twice."""
    if len(folders) < 2:
        raise UserError("A comparison needs two models at least.", "repotune evaluate compare OLD NEW")
    places = [folder.resolve() for folder in folders]
    for place, folder in enumerate(folders):
        if places[place] in places[:place]:
            raise UserError(f"{folder} is named twice.", "name each model once")
    return folders


def distinct_names(folders: Sequence[Path]) -> list[str]:
    """What tells the folders apart, as little of their paths as does.

    >>> distinct_names([Path("/a/old/release"), Path("/a/new/release")])
    ['old/release', 'new/release']
    """
    parts = [folder.resolve().parts for folder in folders]
    for length in count(1):
        names = ["/".join(of[-length:]) for of in parts]
        if len(set(names)) == len(set(parts)):
            break
    return names


def _open(name: str, folder: Path) -> Contestant:
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        raise UserError(f"There is no model in {folder}: it has no *.safetensors.", "name a release, or a checkpoint")
    config = read_config(folder)
    files = [*weights, folder / "config.json", *(folder / name for name in tokenizer_files(folder))]
    contents = digest([(path.name, file_digest(path)) for path in files])
    codec, shape = load_codec(folder), (config.context, config.parameters())
    served = _served(folder, codec)
    if served:
        contents = digest([contents, served.contents()])
    return Contestant(name, folder, codec, *shape, contents, served_weights(config), served)


def _served(folder: Path, codec: Codec) -> Served | None:
    """What a server makes of the model and the index in its workspace, which holds release/, or run/checkpoints/STEP/.
    The corpus that was indexed must be there too, or nobody could tell which held-out files the index knows."""
    parents = folder.resolve().parents
    for workspace in (parents[0], *parents[2:3]):
        index, corpus = read_manifest(workspace / _INDEX), read_manifest(workspace / _CORPUS)
        if index and corpus and index.inputs.get(_CORPUS) == corpus.contents:
            return read_served(workspace / _INDEX, folder, codec)
    return None
