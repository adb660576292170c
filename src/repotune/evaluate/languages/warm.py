"""Which compiler a language is opened with; what each saves stands in compiling.py."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from repotune.evaluate.languages.compiling import CommandCompiler, Compiler
from repotune.evaluate.languages.gcc import Gcc
from repotune.evaluate.languages.go import Go
from repotune.evaluate.languages.java import Java
from repotune.evaluate.languages.language import Language
from repotune.evaluate.languages.typescript import open_typescript
from repotune.evaluate.sandbox.confinement import Level

_KEPT: Mapping[str, Callable[[CommandCompiler], Compiler]] = {
    "gcc": Gcc,
    "go": Go,
    "java": Java,
    "typescript": open_typescript,
}


def open_compiler(language: Language, level: Level) -> Compiler:
    """The fastest there is for `language`. What it keeps is made here, once for a version. Raises UserError."""
    cold = CommandCompiler(language, level)
    return _KEPT[language.warm](cold) if language.warm else cold
