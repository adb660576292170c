"""Which lines are later than everything trained on: what a model can have seen in no file, however files were split.

In a repository whose history is at hand those are the lines that `git diff` adds between its last commit up to the
newest date in the training split and the commit that the corpus was made of; a file that was only moved adds none.
Elsewhere they are those of files made after that date.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import SequenceMatcher

from repotune.core.errors import UserError
from repotune.corpus.sources import git
from repotune.corpus.sources.recognition import recognise
from repotune.evaluate.own_code.held_out import HeldOut

_ADDED = re.compile(rb"@@ -\S+ \+(\d+)(?:,(\d+))? @@")


def local_histories(repositories: Iterable[str]) -> dict[str, git.Place]:
    """The git repositories on this disk by their names in a corpus; of those of one name, the first.

    Raises UserError for one that is not there.
    """
    places: dict[str, git.Place] = {}
    for repository in repositories:
        found = recognise(repository)
        if found.here is not None:
            places.setdefault(found.name, found.here[0])
    return places


def later_lines(
    files: Sequence[HeldOut], after: str | None, histories: Mapping[str, git.Place]
) -> dict[str, frozenset[int]]:
    """By the name of a file, its lines (from 0) that are later than the ISO date `after`; others are left out.

    Raises UserError where a history lacks the commit that the corpus was made of, or git cannot read it.
    """
    if after is None:
        return {}
    changed: dict[tuple[str, str], list[HeldOut]] = defaultdict(list)
    later: dict[str, frozenset[int]] = {}
    for file in files:
        if file.committed > after and file.repository in histories:
            changed[file.repository, file.commit].append(file)
        elif file.created > after:
            later[file.name] = _all_lines(file)
    for (repository, commit), of in changed.items():
        later |= _added_since(histories[repository], commit, after, of)
    return {name: lines for name, lines in later.items() if lines}


def _added_since(place: git.Place, commit: str, after: str, files: Sequence[HeldOut]) -> dict[str, frozenset[int]]:
    if git.commit_of(place.git_folder, commit) is None:
        raise UserError(
            f"{place.git_folder} lacks the commit {commit[:12]}, of which the corpus was made.",
            "fetch it there, or build the corpus again",
        )
    before = git.run(place.git_folder, "rev-list", "-1", "--first-parent", f"--before={after}", commit).decode().strip()
    if not before:  # the history begins later, or a shallow clone does not reach back so far
        return {file.name: _all_lines(file) for file in files if file.created > after}
    origins = _origins(place, before, commit)
    return {
        file.name: _added_in(place, f"{before}:{origin}", f"{commit}:{path}", file) if origin else _all_lines(file)
        for file in files
        if (origin := origins.get(path := place.prefix + file.path)) is not None
    }


def _origins(place: git.Place, before: str, commit: str) -> dict[str, str]:
    """The path that each file changed between the two commits had before, empty for one that is new."""
    listing = git.run(place.git_folder, "diff", "--name-status", "--find-renames", "-z", before, commit)
    words = iter(os.fsdecode(listing).split("\0")[:-1])
    origins = {}
    for status in words:
        path = next(words)
        origins[next(words) if status[0] == "R" else path] = "" if status[0] == "A" else path
    return origins


def _added_in(place: git.Place, old: str, new: str, file: HeldOut) -> frozenset[int]:
    added = set(_added(git.run(place.git_folder, "diff", "--unified=0", "--no-ext-diff", "--no-color", old, new)))
    original = git.run(place.git_folder, "cat-file", "blob", new).decode(errors="replace").split("\n")
    return frozenset(ours for theirs, ours in _same_lines(original, file.text.split("\n")) if theirs in added)


def _added(difference: bytes) -> Iterator[int]:
    """The lines, from 0, that the new side of a diff without context adds."""
    for line in difference.split(b"\n"):
        if match := _ADDED.match(line):
            first, count = int(match[1]), int(match[2] or 1)
            yield from range(first - 1, first - 1 + count)


def _same_lines(theirs: Sequence[str], ours: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Lines of the repository's file and of the corpus's that are one: notices are stripped there, secrets replaced."""
    for block in SequenceMatcher(None, theirs, ours, autojunk=False).get_matching_blocks():
        yield from ((block.a + line, block.b + line) for line in range(block.size))


def _all_lines(file: HeldOut) -> frozenset[int]:
    return frozenset(range(file.text.count("\n") + 1))
