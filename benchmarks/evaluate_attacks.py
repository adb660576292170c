"""Every attack of tests/evaluate/sandbox/attacks.toml, on a quiet machine and on a busy one, as root and as a user.

    python benchmarks/evaluate_attacks.py [--quick]

Three runs with nothing beside and as many workers as cores, three with a busy process on every core and four times as
many workers, at the level full. An attack is held where it never passes, the sandbox itself never fails, and all six
verdicts are the same; a control program that must pass comes before each. What does without namespaces is also tried at
the level confined, once. The attacks that reach out run at the level limited too, with nothing but limits: there each
must succeed, or it would show nothing.

Started as root, all of it runs twice, as root and as an ordinary user; started as a user, once. The table has a line
for each attack, with one verdict where all of a column are the same. --quick is one run of each kind, without the
attacks that wait for the wall limit.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import socket
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import repotune
from repotune.core.errors import UserError
from repotune.evaluate.sandbox.confinement import Level
from repotune.evaluate.sandbox.execution import MIB, Limits, Verdict
from repotune.evaluate.sandbox.probe import require
from repotune.evaluate.sandbox.python import PythonProgram, PythonSandbox

Verdicts = dict[str, list[str]]  # of each attack, one a run

SOURCES = Path(repotune.__file__).parents[1]
REPOSITORY = Path(__file__).parents[1]
ATTACKS = tomllib.loads((REPOSITORY / "tests/evaluate/sandbox/attacks.toml").read_text("utf-8"))
KINDS = ("reaching_out", "dangerous", "forging")
WAITING = ("sleep past the limit", "stop itself", "another json")
# Without namespaces neither the processes of a user nor the files of the scratch folder are counted.
COUNTED = ("fork bomb", "memory bomb in a file", "many files")
UID = 61000  # that no account has
CORES = len(os.sched_getaffinity(0))
BUSY = 4  # times as many workers as cores, beside a busy process on each
LIMITS = Limits(cpu_seconds=1.0, wall_seconds=20.0, memory=512 * MIB)
CONTROL = PythonProgram("def answer():\n    import csv, tempfile, textwrap\n    return 42", "assert answer() == 42")
# In a root file system that holds this Python, which may lie in a folder of root's own, root stays root or becomes a
# user, and starts it anew: the kernel hides what /proc tells of a process that has changed its uid, and the attacks are
# to find it.
BECOME = """
import json, os, sys
sources, places, folder, uid, command = json.loads(sys.argv[1])
sys.path.insert(0, sources)
from repotune.evaluate.sandbox import kernel, root
kernel.unshare(kernel.CLONE_NEWNS)
os.chown(folder, uid, uid)
root.build_root(places, [folder], proc=True, scratch=False)
if uid:
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
os.execve(command[0], command, {"TMPDIR": folder, "HOME": folder, "PYTHONPATH": sources, "PATH": "/usr/bin:/bin"})
"""


@contextlib.contextmanager
def surroundings() -> Iterator[dict[str, str]]:
    """What there is outside to get at, by the names that attacks have for it."""
    with (
        tempfile.TemporaryDirectory() as folder,
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.socket(socket.AF_UNIX) as abstract,
    ):
        Path(folder).chmod(0o777)
        secret = Path(folder, "secret")
        secret.write_text("the secret")
        abstract.bind(f"\0repotune-{os.getpid()}")
        abstract.listen()
        yield {
            "secret": str(secret),
            "outside": folder,
            "port": str(listener.getsockname()[1]),
            "abstract": f"repotune-{os.getpid()}",
            "pid": str(os.getpid()),
            "root": str(os.geteuid() == 0),
            **{name: str(value) for name, value in ATTACKS["numbers"][platform.machine()].items()},
        }


def programs_of(kind: str, names: Mapping[str, str], quick: bool) -> dict[str, PythonProgram]:
    programs = {}
    for attack, text in ATTACKS[kind].items():
        if quick and attack in WAITING:
            continue
        for name, value in names.items():
            text = text.replace(f"{{{name}}}", value) if kind != "forging" else text
        tests = "assert answer() == 42" if kind == "forging" else 'assert attack() == "escaped"'
        programs[attack] = PythonProgram(text, tests)
    return programs


def judge(level: Level, workers: int, programs: Mapping[str, PythonProgram], outside: Path) -> dict[str, str]:
    """A verdict for each program; "control" is that of the control programs, "outside" what became of that folder."""
    woven = [each for program in programs.values() for each in (CONTROL, program)] + [CONTROL]
    with PythonSandbox(level, LIMITS, workers) as sandbox:
        verdicts = [outcome.verdict.value for outcome in sandbox.run(woven)]
    controls = set(verdicts[::2])
    told = dict(zip(programs, verdicts[1::2], strict=True))
    told["control"] = Verdict.PASSED if controls == {Verdict.PASSED} else " and ".join(sorted(controls))
    left = {each.name for each in outside.iterdir()} - {"secret"}
    told["outside"] = f"holds {', '.join(sorted(left))}" if left else "untouched"
    (outside / "new").unlink(missing_ok=True)
    return told


@contextlib.contextmanager
def busy_cores() -> Iterator[None]:
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(CORES)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def measure(quick: bool) -> dict[str, Verdicts]:
    """For each condition the verdicts of its runs."""
    runs, told = (1 if quick else 3), dict[str, list[dict[str, str]]]()
    with surroundings() as names:
        outside = Path(names["outside"])
        of_kind = {kind: programs_of(kind, names, quick) for kind in KINDS}
        every = {name: program for programs in of_kind.values() for name, program in programs.items()}
        told["limits only"] = [judge(Level.LIMITED, 1, of_kind["reaching_out"], outside)]
        uncounted = {name: program for name, program in every.items() if name not in COUNTED}
        told["confined"] = [judge(Level.CONFINED, CORES, uncounted, outside)]
        told["idle"] = [judge(Level.FULL, CORES, every, outside) for _ in range(runs)]
        with busy_cores():
            told["busy"] = [judge(Level.FULL, BUSY * CORES, every, outside) for _ in range(runs)]
    return {
        condition: {name: [each[name] for each in several] for name in several[0]}
        for condition, several in told.items()
    }


def measure_as(uid: int, quick: bool) -> dict[str, Verdicts]:
    command = [sys.executable, str(Path(__file__).resolve()), "--verdicts", *(["--quick"] if quick else [])]
    places = [str(SOURCES), sys.prefix, sys.base_prefix, str(REPOSITORY), "/etc"]
    with tempfile.TemporaryDirectory() as folder:
        told = json.dumps([str(SOURCES), places, folder, uid, command])
        finished = subprocess.run([sys.executable, "-c", BECOME, told], stdout=subprocess.PIPE, text=True, check=True)
    verdicts: dict[str, Verdicts] = json.loads(finished.stdout)
    return verdicts


def faults_of(verdicts: Mapping[str, Verdicts]) -> dict[str, str]:
    """What is not as it must be, for each attack, of one user's runs."""
    faults: dict[str, str] = {}
    for condition, attacks in verdicts.items():
        for name, several in attacks.items():
            open_door = condition == "limits only"
            if name == "outside":
                good = open_door or set(several) == {"untouched"}
            elif open_door or name == "control":
                good = set(several) == {Verdict.PASSED}
            else:
                good = {Verdict.PASSED, Verdict.HARNESS_ERROR}.isdisjoint(several)
            if not good:
                faults[name] = f"{condition}: {', '.join(several)}"
    for name, several in verdicts["idle"].items():
        if len({*several, *verdicts["busy"][name]}) > 1:
            faults.setdefault(name, f"idle {', '.join(several)}; busy {', '.join(verdicts['busy'][name])}")
    return faults


