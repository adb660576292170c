"""Java by a process that stays: javax.tools, which compiles in memory, and MultiPL-E's one library, org.javatuples."""

from __future__ import annotations

import shutil
from pathlib import Path

from repotune.evaluate.languages.cache import prepared, run_tool
from repotune.evaluate.languages.compiling import COMPILING, CommandCompiler
from repotune.evaluate.languages.proof import add_proof
from repotune.evaluate.languages.server import CompileServer
from repotune.evaluate.sandbox.execution import Outcome

_SOURCES = Path(__file__).parent / "servers"


class Java:
    """Where the process ends over a program or is too slow, that program is compiled by javac itself."""

    def __init__(self, cold: CommandCompiler) -> None:
        """Raises UserError where our own sources cannot be compiled."""
        server = _SOURCES / "CompileServer.java"
        library = sorted(_SOURCES.glob("org/javatuples/*.java"))
        sources = [path.read_text(encoding="utf-8") for path in (server, *library)]

        def prepare(folder: Path) -> None:
            run_tool(["javac", "-proc:none", "-d", folder, server], folder)
            run_tool(["javac", "-proc:none", "-d", folder / "library", *library], folder)

        folder = prepared("java", [run_tool(["javac", "-version"], Path("/")), *sources], prepare)
        self._library = folder / "library"
        # The Java machine's second compiler does not pay: 600 programs take 12.5 s of CPU time, with it 22.3.
        words = ["java", "-Xmx{heap}m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData"]
        language = cold.commands.language
        argv = language.command([*words, "-cp", str(folder), "CompileServer", str(self._library)], COMPILING)
        self._cold = cold
        self._server = CompileServer(argv, [folder, *language.places()], cold.commands.level, COMPILING)

    def compile(self, text: str, secret: str, folder: Path) -> Outcome | None:
        shutil.copytree(self._library, folder, dirs_exist_ok=True)
        language = self._cold.commands.language
        answer = self._server.compile(language.file, add_proof(text, language.proof, secret), COMPILING.cpu_seconds)
        if answer is None:
            return self._cold.compile(text, secret, folder)
        return answer.put_into(folder)

    def close(self) -> None:
        """Ends the process."""
        self._server.close()
