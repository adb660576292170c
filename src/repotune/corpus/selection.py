"""From all files of a source to those worth reading: by path, language and size, each with its folder's licences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import pyarrow as pa

from repotune.corpus.exclusion import Exclusion
from repotune.corpus.languages import language_named, language_of_path, possible_languages
from repotune.corpus.licences.metadata import listed_licences
from repotune.corpus.licences.repository import RepositoryLicences, licences_of_repository
from repotune.corpus.notebooks import MAX_NOTEBOOK_BYTES, may_be_notebook
from repotune.corpus.opt_out import RULE, OptOut
from repotune.corpus.profiles import MAX_BYTES
from repotune.corpus.reading import text_of
from repotune.corpus.rows import LISTED, REASON, Listed
from repotune.corpus.sources import Source, list_source

Reason = tuple[str, str, str]
_SOURCE_BITS = 40
"""A document's number is its source's, shifted by this, and its place in the listing: unique, and the same wherever
and in whatever order sources are listed."""


@dataclass(frozen=True)
class Select:
    """Turns rows of `source` (numbers into `sources`) into the files listed there, as rows of LISTED with a reason for
    each that is not worth reading."""

    sources: Sequence[Source]
    exclusion: Exclusion
    opt_out: OptOut
    languages: frozenset[str]

    def __call__(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        rows = [row for number in batch.column("source").to_pylist() for row in self._rows(number)]
        return pa.RecordBatch.from_pylist(rows, pa.schema([*LISTED, *((name, pa.string()) for name in REASON)]))

    def _rows(self, number: int) -> list[dict[str, object]]:
        source = self.sources[number]
        listing = list_source(source, self.exclusion)
        unwanted = [self._unwanted(file) for file in listing.files]
        pairs = list(zip(listing.files, unwanted, strict=True))
        licences = _stated_licences(source, [file for file, reason in pairs if reason is None])
        rows: list[dict[str, object]] = []
        for file, reason in pairs:
            language = language_named(file.language) or language_of_path(file.path)
            refused = reason or self._refuse(file, language)
            found = () if reason else listed_licences(file.licences) or licences[file.repository].of(file.path)
            about = {"language": language, "folder_licences": found, "document": (number << _SOURCE_BITS) + len(rows)}
            known = {name: getattr(file, name) for name in LISTED.names if name in Listed.__dataclass_fields__}
            rows.append(known | about | {"source": number} | _reason(refused))
        for lost in listing.dropped:
            about = {"repository": lost.repository, "path": lost.path, "size": lost.size}
            rows.append(about | _reason((lost.rule, lost.value, lost.threshold)))
        return rows

    def _unwanted(self, file: Listed) -> Reason | None:
        """Why nobody may look at a file: it does not even tell its folder's licence."""
        if reason := self.exclusion.reason(file.path):
            return "excluded", reason, "corpus.exclude"
        line = self.opt_out.reason(file)
        return (RULE, line, "") if line else None

    def _refuse(self, file: Listed, language: str) -> Reason | None:
        """Why a file is not read whose language or size already tells. One whose name leaves a choice is read first."""
        possible = frozenset({language}) if language else possible_languages(file.path)
        if not (possible & self.languages or may_be_notebook(file.path)):
            return "language", " or ".join(sorted(possible)) or "unknown", "a language that is wanted"
        limit = MAX_NOTEBOOK_BYTES if may_be_notebook(file.path) else MAX_BYTES
        if file.size > limit:
            return "file_size", f"{file.size}", f"at most {limit}"
        return None


def _reason(reason: Reason | None) -> dict[str, str]:
    return dict(zip(REASON, reason, strict=True)) if reason else {}


def _stated_licences(source: Source, files: Sequence[Listed]) -> dict[str, RepositoryLicences]:
    """What the files of each repository state of its licences; a data set may hold many repositories."""
    by_repository: dict[str, dict[str, Listed]] = {}
    for file in files:
        found = by_repository.setdefault(file.repository, {})
        if file.size <= MAX_BYTES:
            found[file.path] = file

    def read(by_path: dict[str, Listed], paths: Sequence[str]) -> list[str]:
        contents = source.read([by_path[path] for path in paths])
        return [text_of(data)[0] if isinstance(data, bytes) else "" for data in contents]

    return {name: licences_of_repository(found, partial(read, found)) for name, found in by_repository.items()}
