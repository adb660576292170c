"""From the strings in project.repositories to sources that are open, and to the state by which a change is noticed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from repotune.corpus.exclusion import Exclusion
from repotune.corpus.rows import Dropped, Listed
from repotune.corpus.sources import git
from repotune.corpus.sources.archive import Tar, Zip
from repotune.corpus.sources.columnar import Parquet
from repotune.corpus.sources.compression import compression_of, unpack
from repotune.corpus.sources.folder import Folder, folder_state
from repotune.corpus.sources.jsonlines import JsonLines
from repotune.corpus.sources.mirror import update_mirror
from repotune.corpus.sources.recognition import Found, found_at, name_of, recognise
from repotune.corpus.sources.remote import (
    RemoteFolder,
    fetch,
    is_remote,
    remote_files,
    remote_info,
    remote_state,
)
from repotune.corpus.sources.repository import GitRepository
from repotune.corpus.sources.source import Source
from repotune.corpus.sources.stackexchange import StackExchange, build_index

_NOTHING = Exclusion(())


def open_sources(
    repositories: Sequence[str], scratch: Path, *, mirrors: Path | None = None, authors: bool = False
) -> list[Source]:
    """The sources of `repositories` in the order given; a data set has one for each of its files, all of one name.

    What has to be fetched or unpacked lies under `scratch` as long as the sources are used, git repositories from
    elsewhere under `mirrors` (or scratch), where the next call finds them again. `authors` has git say who wrote each
    file. Raises UserError for what is not there or is damaged.
    """
    found = [recognise(repository) for repository in repositories]
    sources: list[Source] = []
    for number, (name, each) in enumerate(zip(_unique(found), found, strict=True)):
        if each.kind == "git":
            sources.append(_open_git(name, each, mirrors or scratch / "mirrors", authors))
        else:
            sources += _open(name, each, scratch / str(number))
    return sources


def state_of(repositories: Sequence[str], exclusion: Exclusion = _NOTHING) -> list[dict[str, str]]:
    """Each repository's name, kind and state, by which a change is noticed; cheap, and free of machine paths.

    The state is the commit; or a hash over the paths, sizes and times of the files, those in excluded folders left
    out; or what a store says changes with the content. Raises UserError for a repository that is not there.
    """
    found = [recognise(repository) for repository in repositories]
    return [
        {"name": name, "kind": each.kind, "state": _state(each, exclusion)}
        for name, each in zip(_unique(found), found, strict=True)
    ]


@dataclass
class Listing:
    """The files of a source, and what of it cannot be one."""

    files: list[Listed] = field(default_factory=list)
    dropped: list[Dropped] = field(default_factory=list)


def list_source(source: Source, exclusion: Exclusion = _NOTHING) -> Listing:
    """All that `source` lists."""
    listing = Listing()
    for row in source.listing(exclusion):
        if isinstance(row, Listed):
            listing.files.append(row)
        else:
            listing.dropped.append(row)
    return listing


def _unique(found: Sequence[Found]) -> list[str]:
    """Each one's name; one that is taken is followed by the next free number."""
    names: list[str] = []
    for each in found:
        candidates = (f"{each.name}-{number}" if number > 1 else each.name for number in range(1, len(names) + 2))
        names.append(next(candidate for candidate in candidates if candidate not in names))
    return names


def _open_git(name: str, found: Found, mirrors: Path, authors: bool) -> Source:
    place, commit = found.here or update_mirror(found.place, found.reference, mirrors)
    return GitRepository(name, place, commit, authors)


def _open(name: str, found: Found, scratch: Path) -> list[Source]:
    """The sources of anything but a git repository. `scratch` is a folder for this one alone."""
    match found.kind:
        case "folder":
            return [Folder(name, Path(found.place))]
        case "remote folder":
            return [RemoteFolder(name, found.place)]
        case "data set":
            return [
                _open_data(name, f"{found.place.rstrip('/')}/{file}", file, scratch / str(number))
                for number, file in enumerate(found.files)
            ]
        case "remote file":
            return _open_remote_file(name, found, scratch)
        case "parquet":
            return [Parquet(name, found.place, found.name)]
        case "jsonl":
            return [_open_lines(name, found.place, found.name, scratch)]
    title, path = Path(found.place).name, Path(found.place)
    if found.compression:
        path = unpack(path, found.compression, scratch / "unpacked")
    if found.kind == "tar":
        return [Tar(name, path, title)]
    if found.kind == "zip":
        return [Zip(name, path, title)]
    build_index(path, scratch / "index")
    return [StackExchange(name, path, scratch / "index")]


def _open_remote_file(name: str, found: Found, scratch: Path) -> list[Source]:
    if _is_parquet(found.place):
        return [Parquet(name, found.place, found.name)]
    path = fetch(found.place, scratch / "fetched" / PurePosixPath(found.place.partition("?")[0]).name)
    return _open(name, found_at(path), scratch)


def _open_data(name: str, place: str, file: str, scratch: Path) -> Source:
    """One `file` of a data set; its rows without a path are named after it."""
    title = str(PurePosixPath(file).with_name(name_of(file)))
    return Parquet(name, place, title) if _is_parquet(file) else _open_lines(name, place, title, scratch)


def _open_lines(name: str, place: str, title: str, scratch: Path) -> Source:
    path = fetch(place, scratch / "fetched") if is_remote(place) else Path(place)
    with path.open("rb") as raw:
        compression = compression_of(raw.read(8))
    return JsonLines(name, unpack(path, compression, scratch / "unpacked") if compression else path, title)


def _is_parquet(place: str) -> bool:
    return place.partition("?")[0].lower().endswith(".parquet")


def _state(found: Found, exclusion: Exclusion) -> str:
    if found.kind == "git":
        return _git_state(found)
    if found.kind == "folder":
        return folder_state(Path(found.place), exclusion)
    if found.kind == "remote file":
        return _digest(remote_state(remote_info(found.place)))
    if is_remote(found.place):
        listed = ((path, info) for path, info in remote_files(found.place) if not exclusion.reason(path))
        return _digest(*(json.dumps([path, remote_state(info)]) for path, info in listed))
    top = Path(found.place)
    stats = [(file, (top / file).stat()) for file in found.files or [""]]
    return _digest(*(json.dumps([file, status.st_size, status.st_mtime_ns]) for file, status in stats))


def _git_state(found: Found) -> str:
    if found.here is None:
        return git.remote_reference(found.place, found.reference)[1]
    place, commit = found.here
    return f"{commit}:{place.prefix}" if place.prefix else commit


def _digest(*lines: str) -> str:
    state = hashlib.sha256()
    for line in lines:
        state.update(line.encode())
    return state.hexdigest()
