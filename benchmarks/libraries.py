"""Near-duplicates that nobody made for a test: the standard libraries of several Pythons, side by side.

Where pyenv has but one, the files of this Python and seeded edits of them take the others' place.
"""

from __future__ import annotations

import random
import re
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from repotune.corpus.engines import Engine
from repotune.corpus.profiles import MAX_BYTES
from repotune.corpus.reading import text_of

_LEFT_OUT = {"__pycache__", "site-packages"}
_TESTS = {"idle_test", "test", "tests"}
_BATCH_FILES = 256  # as the corpus takes them
_EDITIONS = 4  # of the one library, the first without edits


@dataclass(frozen=True)
class File:
    """A readable source file; `library` is the Python that it is of."""

    library: str
    path: str
    text: str


def side_by_side(every: int = 1) -> tuple[list[File], str]:
    """The files of all libraries, or those of one path in `every`, by path; and what they are, in words."""
    folders = sorted((Path.home() / ".pyenv" / "versions").glob("3.*/lib/python3.*"))
    if len(folders) > 1:
        files = [file for folder in folders for file in _library(folder)]
        told = f"the standard libraries of {', '.join(sorted({file.library for file in files}, key=_version))}"
    else:
        plain = _library(Path(sysconfig.get_paths()["stdlib"]))
        files = [edited(file, edition) for file in plain for edition in range(_EDITIONS)]
        told = f"the standard library of {plain[0].library} and {_EDITIONS - 1} seeded edits of each of its files"
    wanted = set(sorted({file.path for file in files})[::every])
    return sorted((file for file in files if file.path in wanted), key=lambda file: (file.path, file.library)), told


def this_library() -> list[File]:
    """The files of the standard library of the Python that runs this, without tests."""
    found = _library(Path(sysconfig.get_paths()["stdlib"]))
    return [file for file in found if _TESTS.isdisjoint(Path(file.path).parts)]


def edited(file: File, edition: int) -> File:
    """`file` with lines taken out and lines renamed, the more the higher the edition: from few up to one in eight."""
    if edition == 0:
        return file
    draw = random.Random(f"{file.path} {edition}")
    share = draw.random() * edition / _EDITIONS / 6
    lines = [
        re.sub(r"[a-z]{3,}", lambda word: word[0][::-1], line)
        if draw.random() < 0.5
        else ""
        if draw.random() < share
        else line
        for line in file.text.splitlines(keepends=True)
    ]
    return File(f"{file.library} edited {edition}", file.path, "".join(lines))


def put_texts(engine: Engine, files: list[File]) -> None:
    """Makes table `texts`: what a corpus knows of documents before it signs them, numbered as in `files`."""
    engine.start("parts", pa.table({"start": list(range(0, len(files), _BATCH_FILES))}))
    engine.map("texts", "parts", [lambda batch: _rows(files, batch.column("start").to_pylist())], "reading")


def _rows(files: list[File], starts: list[int]) -> pa.RecordBatch:
    numbers = [number for start in starts for number in range(start, min(start + _BATCH_FILES, len(files)))]
    rows = [files[number] for number in numbers]
    columns = {
        "document": pa.array(numbers, pa.int64()),
        "repository": pa.array([file.library for file in rows], pa.string()),
        "path": pa.array([file.path for file in rows], pa.string()),
        "size": pa.array([len(file.text) for file in rows], pa.int64()),
        "licence": pa.array(["Python-2.0"] * len(rows), pa.string()),
        "committed": pa.array([""] * len(rows), pa.string()),
        "text": pa.array([file.text for file in rows], pa.string()),
        "replaced": pa.array([[]] * len(rows), pa.map_(pa.string(), pa.int32())),
    }
    return pa.RecordBatch.from_pydict(columns)


def _library(folder: Path) -> list[File]:
    files = []
    for path in sorted(folder.rglob("*.py")):
        name = path.relative_to(folder)
        if _LEFT_OUT.isdisjoint(name.parts) and path.stat().st_size <= MAX_BYTES:
            text, _ = text_of(path.read_bytes())
            if text:
                files.append(File(folder.name.removeprefix("python"), name.as_posix(), text))
    return files


def _version(name: str) -> tuple[int, ...]:
    return tuple(map(int, name.split(".")))
