"""The licence that a package states of itself: pyproject.toml, package.json, Cargo.toml and their like in other worlds.

A statement is an SPDX expression, a licence's name, or a family's ("BSD"). The last is only a hint: it counts where no
licence file tells which one of the family it is. A file that cannot be read as what it is named states nothing.
"""

from __future__ import annotations

import configparser
import json
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator
from email.parser import HeaderParser
from functools import cache
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from repotune.corpus.licences.detection import licences_of_text
from repotune.corpus.licences.expressions import UNKNOWN, ids, known_id, parse
from repotune.corpus.licences.notices import named
from repotune.corpus.licences.texts import catalogue, words_of


class Stated(NamedTuple):
    """Expressions that are stated, and those that a family's name only hints at."""

    licences: frozenset[str]
    hints: frozenset[str] = frozenset()


# What the classifiers and habits of package registries name that no list of licences does.
_NAMES = {
    "apache": "Apache-2.0", "asl 2 0": "Apache-2.0", "apachev2": "Apache-2.0", "apache 2": "Apache-2.0",
    "apache 2 0": "Apache-2.0", "apache2": "Apache-2.0", "expat": "MIT", "mit": "MIT", "mit mit": "MIT",
    "mit x11": "MIT", "bsd new": "BSD-3-Clause", "bsd 3": "BSD-3-Clause", "new bsd": "BSD-3-Clause",
    "modified bsd": "BSD-3-Clause", "bsd 2": "BSD-2-Clause", "simplified bsd": "BSD-2-Clause", "boost": "BSL-1.0",
    "isc": "ISC", "isc iscl": "ISC", "zpl": "ZPL-2.1", "zope public": "ZPL-2.1", "psf": "PSF-2.0",
    "psfl": "PSF-2.0", "python software foundation": "PSF-2.0", "public domain": "LicenseRef-public-domain",
    "unlicense": "Unlicense", "unlicense unlicense": "Unlicense", "the unlicense unlicense": "Unlicense",
    "cc0": "CC0-1.0", "cc0 1 0 universal cc0 1 0 public domain dedication": "CC0-1.0", "zlib": "Zlib",
    "zlib libpng": "Zlib", "wtfpl": "WTFPL",
    "mpl 2": "MPL-2.0", "mozilla public 2 0 mpl 2 0": "MPL-2.0", "epl": "EPL-2.0", "cddl": "CDDL-1.0",
    "eclipse public": "EPL-2.0", "universal permissive upl": "UPL-1.0",
    "other proprietary": "LicenseRef-proprietary", "proprietary": "LicenseRef-proprietary",
    "unlicensed": "LicenseRef-proprietary", "commercial": "LicenseRef-proprietary",
}  # fmt: skip
_FAMILIES = {
    "bsd": "BSD-3-Clause", "apache": "Apache-2.0", "apache software": "Apache-2.0", "gpl": "GPL-1.0-or-later",
    "gnu gpl": "GPL-1.0-or-later", "gnu general public": "GPL-1.0-or-later", "lgpl": "LGPL-2.0-or-later",
    "gnu lgpl": "LGPL-2.0-or-later", "artistic": "Artistic-1.0-Perl", "mpl": "MPL-2.0", "python": "PSF-2.0",
    "gnu general public gpl": "GPL-1.0-or-later", "ruby": "Ruby",
}  # fmt: skip
# "see LICENSE": the licence file says it. npm, pip and cargo all have a form of it.
_POINTER = re.compile(
    r"\W*(?:(?:see|in|the|file|licen[cs]ed?|copying|readme|under|for|details|as|text)\W*)+(?:\.?(?:md|txt|rst))?\W*",
    re.I,
)
_QUOTED = re.compile(r"""["']([^"']+)["']""")
_GEMSPEC = re.compile(r"\.licen[cs]es?\s*=\s*(?:\[([^\]]*)\]|([\"'][^\"']+[\"']))")
_POM_LICENCES = re.compile(r"<licenses>(.{0,4000}?)</licenses>", re.DOTALL)
_POM_NAME = re.compile(r"<name>\s*([^<]{1,300}?)\s*</name>")
_LONG = 200  # characters; more is the licence itself, put where its name belongs


def is_metadata(path: str) -> bool:
    """Whether `path` is named like a file in which a package states its licence."""
    return _reader(path) is not None


def stated(path: str, text: str) -> Stated:
    """What the package description `text`, which lies at `path`, states; nothing where it cannot be read."""
    reader = _reader(path)
    if reader is None:
        return Stated(frozenset())
    try:
        statements = [value for value in reader(text) if isinstance(value, str)]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, configparser.Error):
        return Stated(frozenset())
    readings = [understood(statement) for statement in statements]
    return Stated(
        frozenset[str]().union(*(reading.licences for reading in readings)),
        frozenset[str]().union(*(reading.hints for reading in readings)),
    )


