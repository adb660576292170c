"""Which paths are left out before anything is read: folders that hold no one's own source, and the project's globs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from repotune.core.errors import UserError

# Version control, installed packages and byte code: never a team's own text, and often larger than it.
BUILT_IN = frozenset({".git", ".hg", ".svn", ".venv", "__pycache__", "node_modules"})


@dataclass(frozen=True)
class Exclusion:
    """Paths that the project leaves out, as in .gitignore.

    A pattern with a slash within is anchored at the repository's root, one without matches a name at any depth;
    `*`, `?` and `[…]` stay within a name, `**` spans folders. What matches a folder leaves out all that is in it.
    """

    patterns: Sequence[str]
    key: str = "corpus.exclude"

    def reason(self, path: str) -> str | None:
        """The folder name or pattern that leaves out `path` (POSIX, relative to its repository), or None."""
        for part in path.split("/"):
            if part in BUILT_IN:
                return part
        return self.pattern_of(path)

    def pattern_of(self, path: str) -> str | None:
        """The project's pattern that leaves out `path`; that of a folder ends in "/"."""
        return next((pattern for pattern, regex in self._compiled if regex.match(path)), None)

    @cached_property
    def _compiled(self) -> list[tuple[str, re.Pattern[str]]]:
        try:
            return [(pattern, re.compile(_translate(pattern), re.DOTALL)) for pattern in self.patterns]
        except re.error as error:
            raise UserError(f"{self.key} holds a pattern that cannot be read, {error.pattern!r}: {error}.") from error


def _translate(pattern: str) -> str:
    """`pattern` as a regular expression for `match`."""
    stripped = pattern.removeprefix("./").strip("/")
    segments = stripped.split("/") if "/" in pattern.rstrip("/") else ["**", stripped]
    inside = len(segments) > 1 and segments[-1] == "**"  # `test/**` is what is in test, `test` the folder with it
    regex = "".join("(?:[^/]+/)*" if part == "**" else _translate_name(part) + "/" for part in segments)
    return regex if inside else regex.removesuffix("/") + "(?:/|$)"


def _translate_name(name: str) -> str:
    def one(match: re.Match[str]) -> str:
        if match[0] in "*?":
            return "[^/]*" if match[0] == "*" else "[^/]"
        if match[1] is None:
            return re.escape(match[0])
        body = match[1].replace("\\", "\\\\").replace("[", "\\[")
        return f"(?!/)[{'^' + body[1:] if body[0] == '!' else body}]"

    return re.sub(r"\[(!?\]?[^\]]+)\]|.", one, name, flags=re.DOTALL)
