"""What is learnt from: git repositories at their commit, and plain folders as they lie there.

A repository is a folder or whatever `git clone` takes. A folder inside a work tree stands for what the commit holds
of it; uncommitted changes are not read. A folder that no repository tracks is read from the disk. Links are never
followed. A file that cannot be taken is a dropped row, never an error.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from repotune.core.errors import UserError
from repotune.corpus import git
from repotune.corpus.exclusion import BUILT_IN, Exclusion
from repotune.corpus.rows import Dropped, Listed

_NOTHING = Exclusion(())

# A scheme and what follows, or scp's form `user@host:path`; a colon after a slash belongs to a path.
_URL = re.compile(r"[a-z][a-z0-9+.-]*://.+|[^/\s:]+:[^\s].*", re.IGNORECASE)


@dataclass(frozen=True)
class Source:
    """A repository that is here. `place` and `commit` are set for git; a plain folder has only its `folder`."""

    name: str
    folder: Path
    place: git.Place | None = None
    commit: str = ""


@dataclass
class Listing:
    """The files of a source, and what of it cannot be one."""

    files: list[Listed] = field(default_factory=list)
    dropped: list[Dropped] = field(default_factory=list)


def is_url(repository: str) -> bool:
    """Whether `repository` has the form of what git fetches from elsewhere: a scheme, or scp's `user@host:path`."""
    return bool(_URL.fullmatch(repository))


def state_of(repositories: Sequence[str], exclusion: Exclusion = _NOTHING) -> list[dict[str, str]]:
    """Each repository's name, kind and state, by which a change is noticed; cheap, and free of machine paths.

    The state is the commit, or for a plain folder a hash over its files' paths, sizes and times, those in excluded
    folders left out. Raises UserError for a repository that is not there.
    """
    states = []
    for name, repository in zip(_names(repositories), repositories, strict=True):
        folder = _local(repository)
        if folder is None:
            states.append({"name": name, "kind": "git", "state": git.remote_head(repository)})
            continue
        source = _open(name, folder)
        kind, state = ("git", source.commit) if source.place else ("folder", _folder_state(folder, exclusion))
        prefix = source.place.prefix if source.place else ""
        states.append({"name": name, "kind": kind, "state": f"{state}:{prefix}" if prefix else state})
    return states


def open_sources(repositories: Sequence[str], clones: Path) -> list[Source]:
    """The sources in the order given; what is not on this machine is cloned under `clones`. Raises UserError."""
    sources = []
    for number, (name, repository) in enumerate(zip(_names(repositories), repositories, strict=True)):
        folder = _local(repository)
        if folder is None:
            folder = clones / str(number)
            git.clone(repository, folder)
        sources.append(_open(name, folder))
    return sources


def list_source(source: Source, exclusion: Exclusion = _NOTHING) -> Listing:
    """Every file of `source`, by path. An excluded folder that lies on the disk is one dropped row, never walked."""
    listing = _list_commit(source, source.place) if source.place else _list_folder(source, exclusion)
    listing.files.sort(key=lambda file: file.path)
    return listing


def _names(repositories: Sequence[str]) -> list[str]:
    """Last path components without .git; one that is taken is followed by the next free number."""
    names: list[str] = []
    for repository in repositories:
        folder = _local(repository)
        last = re.split(r"[/:]", repository.rstrip("/"))[-1] if folder is None else folder.name
        name = os.fsencode(last.removesuffix(".git") or "root").decode("utf-8", "backslashreplace")
        candidates = (f"{name}-{number}" if number > 1 else name for number in range(1, len(names) + 2))
        names.append(next(candidate for candidate in candidates if candidate not in names))
    return names


def _local(repository: str) -> Path | None:
    """The folder that `repository` names, or None for what git shall clone. Raises UserError when it is neither."""
    path = Path(repository).expanduser()
    if path.is_dir():
        return path.resolve()
    if path.is_file() or is_url(repository):  # a file may be a git bundle, which git clone takes
        return None
    raise UserError(
        f"There is no repository {repository}.",
        "project.repositories takes folders and whatever git clone takes, such as git@host:team/api.git",
    )


