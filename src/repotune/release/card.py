"""The model card: README.md of a release, from `model_card.md.jinja` and the facts in release.json alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from repotune.core.console import size

_KINDS = {
    "rest": "rest of a line",
    "line": "line",
    "block": "block",
    "body": "function body",
    "arguments": "call arguments",
    "imports": "import",
    "nothing": "nothing needed",
}
_MODELS = {
    "served": "with its index, as served",
    "model": "this model",
    "base": "its base",
    "untrained": "untrained",
    "ngram": "n-gram",
}


def render_card(facts: Mapping[str, Any]) -> str:
    """The card of a release with `facts` (the contents of release.json)."""
    environment = Environment(
        loader=PackageLoader("repotune.release", "."),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # Markdown, not HTML
    )
    environment.filters |= {"size": size, "share": _share, "score": _score, "percent": _percent, "cell": _cell}
    return environment.get_template("model_card.md.jinja").render(
        facts=facts, example=_example(facts), kinds=_KINDS, models=_MODELS
    )


def _example(facts: Mapping[str, Any]) -> str:
    """A prompt as a string's contents: in JSON and in Python the same."""
    parts = {"path": "a.py", "prefix": "def size(count):\n    ", "suffix": "\n\nprint(size(1))\n"}
    prompt = facts["prompt"]["infilling"].format(**parts, **facts["prompt"]["special_tokens"])
    return json.dumps(prompt)[1:-1]


def _share(amounts: Mapping[str, Mapping[str, int]]) -> list[tuple[str, int, int, float]]:
    """(name, files, bytes, share of all bytes), the largest first."""
    total = sum(amount["bytes"] for amount in amounts.values()) or 1
    rows = [(name, amount["files"], amount["bytes"], amount["bytes"] / total) for name, amount in amounts.items()]
    return sorted(rows, key=lambda row: (-row[2], row[0]))


def _score(score: Mapping[str, float | None], digits: int = 3) -> str:
    """A value with its 95 % interval, where there are files enough for one."""
    value, low, high = score["value"], score["low"], score["high"]
    if low is None or high is None:
        return f"{value:.{digits}f}"
    return f"{value:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def _cell(text: str) -> str:
    """Text that cannot break out of a table's cell."""
    return text.replace("|", "\\|").replace("\n", " ")
