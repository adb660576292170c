"""The licences that a repository states for its files: by licence files, package metadata, REUSE and READMEs.

As in The Stack v2 (arXiv 2402.19173, §3.2) a licence applies to all that lies below its folder; the nearest folder that
states one holds. Within a folder everything stated applies together. A family's name in metadata and a README's section
count only where nothing firmer stands beside them.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from repotune.corpus.languages import likely_language
from repotune.corpus.licences.detection import licences_of_text
from repotune.corpus.licences.expressions import UNKNOWN
from repotune.corpus.licences.metadata import is_metadata, stated, understood
from repotune.corpus.licences.notices import named
from repotune.corpus.licences.reuse import Annotation, is_annotations, read_annotations
from repotune.corpus.licences.texts import words_of

_PROSE = frozenset({"", "Text", "Markdown", "reStructuredText", "HTML", "TeX", "AsciiDoc", "Org"})
_LICENCE_NAME = re.compile(
    r"(?:(?:[al]?gpl|apache|bsd|isc|mit|mpl|psf|commons[-_]clause)[-_.])?(?:un)?licen[cs]es?(?:[-_.].*)?"
    r"|copying(?:[-_.].*)?|copyright(?:\.txt|\.md)?|eula(?:[-_.].*)?",
    re.IGNORECASE,
)
_NOTICE_NAME = re.compile(r"(?:notices?|patents)(?:[-_.].*)?", re.IGNORECASE)
_README_NAME = re.compile(r"readme(?:\.(?:md|markdown|rst|txt|adoc|org))?", re.IGNORECASE)
_STORE = "LICENSES"  # of REUSE

# A heading of Markdown, reStructuredText or AsciiDoc that names the licence, and the section up to the next one.
_SECTION = re.compile(
    r"^(?:#{1,6}|={1,6})?[ \t]*(?:\d+[.)])?[ \t]*(?:licen[cs]e|licen[cs]ing|copyright and licen[cs]e)[ \t:#=]*\n"
    r"(?:[-=~^\"*]{3,}[ \t]*\n)?(.{0,1500}?)(?=^(?:#{1,6}|={1,6})[ \t]|^[^\n]+\n[-=~^]{3,}[ \t]*$|\Z)",
    re.IGNORECASE | re.MULTILINE | re.DOTALL,
)
# A licence file of a few words that only says which others hold: `either of LICENSE.APACHE or LICENSE.BSD`.
_POINTER = re.compile(r"\b(?:licen[cs]e[-_.](?:\w+)|licen[cs]es?/|copying(?:\.\w+)?\b)", re.IGNORECASE)
_POINTER_CHARACTERS = 1_000


@dataclass
class _Folder:
    """What is stated in one folder: in its licence files and metadata, by a family's name, and in its README."""

    firm: set[str] = field(default_factory=set)
    hints: set[str] = field(default_factory=set)
    told: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class RepositoryLicences:
    """Which licences a repository states for a path."""

    by_folder: Mapping[str, frozenset[str]]
    annotations: Sequence[Annotation] = ()

    def of(self, path: str) -> tuple[str, ...]:
        """Expressions in order, empty where nothing is stated. An annotation holds before what folders state."""
        for annotation in reversed(self.annotations):
            if annotation.covers(path):
                return (annotation.licence,)
        folders = (str(folder) for folder in PurePosixPath(path).parents)
        return tuple(sorted(next((self.by_folder[folder] for folder in folders if folder in self.by_folder), ())))


def states_licences(path: str) -> bool:
    """Whether the file at `path` may state the licence of others."""
    name = PurePosixPath(path).name
    return (
        is_licence_file(path)
        or is_metadata(path)
        or is_annotations(path)
        or _NOTICE_NAME.fullmatch(name) is not None
        or _README_NAME.fullmatch(name) is not None
    )


def is_licence_file(path: str) -> bool:
    """Whether `path` is named like a licence and is not source code, as license.py is."""
    place = PurePosixPath(path)
    named_so = _LICENCE_NAME.fullmatch(place.name) is not None or place.parent.name == _STORE
    return named_so and likely_language(place.name) in _PROSE


def licences_of_repository(paths: Iterable[str], read: Callable[[Sequence[str]], Sequence[str]]) -> RepositoryLicences:
    """What the files at `paths` state. `read` gives their texts, in order; empty for one that cannot be read."""
    stating = [path for path in paths if states_licences(path)]
    folders: defaultdict[str, _Folder] = defaultdict(_Folder)
    stores: defaultdict[str, list[frozenset[str]]] = defaultdict(list)
    annotated: list[Annotation] = []
    for path, text in zip(stating, read(stating), strict=True):
        place = PurePosixPath(path)
        if is_annotations(path):
            annotated += read_annotations(path, text)
        elif place.parent.name == _STORE:
            stores[str(place.parent.parent)].append(licences_of_text(text))
        else:
            _state(folders[str(place.parent)], path, text)
    for name, texts in stores.items():
        # One text can only be that of all files; of several, tags and annotations have to say which.
        folders[name].firm |= texts[0] if len(texts) == 1 else set()
    by_folder = {name: frozenset(folder.firm or folder.hints) for name, folder in folders.items()}
    by_folder = {name: found for name, found in by_folder.items() if found}
    for name, folder in folders.items():
        # A README deep in a repository speaks of its own part; it never overrules what is stated above.
        above = (name, *(str(parent) for parent in PurePosixPath(name).parents))
        if folder.told and not any(place in by_folder for place in above):
            by_folder[name] = frozenset(folder.told)
    annotated.sort(key=lambda annotation: annotation.folder.count("/") + (annotation.folder != "."))
    return RepositoryLicences(by_folder, annotated)


def _state(folder: _Folder, path: str, text: str) -> None:
    """Adds what the file at `path` states to its folder."""
    if is_metadata(path):
        found = stated(path, text)
        folder.firm |= found.licences
        folder.hints |= found.hints
    elif is_licence_file(path):
        found_here = licences_of_text(text)
        points = found_here == {UNKNOWN} and len(text) < _POINTER_CHARACTERS and _POINTER.search(text) is not None
        folder.firm |= set() if points else found_here
    elif _README_NAME.fullmatch(PurePosixPath(path).name):
        folder.told |= of_readme(text)
    else:
        folder.firm |= licences_of_text(text) - {UNKNOWN}


def of_readme(text: str) -> frozenset[str]:
    """The licences that a README's licence section names; empty where there is no such section or it names none."""
    found: set[str] = set()
    for section in _SECTION.findall(text):
        first = section.strip().split("\n\n")[0]
        short = understood(first.strip("*_`[] \n.")).licences - {UNKNOWN} if len(first) < 80 else frozenset()
        found |= short or named(" ".join(words_of(section)))
    return frozenset(found)
