"""Writing an index: at once from corpus/ and tokens/, then file by file as commits come.

    build(tokens, corpus, folder)       sorts everything
    refresh(folder, tokens, corpus)     takes over what differs between the index and a newer corpus
    update(folder, documents, removed)  takes over changed, new and removed files

Changed files go into a small second segment, and what they replace is marked as removed in the first (a log-structured
merge tree of two levels: O'Neil et al. 1996). When that is an eighth of the first, all is sorted again into one.
A change is written beside and takes effect when index.json is replaced; a kill leaves the index as it was.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np

from repotune.core.artefact import digest, sync_folder
from repotune.core.console import Console
from repotune.core.errors import UserError
from repotune.core.flow import locked
from repotune.infer.index.folder import SEGMENTS, Head, read_head, write_head
from repotune.infer.index.segment import Document, Entry, Name, Segment, Source, write_following, write_segment
from repotune.tokenizer.documents import read_columns
from repotune.tokenizer.packing import TokenStore, read_index

MERGE_SHARE = 8
_THREADS = 4  # each sorts some 60 MB


def build(tokens: Path, corpus: Path, folder: Path, console: Console | None = None) -> None:
    """Indexes the training split of `corpus`, whose ids are in `tokens`, in `folder`; an index there is replaced.

    Raises UserError where the two do not belong together, hold nothing, or another process writes the index.
    """
    store = TokenStore(tokens, "train")
    head = Head(store.dtype.name, str(read_index(tokens)["tokenizer"]), _unused_id(store), ())
    with _writing(folder):
        _add(folder, head, _documents(store, corpus), store.tokens + len(store), console)


def refresh(folder: Path, tokens: Path, corpus: Path, console: Console | None = None) -> tuple[int, int]:
    """Takes over what of the training split of `corpus` the index has not. Returns how many files are new or changed,
    and how many are gone. Builds it where the tokenizer is another one; raises UserError as `build` and `update`."""
    head = read_head(folder)
    store = TokenStore(tokens, "train")
    if head.tokenizer != read_index(tokens)["tokenizer"]:
        build(tokens, corpus, folder, console)
        return len(store), 0
    held = {
        source.name: (source.licence, digest)
        for segment in _segments(folder, head)
        for _, source, digest in segment.living()
    }
    # Not by commit: the file that an older one names has the same text there.
    changed = [
        document
        for document in _documents(store, corpus)
        if held.pop(document.source.name, None) != (document.source.licence, document.digest)
    ]
    update(folder, changed, held.keys(), console)
    return len(changed), len(held)


def update(
    folder: Path, documents: Iterable[Document], removed: Collection[Name] = (), console: Console | None = None
) -> None:
    """Puts `documents` in the place of those of the same name, and takes out `removed` ones.

    Raises UserError for ids that the index cannot hold, where all would be gone, and as `build` does.
    """
    latest = {document.source.name: document for document in documents}
    gone = {*latest, *removed}
    with _writing(folder):
        head = read_head(folder)
        base, *rest = _segments(folder, head)
        lost = [number for number, source, _ in base.living() if source.name in gone]
        kept = [document for segment in rest for document in _living(segment, gone)]
        recent = [*kept, *latest.values()]
        if not lost and not latest and len(kept) == sum(segment.documents for segment in rest):
            return
        waste = sum(len(base.document(number)) + 1 for number in (*lost, *base.removed))
        if MERGE_SHARE * (_rows(recent) + waste) > len(base.order):
            everything = [*_living(base, gone), *recent]
            _add(folder, replace(head, segments=()), everything, _rows(everything), console)
        else:
            _add(folder, replace(head, segments=(_without(folder, head, lost),)), recent, _rows(recent), console)


def _add(folder: Path, head: Head, documents: Iterable[Document], rows: int, console: Console | None) -> None:
    """Makes the index `head` and a segment of `documents`, of which there may be none."""
    if rows:
        unfinished = folder / SEGMENTS / f".{uuid.uuid4().hex}"
        unfinished.mkdir()
        threads = min(_THREADS, os.cpu_count() or 1)
        with (console or Console(quiet=True)).progress("sorting contexts", rows, "tokens") as progress:
            entry = write_segment(unfinished, "", documents, head.numbers, head.separator, threads, progress.advance)
        for path in unfinished.iterdir():
            _sync(path)
        entry = replace(entry, name=_free_name(folder, entry))
        unfinished.rename(folder / SEGMENTS / entry.name)
        head = replace(head, segments=(*head.segments, entry))
    if not head.segments:
        raise UserError("An index of nothing cannot be made.", "add repositories to the corpus")
    sync_folder(folder / SEGMENTS)
    write_head(folder, head)
    _clean(folder, head.segments)


def _free_name(folder: Path, entry: Entry) -> str:
    """What a segment is called: by what is in it, so that the same corpus makes the same index; by another name where
    that one is taken, which who opened the index has mapped."""
    by_contents = digest(entry.files)[:32]
    names = (f"{by_contents}-{again}" if again else by_contents for again in count())
    return next(name for name in names if not (folder / SEGMENTS / name).exists())


def _without(folder: Path, head: Head, lost: Sequence[int]) -> Entry:
    """The entry of the first segment, `lost` documents removed besides."""
    entry = head.segments[0]
    if not lost:
        return entry
    within = folder / SEGMENTS / entry.name
    entry = write_following(within, entry, head.numbers, head.separator, lost)
    _sync(within / entry.following)
    return entry


def _clean(folder: Path, entries: Iterable[Entry]) -> None:
    """Removes what no entry names: old states, and what a kill or a fault left."""
    kept = {entry.name: entry for entry in entries}
    for path in (folder / SEGMENTS).iterdir():
        if path.name not in kept:
            shutil.rmtree(path)
            continue
        for file in path.iterdir():
            if file.name not in kept[path.name].files:
                file.unlink()


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Holds the folder for this process. Raises UserError where another one does, or where it cannot be written."""
    try:
        (folder / SEGMENTS).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder} cannot be written: {error.strerror}.") from error
    with locked(folder):
        yield


