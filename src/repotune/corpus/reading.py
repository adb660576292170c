"""The bytes of listed files, and their text. What is not text in a known encoding is dropped with the reason."""

from __future__ import annotations

import codecs
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from repotune.corpus.languages import language_of
from repotune.corpus.notebooks import is_notebook, language_of_notebook, script_of_notebook
from repotune.corpus.profiles import MAX_BYTES
from repotune.corpus.rows import Listed, with_columns, with_reasons
from repotune.corpus.sources import Source

# The first match wins: UTF-32's mark begins with UTF-16's.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# PEP 263. Only these are believed: they are what old Western sources declare, and every byte decodes in them.
_DECLARED = re.compile(rb"^[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)")
_BELIEVED = frozenset({"iso8859-1", "iso8859-15"})

# Git LFS keeps this in the place of a file, which `git lfs pull` brings into a work tree and never into a commit.
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"

Reason = tuple[str, str, str]


@dataclass(frozen=True)
class Read:
    """Adds `data`, the bytes of each file, and settles the language of those whose name does not tell it."""

    sources: Sequence[Source]
    languages: frozenset[str]

    def __call__(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        contents = self._contents(batch)
        languages, paths = batch.column("language").to_pylist(), batch.column("path").to_pylist()
        data: list[bytes] = []
        reasons: list[Reason | None] = []
        for place, content in enumerate(contents):
            data.append(content if isinstance(content, bytes) else b"")
            if is_notebook(paths[place], data[-1]):
                languages[place] = language_of_notebook(data[-1])
            else:
                languages[place] = languages[place] or language_of(paths[place], data[-1])
            if isinstance(content, str):
                reasons.append(("unreadable", content, ""))
            elif languages[place] not in self.languages:
                reasons.append(("language", languages[place] or "unknown", "a language that is wanted"))
            else:
                reasons.append(None)
        batch = with_columns(batch, language=pa.array(languages, pa.string()), data=pa.array(data, pa.binary()))
        return with_reasons(batch, reasons)

    def _contents(self, batch: pa.RecordBatch) -> list[bytes | str]:
        """The bytes of each row, or why there are none. A batch's rows of one repository are read together."""
        columns = (batch.column(name).to_pylist() for name in ("repository", "path", "size", "locator"))
        files = [Listed(*row) for row in zip(*columns, strict=True)]
        numbers = batch.column("source").to_pylist()
        contents: list[bytes | str] = [""] * len(files)
        for number in set(numbers):
            places = [place for place, other in enumerate(numbers) if other == number]
            found = read_listed(self.sources[number], [files[place] for place in places])
            for place, content in zip(places, found, strict=True):
                contents[place] = content
        return contents


def read_listed(source: Source, files: Sequence[Listed]) -> list[bytes | str]:
    """The bytes of each of `files`, which `source` listed, or in words why they cannot be had."""
    return source.read(files)


def decode(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Puts `text` in the place of `data`, that of a notebook as a script; adds `sha256` of the bytes as they were."""
    texts: list[str] = []
    digests: list[str] = []
    reasons: list[Reason | None] = []
    columns = (batch.column(name).to_pylist() for name in ("data", "path", "language"))
    for data, path, language in zip(*columns, strict=True):
        text, reason = text_of(data)
        if reason is None and is_notebook(path, data):
            text, reason = _script_of(text, language)
        texts.append(text)
        digests.append(hashlib.sha256(data).hexdigest())
        reasons.append(reason)
    batch = with_columns(batch, text=pa.array(texts, pa.string()), sha256=pa.array(digests, pa.string()))
    return with_reasons(batch.drop_columns("data"), reasons)


def _script_of(notebook: str, language: str) -> tuple[str, Reason | None]:
    """A notebook's script, or an empty text with the reason that there is none."""
    script = script_of_notebook(notebook, language)
    if script is None:
        return "", ("notebook", "not what Jupyter writes", "a notebook of format 3 or 4")
    if len(script.encode()) > MAX_BYTES:
        return "", ("file_size", f"{len(script.encode())}", f"at most {MAX_BYTES}")
    return (script, None) if script.strip() else ("", ("empty", "no cells", "a cell that is not empty"))


def text_of(data: bytes) -> tuple[str, Reason | None]:
    """`data` as text without a byte order mark, or an empty text with the reason that it is none."""
    if data.startswith(_LFS_POINTER):
        return "", ("lfs_pointer", "its content is not in the repository", "a file's own content")
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        declared = declared_encoding(data)
        if b"\0" in data:
            return "", ("binary", "NUL characters", "text")
        if declared not in _BELIEVED:
            return "", ("encoding", f"byte {error.start} is not {encoding}", "UTF-8, or as declared by PEP 263")
        text = data.decode(declared)
    if "\0" in text:
        return "", ("binary", "NUL characters", "text")
    if not text or text.isspace():
        return "", ("empty", "0 characters", "something beside white space")
    return text, None


def declared_encoding(data: bytes) -> str:
    """The codec that a comment in the first two lines names (PEP 263), by its canonical name, or an empty text."""
    for line in data[:1024].splitlines()[:2]:
        if match := _DECLARED.match(line):
            try:
                return codecs.lookup(match[1].decode("ascii")).name
            except (LookupError, UnicodeDecodeError):
                return ""
    return ""
