"""What lies elsewhere and is no git repository: object stores and web servers, through fsspec (the extra `remote`)."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO, cast

from repotune.core.errors import UserError
from repotune.corpus.exclusion import Exclusion
from repotune.corpus.rows import Dropped, Listed
from repotune.corpus.sources.source import shown

# What stores call the thing that changes with the content, the surest first; not all have one.
_STAMPS = (
    "ETag",
    "etag",
    "md5Hash",
    "crc32c",
    "Content-MD5",
    "LastModified",
    "Last-Modified",
    "last_modified",
    "mtime",
)


@dataclass(frozen=True)
class RemoteFolder:
    """All files below a prefix such as `s3://bucket/code`; `locator` is a file's path in the store."""

    name: str
    url: str

    def listing(self, exclusion: Exclusion) -> Iterator[Listed | Dropped]:
        """By path."""
        for path, info in remote_files(self.url):
            if isinstance(info.get("size"), int):
                yield Listed(self.name, path, info["size"], info["name"])
            else:
                yield Dropped(self.name, path, "unreadable", "of no known size", "", 0)

    def read(self, files: Sequence[Listed]) -> list[bytes | str]:
        """All of `files` at once: a store answers many requests in the time of one."""
        if not files:
            return []
        with _explained(self.url):
            system, _ = _system(self.url)
            found = system.cat([file.locator for file in files], on_error="return")
        return [_as_listed(found.get(file.locator), file.size) for file in files]


def is_remote(place: str) -> bool:
    """Whether `place` is a URL, not a path."""
    return "://" in place


def remote_info(url: str) -> dict[str, Any]:
    """What the store knows of `url`: `type` ("file" or "directory"), `size`, and some of _STAMPS. Raises UserError."""
    with _explained(url):
        system, path = _system(url)
        return dict(system.info(path))


def remote_files(url: str) -> list[tuple[str, dict[str, Any]]]:
    """(path below `url`, what the store knows of it) of every file, by path. Raises UserError."""
    with _explained(url):
        system, top = _system(url)
        found = system.find(top, detail=True)
    top = top.rstrip("/") + "/"
    return sorted((path.removeprefix(top), dict(info)) for path, info in found.items() if path.startswith(top))


def remote_state(info: dict[str, Any]) -> str:
    """What changes when the content does: the store's own mark, else only the size."""
    stamp = next((str(info[name]) for name in _STAMPS if info.get(name)), "")
    return json.dumps([info.get("size"), stamp])


def fetch(url: str, into: Path) -> Path:
    """Writes the bytes at `url` to the file `into`, and returns it. Raises UserError."""
    into.parent.mkdir(parents=True, exist_ok=True)
    with _explained(url), open_remote(url) as source, into.open("wb") as target:
        shutil.copyfileobj(source, target, 1 << 20)
    return into


def open_remote(url: str) -> BinaryIO:
    """A stream of the bytes at `url`, that can be sought where the store can."""
    system, path = _system(url)
    return cast(BinaryIO, system.open(path, "rb"))


@lru_cache(maxsize=16)
def _system(url: str) -> tuple[Any, str]:
    """The file system of `url`, and its path there."""
    try:
        system, path = import_module("fsspec.core").url_to_fs(url)
    except ImportError as error:
        raise _missing(url, error) from error
    except ValueError as error:
        raise UserError(f"{shown(url)} cannot be read: {error}.") from error
    return system, path


@contextmanager
def _explained(url: str) -> Iterator[None]:
    """Tells any error as it is: each store has its own, and their libraries need not be here to be named."""
    try:
        yield
    except UserError:
        raise
    except FileNotFoundError as error:
        raise UserError(
            f"There is nothing at {shown(url)}.", "check the name, and that it is shared with you"
        ) from error
    except Exception as error:
        reason = str(error).strip().rstrip(".") or type(error).__name__
        raise UserError(
            f"{shown(url)} cannot be read: {reason}.", "check the address and your credentials for it"
        ) from error


def _missing(url: str, error: ImportError) -> UserError:
    return UserError(
        f"{shown(url)} is to be read with a library that is not here: {error}.",
        "pip install 'repotune[remote]', or copy it here and name the copy",
    )


def _as_listed(content: bytes | Exception | None, size: int) -> bytes | str:
    if not isinstance(content, bytes):
        return f"the store does not give it: {type(content).__name__}"
    return content if len(content) == size else "changed while it was read"
