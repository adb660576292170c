"""Licences that REUSE states for files that cannot bear a tag: REUSE.toml, and .reuse/dep5 as it was before.

https://reuse.software/spec-3.3: the texts in LICENSES/ apply to nothing by themselves; tags and these files say to
what. Of several annotations that match a path the last one in the file holds.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath

from repotune.corpus.licences.expressions import UNKNOWN, parse

_STANZA = re.compile(r"\n[ \t]*\n")
_FIELD = re.compile(r"^(Files|License):[ \t]*(.*(?:\n[ \t]+.*)*)", re.MULTILINE)


@dataclass(frozen=True)
class Annotation:
    """The `licence` of the files under `folder` ("." or "a/b") whose path from there matches one of `globs`."""

    folder: str
    globs: tuple[str, ...]
    licence: str

    def covers(self, path: str) -> bool:
        prefix = "" if self.folder == "." else f"{self.folder}/"
        return path.startswith(prefix) and self._pattern.fullmatch(path[len(prefix) :]) is not None

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile("|".join(map(_translate, self.globs)), re.DOTALL)


def is_annotations(path: str) -> bool:
    """Whether `path` is named like a file of annotations."""
    parts = PurePosixPath(path).parts
    return parts[-1:] == ("REUSE.toml",) or parts[-2:] == (".reuse", "dep5")


def read_annotations(path: str, text: str) -> list[Annotation]:
    """The annotations of the file `text` at `path`; none where it cannot be read."""
    place = PurePosixPath(path)
    if place.name == "dep5":
        return list(_of_dep5(str(place.parent.parent), text))
    try:
        return list(_of_toml(str(place.parent), text))
    except (ValueError, RecursionError):
        return []


def _of_toml(folder: str, text: str) -> Iterator[Annotation]:
    tables = tomllib.loads(text).get("annotations", [])
    for table in tables if isinstance(tables, list) else []:
        if not isinstance(table, dict):
            continue
        globs, licences = _texts(table.get("path")), _texts(table.get("SPDX-License-Identifier"))
        if globs and licences:
            yield Annotation(folder, globs, _all(licences))


def _of_dep5(folder: str, text: str) -> Iterator[Annotation]:
    for stanza in _STANZA.split(text):
        fields = dict(_FIELD.findall(stanza))
        if "Files" in fields and "License" in fields:
            # In this format `*` spans folders.
            globs = tuple(glob.replace("*", "**") for glob in fields["Files"].split())
            yield Annotation(folder, globs, _all((fields["License"].splitlines()[0],)))


def _texts(value: object) -> tuple[str, ...]:
    values = value if isinstance(value, list) else [value]
    return tuple(each for each in values if isinstance(each, str))


def _all(licences: tuple[str, ...]) -> str:
    return parse(" AND ".join(f"({licence})" for licence in licences)) or UNKNOWN


def _translate(glob: str) -> str:
    """`*` stays within a name, `**` spans folders; a backslash takes the next character as it is."""
    pieces = re.findall(r"\\.|\*\*+|\*|[^*\\]+|\\", glob, re.DOTALL)
    return "".join(
        ".*" if piece.startswith("**") else "[^/]*" if piece == "*" else re.escape(piece.removeprefix("\\"))
        for piece in pieces
    )
