"""Where compiled code is kept, in a folder named after all that it is compiled from."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import time
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

from repotune.core.user_cache import user_cache

_KEPT_SECONDS = 30 * 24 * 3600  # of versions before this one


@lru_cache(1)
def kernels_version() -> str:
    """What the kernels are compiled from, in sixteen letters."""
    sources = hashlib.sha256(f"numba {version('numba')} llvmlite {version('llvmlite')}".encode())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        sources.update(path.read_bytes())
    return sources.hexdigest()[:16]


@lru_cache(1)
def cache_folder() -> Path | None:
    """Where compiled code is kept: in the user's cache, or beside temporary files where that cannot be written; None
    where neither is ours alone, as code is loaded from there."""
    name = f"kernels-{kernels_version()}"
    for folder in (user_cache() / name, Path(tempfile.gettempdir()) / f"repotune-{os.getuid()}" / name):
        try:
            if not folder.is_dir():
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                _drop_old(folder)
        except OSError:
            continue
        if os.access(folder, os.W_OK) and all(at.stat().st_uid == os.getuid() for at in (folder, folder.parent)):
            return folder
    return None


def _drop_old(folder: Path) -> None:
    """Removes what earlier versions kept beside `folder`. Whoever still runs one compiles again."""
    for other in folder.parent.glob("kernels-*"):
        if time.time() - other.stat().st_mtime > _KEPT_SECONDS:
            shutil.rmtree(other, ignore_errors=True)
