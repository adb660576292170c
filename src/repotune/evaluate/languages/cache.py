"""What compilers prepare once and keep: a folder for each version of a toolchain, made beside its place and renamed.

Only sources of ours and the toolchain's own are compiled into it, outside the sandbox; programs can only read it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from repotune.core.errors import UserError
from repotune.core.user_cache import user_cache

_SECONDS = 600  # Go compiles its standard library where the distribution does not bring it compiled


def cache_folder() -> Path:
    """Where prepared things are kept."""
    return user_cache() / "languages"


def prepared(name: str, made_of: Sequence[str], prepare: Callable[[Path], None]) -> Path:
    """The folder that `prepare` fills the first time; again when one of the texts `made_of` is another.

    It can be called by several processes at once: the first that is done wins. Raises what `prepare` raises.
    """
    key = hashlib.sha256("\0".join(made_of).encode()).hexdigest()[:16]
    place = cache_folder() / f"{name}-{key}"
    if place.is_dir():
        return place
    place.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=place.parent))
    try:
        beside.chmod(0o755)  # programs under another uid read it
        prepare(beside)
        beside.rename(place)
    except OSError:
        if not place.is_dir():
            raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return place


def run_tool(words: Sequence[str | Path], folder: Path, **environment: str) -> str:
    """The output of one of the toolchain's own commands. Raises UserError where it fails."""
    try:
        finished = subprocess.run(
            [str(word) for word in words],
            cwd=folder,
            env={**os.environ, "LC_ALL": "C.UTF-8", **environment},
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UserError(f"{words[0]} could not be run: {error}.", "see `repotune doctor`") from error
    if finished.returncode:
        said = finished.stderr.decode("utf-8", "replace").strip()
        raise UserError(f"{words[0]} failed while it was made ready: {said[:500]}", "see `repotune doctor`")
    return finished.stdout.decode("utf-8", "replace")
