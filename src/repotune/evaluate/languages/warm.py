"""Which compiler a language is opened with; what each saves stands in compiling.py."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from repotune.evaluate.languages.commands import Commands
from repotune.evaluate.languages.compiling import CommandCompiler, Compiler
from repotune.evaluate.languages.gcc import Gcc
from repotune.evaluate.languages.go import Go
from repotune.evaluate.languages.java import Java
from repotune.evaluate.languages.typescript import open_typescript

_KEPT: Mapping[str, Callable[[CommandCompiler], Compiler]] = {
    "gcc": Gcc,
    "go": Go,
    "java": Java,
    "typescript": open_typescript,
}


def open_compiler(commands: Commands) -> Compiler:
    """The fastest there is for the language. What it keeps is made here, once for a version. Raises UserError."""
    cold = CommandCompiler(commands)
    kind = commands.language.warm
    return _KEPT[kind](cold) if kind else cold
