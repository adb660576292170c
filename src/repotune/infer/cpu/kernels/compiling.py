"""Python functions as machine code, compiled by numba once for a machine and kept on its disk.

numba knows a kept function by its own file alone. These call each other across files, so what is kept lies in a folder
named after all of them.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from numba.core import entrypoints

# Packages may extend numba, and it imports those that are installed when it first compiles or loads a function.
# Awkward, which the tokenizer's encoder brings, imports pyarrow then: 0.3 s and 60 MB of a server that uses neither.
entrypoints._already_initialized = True

_KEPT_SECONDS = 30 * 24 * 3600  # of versions before this one

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """`function` as machine code, without Python's lock. It is compiled at its first call, all of them together in some
    fifteen seconds, and found on disk from then on."""
    folder, settings = cache_folder(), cast(Any, numba.config)
    before, settings.CACHE_DIR = settings.CACHE_DIR, str(folder or "")
    try:
        made: Any = numba.njit(nogil=True, cache=folder is not None, error_model="numpy")(function)
    finally:
        settings.CACHE_DIR = before
    template = made.get_call_template

    def of_plain_types(given: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """What a call from another kernel compiles. Left alone, numba makes a version of a function for each constant
        that it is called with, and of all that this one calls: four times as long to compile."""
        return template(tuple(numba.types.unliteral(kind) for kind in given), named)

    made.get_call_template = of_plain_types
    return cast(Function, made)


def _drop_old(folder: Path) -> None:
    """Removes what earlier versions kept beside `folder`. Whoever still runs one compiles again."""
    for other in folder.parent.glob("kernels-*"):
        if time.time() - other.stat().st_mtime > _KEPT_SECONDS:
            shutil.rmtree(other, ignore_errors=True)


@lru_cache(1)
def cache_folder() -> Path | None:
    """Where compiled code is kept: in the user's cache, or beside temporary files where that cannot be written; None
    where neither is ours alone, as code is loaded from there."""
    sources = hashlib.sha256(numba.__version__.encode())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        sources.update(path.read_bytes())
    name = f"kernels-{sources.hexdigest()[:16]}"
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "repotune"
    for folder in (home / name, Path(tempfile.gettempdir()) / f"repotune-{os.getuid()}" / name):
        try:
            if not folder.is_dir():
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                _drop_old(folder)
        except OSError:
            continue
        if os.access(folder, os.W_OK) and all(at.stat().st_uid == os.getuid() for at in (folder, folder.parent)):
            return folder
    return None
