"""Archives: tar in any compression, zip, wheels and sdists. Members are read where they lie and never extracted.

A compressed tar is unpacked to a plain one; nothing is ever written under a member's name. Where one folder holds all
members, as in sdists and what forges pack, its name is no part of the paths.
"""

from __future__ import annotations

import re
import stat
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, cast

from repotune.core.errors import UserError
from repotune.corpus.exclusion import Exclusion
from repotune.corpus.rows import Dropped, Listed
from repotune.corpus.sources.compression import DAMAGED, refuse_bomb
from repotune.corpus.sources.source import as_text

# What the two modules raise over bytes that are not what they seem.
_BAD_TAR = (tarfile.TarError, *DAMAGED)
_BAD_ZIP = (zipfile.BadZipFile, NotImplementedError, RuntimeError, *DAMAGED)
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


class Member(NamedTuple):
    """An entry of an archive. `fault` is the rule that drops it, "" for a file; `detail` what it is instead."""

    path: str
    size: int
    locator: str
    fault: str = ""
    detail: str = ""


@dataclass(frozen=True)
class Tar:
    """A tar that is not compressed; `locator` is where a member's bytes begin."""

    name: str
    path: Path
    title: str  # the archive's own file name, for messages

    def listing(self, exclusion: Exclusion) -> Iterator[Listed | Dropped]:
        """By path."""
        try:
            members, commit = _tar_members(self.path)
        except _BAD_TAR as error:
            raise _damaged(self.title, error) from error
        return _rows(self.name, members, commit)

    def read(self, files: Sequence[Listed]) -> list[bytes | str]:
        """One seek per file."""
        contents: list[bytes | str] = []
        with self.path.open("rb") as archive:
            for file in files:
                archive.seek(int(file.locator))
                data = archive.read(file.size)
                contents.append(data if len(data) == file.size else "the archive ends before it does")
        return contents


@dataclass(frozen=True)
class Zip:
    """A zip, a wheel among them; `locator` is a member's number."""

    name: str
    path: Path
    title: str

    def listing(self, exclusion: Exclusion) -> Iterator[Listed | Dropped]:
        """By path."""
        try:
            with zipfile.ZipFile(self.path) as archive:
                members = [_zip_member(number, info) for number, info in enumerate(archive.infolist())]
                commit = archive.comment.decode("ascii", "replace")
        except _BAD_ZIP as error:
            raise _damaged(self.title, error) from error
        refuse_bomb(Path(self.title), self.path.stat().st_size, sum(member.size for member in members))
        return _rows(self.name, [member for member in members if member.path], commit)

    def read(self, files: Sequence[Listed]) -> list[bytes | str]:
        """Member by member; never more bytes than the directory promises."""
        archive = _open_zip(self.path, self.path.stat().st_mtime_ns)
        contents: list[bytes | str] = []
        for file in files:
            try:
                with archive.open(archive.infolist()[int(file.locator)]) as member:
                    data = member.read(file.size + 1)
            except _BAD_ZIP as error:
                contents.append(f"damaged: {error}")
            else:
                contents.append(data if len(data) == file.size else "not of the size that the archive states")
        return contents


@lru_cache(maxsize=4)
def _open_zip(path: Path, changed: int) -> zipfile.ZipFile:
    """Kept open until it changes: a large directory takes longer to read than a batch of members."""
    return zipfile.ZipFile(path)


def _tar_members(path: Path) -> tuple[list[Member], str]:
    """The members of a tar, and the commit that `git archive` notes in it."""
    end = path.stat().st_size
    members = []
    with tarfile.open(path, "r:") as archive:
        while (info := archive.next()) is not None:
            cast(Any, archive).members.clear()  # tarfile would keep all of them, ten times as large as ours
            if info.isdir():
                continue
            if info.isreg() and info.offset_data + info.size > end:
                raise tarfile.ReadError("it ends within a member")
            members.append(_tar_member(info))
        return members, archive.pax_headers.get("comment", "")


def _tar_member(info: tarfile.TarInfo) -> Member:
    path, odd = as_text(info.name.encode("utf-8", "surrogateescape"))
    fault = ("", "")
    if odd:
        fault = ("path_encoding", "not UTF-8")
    elif info.issym():
        fault = ("symbolic_link", "a symbolic link")
    elif info.islnk():
        fault = ("hard_link", "a hard link")
    elif not info.isreg() or info.issparse():
        fault = ("special_file", "a sparse file" if info.issparse() else f"tar type {info.type!r}")
    return Member(path, info.size, f"{info.offset_data}", *fault)


def _zip_member(number: int, info: zipfile.ZipInfo) -> Member:
    """A folder has no path here."""
    mode = info.external_attr >> 16
    fault = ("", "")
    if stat.S_ISLNK(mode):
        fault = ("symbolic_link", "a symbolic link")
    elif stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        fault = ("special_file", stat.filemode(mode))
    elif info.flag_bits & 1:
        fault = ("unreadable", "encrypted")
    return Member("" if info.is_dir() else info.filename, info.file_size, f"{number}", *fault)


def _rows(name: str, members: Sequence[Member], commit: str) -> Iterator[Listed | Dropped]:
    """Rows by path. Of members with one path the last is the file, as when it is unpacked."""
    commit = commit if _COMMIT.fullmatch(commit) else ""
    ordered = sorted(_without_top(members), key=lambda member: member.path)  # stable: the last of equals stays last
    following: list[Member | None] = [*ordered[1:], None]
    for member, after in zip(ordered, following, strict=True):
        if member.fault:
            yield Dropped(name, member.path, member.fault, member.detail, "a file", member.size)
        elif reason := _unsafe(member.path):
            yield Dropped(name, member.path, "unsafe_path", reason, "a path within the archive", member.size)
        elif after is not None and after.path == member.path:
            yield Dropped(name, member.path, "repeated_path", "a later member replaces it", "", member.size)
        else:
            yield Listed(name, member.path, member.size, member.locator, commit)


def _without_top(members: Sequence[Member]) -> list[Member]:
    """`members` without "./", and without the one folder that holds them all."""
    plain = [member._replace(path=re.sub(r"^(?:\./+)+", "", member.path)) for member in members]
    tops = {member.path.partition("/")[0] for member in plain}
    if len(tops) != 1 or not all("/" in member.path for member in plain) or tops & {"", ".."}:
        return plain
    return [member._replace(path=member.path.partition("/")[2]) for member in plain]


def _unsafe(path: str) -> str:
    """Why unpacking `path` could write elsewhere, or an empty text."""
    if path.startswith(("/", "\\")) or re.match(r"[A-Za-z]:[/\\]", path):
        return "absolute"
    if ".." in re.split(r"[/\\]", path):
        return "leaves the archive"
    return "" if path.strip("/.") and "\0" not in path else "names no file"


def _damaged(title: str, error: Exception) -> UserError:
    return UserError(f"{title} is damaged: {str(error).rstrip('.')}.", "fetch or pack it again")
