"""g++ with bits/stdc++.h compiled once, for programs that include it: others see no more than they ask for."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from repotune.evaluate.languages.cache import prepared, run_tool
from repotune.evaluate.languages.compiling import CommandCompiler
from repotune.evaluate.sandbox.execution import Outcome

_HEADER = re.compile(r"^\s*#\s*include\s*<bits/stdc\+\+\.h>", re.MULTILINE)


class Gcc:
    """The compiled header is g++'s own form, 100 MB that it maps; one for each version and set of options.

    Linking takes 20 ms of CPU time with gold, which binutils brings, and 50 without.
    """

    def __init__(self, cold: CommandCompiler) -> None:
        """Raises UserError where the header cannot be compiled."""
        language = cold.commands.language
        words = language.compile[: language.compile.index(language.file)]
        version = run_tool([words[0], "--version"], Path("/"))

        def prepare(folder: Path) -> None:
            (folder / "all.h").write_text("#include <bits/stdc++.h>\n")
            run_tool([*words, "-x", "c++-header", "all.h", "-o", "all.h.gch"], folder)

        folder = prepared("gcc", [version, *words], prepare)
        # -include comes before all else in the source, which is where a compiled header must stand.
        self._cold = cold
        more = ["-include", str(folder / "all.h"), *(["-fuse-ld=gold"] if shutil.which("ld.gold") else [])]
        self._warm = CommandCompiler(cold.commands, more, [folder])

    def compile(self, text: str, secret: str, folder: Path) -> Outcome | None:
        compiler = self._warm if _HEADER.search(text) else self._cold
        return compiler.compile(text, secret, folder)

    def close(self) -> None:
        """Nothing runs between programs."""
