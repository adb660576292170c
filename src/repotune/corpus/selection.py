"""From all files of the sources to those worth reading: by path, language and size, each with its folder's licences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import pyarrow as pa

from repotune.core.config import CorpusSettings
from repotune.core.console import Console
from repotune.corpus import sources
from repotune.corpus.exclusion import Exclusion
from repotune.corpus.languages import language_named, language_of_path, possible_languages, wanted_languages
from repotune.corpus.licences.metadata import listed_licences
from repotune.corpus.licences.repository import RepositoryLicences, licences_of_repository
from repotune.corpus.notebooks import MAX_NOTEBOOK_BYTES, may_be_notebook
from repotune.corpus.opt_out import RULE, OptOut
from repotune.corpus.profiles import MAX_BYTES
from repotune.corpus.reading import read_listed, text_of
from repotune.corpus.rows import LISTED, Dropped, Listed
from repotune.corpus.sources import Source

# What one worker holds at a time: enough that calls over Arrow cost nothing, little enough to share a small machine.
_BATCH_FILES = 256
_BATCH_BYTES = 4_000_000


@dataclass(frozen=True, slots=True)
class Selected:
    """A file to be read, with what is known of it already. `language` is empty where its first line has to tell."""

    document: int
    source: int
    file: Listed
    language: str
    folder_licences: tuple[str, ...]


@dataclass
class Selection:
    """What will be read, by repository and path, and what was dropped by path, language or size; sizes in bytes."""

    selected: list[Selected] = field(default_factory=list)
    dropped: list[Dropped] = field(default_factory=list)
    found: int = 0
    found_bytes: int = 0

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The selected files as rows of LISTED, in batches whose bounds depend on the files alone."""
        begin, weight = 0, 0
        for end, each in enumerate(self.selected):
            if end > begin and (weight + each.file.size > _BATCH_BYTES or end - begin == _BATCH_FILES):
                yield _batch(self.selected[begin:end])
                begin, weight = end, 0
            weight += each.file.size
        if begin < len(self.selected):
            yield _batch(self.selected[begin:])


def select(given: Sequence[Source], settings: CorpusSettings, console: Console) -> Selection:
    """Lists the sources and keeps what `settings` want. Raises UserError for an unknown language or a bad pattern."""
    selection, exclusion, wanted = Selection(), Exclusion(settings.exclude), wanted_languages(settings.languages)
    opt_out = OptOut(settings.opt_out)
    by_name = sorted(enumerate(given), key=lambda pair: pair[1].name)
    with console.progress("listing", len(by_name), "repositories") as progress:
        for number, source in by_name:
            _select_from(source, number, selection, exclusion, opt_out, wanted)
            progress.advance()
    return selection


def _select_from(
    source: Source,
    number: int,
    selection: Selection,
    exclusion: Exclusion,
    opt_out: OptOut,
    wanted: frozenset[str],
) -> None:
    """Adds the files of `source`, the `number`th of those given, to `selection`."""
    listing = sources.list_source(source, exclusion)
    selection.dropped += listing.dropped
    selection.found += len(listing.files) + len(listing.dropped)
    selection.found_bytes += sum(file.size for file in listing.files) + sum(row.size for row in listing.dropped)
    allowed = []
    for file in listing.files:
        if reason := exclusion.reason(file.path):
            selection.dropped.append(_drop(file, "excluded", reason, "corpus.exclude"))
        elif line := opt_out.reason(file):
            selection.dropped.append(_drop(file, RULE, line, ""))
        else:
            allowed.append(file)
    stated = _stated_licences(source, allowed)
    for file in allowed:
        language = language_named(file.language) or language_of_path(file.path)
        if dropped := _refuse(file, language, wanted):
            selection.dropped.append(dropped)
        else:
            found = listed_licences(file.licences) or stated[file.repository].of(file.path)
            selection.selected.append(Selected(len(selection.selected), number, file, language, found))


def _refuse(file: Listed, language: str, wanted: frozenset[str]) -> Dropped | None:
    """The drop of a file whose language or size already tells. One whose name leaves a choice has to be read first."""
    possible = frozenset({language}) if language else possible_languages(file.path)
    if not (possible & wanted or may_be_notebook(file.path)):
        return _drop(file, "language", " or ".join(sorted(possible)) or "unknown", "a language that is wanted")
    limit = MAX_NOTEBOOK_BYTES if may_be_notebook(file.path) else MAX_BYTES
    if file.size > limit:
        return _drop(file, "file_size", f"{file.size}", f"at most {limit}")
    return None


def _stated_licences(source: Source, files: Sequence[Listed]) -> dict[str, RepositoryLicences]:
    """What the files of each repository state of its licences; a data set may hold many repositories."""
    by_repository: dict[str, dict[str, Listed]] = {}
    for file in files:
        found = by_repository.setdefault(file.repository, {})
        if file.size <= MAX_BYTES:
            found[file.path] = file

    def read(by_path: dict[str, Listed], paths: Sequence[str]) -> list[str]:
        contents = read_listed(source, [by_path[path] for path in paths])
        return [text_of(data)[0] if isinstance(data, bytes) else "" for data in contents]

    return {name: licences_of_repository(found, partial(read, found)) for name, found in by_repository.items()}


def _drop(file: Listed, rule: str, value: str, threshold: str) -> Dropped:
    return Dropped(file.repository, file.path, rule, value, threshold, file.size)


def _batch(selected: Sequence[Selected]) -> pa.RecordBatch:
    settled = [name for name in LISTED.names if name in Selected.__dataclass_fields__]
    rows = [
        {name: getattr(each.file, name) for name in LISTED.names if name not in settled}
        | {name: getattr(each, name) for name in settled}
        for each in selected
    ]
    return pa.RecordBatch.from_pylist(rows, LISTED)
