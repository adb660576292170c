"""A segment: some documents, their tokens in one text, and its contexts in order. Written once, then mapped.

    text.bin        ids: DEPTH separators, then each document with a separator behind it
    starts.bin      where each document begins in the text, and the text's end
    lists.bin       where the list of each id begins in psi, and psi's end
    order.bin, following.bin, psi.bin    (`sorting.py`), 10 bytes for each id of 16 bits
    documents.arrow repository, commit, path, language, licence and a digest of the ids

No id of a document is the separator, so no span of a context reaches from one document into the next.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from repotune.core.artefact import file_digest
from repotune.core.errors import UserError
from repotune.infer.index.sorting import DEPTH, FOLLOWING, ORDER, Rows, count_ids, sort_psi, write_order

if TYPE_CHECKING:
    import pyarrow as pa

    from repotune.tokenizer.packing import Tokens

TEXT, STARTS, LISTS, PSI, DOCUMENTS = "text.bin", "starts.bin", "lists.bin", "psi.bin", "documents.arrow"
MOST_TOKENS = 2**32 - 1
Name = tuple[str, str]
"""A file's repository and path."""


@dataclass(frozen=True)
class Source:
    """The file that a document is."""

    repository: str
    commit: str
    path: str
    language: str
    licence: str

    @property
    def name(self) -> Name:
        """What tells the file from all others."""
        return self.repository, self.path


class Document(NamedTuple):
    """A file and its ids, as tokens/ has them: without header and end."""

    source: Source
    ids: Tokens

    @property
    def digest(self) -> str:
        """Of the ids: whether a file has changed."""
        return hashlib.blake2b(self.ids.astype("<u4").tobytes(), digest_size=16).hexdigest()


@dataclass(frozen=True)
class Entry:
    """A segment as index.json has it. `removed` are the numbers of documents that count no more, and `following` the
    file that knows of it; `files` are sizes and digests."""

    name: str
    documents: int
    tokens: int
    following: str
    removed: tuple[int, ...]
    files: dict[str, dict[str, Any]]


def write_segment(
    folder: Path,
    name: str,
    documents: Iterable[Document],
    dtype: np.dtype[Any],
    separator: int,
    threads: int,
    done: Callable[[int], None],
) -> Entry:
    """Writes `documents` as the segment `folder`, which is to be called `name`. `done` is told of the rows sorted.

    Raises UserError for an id that is the separator or does not fit `dtype`, and beyond MOST_TOKENS.
    """
    starts = _write_text(folder, documents, dtype, separator)
    text = map_file(folder / TEXT, dtype, int(starts[-1]))
    counts = count_ids(text[DEPTH:])
    np.append(0, np.cumsum(counts)).astype("<i8").tofile(folder / LISTS)
    starts.tofile(folder / STARTS)
    write_order(text, counts, folder, threads, done)
    following = map_file(folder / FOLLOWING, dtype, len(text) - DEPTH)
    sort_psi(following, counts).tofile(folder / PSI)
    files = {
        path.name: {"bytes": path.stat().st_size, "sha256": file_digest(path)} for path in sorted(folder.iterdir())
    }
    return Entry(name, len(starts) - 1, len(text) - DEPTH, FOLLOWING, (), files)


def write_following(folder: Path, entry: Entry, dtype: np.dtype[Any], separator: int, removed: Sequence[int]) -> Entry:
    """The entry of the segment with `removed` documents besides: in a new file nothing follows contexts in them."""
    segment = Segment(folder, entry, dtype, separator)
    gone = np.zeros(len(segment.text), bool)
    for number in removed:
        gone[segment.starts[number] : segment.starts[number + 1]] = True
    following = segment.following.copy()
    following[gone[segment.order]] = separator
    everything = tuple(sorted({*entry.removed, *removed}))
    path = folder / f"following-{len(everything)}.bin"
    following.tofile(path)
    files = {name: file for name, file in entry.files.items() if name != entry.following}
    files[path.name] = _described(path)
    return Entry(entry.name, entry.documents, entry.tokens, path.name, everything, files)


