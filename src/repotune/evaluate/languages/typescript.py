"""TypeScript by a process that stays, with the declarations of the language's library read and parsed once."""

from __future__ import annotations

import shutil
from pathlib import Path

from repotune.evaluate.languages.compiling import COMPILING, CommandCompiler, Compiler
from repotune.evaluate.languages.proof import add_proof
from repotune.evaluate.languages.server import CompileServer
from repotune.evaluate.sandbox.execution import Outcome

_SERVER = Path(__file__).parent / "servers" / "compile_server.js"


def open_typescript(cold: CommandCompiler) -> Compiler:
    """The process, or `tsc` itself where it comes without the compiler as a library, as the native one does."""
    found = shutil.which("tsc")
    library = Path(found).resolve().parents[1] / "lib" / "typescript.js" if found else None
    return TypeScript(cold, library) if library is not None and library.exists() else cold


class TypeScript:
    """Where the process ends over a program or is too slow, that program is compiled by tsc itself."""

    def __init__(self, cold: CommandCompiler, library: Path) -> None:
        language = cold.commands.language
        argv = language.command(["node", "--max-old-space-size={heap}", str(_SERVER), str(library)], COMPILING)
        readable = [_SERVER.parent, library.parent, *language.places()]
        self._cold, self._server = cold, CompileServer(argv, readable, cold.commands.level, COMPILING)

    def compile(self, text: str, secret: str, folder: Path) -> Outcome | None:
        language = self._cold.commands.language
        answer = self._server.compile(language.file, add_proof(text, language.proof, secret), COMPILING.cpu_seconds)
        if answer is None:
            return self._cold.compile(text, secret, folder)
        return answer.put_into(folder)

    def close(self) -> None:
        """Ends the process."""
        self._server.close()
