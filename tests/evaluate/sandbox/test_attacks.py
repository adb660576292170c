"""Nothing that a candidate tries gets it out of the sandbox, or a verdict that it has not earned."""

from __future__ import annotations

import os
import platform
import socket
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from repotune.evaluate.sandbox.confinement import Level
from repotune.evaluate.sandbox.execution import MIB, Limits, Outcome, Verdict
from repotune.evaluate.sandbox.probe import probe
from repotune.evaluate.sandbox.python import PythonProgram, PythonSandbox

ATTACKS = tomllib.loads(Path(__file__).with_name("attacks.toml").read_text("utf-8"))
REACHING_OUT, DANGEROUS, FORGING = (ATTACKS[kind] for kind in ("reaching_out", "dangerous", "forging"))
LIMITS = Limits(cpu_seconds=1, wall_seconds=3, memory=512 * MIB)
CONTROL = PythonProgram("def answer():\n    import csv, tempfile, textwrap\n    return 42", "assert answer() == 42")
NUMBERS = ATTACKS["numbers"].get(platform.machine(), {"clone": 0, "doors": []})

pytestmark = pytest.mark.skipif(probe().level < Level.FULL, reason=f"this machine only reaches {probe().level.name}")


@dataclass(frozen=True)
class Surroundings:
    """What there is outside to get at."""

    folder: Path
    names: dict[str, str]

    def program(self, attack: str) -> PythonProgram:
        for name, value in self.names.items():
            attack = attack.replace(f"{{{name}}}", value)
        return PythonProgram(attack, 'assert attack() == "escaped"')


@pytest.fixture(scope="module")
def surroundings() -> Iterator[Surroundings]:
    with (
        tempfile.TemporaryDirectory() as folder,
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.socket(socket.AF_UNIX) as abstract,
    ):
        Path(folder).chmod(0o777)
        secret = Path(folder, "secret")
        secret.write_text("the secret")
        secret.chmod(0o644)
        name = f"repotune-{os.getpid()}"
        abstract.bind(f"\0{name}")
        abstract.listen()
        yield Surroundings(
            Path(folder),
            {
                "secret": str(secret),
                "outside": folder,
                "port": str(listener.getsockname()[1]),
                "abstract": name,
                "pid": str(os.getpid()),
                "root": str(os.geteuid() == 0),
                **{name: str(value) for name, value in NUMBERS.items()},
            },
        )


@pytest.fixture(scope="module")
def sandbox() -> Iterator[PythonSandbox]:
    with PythonSandbox(Level.FULL, LIMITS, workers=2) as opened:
        yield opened


def judge(sandbox: PythonSandbox, *programs: PythonProgram) -> list[Outcome]:
    """The programs' outcomes; a control program, before and after, must pass."""
    first, *outcomes, last = sandbox.run([CONTROL, *programs, CONTROL])
    assert first.verdict == last.verdict == Verdict.PASSED, (first, last)
    return outcomes


@pytest.mark.parametrize("name", REACHING_OUT)
def test_nothing_outside_is_reached(name: str, sandbox: PythonSandbox, surroundings: Surroundings) -> None:
    program = surroundings.program(REACHING_OUT[name])
    with PythonSandbox(Level.LIMITED, LIMITS, workers=1) as open_door:
        assert [each.verdict for each in judge(open_door, program)] == [Verdict.PASSED]  # so the attack is a real one
    (surroundings.folder / "new").unlink(missing_ok=True)
    (outcome,) = judge(sandbox, program)
    assert outcome.verdict == Verdict.FAILED
    assert [each.name for each in surroundings.folder.iterdir()] == ["secret"]


@pytest.mark.parametrize("name", DANGEROUS)
def test_no_bomb_and_no_privilege(name: str, sandbox: PythonSandbox, surroundings: Surroundings) -> None:
    (outcome,) = judge(sandbox, surroundings.program(DANGEROUS[name]))
    assert outcome.verdict in (Verdict.FAILED, Verdict.TIMEOUT, Verdict.MEMORY, Verdict.EARLY_EXIT)


@pytest.mark.parametrize("name", FORGING)
def test_no_verdict_is_forged(name: str, sandbox: PythonSandbox) -> None:
    (outcome,) = judge(sandbox, PythonProgram(FORGING[name], "assert answer() == 42"))
    assert outcome.verdict not in (Verdict.PASSED, Verdict.HARNESS_ERROR)


def test_verdicts_say_what_happened(sandbox: PythonSandbox) -> None:
    expected = {
        "exit 0": Verdict.EARLY_EXIT,
        "os._exit in the function": Verdict.EARLY_EXIT,
        "exit in the function": Verdict.EARLY_EXIT,
        "always equal": Verdict.FAILED,
        "another json": Verdict.TIMEOUT,
        "sleep past the limit": Verdict.TIMEOUT,
        "loop past the limit": Verdict.TIMEOUT,
        "ignore the end": Verdict.TIMEOUT,
        "stop itself": Verdict.TIMEOUT,
        "loop while loading": Verdict.TIMEOUT,
        "crash": Verdict.FAILED,
        "not Python": Verdict.COMPILE_ERROR,
    }
    outcomes = judge(sandbox, *(PythonProgram(FORGING[name], "assert answer() == 42") for name in expected))
    assert [outcome.verdict for outcome in outcomes] == list(expected.values())


