"""Go's compiler and linker called as `go test` calls them, with the standard library compiled once.

`go` itself looks for modules, hashes what it reads and vets: all but 0.1 s of its 1.7. Left out with it is `go vet`, so
a program that a vet would refuse, such as one whose Printf has a wrong verb, is judged by its tests here. Of what is
left two thirds are the linker's, which reads all packages that the program imports: they are compiled without what a
debugger needs (60 ms, then 51), and testing is a small one that imports less (51, then 40).
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from repotune.evaluate.languages.cache import prepared, run_tool
from repotune.evaluate.languages.compiling import CommandCompiler
from repotune.evaluate.sandbox.execution import Outcome, Verdict

_SOURCES = Path(__file__).parent / "servers"
_TEST = re.compile(r"^func (Test(?![a-z])\w*)\(\w+ \*testing\.T\)", re.MULTILINE)
_LIBRARY = "library"  # in a program's folder, a link to what is prepared
_PACKAGES = "{{if .Export}}packagefile {{.ImportPath}}={{.Export}}{{end}}"
_LIST = ["go", "list", "-export", "-gcflags=all=-dwarf=false", "-f", _PACKAGES, "std"]
_COMPILE = ["-dwarf=false", "-complete", "-pack", "-importcfg"]
# Neither tool lives long enough for its collector to pay (5 of 60 ms), unless a source is enormous.
_COLLECTOR = "export GOGC=off GOMEMLIMIT=1GiB"


class Go:
    """The program is a package of its own, which a main package beside it imports to run its tests.

    `testing` is a small one of ours, or Go's own where the program asks for more than that has.
    """

    def __init__(self, cold: CommandCompiler) -> None:
        """Raises UserError where the standard library cannot be compiled."""
        version = run_tool(["go", "version"], Path("/"))
        root, tools = run_tool(["go", "env", "GOROOT", "GOTOOLDIR"], Path("/")).split()
        sources = [(_SOURCES / name).read_text(encoding="utf-8") for name in ("testing.go", "proof.go")]
        self._prepared = prepared(
            "go", [version, root, *_LIST, *sources], lambda folder: _prepare(folder, f"{tools}/compile")
        )
        self._cold = CommandCompiler(cold.commands, readable=[self._prepared, Path(root)])
        lean, full = (" && ".join(_steps(tools, packages)) for packages in ("lean", "full"))
        self._script = f"{_COLLECTOR}; ({lean}) > said 2>&1 || ({full})"

    def compile(self, text: str, secret: str, folder: Path) -> Outcome | None:
        tests = [f'proof.Test{{"{name}", program.{name}}}' for name in _TEST.findall(text)]
        if not tests:
            return Outcome(Verdict.COMPILE_ERROR, detail="it has no function that is a test")
        main = self._cold.commands.language.proof.append.replace("{secret}", secret).replace(
            "{tests}", ", ".join(tests)
        )
        (folder / "program.go").write_text(text, encoding="utf-8")
        (folder / "main.go").write_text(main, encoding="utf-8")
        (folder / _LIBRARY).symlink_to(self._prepared)
        failed = self._cold.run(["sh", "-c", self._script], folder)
        for name in ("program.go", "main.go", _LIBRARY, "program.a", "main.a", "said"):  # the secret stands in two
            (folder / name).unlink(missing_ok=True)
        return failed

    def close(self) -> None:
        """Nothing runs between programs."""


def _prepare(folder: Path, compiler: str) -> None:
    """The standard library, and which of its packages a program sees: `full` or `lean`, the tests' main `-main` too."""
    settings = {"GOCACHE": str(folder / "cache"), "GO111MODULE": "off", "GOFLAGS": "", "CGO_ENABLED": "0"}
    (folder / _LIBRARY).symlink_to(".")  # here, as in a program's folder
    full = run_tool(_LIST, folder, **settings).replace(str(folder), _LIBRARY)
    lean = re.sub(r"(?m)^(packagefile testing=).*", rf"\1{_LIBRARY}/testing.a", full)
    for name, packages in (("full", full), ("lean", lean)):
        (folder / name).write_text(packages, encoding="utf-8")
        # The program itself cannot import what runs its tests.
        more = f"packagefile proof={_LIBRARY}/{name}.a\npackagefile program=program.a\n"
        (folder / f"{name}-main").write_text(packages + more, encoding="utf-8")
    for package, source, output, packages in (
        ("testing", "testing.go", "testing.a", "full"),
        ("proof", "proof.go", "full.a", "full"),
        ("proof", "proof.go", "lean.a", "lean"),
    ):
        run_tool([compiler, *_COMPILE, packages, "-p", package, "-o", output, _SOURCES / source], folder)


def _steps(tools: str, packages: str) -> list[str]:
    compiler, linker = (shlex.quote(f"{tools}/{name}") for name in ("compile", "link"))
    compiler = f"{compiler} {shlex.join(_COMPILE)} {_LIBRARY}/{packages}"
    return [
        f"{compiler} -p program -o program.a program.go",
        f"{compiler}-main -p main -o main.a main.go",
        f"{linker} -importcfg {_LIBRARY}/{packages}-main -s -w -o program main.a",  # without what a debugger needs
    ]
