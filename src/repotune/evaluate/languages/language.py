"""A language as data: its commands, what proves that its tests finished, its limits and what brings it to a machine.

    languages = load_languages()
    languages["cpp"].version()        "12.2.0", or None where g++ is missing

One file a language in definitions/, named as MultiPL-E names it; what a key means stands beside the field it fills.
"""

from __future__ import annotations

import functools
import re
import shutil
import subprocess
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Any

from repotune.core.errors import UserError
from repotune.evaluate.sandbox.execution import MIB, Limits, Verdict
from repotune.evaluate.sandbox.root import SYSTEM

_PROBE_SECONDS = 60  # Scala starts a Java machine to say its version
_VERSION = r"(\d+(?:\.\d+)+)"


@dataclass(frozen=True, slots=True)
class Proof:
    """What is added to a program so that it says at its end that its tests passed.

    `append` is put after the program, with the run's secret for {secret}. Where the tests are a function that the
    runtime calls, or end the process themselves, the last occurrence of `replace` becomes `by` first.
    """

    append: str
    replace: str = ""
    by: str = ""


@dataclass(frozen=True, slots=True)
class Control:
    """A small program as a benchmark has them, and bodies for its function whose verdicts are known.

    `right` passes, `wrong` fails, `leaves` ends the process with status 0 before the tests have, and `broken` cannot be
    compiled. References that pass do not show that a program which should not pass does not.
    """

    program: str
    right: str
    wrong: str
    leaves: str
    broken: str

    def texts(self) -> dict[Verdict, str]:
        """A program, tests included, for each verdict."""
        bodies = {
            Verdict.PASSED: self.right,
            Verdict.FAILED: self.wrong,
            Verdict.EARLY_EXIT: self.leaves,
            Verdict.COMPILE_ERROR: self.broken,
        }
        return {verdict: self.program.replace("{body}", body) for verdict, body in bodies.items()}