def test_a_closed_link_has_one_verdict_however_soon_the_program_ends_after_it(sandbox: PythonSandbox) -> None:
    """Killed by the sandbox or ended by itself: which of the two comes first is chance."""
    names = ["close every descriptor", "kill itself"]
    ends = [PythonProgram(FORGING[name], "assert answer() == 42") for name in names]
    stays = PythonProgram(
        "import os, time\ndef answer():\n    os.closerange(0, 256)\n    time.sleep(60)", "assert answer() == 42"
    )
    outcomes = judge(sandbox, *([*ends, stays] * 20))
    assert {outcome.verdict for outcome in outcomes} == {Verdict.EARLY_EXIT}


def test_memory_is_told_from_failure(sandbox: PythonSandbox, surroundings: Surroundings) -> None:
    (outcome,) = judge(sandbox, surroundings.program(DANGEROUS["memory bomb"]))
    assert outcome.verdict == Verdict.MEMORY


def test_output_is_bounded_and_does_not_stop_a_program(sandbox: PythonSandbox) -> None:
    program = PythonProgram(
        "def answer():\n    for _ in range(300): print('x' * 100000)\n    return 42", "assert answer() == 42"
    )
    (outcome,) = judge(sandbox, program)
    assert outcome.verdict == Verdict.PASSED
    assert outcome.output == "x" * LIMITS.output


def test_what_a_program_leaves_behind_is_gone_for_the_next(sandbox: PythonSandbox) -> None:
    spoil = (
        "import builtins, json, os, sys, tempfile\n"
        "def answer():\n"
        "    builtins.pow = lambda *it: 0\n"
        "    json.dumps = None\n"
        "    sys.modules['math'] = None\n"
        "    os.environ['LEFT'] = 'yes'\n"
        "    for name in ('a', 'a/b', 'a/b/c'): os.mkdir(name)\n"
        "    open('a/b/c/file', 'w').write('left')\n"
        "    os.symlink('/usr', 'link')\n"
        "    os.mkdir('closed', 0)\n"
        "    with tempfile.NamedTemporaryFile(delete=False) as file: file.write(b'left')\n"
        "    for _ in range(1200):\n        os.mkdir('d')\n        os.chdir('d')\n"
        "    return 42\n"
    )
    look = (
        "import json, math, os, tempfile\n"
        "def answer():\n"
        "    return [pow(2, 1), json.dumps(1), math.floor(1.5), os.environ.get('LEFT'),\n"
        "            os.listdir(tempfile.gettempdir()), os.listdir('.')]\n"
    )
    programs = [
        PythonProgram(spoil, "assert answer() == 42"),
        PythonProgram(look, "assert answer() == [2, '1', 1, None, [], []]"),
    ]
    assert [each.verdict for each in judge(sandbox, *(programs * 4))] == [Verdict.PASSED] * 8


ORPHAN = (
    "import os, time\n"
    "def answer():\n"
    "    if os.fork() == 0:\n        os.setsid()\n        if os.fork() == 0:\n"
    "            os.closerange(0, 256)\n            while True: time.sleep(1)\n        os._exit(0)\n"
    "    return 42"
)


def test_no_orphan_outlives_its_program(sandbox: PythonSandbox) -> None:
    before = {each.pid for each in psutil.Process().children(recursive=True)}
    outcomes = judge(sandbox, *[PythonProgram(ORPHAN, "assert answer() == 42")] * 4)
    assert {each.verdict for each in outcomes} == {Verdict.PASSED}
    assert {each.pid for each in psutil.Process().children(recursive=True)} <= before


def test_the_tests_source_is_not_in_the_candidates_memory(sandbox: PythonSandbox) -> None:
    """Nor that of the program before it, which a child could have inherited."""
    search = (
        "import ctypes, gc\n"
        "def answer():\n"
        "    mark = ('WHAT' + 'IS')\n"
        "    return sum(mark in each for each in gc.get_objects() if isinstance(each, str))"
    )
    program = PythonProgram(search, "WHATIS = 'WHATISEXPECTED'\nassert answer() == 0")
    assert {each.verdict for each in judge(sandbox, *[program] * 4)} == {Verdict.PASSED}


def test_verdicts_are_the_same_each_time_and_under_load(surroundings: Surroundings) -> None:
    """Four times as many programs at once as in the other tests, so that every one waits for the processor."""
    names = ["exit 0", "always equal", "loop past the limit", "recursion", "not Python", "messages too deep"]
    programs = [PythonProgram(FORGING[name], "assert answer() == 42") for name in names] + [CONTROL] * 6
    with (
        PythonSandbox(Level.FULL, Limits(cpu_seconds=1), workers=1) as idle,
        PythonSandbox(Level.FULL, Limits(cpu_seconds=1), workers=8) as loaded,
    ):
        verdicts = [tuple(each.verdict for each in idle.run(programs))]
        verdicts += [tuple(each.verdict for each in loaded.run(programs * 3))]
    assert verdicts[1] == verdicts[0] * 3
