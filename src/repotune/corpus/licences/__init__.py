"""The licence of each file: from licence files in its folder or the nearest above, and from its own tag or notice.

As in The Stack v2 (https://arxiv.org/abs/2402.19173, §3.2) a file is permissive only if everything found is. Copyleft
and source-available licences never are, and what cannot be recognised is a class of its own, `unknown`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa

from repotune.corpus.languages import language_of_path
from repotune.corpus.rows import with_columns, with_reasons

UNKNOWN = "unknown"

_TABLE: dict[str, dict[str, Any]] = tomllib.loads(
    (files("repotune.corpus") / "licences.toml").read_text(encoding="utf-8")
)
_PROSE = frozenset({"", "Text", "Markdown", "reStructuredText", "HTML"})
_FILE_NAME = re.compile(
    r"(?:(?:[al]?gpl|apache|bsd|isc|mit|mpl|psf)[-_])?(?:un)?licen[cs]es?(?:[-_.].*)?|copying(?:[-_.].*)?",
    re.IGNORECASE,
)
_ID = r"[ (]*[A-Za-z0-9][\w.+-]*[ )]*"
_TAG = re.compile(rf"SPDX-License-Identifier:({_ID}(?:\b(?:AND|OR|WITH)\b{_ID})*)")
_HEAD = 4096  # characters that hold a file's first comment, where its tag or notice stands
# Suffixes of SPDX's GNU identifiers; `+` is the older form of `-or-later`.
_VARIANT = re.compile(r"(?:-only|-or-later|\+)$")


@dataclass(frozen=True)
class Licence:
    """Adds `licence` to a batch with `text` and `folder_licences`, and drops what is not permissive if told so."""

    permissive_only: bool

    def __call__(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        columns = batch.column("text").to_pylist(), batch.column("folder_licences").to_pylist()
        found = [combine(folder, own_licences(text)) for text, folder in zip(*columns, strict=True)]
        batch = with_columns(batch.drop_columns("folder_licences"), licence=pa.array(found, pa.string()))
        refused = [self.permissive_only and not is_permissive(licence) for licence in found]
        return with_reasons(
            batch,
            [("licence", licence, "permissive") if no else None for licence, no in zip(found, refused, strict=True)],
        )


def is_licence_file(path: str) -> bool:
    """Whether `path` is named like a licence and is not source code, as license.py is."""
    name = PurePosixPath(path).name
    return _FILE_NAME.fullmatch(name) is not None and language_of_path(name) in _PROSE


def identify(text: str) -> frozenset[str]:
    """The SPDX ids of the licences whose words `text` holds; `unknown` where there are none."""
    words = f" {' '.join(re.findall(r'[a-z0-9]+', text.lower()))} "
    found = {
        licence
        for licence, row in _TABLE.items()
        if any(all(f" {phrase} " in words for phrase in phrases) for phrases in row["any"])
        and not any(f" {phrase} " in words for phrase in row.get("unless", ()))
    }
    found -= {part for licence in found for part in _TABLE[licence].get("includes", ())}
    return frozenset(found or {UNKNOWN})


def own_licences(text: str) -> frozenset[str]:
    """What a source file says of itself: its SPDX tag, or else a notice at its head that is recognised."""
    return tagged(text) or identify(text[:_HEAD]) - {UNKNOWN}


def tagged(text: str) -> frozenset[str]:
    """The licences that the SPDX tag of `text` names. A choice (`OR`) counts as all of them, the cautious reading."""
    match = _TAG.search(text, 0, _HEAD)
    if match is None:
        return frozenset()
    expression = re.sub(r"\bWITH\s+[\w.+-]+", " ", match[1])
    names = [word for word in re.findall(r"[\w.+-]+", expression) if word not in ("AND", "OR")]
    return frozenset(_known(name.rstrip(".-")) for name in names)


def nearest(path: str, by_folder: Mapping[str, frozenset[str]]) -> frozenset[str]:
    """The licences of the nearest folder, upwards from `path`, that has any. Folders are "." and "a/b"."""
    return next(
        (by_folder[str(folder)] for folder in PurePosixPath(path).parents if str(folder) in by_folder), frozenset()
    )


def combine(*found: Iterable[str]) -> str:
    """All licences in one text, `A AND B`; `unknown` where one is, or none is known."""
    licences = {licence for part in found for licence in part}
    return " AND ".join(sorted(licences)) if licences and UNKNOWN not in licences else UNKNOWN


def is_permissive(licence: str) -> bool:
    """Whether every part of a text by `combine` is permissive."""
    return all(_TABLE.get(part, {}).get("permissive", False) for part in licence.split(" AND "))


def _known(name: str) -> str:
    """`name` as the table has it; GNU licences without their variant. Another SPDX id stays and is not permissive."""
    plain = _VARIANT.sub("", name)
    return next((licence for licence in _TABLE if licence.lower() == plain.lower()), name)
