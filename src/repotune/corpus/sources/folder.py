"""A folder that no repository tracks, as it lies on the disk. Links are never followed."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import platform
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from repotune.core.errors import UserError
from repotune.corpus.exclusion import BUILT_IN, Exclusion
from repotune.corpus.rows import Dropped, Listed
from repotune.corpus.sources.source import as_text


@dataclass(frozen=True)
class Folder:
    """The files under `folder`."""

    name: str
    folder: Path

    def listing(self, exclusion: Exclusion) -> Iterator[Listed | Dropped]:
        """By path. Links and special files are dropped; an excluded folder is one dropped row."""
        self._require()
        for path, status in _walk(self.folder, exclusion):
            name, odd = as_text(os.fsencode(path))
            if isinstance(status, _Excluded):
                yield Dropped(self.name, name, "excluded", status.pattern, "corpus.exclude", 0)
            elif isinstance(status, str):
                yield Dropped(self.name, name, "unreadable", status, "", 0)
            elif odd or not stat.S_ISREG(status.st_mode):
                rule = "path_encoding" if odd else "symbolic_link" if stat.S_ISLNK(status.st_mode) else "special_file"
                yield Dropped(self.name, name, rule, stat.filemode(status.st_mode), "a UTF-8 file", status.st_size)
            else:
                yield Listed(self.name, name, status.st_size)

    def read(self, files: Sequence[Listed]) -> list[bytes | str]:
        """File by file."""
        self._require()
        return [read_file(f"{self.folder}/{file.path}", limit=file.size) for file in files]

    def _require(self) -> None:
        """Raises UserError where the folder is not there: its files are not unreadable one by one."""
        if not self.folder.is_dir():
            raise UserError(
                f"{platform.node()} does not see the folder {self.folder}.",
                "each worker of a cluster needs it under the same path",
            )


def folder_state(folder: Path, exclusion: Exclusion) -> str:
    """A hash over the paths, sizes and times of what `Folder.listing` walks."""

    def line(path: str, status: os.stat_result | str | _Excluded) -> str:
        seen = [status.st_size, status.st_mtime_ns] if isinstance(status, os.stat_result) else str(status)
        return json.dumps([path, seen])

    state = hashlib.sha256()
    for text in sorted(line(path, status) for path, status in _walk(folder, exclusion)):
        state.update(text.encode())
    return state.hexdigest()


def read_file(path: str, limit: int) -> bytes | str:
    """The bytes of a regular file as it was listed, or why they cannot be had. Never waits and follows no link.

    A file that has grown beyond `limit` bytes since it was listed is not taken: what was counted is what is read.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        return "a symbolic link" if error.errno == errno.ELOOP else error.strerror or "cannot be opened"
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            return "not a regular file"
        with os.fdopen(handle, "rb", closefd=False) as file:
            data = file.read(limit + 1)
    except OSError as error:
        return error.strerror or "cannot be read"
    finally:
        os.close(handle)
    return data if len(data) == limit else "changed while it was read"


@dataclass(frozen=True)
class _Excluded:
    """A folder that is not walked, by this pattern of the project's."""

    pattern: str


def _walk(top: Path, exclusion: Exclusion) -> Iterator[tuple[str, os.stat_result | str | _Excluded]]:
    """Each path under `top`, relative to it, with its status or why it has none; folders end in "/".

    By path: a folder's place among its neighbours is that of its name with the slash. Built-in exclusions are passed
    by without a word: byte code comes and goes with every import.
    """
    waiting = [""]
    while waiting:
        path = waiting.pop()
        if path and not path.endswith("/"):
            try:
                yield path, os.lstat(f"{top}/{path}")
            except OSError as error:
                yield path, error.strerror or "cannot be read"
        elif path and (pattern := exclusion.pattern_of(path)):
            yield path, _Excluded(pattern)
        else:
            try:
                waiting += reversed(_names(top, path))
            except OSError as error:
                yield path, error.strerror or "cannot be listed"


def _names(top: Path, folder: str) -> list[str]:
    """The paths in `folder`, sorted, those of folders with a slash."""
    with os.scandir(f"{top}/{folder}") as entries:
        return sorted(
            f"{folder}{entry.name}/" if is_folder else folder + entry.name
            for entry in entries
            if not ((is_folder := entry.is_dir(follow_symlinks=False)) and entry.name in BUILT_IN)
        )
