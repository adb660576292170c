"""Where is kept what belongs to no project and can be made again: compiled code, measurements, prepared compilers."""

from __future__ import annotations

import os
from pathlib import Path


def user_cache() -> Path:
    """The user's own folder for it, as the XDG base directory specification has it; not made yet."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "repotune"
