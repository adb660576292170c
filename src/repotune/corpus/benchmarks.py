"""The texts of benchmarks that no training document may hold: prompts, solutions and tests, item by item.

A benchmark is a file of JSON lines (HumanEval, its infilling tasks, MultiPL-E, MBPP or one's own), plain or compressed
with gzip, or a folder of source files, each of which is an item. Names without a path are looked for in the folder that
REPOTUNE_DATA names.
"""

from __future__ import annotations

import gzip
import json
import os
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from repotune.core.errors import UserError

DATA = "REPOTUNE_DATA"
BUILT_IN = ("humaneval", "humaneval_infilling", "multipl_e")

# Which fields of a row hold what; where none is known, all of its texts are parts.
_FIELDS = {
    "prompt": ("prompt", "text", "question", "docstring"),
    "solution": ("canonical_solution", "sample_solution", "solution", "solutions", "code", "completion", "answer"),
    "test": ("test", "tests", "test_list", "test_code"),
}
_NAMES = ("task_id", "name", "id", "question_id")


@dataclass(frozen=True, slots=True)
class Part:
    """A text of an item of a benchmark; `part` says which: prompt, solution, test, program or file."""

    benchmark: str
    item: str
    part: str
    text: str


def find_benchmarks(named: Sequence[str], root: Path = Path()) -> list[Path]:
    """The files and folders that `named` are, in order; relative ones count from `root`.

    Built-in names are those that the data folder has.

    Raises UserError for a path that is not there.
    """
    folder = os.environ.get(DATA)
    found = []
    for name in named:
        path = Path(folder) / name if folder and name in BUILT_IN else root / Path(name).expanduser()
        if path.exists():
            found.append(path)
        elif name not in BUILT_IN:
            raise UserError(
                f"The benchmark {name} of corpus.contamination is not there.",
                f"name a file of JSON lines, a folder, or one of {', '.join(BUILT_IN)} with {DATA} set",
            )
    return found


def benchmark_files(paths: Sequence[Path]) -> list[Path]:
    """The files of the benchmarks at `paths`: a folder's are its JSON lines or, where it has none, all files in it."""
    found = []
    for path in paths:
        files = [path] if path.is_file() else sorted(each for each in path.rglob("*") if each.is_file())
        found += [each for each in files if _is_rows(each)] or files
    return found


def read_benchmarks(paths: Sequence[Path]) -> Iterator[Part]:
    """All parts of the benchmarks at `paths`. Raises UserError for a file that cannot be read."""
    for path in paths:
        for file in benchmark_files([path]):
            if _is_rows(file):
                yield from _rows(file)
            else:
                item = file.relative_to(path).as_posix() if path.is_dir() else file.name
                yield Part(path.name, item, "file", _text(file))


def _is_rows(path: Path) -> bool:
    return path.name.endswith((".jsonl", ".jsonl.gz"))


def _rows(path: Path) -> Iterator[Part]:
    benchmark = path.name.removesuffix(".gz").removesuffix(".jsonl")
    for number, line in enumerate(_text(path).splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if not isinstance(row, dict):
            raise UserError(f"Line {number} of the benchmark {path} is not a JSON object.")
        item = str(next((row[name] for name in _NAMES if name in row), number))
        for part, text in _parts(row):
            yield Part(benchmark, item, part, text)


def _parts(row: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The texts of a row. An infilling task's are one program, cut in three at a place of no meaning."""
    if isinstance(row.get("suffix"), str):
        pieces = (row.get("prompt"), row.get("canonical_solution"), row["suffix"])
        yield "program", "".join(piece for piece in pieces if isinstance(piece, str))
        row = {name: value for name, value in row.items() if name in _FIELDS["test"]}
    known = [(part, row[name]) for part, names in _FIELDS.items() for name in names if name in row]
    for part, value in known or row.items():
        texts = value if isinstance(value, list) else [value]
        text = "\n".join(text for text in texts if isinstance(text, str))
        if text:
            yield part, text


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
        return (gzip.decompress(data) if path.suffix == ".gz" else data).decode(errors="replace")
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"The benchmark {path} cannot be read: {error}.") from error
