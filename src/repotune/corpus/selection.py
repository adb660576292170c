"""From all files of a source to those worth reading: by path, language and size, each with its folder's licences."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice

import pyarrow as pa

from repotune.corpus.exclusion import Exclusion
from repotune.corpus.languages import language_named, language_of_path, possible_languages
from repotune.corpus.licences.metadata import listed_licences
from repotune.corpus.licences.repository import RepositoryLicences, licences_of_repository, states_licences
from repotune.corpus.notebooks import MAX_NOTEBOOK_BYTES, may_be_notebook
from repotune.corpus.opt_out import RULE, OptOut
from repotune.corpus.profiles import MAX_BYTES
from repotune.corpus.reading import text_of
from repotune.corpus.rows import LISTED, REASON, Dropped, Listed, with_columns
from repotune.corpus.sources import Source

Reason = tuple[str, str, str]
_SELECTED = pa.schema([*LISTED, *((name, pa.string()) for name in REASON)])
_KNOWN = [name for name in LISTED.names if name in Listed.__dataclass_fields__ and name != "language"]
_PART_ROWS = 10_000  # of a listing as Python's objects, ten times as large as in Arrow
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
        parts = [part for number in batch.column("source").to_pylist() for part in self._listed(number)]
        return pa.concat_batches([pa.RecordBatch.from_pylist([], _SELECTED), *parts])

    def _listed(self, number: int) -> Iterator[pa.RecordBatch]:
        """What a source lists. Of a file there is soon no more than its row: listings are long."""
        source, stating = self.sources[number], defaultdict[str, dict[str, Listed]](dict)
        rows = self._rows(number, stating)
        parts = [pa.RecordBatch.from_pylist(part, _SELECTED) for part in iter(lambda: [*islice(rows, _PART_ROWS)], [])]
        read = partial(_texts, source)
        licences = {name: licences_of_repository(found, partial(read, found)) for name, found in stating.items()}
        for part in parts:
            yield _with_licences(part, licences)

    def _rows(self, number: int, stating: dict[str, dict[str, Listed]]) -> Iterator[dict[str, object]]:
        """A row for each file; those that may state the licence of others are put into `stating`, by repository."""
        files = 0
        for file in self.sources[number].listing(self.exclusion):
            if isinstance(file, Dropped):
                about = {"repository": file.repository, "path": file.path, "size": file.size}
                yield about | _reason((file.rule, file.value, file.threshold))
                continue
            unwanted = self._unwanted(file)
            if unwanted is None and file.size <= MAX_BYTES and states_licences(file.path):
                stating[file.repository][file.path] = file
            language = language_named(file.language) or language_of_path(file.path)
            known = {name: getattr(file, name) for name in _KNOWN}
            about = {"source": number, "document": (number << _SOURCE_BITS) + files, "language": language}
            files += 1
            stated = {"folder_licences": listed_licences(file.licences)}
            yield known | about | stated | _reason(unwanted or self._refuse(file, language))

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


def _with_licences(rows: pa.RecordBatch, licences: Mapping[str, RepositoryLicences]) -> pa.RecordBatch:
    """`rows` with the licences of their folders, where the source itself stated none of a file."""
    columns = (rows.column(name).to_pylist() for name in ("rule", "folder_licences", "repository", "path"))
    found = [
        () if rule else own or (licences[repository].of(path) if repository in licences else ())
        for rule, own, repository, path in zip(*columns, strict=True)
    ]
    return with_columns(rows, folder_licences=pa.array(found, _SELECTED.field("folder_licences").type))


def _texts(source: Source, by_path: Mapping[str, Listed], paths: Sequence[str]) -> list[str]:
    contents = source.read([by_path[path] for path in paths])
    return [text_of(data)[0] if isinstance(data, bytes) else "" for data in contents]
