"""Go's compiler and linker called as `go test` calls them, with the standard library compiled once.

`go` itself looks for modules, hashes what it reads and vets: all but 0.1 s of its 1.7. Left out with it is `go vet`, so
a program that a vet would refuse, such as one whose Printf has a wrong verb, is judged by its tests here. Of what is
left two thirds are the linker's, which reads all packages that the program imports: they are compiled without what a
debugger needs (60 ms, then 50).
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from repotune.evaluate.languages.cache import prepared, run_tool
from repotune.evaluate.languages.compiling import CommandCompiler
from repotune.evaluate.sandbox.execution import Outcome, Verdict

_PROOF = Path(__file__).parent / "servers" / "proof.go"
_TEST = re.compile(r"^func (Test(?![a-z])\w*)\(\w+ \*testing\.T\)", re.MULTILINE)
_PACKAGES = "{{if .Export}}packagefile {{.ImportPath}}={{.Export}}{{end}}"
_LIST = ["go", "list", "-export", "-gcflags=all=-dwarf=false", "-f", _PACKAGES, "std"]
_COMPILE = ["-dwarf=false", "-complete", "-pack", "-importcfg"]
_HERE = "{folder}"  # the folder is renamed when it is ready
# Neither tool lives long enough for its collector to pay (5 of 60 ms), unless a source is enormous.
_COLLECTOR = "export GOGC=off GOMEMLIMIT=1GiB"


class Go:
    """The program is a package of its own, which a main package beside it imports to run its tests."""

    def __init__(self, cold: CommandCompiler) -> None:
        """Raises UserError where the standard library cannot be compiled."""
        version = run_tool(["go", "version"], Path("/"))
        root, tools = run_tool(["go", "env", "GOROOT", "GOTOOLDIR"], Path("/")).split()

        def prepare(folder: Path) -> None:
            settings = {"GOCACHE": str(folder / "cache"), "GO111MODULE": "off", "GOFLAGS": "", "CGO_ENABLED": "0"}
            packages, listed = folder / "packages", run_tool(_LIST, folder, **settings)
            packages.write_text(listed, encoding="utf-8")
            run_tool([f"{tools}/compile", "-p", "proof", *_COMPILE, packages, "-o", "proof.a", _PROOF], folder)
            packages.write_text(listed.replace(str(folder), _HERE), encoding="utf-8")

        folder = prepared("go", [version, root, *_LIST, _PROOF.read_text(encoding="utf-8")], prepare)
        # The program itself cannot import what runs its tests.
        self._library = (folder / "packages").read_text(encoding="utf-8").replace(_HERE, str(folder))
        self._all = f"{self._library}packagefile proof={folder}/proof.a\npackagefile program=program.a\n"
        self._cold = CommandCompiler(cold.commands, readable=[folder, Path(root)])
        compiler, linker = (shlex.quote(f"{tools}/{name}") for name in ("compile", "link"))
        compiler = f"{compiler} {shlex.join(_COMPILE)}"
        self._script = " && ".join(
            [
                _COLLECTOR,
                f"{compiler} library -p program -o program.a program.go",
                f"{compiler} all -p main -o main.a main.go",
                f"{linker} -importcfg all -s -w -o program main.a",
            ]
        )

    def compile(self, text: str, secret: str, folder: Path) -> Outcome | None:
        tests = [f'proof.Test{{"{name}", program.{name}}}' for name in _TEST.findall(text)]
        if not tests:
            return Outcome(Verdict.COMPILE_ERROR, detail="it has no function that is a test")
        main = self._cold.commands.language.proof.append.replace("{secret}", secret).replace(
            "{tests}", ", ".join(tests)
        )
        sources = {"program.go": text, "main.go": main, "library": self._library, "all": self._all}
        for name, content in sources.items():
            (folder / name).write_text(content, encoding="utf-8")
        failed = self._cold.run(["sh", "-c", self._script], folder)
        for name in (*sources, "program.a", "main.a"):  # the secret stands in two of them
            (folder / name).unlink(missing_ok=True)
        return failed

    def close(self) -> None:
        """Nothing runs between programs."""
