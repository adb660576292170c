"""Text from repositories inside Markdown, so that it stays text."""

from __future__ import annotations

import re

_SPECIAL = re.compile(r"([\\`*_\[\]<>|#~&])")
_FENCE = re.compile(r"`{3,}")


def one_line(text: str) -> str:
    r"""`text` for a paragraph, a heading or a cell: on one line, nothing in it is markup.

    >>> one_line("a|b\n<c>")
    'a\\|b \\<c\\>'
    """
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def code_block(text: str) -> str:
    """`text` between fences that are longer than any within it."""
    longest = max((len(fence) for fence in _FENCE.findall(text)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}text\n{text}\n{fence}"
