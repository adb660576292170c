"""Short pieces of text that may be shown to anybody: redacted, printable, and cut to a bounded size."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from repotune.corpus.personal import FindPersonal
from repotune.corpus.redaction import redact
from repotune.corpus.secrets.finding import find_secrets

WIDEST = 120
"""Characters of a line that are shown."""

_LINES = 8
_FINDERS = (find_secrets, FindPersonal(names=True))
# What would disturb a page or a terminal: controls become their pictures, and what reverses the direction of writing,
# by which code can look other than it is (CVE-2021-42574), becomes U+FFFD.
_CONTROLS = {code: 0x2400 + code for code in range(32) if chr(code) not in "\t\n"} | {0x7F: 0x2421}
_REVERSING = dict.fromkeys((*range(0x80, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x2028, 0x2029), 0xFFFD)
_UNSAFE = _CONTROLS | _REVERSING


def safe(text: str, path: str = "", language: str = "") -> str:
    """`text` without secrets and personal data, whatever the project does with them, and without control characters."""
    data = text.replace("\r\n", "\n").encode(errors="replace")
    for find in _FINDERS:
        data, _ = redact(data, find, path, language)
    return data.decode().translate(_UNSAFE)


def safe_name(name: str) -> str:
    """A path or the name of a repository, without secrets, on one line, its end where it is too long."""
    shown = redact(name.encode(errors="replace"), find_secrets)[0].decode().translate(_UNSAFE).replace("\n", "␊")
    return shown if len(shown) <= 2 * WIDEST else "…" + shown[1 - 2 * WIDEST :]


def cut(line: str, most: int = WIDEST) -> str:
    """`line` up to `most` characters."""
    return line if len(line) <= most else line[: most - 1] + "…"


@dataclass(frozen=True)
class Excerpt:
    """Lines of a text; `line` is the number of the first, from 1."""

    line: int
    text: str

    def as_json(self) -> dict[str, Any]:
        return {"line": self.line, "text": self.text}


def excerpt(lines: Sequence[str], place: int) -> Excerpt:
    """The lines around number `place` (from 0), fewer than _LINES where the text ends."""
    first = max(0, min(place - _LINES // 4, len(lines) - _LINES))
    shown = lines[first : first + _LINES]
    return Excerpt(first + 1, "\n".join(map(cut, shown)).rstrip())


def first_line(lines: Sequence[str]) -> int:
    """The place of the first line that is not blank."""
    return next((place for place, line in enumerate(lines) if line.strip()), 0)


def longest_line(lines: Sequence[str]) -> int:
    """The place of the longest line, the first of equals."""
    return max(range(len(lines)), key=lambda place: len(lines[place]))


def split_lines(text: str) -> list[str]:
    """The lines of `text`, at line feeds alone: an editor's numbers."""
    return re.split("\n", text)
