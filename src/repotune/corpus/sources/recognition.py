"""Which kind of source a string in project.repositories names: told by its form, and by what lies there."""

from __future__ import annotations

import os
import re
import stat
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Literal
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.parquet as pq

from repotune.core.errors import UserError
from repotune.corpus.addresses import is_url
from repotune.corpus.sources import git
from repotune.corpus.sources.columnar import content_column
from repotune.corpus.sources.compression import DAMAGED, Compression, compression_of, open_compressed
from repotune.corpus.sources.jsonlines import first_record, holds_content
from repotune.corpus.sources.remote import remote_files, remote_info
from repotune.corpus.sources.source import shown
from repotune.corpus.sources.stackexchange import POSTS, is_posts

Kind = Literal[
    "git", "folder", "tar", "zip", "jsonl", "parquet", "stackexchange", "data set", "remote file", "remote folder"
]
TAKES = (
    "folders, git repositories and their URLs, archives, data sets of JSON lines or Parquet, dumps of Stack Exchange"
)

_GIT_SCHEMES = frozenset({"git", "ssh", "git+ssh", "ssh+git", "file"})
_ARCHIVE = re.compile(r"\.(tar(\.\w+)?|t[gbx]z2?|tzst|zip|whl)$", re.IGNORECASE)
_DATA = re.compile(r"\.(parquet|(jsonl|ndjson|json)(\.(gz|bz2|xz|zst))?)$", re.IGNORECASE)
_SUFFIXES = re.compile(rf"{_ARCHIVE.pattern}|{_DATA.pattern}|\.xml(\.\w+)?$|\.git$|\.bundle$", re.IGNORECASE)
# What lies beside the files of a data set and holds none of it.
_BESIDE = re.compile(r"[._].*|(readme|licen[cs]e|notice|dataset_infos?|state|manifest)(\.\w+)?", re.IGNORECASE)
_HEAD = 512  # bytes: a tar's first header


@dataclass(frozen=True)
class Found:
    """What a string names. `place` is an absolute path or a URL; `files` are a data set's, below it.

    `here` is where a git repository on this disk lies, and its commit; None for one elsewhere or in a bundle.
    """

    kind: Kind
    place: str
    name: str
    reference: str = ""
    compression: Compression | None = None
    files: Sequence[str] = ()
    here: tuple[git.Place, str] | None = None


def recognise(repository: str) -> Found:
    """What `repository` names. Raises UserError where that is nothing that can be learnt from.

    `#REF` at the end of a git repository chooses a branch, a tag or a commit: the one sign that stands in no URL,
    address or path of one already, as @ does.
    """
    if (path := _existing(repository)) is not None:
        return found_at(path)
    plain, mark, reference = repository.rpartition("#")
    if mark and reference and (path := _existing(plain)) is not None:
        return _with_reference(found_at(path), reference, repository)
    if is_url(repository):
        return _found_elsewhere(*((plain, reference) if mark else (repository, "")))
    raise UserError(f"There is no repository {repository}.", f"project.repositories takes {TAKES}")


def found_at(path: Path) -> Found:
    """What lies at `path`, which is absolute. Raises UserError."""
    return _found_folder(path) if path.is_dir() else _found_file(path)


def data_files(names: Iterator[str]) -> list[str]:
    """`names`, if they are those of a data set: data, and what describes it. Else nothing."""
    files = []
    for name in names:
        last = PurePosixPath(name).name
        if _BESIDE.fullmatch(last):
            continue
        if not _DATA.search(last):
            return []
        files.append(name)
    return files


def name_of(place: str) -> str:
    """The last part of a path or URL without what tells its kind; a dump's Posts.xml has its folder's name."""
    parts = [part for part in re.split(r"[/:]", place.partition("?")[0]) if part]
    last = parts[-2] if parts[-1:] == [POSTS] and len(parts) > 1 else "".join(parts[-1:])
    return os.fsencode(_SUFFIXES.sub("", last) or "root").decode("utf-8", "backslashreplace")


def _existing(repository: str) -> Path | None:
    try:
        path = Path(repository).expanduser()
        kind = path.stat().st_mode
    except (OSError, ValueError, RuntimeError):  # such as a name that is too long, holds NUL, or an unknown ~user
        return None
    return path.resolve() if stat.S_ISDIR(kind) or stat.S_ISREG(kind) else None