class Segment:
    """A segment's arrays, mapped. Raises UserError where files are absent or of another size."""

    def __init__(self, folder: Path, entry: Entry, dtype: np.dtype[Any], separator: int) -> None:
        rows, ids = entry.tokens, entry.tokens + DEPTH
        self.text: Tokens = map_file(folder / TEXT, dtype, ids)
        self.starts: NDArray[np.int64] = map_file(folder / STARTS, np.dtype("<i8"), entry.documents + 1)
        self.order: Rows = map_file(folder / ORDER, np.dtype("<u4"), rows)
        self.following: Tokens = map_file(folder / entry.following, dtype, rows)
        self.entry, self.removed = entry, frozenset(entry.removed)
        self._psi: Rows = map_file(folder / PSI, np.dtype("<u4"), rows)
        lists = map_file(folder / LISTS, np.dtype("<i8"), int(entry.files[LISTS]["bytes"]) // 8)
        if (
            lists[-1] != rows
            or self.starts[-1] != ids
            or np.any(np.diff(lists) < 0)
            or np.any(np.diff(self.starts) < 1)
        ):
            raise damaged(folder)
        self._lists: list[int] = lists.tolist()
        self.separator = separator
        self._names = _read_names(folder / DOCUMENTS, entry.documents)
        self.everywhere = np.array([[0], [rows]], np.uint32)

    def narrow(self, spans: Rows, token: int) -> Rows:
        """The spans, (2, n + 1), of the last 0 to n tokens once `token` is behind them; from those of the last 0, 1, …
        before. Spans are nested, so what occurs at all comes first, and n is DEPTH at most."""
        if token == self.separator or not 0 <= token < len(self._lists) - 1:
            return self.everywhere
        first, last = self._lists[token], self._lists[token + 1]
        found = self._psi[first:last].searchsorted(spans)
        longest = min(int(np.count_nonzero(found[0] < found[1])), DEPTH)
        if not longest:
            return self.everywhere
        narrowed = np.empty((2, longest + 1), np.uint32)
        narrowed[:, :1] = self.everywhere
        narrowed[:, 1:] = found[:, :longest]
        narrowed[:, 1:] += np.uint32(first)
        return narrowed

    @property
    def documents(self) -> int:
        """How many there are, removed ones not counted."""
        return len(self.starts) - 1 - len(self.removed)

    def document_at(self, place: int) -> int:
        """The number of the document that the id at `place` of the text belongs to."""
        return int(self.starts.searchsorted(place, side="right")) - 1

    def texts(self, places: NDArray[np.int64], most: int) -> NDArray[np.int64]:
        """The `most` ids from each of P places of the text on, P × `most`; −1 where a document has ended."""
        ids = self.text[np.minimum(places[:, None] + np.arange(most), len(self.text) - 1)].astype(np.int64)
        return np.where(np.logical_or.accumulate(ids == self.separator, axis=1), -1, ids)

    def document(self, number: int) -> Tokens:
        """The ids of a document."""
        view: Tokens = self.text[self.starts[number] : self.starts[number + 1] - 1]
        return view

    def source(self, number: int) -> Source:
        """What a document is."""
        return Source(*(self._names.column(field.name)[number].as_py() for field in fields(Source)))

    def living(self) -> Iterator[tuple[int, Source, str]]:
        """Number, source and digest of all documents but removed ones."""
        columns = [self._names.column(name).to_pylist() for name in (*(f.name for f in fields(Source)), "digest")]
        for number, (*source, digest) in enumerate(zip(*columns, strict=True)):
            if number not in self.removed:
                yield number, Source(*source), digest


def map_file(path: Path, dtype: np.dtype[Any], count: int) -> NDArray[Any]:
    """`count` numbers of a file. Raises UserError where it is absent or of another size."""
    try:
        if path.stat().st_size != count * dtype.itemsize:
            raise damaged(path)
        # As a plain array: views of a memmap are a subclass's, and each costs 1 µs more. Nothing can be mapped of an
        # empty file.
        return np.asarray(np.memmap(path, dtype, mode="r")) if count else np.empty(0, dtype)
    except OSError as error:
        raise damaged(path) from error


def damaged(path: Path) -> UserError:
    """What is said of a file of an index that is not what was written."""
    return UserError(f"{path} is absent, damaged or cut short.", "build the index again")


def _described(path: Path) -> dict[str, Any]:
    return {"bytes": path.stat().st_size, "sha256": file_digest(path)}


def _write_text(folder: Path, documents: Iterable[Document], dtype: np.dtype[Any], separator: int) -> NDArray[np.int64]:
    """Writes text.bin and documents.arrow. Returns what starts.bin is to hold."""
    gap, starts, at = np.array([separator], dtype), [DEPTH], DEPTH
    columns: list[list[str]] = [[] for _ in range(len(fields(Source)) + 1)]
    with (folder / TEXT).open("wb") as file:
        np.repeat(gap, DEPTH).tofile(file)
        for document in documents:
            _check_ids(document, dtype, separator)
            document.ids.astype(dtype, copy=False).tofile(file)
            gap.tofile(file)
            at += len(document.ids) + 1
            starts.append(at)
            for column, value in zip(columns, (*astuple(document.source), document.digest), strict=True):
                column.append(value)
    if at > MOST_TOKENS:
        raise UserError(f"An index holds {MOST_TOKENS:,} tokens at most, not {at:,}.", "build one for each repository")
    import pyarrow as pa

    names = (*(field.name for field in fields(Source)), "digest")
    table = pa.table({name: pa.array(column, pa.string()) for name, column in zip(names, columns, strict=True)})
    with pa.OSFile(str(folder / DOCUMENTS), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return np.array(starts, "<i8")


def _check_ids(document: Document, dtype: np.dtype[Any], separator: int) -> None:
    ids = document.ids
    if len(ids) and (int(ids.max()) > np.iinfo(dtype).max or bool((ids == separator).any())):
        name = "/".join(document.source.name)
        raise UserError(f"{name} holds ids that the index cannot hold.", "encode it with the corpus's tokenizer")


def _read_names(path: Path, count: int) -> pa.Table:
    """The columns of documents.arrow; their texts stay in the mapped file."""
    import pyarrow as pa  # 60 MB, which a server without an index does without

    try:
        table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
    except (pa.ArrowException, OSError) as error:
        raise damaged(path) from error
    if table.num_rows != count or table.column_names != [*(field.name for field in fields(Source)), "digest"]:
        raise damaged(path)
    return table