def understood(statement: str) -> Stated:
    """A statement such as `MIT`, `Apache Software License`, `BSD`; `unknown` where it names what nobody knows."""
    statement = statement.strip()
    if not statement or _POINTER.fullmatch(statement):
        return Stated(frozenset())
    if len(statement) > _LONG:
        return Stated(licences_of_text(statement))
    plain = _plain(statement)
    if hint := _FAMILIES.get(plain):
        return Stated(frozenset(), frozenset({hint}))
    if licence := _NAMES.get(plain) or _by_name().get(plain):
        return Stated(frozenset({licence}))
    expression = parse(re.sub(r"\s*/\s*", " OR ", statement))
    if expression and all(known_id(licence) for licence in ids(expression)):
        return Stated(frozenset({expression}))
    return Stated(named(" ".join(words_of(statement))) or frozenset({UNKNOWN}))


def listed_licences(values: Iterable[str]) -> tuple[str, ...]:
    """What a data set's own column states of a file, a name or expression each, as expressions in order."""
    readings = map(understood, values)
    return tuple(sorted({licence for reading in readings for licence in reading.licences or reading.hints}))


def _plain(name: str) -> str:
    """The words of a licence's name, without those that say only that it is one."""
    return " ".join(word for word in words_of(name) if word not in ("the", "license", "licenses", "version"))


@cache
def _by_name() -> dict[str, str]:
    """The ids by their full names, in words, without those that every name has. A name of two licences tells none."""
    found: dict[str, set[str]] = {}
    for licence, name in catalogue().items():
        found.setdefault(_plain(name), set()).add(known_id(licence) or licence)
    return {plain: licences.pop() for plain, licences in found.items() if len(licences) == 1}


def _reader(path: str) -> Callable[[str], Iterable[Any]] | None:
    name = PurePosixPath(path).name
    return _READERS.get(name) or (_gemspec if name.endswith(".gemspec") else None)


def _pyproject(text: str) -> Iterator[Any]:
    data = tomllib.loads(text)
    project = data.get("project", {})
    licence = project.get("license")
    yield licence.get("text") if isinstance(licence, dict) else licence
    if licence is None or isinstance(licence, dict):
        yield from _classified(project.get("classifiers", ()))
    yield data.get("tool", {}).get("poetry", {}).get("license")


def _setup_cfg(text: str) -> Iterator[Any]:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(text)
    if parser.has_section("metadata"):
        section = parser["metadata"]
        yield section.get("license") or section.get("licence")
        yield from _classified(section.get("classifiers", "").splitlines())


def _core_metadata(text: str) -> Iterator[Any]:
    headers = HeaderParser().parsestr(text)
    if expression := headers.get("License-Expression"):
        yield str(expression)
        return
    yield str(headers.get("License") or "")
    yield from _classified(map(str, headers.get_all("Classifier") or ()))


def _package_json(text: str) -> Iterator[Any]:
    data = json.loads(text)
    for licence in (data.get("license"), *(data.get("licenses") or ())):
        yield licence.get("type") if isinstance(licence, dict) else licence


def _cargo(text: str) -> Iterator[Any]:
    data = tomllib.loads(text)
    yield data.get("package", {}).get("license")
    yield data.get("workspace", {}).get("package", {}).get("license")


def _composer(text: str) -> Iterator[Any]:
    licence = json.loads(text).get("license")
    # Several are a choice: https://getcomposer.org/doc/04-schema.md#license
    yield " OR ".join(map(str, licence)) if isinstance(licence, list) else licence


def _gemspec(text: str) -> Iterator[Any]:
    for match in _GEMSPEC.finditer(text):
        yield from _QUOTED.findall(match[1] or match[2])


def _pom(text: str) -> Iterator[Any]:
    for block in _POM_LICENCES.findall(text):
        yield from _POM_NAME.findall(block)


def _classified(classifiers: Iterable[str]) -> Iterator[str]:
    for classifier in classifiers:
        parts = [part.strip() for part in classifier.split("::")]
        if parts[0] == "License" and parts[1:] and not parts[-1].lower().endswith("approved"):
            yield parts[-1]


_READERS: dict[str, Callable[[str], Iterable[Any]]] = {
    "pyproject.toml": _pyproject,
    "setup.cfg": _setup_cfg,
    "METADATA": _core_metadata,
    "PKG-INFO": _core_metadata,
    "package.json": _package_json,
    "Cargo.toml": _cargo,
    "composer.json": _composer,
    "pom.xml": _pom,
}