def _with_reference(found: Found, reference: str, repository: str) -> Found:
    if found.kind != "git":
        raise UserError(
            f"{repository} names a revision of what is no git repository.", f"leave out #{reference}, or add a commit"
        )
    if found.here is None:  # a bundle
        return replace(found, reference=reference)
    here = git.checked_out(Path(found.place), reference)
    if here is None:
        raise UserError(f"{found.place} is not in {reference}.", "name a revision that holds the folder")
    return replace(found, reference=reference, here=here)


def _found_folder(folder: Path) -> Found:
    place, name = str(folder), name_of(str(folder))
    if (files := data_files(_names(folder))) and _holds_code(folder / files[0]):
        return Found("data set", place, name, files=tuple(files))
    if (folder / POSTS).is_file():
        return Found("stackexchange", str(folder / POSTS), name)
    here = git.checked_out(folder)
    return Found("git" if here else "folder", place, name, here=here)


def _found_file(path: Path) -> Found:
    place, name = str(path), name_of(str(path))
    try:
        with path.open("rb") as file:
            compression = compression_of(file.read(_HEAD))
        with open_compressed(path, compression) as stream:
            head = stream.read(_HEAD)
    except DAMAGED as error:
        raise UserError(f"{path} is damaged or cannot be read: {error}.", "fetch or pack it again") from error
    if compression is None and re.match(rb"# v\d git bundle", head):
        return Found("git", place, name)
    if compression is None and head.startswith((b"PK\3\4", b"PK\5\6")):
        return Found("zip", place, name)
    if compression is None and head.startswith(b"PAR1"):
        return Found("parquet", place, name)
    if is_posts(head):
        return Found("stackexchange", place, name, compression=compression)
    if _is_tar(head):
        return Found("tar", place, name, compression=compression)
    if (_DATA.search(path.name) and head.lstrip()[:1] not in (b"[", b"")) or _holds_code(path):
        return Found("jsonl", place, name, compression=compression)
    raise UserError(f"{path} is nothing that can be learnt from.", f"project.repositories takes {TAKES}")


def _found_elsewhere(url: str, reference: str) -> Found:
    scheme, _, rest = url.partition("://")
    is_file = bool(re.search(rf"{_ARCHIVE.pattern}|{_DATA.pattern}", urlsplit(url).path if rest else ""))
    if not rest or scheme.lower() in _GIT_SCHEMES or (scheme.lower() in ("http", "https") and not is_file):
        return Found("git", url, name_of(url), reference)
    if reference:
        raise UserError(f"{shown(url)} names a revision of what is no git repository.", f"leave out #{reference}")
    if scheme.lower() in ("http", "https") or remote_info(url).get("type") == "file":
        return Found("remote file", url, name_of(url))
    files = data_files(name for name, _ in remote_files(url))
    return Found("data set" if files else "remote folder", url, name_of(url), files=tuple(files))


def _names(folder: Path) -> Iterator[str]:
    """Files below `folder` by path, as far as they are asked for; nothing hidden."""
    waiting = [""]
    while waiting:
        name = waiting.pop()
        if name and not name.endswith("/"):
            yield name
            continue
        try:
            with os.scandir(folder / name) as entries:
                below = sorted(
                    f"{name}{entry.name}/" if entry.is_dir(follow_symlinks=False) else name + entry.name
                    for entry in entries
                    if not entry.name.startswith(".")
                )
        except OSError:
            return
        waiting += reversed(below)


def _holds_code(path: Path) -> bool:
    """Whether the first row of a data file has what is read from one."""
    try:
        if path.suffix.lower() == ".parquet":
            with pq.ParquetFile(path) as file:
                return content_column(file) is not None
        with path.open("rb") as raw:
            compression = compression_of(raw.read(_HEAD))
        with open_compressed(path, compression) as stream:
            return holds_content(first_record(stream))
    except (pa.ArrowException, *DAMAGED):
        return False


def _is_tar(head: bytes) -> bool:
    """Whether `head` is a tar's header: its sum has to be right, so nothing else is taken for one."""
    try:
        tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")
    except (tarfile.TarError, ValueError):
        return False
    return True
