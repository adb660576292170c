"""What must not be learnt from: whole repositories, paths, and whatever certain people wrote.

A project says it in repotune.toml (`[corpus.opt_out]`) or, a line each, in opt-out.txt beside it, where
`repotune corpus remove` writes too:

    # asked for on 3 May
    repository: legacy
    path: api/src/partner/**
    author: jane@example.org
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from repotune.core.artefact import write_atomically
from repotune.core.errors import UserError
from repotune.core.settings import OptOutSettings
from repotune.corpus.exclusion import Exclusion

if TYPE_CHECKING:
    from repotune.corpus.rows import Listed  # with pyarrow, which no server needs: 60 MB

OPT_OUT_NAME = "opt-out.txt"
RULE = "opted_out"

_KEYS = {"repository": "repositories", "path": "paths", "author": "authors"}
_MAGIC = re.compile(r"[\n\r*?\[]|^\s|\s$")
_AUTHOR = re.compile(r"(.*?)\s*<([^<>]*)>")


@dataclass(frozen=True)
class OptOut:
    """Decides for listed files. Paths are globs as in `corpus.exclude`, over REPOSITORY/PATH."""

    settings: OptOutSettings

    def reason(self, file: Listed) -> str | None:
        """The line of the list that `file` falls under, or None. One author of several is enough."""
        if file.repository in self._repositories:
            return f"repository: {file.repository}"
        if pattern := self._paths.pattern_of(f"{file.repository}/{file.path}"):
            return f"path: {pattern}"
        names = {name for author in file.authors for name in _names_of(author)}
        return next((f"author: {author}" for author in self.settings.authors if _plain(author) in names), None)

    @cached_property
    def _repositories(self) -> frozenset[str]:
        return frozenset(self.settings.repositories)

    @cached_property
    def _paths(self) -> Exclusion:
        return Exclusion(self.settings.paths, "corpus.opt_out.paths")


def literal(path: str) -> str:
    """The glob that `path` alone matches, and all that is in it if it is a folder, as it can stand on a line."""
    return _MAGIC.sub(lambda match: "?" if match[0] in "\n\r" else f"[{match[0]}]", path)


def read_opt_out(path: Path) -> OptOutSettings:
    """The list at `path`, empty where there is none. Raises UserError for a line that says nothing known."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return OptOutSettings()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}.") from error
    found: dict[str, list[str]] = {key: [] for key in _KEYS.values()}
    for number, line in enumerate(text.split("\n"), 1):
        kind, colon, value = (part.strip() for part in line.partition(":"))
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if not colon or kind not in _KEYS or not value:
            raise UserError(f"{path}, line {number}: {line.strip()!r} opts nothing out.", f"a line is {_forms()}")
        found[_KEYS[kind]].append(value)
    return OptOutSettings.model_validate(found)


def add_to_opt_out(path: Path, lines: Iterable[str]) -> None:
    """Adds `lines` that are not there yet to the list at `path`, atomically; what is there stays as it is."""
    read_opt_out(path)  # a list that cannot be read is not written to
    text = path.read_text(encoding="utf-8") if path.exists() else "# What repotune must not learn from.\n"
    there = {line.strip() for line in text.split("\n")}
    new = [line for line in lines if line not in there]
    if new:
        write_atomically(path, text.removesuffix("\n") + "\n" + "\n".join(new) + "\n")


def merged(first: OptOutSettings, second: OptOutSettings) -> OptOutSettings:
    """Both lists in one, each entry once and in order."""
    return OptOutSettings.model_validate(
        {key: tuple(dict.fromkeys([*getattr(first, key), *getattr(second, key)])) for key in _KEYS.values()}
    )


def as_settings(lines: Iterable[str]) -> OptOutSettings:
    """Lines as `OptOut.reason` gives them, as settings."""
    found: dict[str, list[str]] = {key: [] for key in _KEYS.values()}
    for line in lines:
        kind, _, value = line.partition(": ")
        found[_KEYS[kind]].append(value)
    return OptOutSettings.model_validate(found)


def _names_of(author: str) -> set[str]:
    """Every form by which `author`, `Name <address>` or either alone, may be listed."""
    match = _AUTHOR.fullmatch(author)
    return {_plain(author), *(map(_plain, match.groups()) if match else ())}


def _plain(name: str) -> str:
    return " ".join(name.casefold().split())


def _forms() -> str:
    return "repository: NAME, path: GLOB or author: ADDRESS"
