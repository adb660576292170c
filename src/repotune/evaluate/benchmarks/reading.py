"""Rows of a benchmark, from JSON lines or Parquet: a file, a folder of them, a built-in name or a data set on the hub.

    name, rows = read_rows("humaneval")            in the folder that REPOTUNE_DATA names
    name, rows = read_rows("data/HumanEval.jsonl.gz")
    name, rows = read_rows("evalplus/humanevalplus")    on the hub; needs the extra `hub`

A folder's files are read in the order of their names; only the split `test` where names tell splits apart.
"""

from __future__ import annotations

import gzip
import json
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from repotune.core.errors import UserError
from repotune.corpus.benchmarks import BUILT_IN, DATA

Row = dict[str, Any]

_ENDINGS = (".jsonl", ".jsonl.gz", ".parquet")


def read_rows(source: str) -> list[tuple[str, Row]]:
    """(name of the file without its ending, row) for all rows of `source`. Raises UserError where there are none."""
    folder = _locate(source)
    files = [folder] if folder.is_file() else _rows_files(folder)
    if not files:
        raise UserError(f"{folder} holds no benchmark.", f"its files end in {', '.join(_ENDINGS)}")
    return [(_stem(file), row) for file in files for row in _rows(file)]


def _locate(source: str) -> Path:
    data = os.environ.get(DATA)
    if source in BUILT_IN and data:
        return Path(data) / source
    path = Path(source).expanduser()
    if path.exists():
        return path
    if source in BUILT_IN:
        raise UserError(f"The benchmark {source} is looked for where {DATA} says.", f"export {DATA}=FOLDER")
    if source.count("/") == 1 and not source.startswith((".", "~", "/")):
        return _from_hub(source)
    raise UserError(f"There is no benchmark {source}.", f"name a file, a folder, or one of {', '.join(BUILT_IN)}")


def _from_hub(name: str) -> Path:
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
    except ModuleNotFoundError:
        raise UserError(
            f"There is no folder {name}, and the hub cannot be asked.", "pip install 'repotune[hub]'"
        ) from None
    try:
        patterns = [f"*{ending}" for ending in _ENDINGS]
        return Path(snapshot_download(name, repo_type="dataset", allow_patterns=patterns))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(f"The hub did not give {name}: {reason}", "name a folder that holds the benchmark") from error


def _rows_files(folder: Path) -> list[Path]:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name.endswith(_ENDINGS))
    return [path for path in files if "test" in path.name.split("-")[0].split("_")] or files


def _stem(file: Path) -> str:
    return next(file.name.removesuffix(ending) for ending in reversed(_ENDINGS) if file.name.endswith(ending))


def _rows(file: Path) -> Iterator[Row]:
    try:
        if file.name.endswith(".parquet"):
            yield from pq.read_table(file).to_pylist()
            return
        data = file.read_bytes()
        text = (gzip.decompress(data) if file.name.endswith(".gz") else data).decode()
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, pa.ArrowInvalid) as error:
        raise UserError(f"The benchmark {file} cannot be read: {error}.") from error
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield _row(file, number, line)


def _row(file: Path, number: int, line: str) -> Row:
    try:
        row = json.loads(line)
    except ValueError:
        row = None
    if not isinstance(row, dict):
        raise UserError(f"Line {number} of the benchmark {file} is not a JSON object.")
    return row