def _open(name: str, folder: Path) -> Source:
    place = git.find(folder)
    if place is None:
        return Source(name, folder)
    commit = git.head(place.git_folder)
    if place.prefix and (commit is None or next(git.tree(place, commit), None) is None):
        return Source(name, folder)
    if commit is None:
        raise UserError(f"{folder} is a git repository without a commit.", "commit there what shall be learnt from")
    return Source(name, folder, place, commit)


def _list_commit(source: Source, place: git.Place) -> Listing:
    listing = Listing()
    found: list[tuple[git.TreeEntry, str]] = []
    for entry in git.tree(place, source.commit):
        path, odd = _as_text(entry.path)
        if odd or entry.kind != "file":
            rule = "path_encoding" if odd else entry.kind
            listing.dropped.append(Dropped(source.name, path, rule, entry.kind, "a UTF-8 file", entry.size or 0))
        elif entry.size is None:
            listing.dropped.append(Dropped(source.name, path, "unreadable", "the repository lacks it", "", 0))
        else:
            found.append((entry, path))
    dates = git.last_changes(place, source.commit, {entry.path for entry, _ in found})
    for entry, path in found:
        committed = dates.get(entry.path, "")
        listing.files.append(Listed(source.name, path, entry.size or 0, entry.blob, source.commit, committed))
    return listing


def _list_folder(source: Source, exclusion: Exclusion) -> Listing:
    listing = Listing()
    for path, status in _walk(source.folder, exclusion):
        name, odd = _as_text(os.fsencode(path))
        if isinstance(status, _Excluded):
            listing.dropped.append(Dropped(source.name, name, "excluded", status.pattern, "corpus.exclude", 0))
        elif isinstance(status, str):
            listing.dropped.append(Dropped(source.name, name, "unreadable", status, "", 0))
        elif odd or not stat.S_ISREG(status.st_mode):
            rule = "path_encoding" if odd else "symbolic_link" if stat.S_ISLNK(status.st_mode) else "special_file"
            kind = stat.filemode(status.st_mode)
            listing.dropped.append(Dropped(source.name, name, rule, kind, "a UTF-8 file", status.st_size))
        else:
            listing.files.append(Listed(source.name, name, status.st_size))
    return listing


@dataclass(frozen=True)
class _Excluded:
    """A folder that is not walked, by this pattern of the project's."""

    pattern: str


def _walk(top: Path, exclusion: Exclusion) -> Iterator[tuple[str, os.stat_result | str | _Excluded]]:
    """Each path under `top`, relative to it, with its status or why it has none; folders end in "/".

    Built-in exclusions are passed by without a word: byte code comes and goes with every import.
    """
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(f"{top}/{folder}") as entries:
                names = sorted(entry.name for entry in entries)
        except OSError as error:
            yield folder, error.strerror or "cannot be listed"
            continue
        for name in names:
            path = folder + name
            try:
                status = os.lstat(f"{top}/{path}")
            except OSError as error:
                yield path, error.strerror or "cannot be read"
                continue
            if not stat.S_ISDIR(status.st_mode):
                yield path, status
            elif pattern := exclusion.pattern_of(path + "/"):
                yield path + "/", _Excluded(pattern)
            elif name not in BUILT_IN:
                waiting.append(path + "/")


def _folder_state(folder: Path, exclusion: Exclusion) -> str:
    def line(path: str, status: os.stat_result | str | _Excluded) -> str:
        seen = [status.st_size, status.st_mtime_ns] if isinstance(status, os.stat_result) else str(status)
        return json.dumps([path, seen])

    state = hashlib.sha256()
    for text in sorted(line(path, status) for path, status in _walk(folder, exclusion)):
        state.update(text.encode())
    return state.hexdigest()


def _as_text(path: bytes) -> tuple[str, bool]:
    """`path` as text, and whether its bytes are not UTF-8; then they are shown escaped."""
    try:
        return path.decode(), False
    except UnicodeDecodeError:
        return path.decode("utf-8", "backslashreplace"), True
