"""A step's folder with its manifest, written beside its place and renamed when complete.

The manifest is the last file written, so a folder that holds one is whole: a kill at any moment leaves either the
old folder, or the new one, or an unfinished one beside it that the next start resumes, completes or discards.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from repotune import __version__
from repotune.core.errors import UserError

MANIFEST_NAME = "manifest.json"
STARTED_NAME = ".started.json"  # in an unfinished folder: what it is to become, for the flow to know it again
SCHEMA = 1


@dataclass(frozen=True)
class Manifest:
    """What a folder is, and what it was made from.

    `fingerprint` hashes everything the output depends on; `contents` hashes the output itself, its volatile files
    (timings, logs) left out, and is what later steps depend on. `files` maps relative paths to sizes in bytes.
    """

    step: str
    fingerprint: str
    contents: str
    inputs: dict[str, str]
    settings: dict[str, Any]
    files: dict[str, int]
    seed: int
    seconds: float
    finished: str
    host: str
    version: str
    schema: int = SCHEMA


def fingerprint(step: str, settings: Mapping[str, Any], inputs: Mapping[str, str], seed: int) -> str:
    """The hash under which a step's output is known: its settings, its inputs' contents, the seed and our version."""
    return digest([step, SCHEMA, __version__, dict(settings), dict(inputs), seed])


def digest(value: Any) -> str:
    """SHA-256 of `value` as canonical JSON."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of a whole folder; None where there is none, or where files are missing or of another size."""
    try:
        manifest = Manifest(**json.loads((folder / MANIFEST_NAME).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise UserError(
            f"{folder / MANIFEST_NAME} is damaged: {error}.", f"remove {folder} and repeat; it will be built again"
        ) from error
    whole = all(_size_of(folder / name) == size for name, size in manifest.files.items())
    return manifest if whole else None


def require_artefact(folder: Path) -> Manifest:
    """The manifest of `folder`, which must be whole. Raises UserError otherwise."""
    manifest = read_manifest(folder)
    if manifest is None:
        raise UserError(f"{folder} is not there or is not whole.", "repotune run builds what is missing")
    return manifest


def unfinished_path(folder: Path) -> Path:
    """Where `folder` is written before it takes its place; on the same file system, so the rename is atomic."""
    return folder.parent / ".unfinished" / folder.name


def complete(
    folder: Path,
    *,
    fingerprint: str,
    inputs: Mapping[str, str],
    settings: Mapping[str, Any],
    seed: int,
    seconds: float,
    volatile: frozenset[str],
) -> Manifest:
    """Seals the unfinished folder of `folder` with a manifest and puts it in its place. Returns the manifest."""
    source = unfinished_path(folder)
    names = sorted(path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file())
    names.remove(STARTED_NAME)
    stable = [name for name in names if name not in volatile and name.partition("/")[0] not in volatile]
    manifest = Manifest(
        step=folder.name,
        fingerprint=fingerprint,
        contents=digest([(name, file_digest(source / name)) for name in stable]),
        inputs=dict(inputs),
        settings=dict(settings),
        files={name: (source / name).stat().st_size for name in names},
        seed=seed,
        seconds=round(seconds, 3),
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
        host=platform.platform(),
        version=__version__,
    )
    for name in names:
        _sync(source / name)
    write_atomically(source / MANIFEST_NAME, json.dumps(asdict(manifest), indent=2, ensure_ascii=False) + "\n")
    _take_place(source, folder)
    return manifest


def recover(folder: Path) -> None:
    """Ends what a kill interrupted after the manifest was written: the new folder takes its place, the old one goes."""
    source = unfinished_path(folder)
    if (source / MANIFEST_NAME).is_file():
        _take_place(source, folder)
    elif not folder.exists() and _replaced_path(folder).exists():
        _replaced_path(folder).rename(folder)
    shutil.rmtree(_replaced_path(folder), ignore_errors=True)


def write_atomically(path: Path, text: str) -> None:
    """Writes `text` so that a reader, or a kill, sees the old file or the whole new one."""
    write_bytes_atomically(path, text.encode())


def write_bytes_atomically(path: Path, data: bytes) -> None:
    """The same for bytes."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    with beside.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    sync_folder(path.parent)


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync_folder(folder: Path) -> None:
    """Makes renames in `folder` survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _take_place(source: Path, folder: Path) -> None:
    (source / STARTED_NAME).unlink(missing_ok=True)
    replaced = _replaced_path(folder)
    if folder.exists():
        shutil.rmtree(replaced, ignore_errors=True)
        folder.rename(replaced)
    source.rename(folder)
    sync_folder(folder.parent)
    shutil.rmtree(replaced, ignore_errors=True)


def _replaced_path(folder: Path) -> Path:
    return folder.parent / ".unfinished" / f"{folder.name}.replaced"


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1
