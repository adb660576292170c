"""Files that a team names as examples, beside the repositories: of good code, of bad, of what the model is for.

An entry is a file, a folder with all that is in it, or a glob such as `"~/src/*/handlers/**/*.py"`; relative ones count
from the folder of repotune.toml.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from repotune.core.artefact import digest
from repotune.core.errors import UserError
from repotune.core.settings import CorpusSettings
from repotune.corpus.exclusion import BUILT_IN
from repotune.corpus.reading import text_of

MOST_BYTES = 8_000_000
"""More of an example teaches no more: weights are fitted in seconds, and 8 MB hold every word that is common."""

_MOST_FILE_BYTES = 1_000_000  # what no document is longer than teaches nothing about documents


def named_samples(settings: CorpusSettings, root: Path) -> dict[str, Samples]:
    """The examples that a project names, by the key that names them."""
    named = {
        "corpus.quality.good": settings.quality.good,
        "corpus.quality.bad": settings.quality.bad,
        "corpus.importance.target": settings.importance.target,
    }
    return {key: Samples(key, entries, root) for key, entries in named.items() if entries}


@dataclass(frozen=True)
class Samples:
    """The files that `entries` name. `key` is the setting they come from, for errors."""

    key: str
    entries: tuple[str, ...]
    root: Path

    def paths(self) -> list[Path]:
        """Every file, once, ordered by a hash of its path from the root: the first ones are as good as drawn.

        Raises UserError for an entry that names no file.
        """
        found = {path for entry in self.entries for path in self._files(entry)}
        return sorted(found, key=lambda path: hashlib.sha256(os.fsencode(self._name(path))).digest())

    def state(self) -> str:
        """A hash over the files' paths, sizes and times, by which a change is noticed."""
        states = []
        for path in self.paths():
            status = path.stat()
            states.append((os.fsencode(self._name(path)).hex(), status.st_size, status.st_mtime_ns))
        return digest(sorted(states))

    def texts(self) -> list[bytes]:
        """The files' texts as UTF-8, each once, MOST_BYTES of them at most; what is no text, or too large, is not one.

        Raises UserError for a file that cannot be read, and where not a single text is left.
        """
        texts: dict[bytes, None] = {}
        size = 0
        for path in self.paths():
            text = _read(path, self.key).encode()
            if not text or text in texts:
                continue
            size += len(text)
            if size > MOST_BYTES and texts:
                break
            texts[text] = None
        if not texts:
            raise UserError(f"{self.key}: none of its files holds text.", "name source files, folders or globs of them")
        return list(texts)

    def _files(self, entry: str) -> list[Path]:
        place = self.root / Path(entry).expanduser()
        if place.exists():
            found = list(_walk(place))
        else:
            pattern = place.relative_to(place.anchor).as_posix()
            found = [path for match in Path(place.anchor).glob(pattern) for path in _walk(match)]
        if not found:
            raise UserError(
                f"{self.key}: there is no file at {entry}.",
                "name files, folders or globs; relative ones count from the folder of repotune.toml",
            )
        return [path.resolve() for path in found]

    def _name(self, path: Path) -> str:
        return os.path.relpath(path, self.root.resolve())


def _walk(place: Path) -> Iterator[Path]:
    """`place`, or the files below it, those of version control and of installed packages left out."""
    if place.is_file():
        yield place
    for folder, folders, names in os.walk(place):
        folders[:] = [name for name in folders if name not in BUILT_IN]
        yield from (path for name in names if (path := Path(folder, name)).is_file())


def _read(path: Path, key: str) -> str:
    """The text of a file, empty where it is none or larger than what a corpus takes."""
    try:
        return text_of(path.read_bytes())[0] if path.stat().st_size <= _MOST_FILE_BYTES else ""
    except OSError as error:
        raise UserError(f"{key}: {path} cannot be read: {error.strerror or error}.") from error
