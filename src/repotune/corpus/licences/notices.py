"""Licences that are named, not quoted: notices at the head of a file, a README's section, conditions beside a text.

The GNU licences are read by a pattern, for their notices name family, version and "or any later version" apart; so are
Creative Commons'. All others are told by the phrases of notices.toml.
"""

from __future__ import annotations

import re
import tomllib
from importlib.resources import files

import ahocorasick_rs

_TABLE = tomllib.loads((files("repotune.corpus.licences") / "notices.toml").read_text(encoding="utf-8"))
_NAMED = [(f" {phrase} ", licence) for licence, phrases in _TABLE["named"].items() for phrase in phrases]
_PHRASES = ahocorasick_rs.AhoCorasick([phrase for phrase, _ in _NAMED])
_CONDITIONS: list[str] = [f" {phrase} " for phrase in _TABLE["conditions"]["phrases"]]

_APACHE_NOTICE = " you may not use this file except in compliance with the license "

_GNU = re.compile(r" (?:gnu )?(affero |lesser |library )?(general )?public license(?=( .{0,260}))")
_GNU_SHORT = re.compile(
    r" (?:gnu )?(a|l)?gpl ?v?(?:ersion )?([123])(?: ([01]))?( only| or later| or any later| or newer)? "
)
_INSTEAD = " instead of this license"  # the GPL's own last words name the LGPL
_VERSION = re.compile(r" (?:version |v ?)?(?:l?gpl ?v?)?([123])(?: ([01]))? ")
_LATER = re.compile(r" (?:any|or) (?:later|newer|greater) ")
_COMMONS = re.compile(
    r" (?:creative commons attribution|cc by)((?: (?:non ?commercial|no ?deriv\w*|share ?alike|nc|nd|sa))*) (\d) (\d) "
)
_COMMONS_LINK = re.compile(r" creativecommons org (?:licenses by((?: nc| nd| sa)*) (\d) (\d)|publicdomain zero) ")


def named(words: str) -> frozenset[str]:
    """The ids of the licences that `words` name, words in one line as `texts.words_of` makes them."""
    line = f" {words} "
    found = {_NAMED[index][1] for index, _, _ in _PHRASES.find_matches_as_indexes(line, overlapping=True)}
    if "public license" in line or "gpl" in line:
        found |= _gnu(line)
    if "commons" in line or " cc by" in line:
        found |= {_commons(match[1] or "", match[2], match[3]) for match in _COMMONS.finditer(line)}
        found |= {
            _commons(match[1] or "", match[2], match[3]) if match[2] else "CC0-1.0"
            for match in _COMMONS_LINK.finditer(line)
        }
        if " cc0 " in line:
            found.add("CC0-1.0")
    return frozenset(found)


def has_conditions(words: str) -> bool:
    """Whether `words`, which stand beside a licence's text, ask for something more."""
    line = f" {words} ".replace(_APACHE_NOTICE, " ")
    return any(phrase in line for phrase in _CONDITIONS)


def _gnu(line: str) -> set[str]:
    found = set()
    for match in _GNU.finditer(line):
        if not (match[0].startswith(" gnu") or match[2]) or match[3].startswith(_INSTEAD):
            continue  # the Mozilla, Eclipse or any other public licence
        family = {"affero ": "AGPL", "lesser ": "LGPL", "library ": "LGPL"}.get(match[1] or "", "GPL")
        version = _VERSION.search(match[3])
        later = version is None or _LATER.search(match[3], version.end() - 1) is not None
        found.add(_gnu_id(family, version[1] if version else "", version[2] if version else "", later))
    for match in _GNU_SHORT.finditer(line):
        later = bool(match[4]) and match[4] != " only"
        found.add(_gnu_id(f"{(match[1] or '').upper()}GPL", match[2], match[3], later))
    return found


def _gnu_id(family: str, major: str, minor: str, later: bool) -> str:
    """An id of the SPDX list. A licence without a version is any version of it, as its own section 9 has it."""
    least = {"GPL": "1.0", "LGPL": "2.0", "AGPL": "3.0"}[family]
    version = f"{major}.{minor or '0'}" if major else least
    known = {"GPL": ("1.0", "2.0", "3.0"), "LGPL": ("2.0", "2.1", "3.0"), "AGPL": ("1.0", "3.0")}[family]
    return f"{family}-{version if version in known else least}-{'or-later' if later else 'only'}"


def _commons(kinds: str, major: str, minor: str) -> str:
    plain = kinds.replace(" ", "")
    terms = [
        ("NC", ("noncommercial", "nc")),
        ("ND", ("noderiv", "nd")),
        ("SA", ("sharealike", "sa")),
    ]
    held = [code for code, spellings in terms if any(spelling in plain for spelling in spellings)]
    return "-".join(["CC-BY", *held, f"{major}.{minor}"])
