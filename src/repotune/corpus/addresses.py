"""Which repositories lie elsewhere, by the form of their address alone: whoever reads a configuration needs no more."""

from __future__ import annotations

import re

# A scheme and what follows, or scp's form `user@host:path`; a colon after a slash belongs to a path.
_URL = re.compile(r"[a-z][a-z0-9+.-]*://.+|[^/\s:]+:[^\s].*", re.IGNORECASE)


def is_url(repository: str) -> bool:
    """Whether `repository` has the form of what lies elsewhere: a scheme, or scp's `user@host:path`."""
    return bool(_URL.fullmatch(repository))
