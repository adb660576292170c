"""A small corpus of two repositories with its tokens, and an index of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import astuple, fields, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from repotune.core.console import Console
from repotune.core.flow import Work
from repotune.infer.index.building import build
from repotune.infer.index.folder import SEGMENTS, Head, Index, open_index, write_head
from repotune.infer.index.segment import Document, Source, write_segment
from repotune.tokenizer.encoding import Codec
from repotune.tokenizer.packing import build_tokens

File = tuple[Source, str]
MakeWorkspace = Callable[[Sequence[File]], dict[str, Path]]

SEPARATOR = 9  # of small indexes
HELD_OUT = """def held_out(paths):
    for path in paths:
        yield path.read_text()
"""


def source(path: str, repository: str = "library", licence: str = "MIT") -> Source:
    return Source(repository, "0123abcd", path, "Python", licence)


def document(codec: Codec, of: Source, text: str) -> Document:
    return Document(of, np.array(codec.encode(text), np.uint16))


def small_index(folder: Path, documents: Sequence[Sequence[int]], dtype: str, threads: int = 1) -> Index:
    of = [Document(source(str(n)), np.array(ids, dtype)) for n, ids in enumerate(documents)]
    head = Head(dtype, "", SEPARATOR, ())
    (folder / SEGMENTS / "one").mkdir(parents=True)
    entry = write_segment(folder / SEGMENTS / "one", "one", of, head.numbers, SEPARATOR, threads, lambda rows: None)
    write_head(folder, replace(head, segments=(entry,)))
    return open_index(folder)


def write_split(folder: Path, split: str, files: Sequence[File]) -> None:
    columns = {
        field.name: pa.array([astuple(of)[place] for of, _ in files], pa.string())
        for place, field in enumerate(fields(Source))
    }
    texts = [text for _, text in files]
    columns |= {"text": pa.array(texts, pa.string()), "weight": pa.array([1.0] * len(files), pa.float64())}
    columns |= {"size": pa.array([len(text) for text in texts], pa.int64())}
    pq.write_table(pa.table(columns), folder / f"{split}-00000.parquet")


@pytest.fixture(scope="session")
def make_workspace(tmp_path_factory: pytest.TempPathFactory, codec_folder: Path) -> MakeWorkspace:
    """Writes corpus/ with these files to train on, and tokens/."""

    def make(files: Sequence[File]) -> dict[str, Path]:
        root = tmp_path_factory.mktemp("workspace")
        folders = {"corpus": root / "corpus", "tokens": root / "tokens", "tokenizer": codec_folder}
        folders["corpus"].mkdir()
        folders["tokens"].mkdir()
        held = [(source(f"held_{number}.py"), HELD_OUT * (8 + number)) for number in range(3)]
        for split, of in (("train", files), ("validation", held), ("test", held)):
            write_split(folders["corpus"], split, of)
        build_tokens(Work(folders["tokens"], folders, Console(quiet=True), seed=1))
        return folders

    return make


@pytest.fixture(scope="session")
def files(sources: list[str]) -> list[File]:
    """Ten files under MIT and two under the GPL."""
    own = [(source(f"package/{number}.py"), text) for number, text in enumerate(sources[:10])]
    return [*own, *((source(f"{n}.py", "copyleft", "GPL-3.0-only"), text) for n, text in enumerate(sources[10:]))]


@pytest.fixture(scope="session")
def workspace(make_workspace: MakeWorkspace, files: list[File]) -> dict[str, Path]:
    return make_workspace(files)


@pytest.fixture(scope="session")
def index_folder(workspace: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("index")
    build(workspace["tokens"], workspace["corpus"], folder)
    return folder


@pytest.fixture(scope="session")
def index(index_folder: Path) -> Index:
    return open_index(index_folder)