def write_table(by_user: Mapping[str, Mapping[str, Verdicts]]) -> None:
    columns = {
        f"{user}, {name}, {len(verdicts['control'])}×": verdicts
        for user, told in by_user.items()
        for name, verdicts in told.items()
    }
    names = list(dict.fromkeys(name for verdicts in columns.values() for name in verdicts))
    rows = [["", *columns]]
    rows += [[name, *(cell(verdicts.get(name, [])) for verdicts in columns.values())] for name in names]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        sys.stderr.write("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() + "\n")


def cell(verdicts: Sequence[str]) -> str:
    return ", ".join(verdicts if len(set(verdicts)) > 1 else verdicts[:1]) or "-"


def result_of(by_user: Mapping[str, Mapping[str, Verdicts]]) -> dict[str, Any]:
    """The share of attacks held in all runs of all users; every fault goes to stderr."""
    faulty: set[str] = set()
    for user, told in by_user.items():
        for name, fault in faults_of(told).items():
            sys.stderr.write(f"fault as {user}: {name}: {fault}\n")
            faulty.add(name)
    first, *others = by_user.values()
    for name, several in first["idle"].items():
        if any({*several} != {*told["idle"][name]} for told in others):
            sys.stderr.write(f"another verdict as root than as a user: {name}\n")
    attacks = first["idle"].keys() - {"control", "outside"}
    reaching = [name for name in first["limits only"] if name in attacks]
    runs = sum(len(told[condition]["control"]) for told in by_user.values() for condition in ("idle", "busy"))
    held = len(attacks - faulty) / len(attacks)
    return {
        "name": f"{len(attacks)} attacks and a control, {runs} runs as {' and '.join(by_user)}, full",
        "figure": round(held, 4),
        "unit": "of the attacks held, with one verdict idle and busy",
        "peer": f"limits alone, the {len(reaching)} that reach out",
        "peer_figure": sum(Verdict.PASSED not in first["limits only"][name] for name in reaching) / len(reaching),
        "ratio": None,
        "bar": 1.0,
        "met": not faulty,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="one run of each kind, no attack that waits")
    parser.add_argument("--verdicts", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    try:
        require(Level.FULL)
    except UserError as error:
        sys.exit(str(error))
    if arguments.verdicts:
        print(json.dumps(measure(arguments.quick)))
        return
    if os.geteuid() == 0:
        by_user = {user: measure_as(uid, arguments.quick) for user, uid in (("root", 0), ("user", UID))}
    else:
        by_user = {"user": measure(arguments.quick)}
    write_table(by_user)
    print(json.dumps(result_of(by_user)))


if __name__ == "__main__":
    main()
