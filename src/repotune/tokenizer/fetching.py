"""tokens/ that lie elsewhere: a split is fetched once into a cache folder, and memory-mapped from there.

    TokenStore(fetch_tokens("s3://team/tokens", "train", cache), "train")

A file takes its name in the cache only when its bytes are those that index.json tells, so what is there is whole,
and what a kill interrupted is fetched again. Processes of one machine that share a cache wait for one another.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from repotune.core.artefact import file_digest, write_bytes_atomically
from repotune.core.errors import UserError
from repotune.corpus.sources.remote import fetch
from repotune.corpus.sources.source import shown
from repotune.tokenizer.packing import INDEX_NAME, read_index

_INCOMING = ".incoming"


def fetch_tokens(url: str, split: str, cache: Path) -> Path:
    """The folder in `cache` that holds a split of the tokens at `url`, fetched as far as it is not there yet.

    `url` is any that fsspec knows (`s3://…`, `gs://…`, `file:///…`). Tokens that change there get another folder: it is
    named after the index's hash. Raises UserError where something cannot be read, or arrives as what it is not.
    """
    cache.mkdir(parents=True, exist_ok=True)
    with _alone_in(cache):
        index = fetch(f"{url.rstrip('/')}/{INDEX_NAME}", cache / _INCOMING)
        folder = cache / file_digest(index)[:16]
        folder.mkdir(exist_ok=True)
        write_bytes_atomically(folder / INDEX_NAME, index.read_bytes())
        index.unlink()
        for name, file in _files(folder, url, split).items():
            if not (folder / name).exists():
                _fetch_file(f"{url.rstrip('/')}/{name}", file["sha256"], folder / name)
    return folder


def _files(folder: Path, url: str, split: str) -> dict[str, dict[str, Any]]:
    """What the index tells of each file of a split. It comes from elsewhere: a name may not lead out of the folder."""
    try:
        files: dict[str, dict[str, Any]] = read_index(folder)["splits"][split]["files"]
        if all(Path(name).name == name and isinstance(file["sha256"], str) for name, file in files.items()):
            return files
    except (UserError, KeyError, TypeError, AttributeError):
        pass
    raise UserError(
        f"{shown(url)} is no tokens folder with a split {split}.",
        f"copy a whole one there, with its {INDEX_NAME}, by repotune of this version",
    )


def _fetch_file(url: str, sha256: str, path: Path) -> None:
    incoming = fetch(url, path.with_name(_INCOMING))
    if file_digest(incoming) != sha256:
        incoming.unlink()
        raise UserError(
            f"{shown(url)} is not what its {INDEX_NAME} tells.",
            "copy the folder there again, when nothing writes to it",
        )
    with incoming.open("rb") as file:
        os.fsync(file.fileno())
    incoming.replace(path)


@contextmanager
def _alone_in(cache: Path) -> Iterator[None]:
    """One process at a time; the lock goes with the process that holds it, however that ends."""
    with (cache / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
