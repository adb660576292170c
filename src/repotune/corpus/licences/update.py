"""Rewrites texts.json.xz, the words and names of licences that `texts` knows, from the SPDX licence list.

    npm pack spdx-license-list && tar xf spdx-license-list-*.tgz
    python -m repotune.corpus.licences.update package/spdx-full.json

One text of those that are word for word the same is kept, under the id that promises least (`GPL-2.0-only`); the ids
of the others stay known. Texts in other languages than English and exceptions are left out.
"""

from __future__ import annotations

import json
import lzma
import re
import sys
from pathlib import Path
from typing import Any

PLACE = Path(__file__).with_name("texts.json.xz")

# Ports of one licence that are not in English, and deprecated ids that hold an exception instead of a licence.
_LEFT_OUT = re.compile(
    r"CC-.*-(?:AT|DE|FR|NL|JP|IGO)|CECILL-.*|LiLiQ-.*|D-FSL-.*|DL-DE-.*|etalab-.*|.*\+|LAL-.*|NLOD-.*|OGDL-.*|.*-with-.*"
)
_OTHER_FORMS = {
    "BSD-3-Clause": (
        r"Neither the name of[^.]*promote products derived",
        "The name of the author may not be used to endorse or promote products derived",
    )
}
_WORD = re.compile(r"[a-z0-9]+")


def main(path: Path) -> None:
    """Writes the shipped file. `path` is the list's spdx-full.json."""
    listed: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    by_words: dict[tuple[str, ...], str] = {}
    for name in sorted(listed, key=_promise):
        text = _alone(name, listed[name]["licenseText"])
        if not _LEFT_OUT.fullmatch(name) and len(words := tuple(_WORD.findall(text.lower()))) >= 20:
            by_words.setdefault(words, name)
    kept = set(by_words.values())
    rows = {
        name: {
            "name": listed[name]["name"],
            "texts": _forms(name, _alone(name, listed[name]["licenseText"])) if name in kept else [],
        }
        for name in sorted(listed)
    }
    data = json.dumps(rows, ensure_ascii=False, indent=0).encode()
    PLACE.write_bytes(lzma.compress(data, preset=9 | lzma.PRESET_EXTREME))


def _promise(name: str) -> tuple[bool, bool, int, str]:
    """`-only` without more about it comes first, and deprecated names with `+` last."""
    return not re.fullmatch(r"[A-Z]+-[\d.]+-only", name), name.endswith("+"), len(name), name


def _forms(name: str, text: str) -> list[str]:
    """`text`, and what else the list's template of it allows that is common and not near to the text."""
    pattern, other = _OTHER_FORMS.get(name, ("", ""))
    return [text, re.sub(pattern, other, text)] if pattern else [text]


def _alone(name: str, text: str) -> str:
    """`text` without the other licence that the list appends: LGPL-3.0's holds the GPL, which comes as its own file."""
    return text.partition("GNU GENERAL PUBLIC LICENSE\nVersion 3")[0] if name.startswith("LGPL-3.0") else text


if __name__ == "__main__":
    main(Path(sys.argv[1]))
