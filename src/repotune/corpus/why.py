"""Why a file is in the corpus, or is not: the answer of `repotune corpus why PATH`."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from repotune.core.artefact import require_artefact
from repotune.core.errors import UserError
from repotune.corpus.exclusion import BUILT_IN
from repotune.corpus.split import SPLITS, split_files


@dataclass(frozen=True)
class Explanation:
    """What became of a file: kept in `split` with its `signals`, or dropped by `rule`: `value` against `threshold`."""

    repository: str
    path: str
    split: str = ""
    rule: str = ""
    value: str = ""
    threshold: str = ""
    signals: Mapping[str, Any] = field(default_factory=dict)

    @property
    def kept(self) -> bool:
        return bool(self.split)

    def __str__(self) -> str:
        name = f"{self.repository}/{self.path}".lstrip("/")
        if self.kept:
            measured = (f"\n  {signal} {_shown(value)}" for signal, value in self.signals.items() if value is not None)
            return f"{name} is kept, in {self.split}" + "".join(measured)
        if self.rule.endswith("_duplicate"):
            return f"{name} is dropped: {self.rule.replace('_', ' ')} of {self.value} ({self.threshold})"
        limit = f", where {self.threshold} is asked" if self.threshold else ""
        return f"{name} is dropped by {self.rule}: {self.value}{limit}"


def explain(corpus_folder: Path, path: str) -> list[Explanation]:
    """What became of each file whose repository and path end in `path`, whole names compared.

    A file in a folder that was never walked is explained by that folder, with an empty repository. Raises UserError,
    with the nearest names, where nothing matches.
    """
    require_artefact(corpus_folder)
    asked = [part for part in path.split("/") if part not in ("", ".")]
    rows = list(_rows(corpus_folder))
    names = [[row.repository, *row.path.split("/")] for row in rows]
    found = [row for row, name in zip(rows, names, strict=True) if asked and name[-len(asked) :] == asked]
    found = found or [row for row in rows if row.path.endswith("/") and _holds(row.path, asked)]
    if not found and (folder := next((part for part in asked if part in BUILT_IN), None)):
        found = [Explanation("", path, rule="excluded", value=folder, threshold="not in such a folder")]
    if not found:
        raise _not_found(path, asked, names)
    return [replace(row, signals=_signals(corpus_folder, row)) if row.kept else row for row in found]


def _rows(folder: Path) -> Iterator[Explanation]:
    for split in SPLITS:
        for file in split_files(folder, split):
            for row in pq.read_table(file, columns=["repository", "path"]).to_pylist():
                yield Explanation(row["repository"], row["path"], split=split)
    columns = ["repository", "path", "rule", "value", "threshold"]
    for row in pq.read_table(folder / "dropped.parquet", columns=columns).to_pylist():
        yield Explanation(**row)


def _signals(folder: Path, row: Explanation) -> dict[str, Any]:
    """What was measured of a kept file."""
    here = [("repository", "=", row.repository), ("path", "=", row.path)]
    found = (pq.read_table(file, columns=["signals"], filters=here) for file in split_files(folder, row.split))
    signals: dict[str, Any] = next(table["signals"][0].as_py() for table in found if table.num_rows)
    return signals


def _shown(value: Any) -> str:
    """A number in four digits, a text in quotes, a boolean in words."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else repr(value)


def _holds(folder: str, asked: list[str]) -> bool:
    """Whether `asked` goes through `folder`: `a/__pycache__/b.pyc` through `a/__pycache__/`."""
    parts = folder.rstrip("/").split("/")
    return any(asked[start : start + len(parts)] == parts for start in range(len(asked) - len(parts)))


def _not_found(path: str, asked: list[str], names: list[list[str]]) -> UserError:
    whole = {"/".join(name) for name in names}
    last = {name[-1]: "/".join(name) for name in names}
    near = difflib.get_close_matches("/".join(asked), whole, n=3)
    near = near or [last[name] for name in difflib.get_close_matches(asked[-1] if asked else "", last, n=3)]
    return UserError(
        f"The corpus knows no file {path}.",
        f"did you mean {' or '.join(near)}?" if near else "paths are those within a repository, such as src/app.py",
    )