@dataclass(frozen=True, slots=True)
class Language:
    """`run` follows `compile`, where there is one, in a folder that holds `file`. Words may hold {heap}, in MiB.

    `syntax` says of a program that failed whether it was one: its status is not 0 where a program of a language without
    a compiler cannot even be read. `stop` are the tokens at which MultiPL-E cuts a completion, and `signature` finds
    the name of the function in the line that a prompt ends with. `probe` prints the version, which `version_pattern`
    finds, and fails where a part is missing; `home` prints the folder of the installation, where what lies on PATH only
    stands for it. `readable` are files and folders that the runtime needs beside /usr, as patterns, and `memory`
    (bytes) and `processes` what it needs at least. `out_of_memory` matches what a runtime says that ends itself before
    the kernel does. `packages` names by package manager what brings the language. `warm` says which of the compilers
    that stay ready takes it: "gcc", "java", "typescript" or "go".
    """

    key: str
    name: str
    file: str
    run: tuple[str, ...]
    proof: Proof
    control: Control
    stop: tuple[str, ...]
    probe: tuple[str, ...]
    packages: Mapping[str, str]
    version_pattern: str = _VERSION
    compile: tuple[str, ...] = ()
    syntax: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    readable: tuple[str, ...] = ()
    home: tuple[str, ...] = ()
    signature: str = r"(\w+)\s*\("
    out_of_memory: str = ""
    memory: int = 0
    processes: int = 0
    warm: str = ""

    @property
    def extension(self) -> str:
        """With its dot."""
        return Path(self.file).suffix

    def version(self) -> str | None:
        """What the toolchain calls itself, None where a part of it is missing."""
        return _version(self.probe, self.version_pattern, self.home)

    def places(self) -> list[Path]:
        """What a command of the language must be able to read beside the system's own libraries."""
        found = [Path(path) for pattern in self.readable for path in Path("/").glob(pattern.removeprefix("/"))]
        for command in (self.compile, self.run):
            path = self._located(command[0]) if command else None
            # An installation keeps bin/ beside lib/, and both are needed.
            if path is not None and not _is_system(path):
                found.append(path.parent.parent)
        return sorted(set(found))

    def command(self, words: Sequence[str], limits: Limits) -> list[str]:
        """`words` with the program's place, where it is not the system's, and with {heap} filled in."""
        path = self._located(words[0])
        first = str(path) if path is not None and not _is_system(path) else words[0]
        heap = str(limits.memory // 2 // MIB)  # a runtime needs as much again for its code and itself
        return [first, *(word.replace("{heap}", heap) for word in words[1:])]

    def limits(self, limits: Limits) -> Limits:
        """`limits`, raised where the runtime does not start within them."""
        return replace(limits, memory=max(limits.memory, self.memory), processes=max(limits.processes, self.processes))

    def _located(self, program: str) -> Path | None:
        """Where a program really lies, None for one in the folder of the run."""
        if program.startswith("./"):
            return None
        if self.home and (home := _home(self.home)) and (inside := home / "bin" / program).exists():
            return inside
        found = shutil.which(program)
        return Path(found).resolve() if found else None


def _is_system(path: Path) -> bool:
    return any(path.is_relative_to(place) for place in SYSTEM)


@functools.cache
def _home(command: tuple[str, ...]) -> Path | None:
    told = _told(command)
    return Path(told.strip()) if told else None


@functools.cache
def _version(probe: tuple[str, ...], pattern: str, home: tuple[str, ...]) -> str | None:
    told = _told(probe)
    found = re.search(pattern, told) if told is not None else None
    return found.group(1) if found else None


def _told(command: tuple[str, ...]) -> str | None:
    """What a command of the toolchain itself prints; None where it is missing or fails."""
    try:
        finished = subprocess.run(
            command, capture_output=True, timeout=_PROBE_SECONDS, stdin=subprocess.DEVNULL, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return (finished.stdout + finished.stderr).decode("utf-8", "replace") if finished.returncode == 0 else None


@functools.cache
def load_languages() -> Mapping[str, Language]:
    """Every language by its key, in the order of the keys. Raises UserError where a definition is not understood."""
    folder = files("repotune.evaluate.languages") / "definitions"
    paths = sorted((entry for entry in folder.iterdir() if entry.name.endswith(".toml")), key=lambda entry: entry.name)
    return {
        path.name.removesuffix(".toml"): read_language(path.name.removesuffix(".toml"), path.read_text("utf-8"))
        for path in paths
    }


def read_language(key: str, text: str) -> Language:
    """The language that a definition's `text` describes. Raises UserError for a key or a value that does not fit."""
    try:
        table = tomllib.loads(text)
        table |= {"proof": Proof(**table["proof"]), "control": Control(**table["control"])}
        kinds = {each.name: str(each.type) for each in fields(Language)}
        language = Language(key=key, **{name: _checked(name, kinds[name], value) for name, value in table.items()})
        re.compile(language.version_pattern), re.compile(language.out_of_memory), re.compile(language.signature)
    except (tomllib.TOMLDecodeError, KeyError, TypeError, ValueError, re.error) as error:
        raise UserError(f"The language {key} is not described as it must be: {error}.") from error
    if "{secret}" not in language.proof.append:
        raise UserError(f"The language {key} does not say how its tests prove that they finished.", "add {secret}")
    return language


def _checked(name: str, kind: str, value: Any) -> Any:
    if kind.startswith("tuple") and isinstance(value, list) and all(isinstance(each, str) for each in value):
        return tuple(value)
    if kind.startswith("Mapping") and isinstance(value, dict):
        return MappingProxyType({str(each): str(text) for each, text in value.items()})
    if kind == "int" and isinstance(value, str):
        return int(value.removesuffix(" MiB")) * MIB
    if kind == type(value).__name__:
        return value
    raise ValueError(f"{name} is {value!r}")
