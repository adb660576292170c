"""`repotune doctor`: what this machine has, what is missing for which command, and how to bring it."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import platform
import shutil
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from repotune.core.config import load_config
from repotune.core.console import Console, size, write_data
from repotune.core.errors import UserError
from repotune.core.hardware import Hardware, probe

_LEAST_DISK = 2e9
_LEAST_MEMORY = 2e9
_MARKS = {"ok": "✓", "missing": "✗", "warning": "!"}


@dataclass(frozen=True)
class Finding:
    """One thing looked at. `remedy` says what to do where it is not in order."""

    name: str
    state: Literal["ok", "missing", "warning"]
    text: str
    remedy: str | None = None


def doctor(arguments: argparse.Namespace) -> int:
    """Prints the findings. Exit status 2 where something is missing that `repotune run` needs."""
    machine = probe(Path.cwd())
    findings = examine(machine, arguments.config)
    if arguments.json:
        write_data(json.dumps({"hardware": asdict(machine), "findings": [asdict(f) for f in findings]}, indent=2))
    else:
        console = Console()
        for finding in findings:
            console.say(f"  {_MARKS[finding.state]} {finding.name:<12} {finding.text}")
            if finding.remedy:
                console.say(f"    {'':<12} {finding.remedy}")
    return 2 if any(finding.state == "missing" for finding in findings) else 0


def examine(machine: Hardware, config: Path) -> list[Finding]:
    """Everything worth saying about this machine, most basic first."""
    return [
        _python(),
        Finding("processor", "ok", f"{machine.processor}, {machine.cores} cores, {_speed(machine)}"),
        _amount("memory", machine.memory_free, _LEAST_MEMORY, "close other programs, or choose a smaller model.size"),
        _amount("disk", machine.disk_free, _LEAST_DISK, "make room, or set project.workspace to another disk"),
        _gpu(machine),
        _git(),
        _package("torch", "training and the server", "pip install -c constraints.txt 'repotune[serve]'"),
        _package("starlette", "the server", "pip install 'repotune[serve]'"),
        _package("pygls", "the editor's language server", "pip install 'repotune[editor]'", needed=False),
        _package("pyspark", "a corpus on a cluster", "pip install 'repotune[spark]'", needed=False),
        _java(),
        _package("s3fs", "reading from object stores", "pip install 'repotune[remote]'", needed=False),
        _package(
            "tree-sitter-language-pack", "corpus.parse beyond Python", "pip install 'repotune[parsers]'", needed=False
        ),
        _sandbox(),
        _languages(),
        _project(config),
    ]


def _python() -> Finding:
    return Finding("python", "ok", f"{platform.python_version()} at {sys.executable}")


def _speed(machine: Hardware) -> str:
    return f"{machine.fp32_flops / 1e9:,.0f} GFLOP/s in float32, {'with' if machine.bf16 else 'no'} bfloat16"


def _amount(name: str, free: float, least: float, remedy: str) -> Finding:
    enough = free >= least
    return Finding(name, "ok" if enough else "warning", f"{size(free)} free", None if enough else remedy)


def _gpu(machine: Hardware) -> Finding:
    if not machine.gpus:
        return Finding("gpu", "ok", "none found; models train and serve on the CPU")
    return Finding("gpu", "ok", ", ".join(f"{gpu.name} with {size(gpu.memory)}" for gpu in machine.gpus))


def _git() -> Finding:
    path = shutil.which("git")
    if path is None:
        return Finding("git", "warning", "not found; only plain folders can be read", "install the package git")
    return Finding("git", "ok", path)


def _package(name: str, purpose: str, remedy: str, needed: bool = True) -> Finding:
    try:
        return Finding(name, "ok", importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return Finding(name, "missing" if needed else "warning", f"not installed; {purpose} needs it", remedy)


def _java() -> Finding:
    from repotune.corpus.engines.java import find_java

    try:
        path, version = find_java()
    except UserError as error:
        return Finding("java", "warning", error.message, error.hint)
    return Finding("java", "ok", f"{version} at {path}")


def _sandbox() -> Finding:
    """What `evaluate benchmark` runs programs in that nobody has read."""
    from repotune.evaluate.sandbox.confinement import Level
    from repotune.evaluate.sandbox.probe import probe as probe_sandbox

    found = probe_sandbox()
    text = "; ".join(found.report()).removeprefix("sandbox: ")
    if found.level < Level.CONFINED:
        return Finding("sandbox", "warning", text, "evaluate benchmark runs programs on Linux with Landlock alone")
    return Finding("sandbox", "ok", text)


def _languages() -> Finding:
    """Which languages benchmarks can be run in."""
    from repotune.evaluate.languages.toolchains import toolchains

    found = toolchains()
    here = ", ".join(f"{each.language} {each.version}" for each in found if each.version)
    absent = [each for each in found if not each.version]
    if not absent:
        return Finding("languages", "ok", here)
    hints = "; ".join(f"{each.language}: {each.hint}" for each in absent)
    return Finding("languages", "ok", f"benchmarks run in {here}", f"for more of them, {hints}")


def _project(config: Path) -> Finding:
    if not config.exists():
        return Finding("project", "ok", f"no {config} here", "repotune init REPOSITORY… writes one")
    try:
        return Finding("project", "ok", f"{config} for {load_config(config).project.name}")
    except UserError as error:
        return Finding("project", "missing", error.message, error.hint)