def _documents(store: TokenStore, corpus: Path) -> Iterator[Document]:
    """The documents of tokens/ with what corpus/ says of them. Raises UserError where these are not the same."""
    number = 0
    for batch in read_columns(corpus, "train", "repository", "commit", "path", "language", "licence"):
        for row in zip(*batch, strict=True):
            source = Source(*row)
            if number == len(store) or store.path(number) != source.path:
                raise _apart(corpus)
            yield Document(source, store.document(number))
            number += 1
    if number != len(store):
        raise _apart(corpus)


def _apart(corpus: Path) -> UserError:
    return UserError(f"The tokens are not those of {corpus}.", "repotune run encodes it again")


def _unused_id(store: TokenStore) -> int:
    """An id that no document holds. There is always one: a special token never stands in a document."""
    used = np.zeros(1, bool)
    for number in range(len(store)):
        found = np.bincount(store.document(number)) > 0
        if len(found) > len(used):
            used = np.append(used, np.zeros(len(found) - len(used), bool))
        used[: len(found)] |= found
    free = int(np.append(used, False).argmin())
    if free > np.iinfo(store.dtype).max:
        raise UserError("The documents hold every id there is, special ones too.", "encode the corpus again")
    return free


def _segments(folder: Path, head: Head) -> list[Segment]:
    return [Segment(folder / SEGMENTS / entry.name, entry, head.numbers, head.separator) for entry in head.segments]


def _living(segment: Segment, gone: Collection[Name]) -> list[Document]:
    return [
        Document(source, segment.document(number)) for number, source, _ in segment.living() if source.name not in gone
    ]


def _rows(documents: Iterable[Document]) -> int:
    return sum(len(document.ids) + 1 for document in documents)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
