"""From all files of the sources to those worth reading: by path, language and size, each with its folder's licences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

import pyarrow as pa

from repotune.core.config import CorpusSettings
from repotune.corpus import licences, sources
from repotune.corpus.exclusion import Exclusion
from repotune.corpus.languages import language_of_path, may_have_shebang, wanted_languages
from repotune.corpus.profile import MAX_BYTES
from repotune.corpus.reading import read_listed, text_of
from repotune.corpus.rows import LISTED, Dropped, Listed
from repotune.corpus.sources import Source

# What one worker holds at a time: enough that calls over Arrow cost nothing, little enough to share a small machine.
_BATCH_FILES = 256
_BATCH_BYTES = 4_000_000


@dataclass
class Selection:
    """What will be read, as rows of LISTED by repository and path, and what was dropped by path, language or size."""

    rows: list[tuple[object, ...]] = field(default_factory=list)
    dropped: list[Dropped] = field(default_factory=list)
    found: int = 0
    found_bytes: int = 0

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows in batches whose bounds depend on the rows alone."""
        begin, weight = 0, 0
        size = LISTED.get_field_index("size")
        for end, row in enumerate(self.rows):
            weight += int(str(row[size]))
            if weight > _BATCH_BYTES or end - begin == _BATCH_FILES:
                if end > begin:
                    yield _batch(self.rows[begin:end])
                begin, weight = end, int(str(row[size]))
        if begin < len(self.rows):
            yield _batch(self.rows[begin:])


def select(from_sources: Sequence[Source], settings: CorpusSettings) -> Selection:
    """Lists the sources and keeps what `settings` want. Raises UserError for an unknown language or a bad pattern."""
    selection, exclusion = Selection(), Exclusion(settings.exclude)
    wanted = wanted_languages(settings.languages)
    for number, source in sorted(enumerate(from_sources), key=lambda pair: pair[1].name):
        listing = sources.list_source(source)
        selection.dropped += listing.dropped
        selection.found += len(listing.files) + len(listing.dropped)
        selection.found_bytes += sum(file.size for file in listing.files) + sum(row.size for row in listing.dropped)
        allowed = []
        for file in listing.files:
            if reason := exclusion.reason(file.path):
                selection.dropped.append(_drop(file, "excluded", reason, "corpus.exclude"))
            else:
                allowed.append(file)
        by_folder = _folder_licences(source, allowed)
        for file in allowed:
            language = language_of_path(file.path)
            if dropped := _refuse(file, language, wanted):
                selection.dropped.append(dropped)
                continue
            found = sorted(licences.nearest(file.path, by_folder))
            about = (file.repository, file.path, file.size, file.blob, file.commit, file.committed)
            selection.rows.append((len(selection.rows), number, *about, language, found))
    return selection


def _refuse(file: Listed, language: str, wanted: frozenset[str]) -> Dropped | None:
    """The drop of a file whose language or size already tells. One that may be a script has to be read first."""
    if language not in wanted and (language or not may_have_shebang(file.path)):
        return _drop(file, "language", language or "unknown", "a language that is wanted")
    if file.size > MAX_BYTES:
        return _drop(file, "file_size", f"{file.size}", f"at most {MAX_BYTES}")
    return None


def _folder_licences(source: Source, files: Sequence[Listed]) -> dict[str, frozenset[str]]:
    """The licences of each folder that has licence files; several in one folder all apply."""
    found: dict[str, frozenset[str]] = {}
    named = [file for file in files if licences.is_licence_file(file.path) and file.size <= MAX_BYTES]
    for file, data in zip(named, read_listed(source, named), strict=True):
        folder = str(PurePosixPath(file.path).parent)
        here = licences.identify(text_of(data)[0]) if isinstance(data, bytes) else frozenset({licences.UNKNOWN})
        found[folder] = found.get(folder, frozenset()) | here
    return found


def _drop(file: Listed, rule: str, value: str, threshold: str) -> Dropped:
    return Dropped(file.repository, file.path, rule, value, threshold, file.size)


def _batch(rows: Sequence[tuple[object, ...]]) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays(
        [pa.array(column, field.type) for column, field in zip(zip(*rows, strict=True), LISTED, strict=True)],
        schema=LISTED,
    )
