"""Python functions as machine code, by numba.

numba knows a kept function by its own file alone. These call each other across files, so what is kept lies in a folder
named after all of them (`cache.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
from numba.core import entrypoints

from repotune.infer.cpu.kernels import cache

# Packages may extend numba, and it imports those that are installed when it first compiles or loads a function.
# Awkward, which the tokenizer's encoder brings, imports pyarrow then: 0.3 s and 60 MB for nothing.
entrypoints._already_initialized = True

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """`function` as machine code, without Python's lock; compiled at its first call and found on disk from then on."""
    folder, settings = cache.cache_folder(), cast(Any, numba.config)
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
