"""The page at `/`: the release's facts, and a box to try it in. One file, nothing from elsewhere, no framework."""

from __future__ import annotations

import base64
import hashlib
import re
from importlib.resources import files

from jinja2 import Environment, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from repotune.serve.facts import ReleaseFacts


class Page:
    """The page of one release, rendered once."""

    def __init__(self, facts: ReleaseFacts, has_report: bool) -> None:
        source = files(__package__).joinpath("page.html").read_text(encoding="utf-8")
        template = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
        self.html = template.from_string(source).render(
            facts=facts,
            size=_count(facts.parameters),
            licences=_licences(facts),
            has_report=has_report,
            starts_in_python=facts.main_language() == "Python",
        )
        self._policy = _policy(self.html)

    async def show(self, _request: Request) -> Response:
        """GET /"""
        return HTMLResponse(self.html, headers={"content-security-policy": self._policy})


def _policy(html: str) -> str:
    """Allows exactly the style and the script in `html`, by their hashes, and requests to this server."""
    style, script = (_hash(html, tag) for tag in ("style", "script"))
    return (
        f"default-src 'none'; style-src {style}; script-src {script}; connect-src 'self'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _hash(html: str, tag: str) -> str:
    found = re.search(f"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
    assert found, f"page.html has no <{tag}>"
    return f"'sha256-{base64.b64encode(hashlib.sha256(found[1].encode()).digest()).decode()}'"


def _count(number: int) -> str:
    """A count of parameters for a person: 9.4M, 124M, 1.3B."""
    for unit, scale in (("B", 10**9), ("M", 10**6), ("k", 10**3)):
        if number >= scale:
            return f"{number / scale:.1f}{unit}" if number < 10 * scale else f"{number / scale:.0f}{unit}"
    return str(number)


def _licences(facts: ReleaseFacts) -> str:
    """`Apache-2.0 62 %, MIT 30 %, 3 others 8 %`, the percent signs on the line of their numbers."""
    shares = facts.licence_shares()
    if len(shares) > 3:
        shares = [*shares[:2], (f"{len(shares) - 2} others", sum(share for _, share in shares[2:]))]
    return ", ".join(f"{name} {100 * share:.0f}\N{NO-BREAK SPACE}%" for name, share in shares)
