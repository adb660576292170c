"""What the tests of sources share: opening one, and seeing all of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from repotune.corpus.exclusion import Exclusion
from repotune.corpus.rows import Dropped, Listed
from repotune.corpus.sources import open_sources

Rows = dict[str, "Listed | Dropped"]


@pytest.fixture
def rows(tmp_path: Path) -> Callable[..., Rows]:
    """All rows of a repository by path."""

    def all_of(repository: Path | str) -> Rows:
        sources = open_sources([str(repository)], tmp_path / "scratch")
        return {row.path: row for source in sources for row in source.listing(Exclusion(()))}

    return all_of


@pytest.fixture
def contents(tmp_path: Path) -> Callable[..., dict[str, bytes | str]]:
    """Path → bytes of each file as they are read in one batch, or why they cannot be; the rule for what is dropped."""

    def read(repository: Path | str) -> dict[str, bytes | str]:
        found: dict[str, bytes | str] = {}
        for source in open_sources([str(repository)], tmp_path / "scratch"):
            listed = list(source.listing(Exclusion(())))
            files = [row for row in listed if isinstance(row, Listed)]
            found |= {row.path: f"dropped: {row.rule}" for row in listed if isinstance(row, Dropped)}
            found |= {file.path: data for file, data in zip(files, source.read(files), strict=True)}
        return found

    return read
