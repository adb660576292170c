"""Go's compiler and linker called as `go test` calls them, with the standard library compiled once.

`go` itself looks for modules, hashes what it reads and vets: all but 0.1 s of its 1.7. Left out with it is `go vet`, so
a program that a vet would refuse, such as one whose Printf has a wrong verb, is judged by its tests here.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from repotune.evaluate.languages.cache import prepared, run_tool
from repotune.evaluate.languages.compiling import CommandCompiler
from repotune.evaluate.sandbox.execution import Outcome, Verdict

_TEST = re.compile(r"^func (Test(?![a-z])\w*)\(\w+ \*testing\.T\)", re.MULTILINE)
_PACKAGES = "{{if .Export}}packagefile {{.ImportPath}}={{.Export}}{{end}}"
_HERE = "{folder}"  # the folder is renamed when it is ready


class Go:
    """The program is a package of its own, which a main package beside it imports to run its tests."""

    def __init__(self, cold: CommandCompiler) -> None:
        """Raises UserError where the standard library cannot be compiled."""
        version = run_tool(["go", "version"], Path("/"))
        root, tools = run_tool(["go", "env", "GOROOT", "GOTOOLDIR"], Path("/")).split()

        def prepare(folder: Path) -> None:
            listed = run_tool(
                ["go", "list", "-export", "-f", _PACKAGES, "std"],
                folder,
                GOCACHE=str(folder / "cache"),
                GO111MODULE="off",
                GOFLAGS="",
            )
            (folder / "packages").write_text(listed.replace(str(folder), _HERE), encoding="utf-8")

        folder = prepared("go", [version, root], prepare)
        self._packages = (folder / "packages").read_text(encoding="utf-8").replace(_HERE, str(folder))
        self._cold = CommandCompiler(cold.commands, readable=[folder, Path(root)])
        compiler, linker = (shlex.quote(f"{tools}/{name}") for name in ("compile", "link"))
        self._script = " && ".join(
            [
                f"{compiler} -p program -complete -importcfg packages -pack -o program.a program.go",
                f"{compiler} -p main -complete -importcfg packages -pack -o main.a main.go",
                f"{linker} -importcfg packages -s -w -o program main.a",  # without what a debugger needs
            ]
        )

    def compile(self, text: str, secret: str, folder: Path) -> Outcome | None:
        tests = [f'{{"{name}", program.{name}}}' for name in _TEST.findall(text)]
        if not tests:
            return Outcome(Verdict.COMPILE_ERROR, detail="it has no function that is a test")
        main = self._cold.commands.language.proof.append.replace("{secret}", secret).replace(
            "{tests}", ", ".join(tests)
        )
        sources = {"program.go": text, "main.go": main, "packages": f"{self._packages}packagefile program=program.a\n"}
        for name, content in sources.items():
            (folder / name).write_text(content, encoding="utf-8")
        failed = self._cold.run(["sh", "-c", self._script], folder)
        for name in (*sources, "program.a", "main.a"):  # the secret stands in two of them
            (folder / name).unlink(missing_ok=True)
        return failed

    def close(self) -> None:
        """Nothing runs between programs."""
