"""What tests may do with a candidate, and what becomes of a sandbox whose processes die."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from repotune.core.errors import UserError
from repotune.evaluate.sandbox.confinement import Level
from repotune.evaluate.sandbox.execution import Limits, Outcome, Verdict
from repotune.evaluate.sandbox.probe import probe
from repotune.evaluate.sandbox.python import PythonProgram, PythonSandbox

pytestmark = pytest.mark.skipif(probe().level < Level.FULL, reason=f"this machine only reaches {probe().level.name}")

DATA = os.environ.get("REPOTUNE_DATA")


@pytest.fixture(scope="module")
def sandbox() -> Iterator[PythonSandbox]:
    with PythonSandbox(Level.FULL, Limits(cpu_seconds=5), workers=1) as opened:
        yield opened


def judge(sandbox: PythonSandbox, candidate: str, tests: str, entry_point: str | None = None) -> Outcome:
    (outcome,) = sandbox.run([PythonProgram(candidate, tests, entry_point)])
    return outcome


VALUES = """
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import IntEnum, StrEnum
from fractions import Fraction
Point = namedtuple("Point", "x y")
class Number(IntEnum): ONE = 1
class Colour(StrEnum): RED = "red"
def value(name): return eval(name)
def same(it): return it
"""


@pytest.mark.parametrize(
    "expression",
    [
        "None", "True", "-0.0", "1e308 * 10", "[1, 'a', 2.5, None]", "(1, (2, [3]))", "{1: 'a', (2, 3): {'b'}}",
        "2 ** 70", "10 ** 9000", "'\\ud800 é'", "b'\\x00\\xff'", "bytearray(b'x')", "3 + 4j", "range(1, 9, 2)",
        "frozenset({1, 2})", "deque([1, 2])", "Decimal('1.10')", "Fraction(1, 3)", "date(2024, 2, 29)",
        "datetime(2024, 1, 1, 12)",
        "timedelta(days=1, seconds=3)", "OrderedDict(a=1)", "Counter('aab')", "defaultdict(list, a=[1])",
        "Point(1, 2)", "Number.ONE", "Colour.RED",
    ],
)  # fmt: skip
def test_values_cross_both_ways(expression: str, sandbox: PythonSandbox) -> None:
    tests = f"{VALUES}\nit = {expression}\nassert theirs({expression!r}) == it\nassert back(it) == it"
    outcome = judge(sandbox, f"{VALUES}\ntheirs, back = value, same", tests)
    assert outcome.verdict == Verdict.PASSED, outcome


def test_nan_crosses(sandbox: PythonSandbox) -> None:
    tests = "import math\nassert math.isnan(f())\nassert not f() == f()"
    assert judge(sandbox, "def f(): return float('nan')", tests).verdict == Verdict.PASSED


BEHAVIOURS = {
    "a changed argument comes back": (
        "def f(it, more, *, named):\n    it.sort()\n    more['x'] = 1\n    named.add(3)",
        "a, b, c = [3, 1, 2], {}, {1}\nassert f(a, b, named=c) is None\n"
        "assert (a, b, c) == ([1, 2, 3], {'x': 1}, {1, 3})",
    ),
    "a generator is read as far as it is needed": (
        "def f():\n    n = 0\n    while True:\n        yield n\n        n += 1",
        "it = f()\nassert [next(it) for _ in range(5)] == [0, 1, 2, 3, 4]\nassert next(it) == 5\n"
        "import itertools\nassert list(itertools.islice(f(), 3)) == [0, 1, 2]",
    ),
    "an iterator ends": (
        "def f(n): return map(str, range(n))",
        "assert list(f(3)) == ['0', '1', '2']\nassert list(f(0)) == []",
    ),
    "a class of the candidate's": (
        "class Pair:\n    def __init__(self, a, b): self.a, self.b = a, b\n    def sum(self): return self.a + self.b\n"
        "def longest(pairs): return max(each.sum() for each in pairs)",
        "assert longest([Pair(1, 2), Pair(3, 4)]) == 7\nit = Pair(5, 6)\nassert it.a == 5 and it.sum() == 11\n"
        "it.b = 1\nassert it.sum() == 6 and it == it and it != Pair(5, 1)",
    ),
    "a container of the candidate's": (
        "class Bag:\n    def __init__(self): self.d = {}\n    def __getitem__(self, k): return self.d[k]\n"
        "    def __setitem__(self, k, v): self.d[k] = v\n    def __len__(self): return len(self.d)\n"
        "    def __contains__(self, k): return k in self.d\n    def __str__(self): return 'bag'",
        "b = Bag()\nassert not b\nb['x'] = 1\nassert b['x'] == 1 and len(b) == 1 and 'x' in b and 'y' not in b and b\n"
        "assert str(b) == 'bag'",
    ),
    "an exception keeps its built-in type": (
        "class Mine(ValueError): pass\ndef f(x):\n    if x: raise Mine('no')\n    return {}['missing']",
        "for x, kind in ((1, ValueError), (0, KeyError)):\n    try: f(x)\n    except kind: pass\n"
        "    else: assert False",
    ),
    "a function of the tests' is called": (
        "def f(values, key): return sorted(values, key=key)",
        "seen = []\ndef key(x):\n    seen.append(x)\n    return -x\n"
        "assert f([1, 3, 2], key) == [3, 2, 1] and sorted(seen) == [1, 2, 3]",
    ),
    "a function that is given back": ("def f(n): return lambda x: x + n", "assert f(3)(4) == 7"),
    "names of the candidate beside the entry point": (
        "import math\nLIMIT = 3\ndef g(x): return x * 2\ndef f(x): return g(x)",
        "assert f(2) == g(2) == 4 and LIMIT == 3 and math.floor(1.5) == 1",
    ),
    "many calls": ("def f(x): return x + 1", "for n in range(2000): assert f(n) == n + 1"),
    "a large answer": ("def f(): return list(range(300000))", "assert f() == list(range(300000))"),
    "late imports and threads": (
        "import threading\ndef f():\n    import csv, sqlite3, xml.dom.minidom, asyncio\n    found = []\n"
        "    it = threading.Thread(target=found.append, args=(1,)); it.start(); it.join()\n"
        "    async def one(): return 1\n    return found + [asyncio.run(one())]",
        "assert f() == [1, 1]",
    ),
    "a dataclass": (
        "from dataclasses import dataclass\n@dataclass\nclass P:\n    x: int = 0\ndef f(): return P(3)",
        "assert f().x == 3",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BEHAVIOURS)
def test_tests_may(name: str, sandbox: PythonSandbox) -> None:
    outcome = judge(sandbox, *BEHAVIOURS[name])
    assert outcome.verdict == Verdict.PASSED, outcome


def test_a_built_in_name_is_the_candidates_only_as_the_entry_point(sandbox: PythonSandbox) -> None:
    candidate = "def sum(a, b): return a + b\ndef abs(x): return 0"
    assert judge(sandbox, candidate, "assert sum(1, 2) == 3", "sum").verdict == Verdict.PASSED
    assert judge(sandbox, candidate, "assert abs(-1) == 1").verdict == Verdict.PASSED


def test_a_wrong_answer_says_what_failed(sandbox: PythonSandbox) -> None:
    outcome = judge(sandbox, "def f():\n    print('trace')\n    return 1", "assert f() == 2, 'not two'")
    assert (outcome.verdict, outcome.detail, outcome.output) == (Verdict.FAILED, "AssertionError: not two", "trace\n")


def test_what_the_harness_cannot_do_is_not_the_candidates_fault(sandbox: PythonSandbox) -> None:
    given = "class Node: pass\nassert f(Node()) == 1"
    assert judge(sandbox, "def f(x): return 1", given).verdict == Verdict.HARNESS_ERROR
    assert judge(sandbox, "def f(x): return 1", "assert (").verdict == Verdict.HARNESS_ERROR


def test_a_candidate_cannot_make_the_harness_fail(sandbox: PythonSandbox) -> None:
    """It calls what the tests have passed to it, and what that gives back does not cross."""
    outcome = judge(sandbox, "def f(kind): return kind()", "class Node: pass\nassert f(Node) == 1")
    assert outcome.verdict == Verdict.FAILED


def test_tests_that_do_not_end_are_ended(sandbox: PythonSandbox) -> None:
    with PythonSandbox(Level.FULL, Limits(cpu_seconds=0.5), workers=1) as short:
        looping, answered = short.run(
            [PythonProgram("def f(): return iter(int, 1)", "list(f())"), PythonProgram("f = 1", "assert f == 1")]
        )
    assert (looping.verdict, answered.verdict) == (Verdict.TIMEOUT, Verdict.PASSED)


def test_outcomes_come_in_order_and_programs_are_read_as_they_are_needed(sandbox: PythonSandbox) -> None:
    read = []

    def programs() -> Iterator[PythonProgram]:
        for number in range(500):
            read.append(number)
            yield PythonProgram(f"def f(): return {number}", f"assert f() == {number if number % 7 else -1}")

    outcomes = sandbox.run(programs())
    assert next(outcomes).verdict == Verdict.FAILED
    assert len(read) < 100
    assert [each.verdict == Verdict.PASSED for each in outcomes] == [bool(number % 7) for number in range(1, 500)]


def test_a_run_that_is_given_up_leaves_nothing_for_the_next(sandbox: PythonSandbox) -> None:
    for outcome in sandbox.run(PythonProgram(f"f = {number}", "assert f == -1") for number in range(100)):
        assert outcome.verdict == Verdict.FAILED
        break
    assert judge(sandbox, "f = 1", "assert f == 1").verdict == Verdict.PASSED


def test_long_programs_with_long_output_do_not_block_each_other() -> None:
    long = PythonProgram(f"print('\\0' * 900000)\nf = 1\nx = '{'x' * 900000}'", "assert f == 1")
    with PythonSandbox(Level.FULL, Limits(output=900000), workers=1) as wide:
        outcomes = list(wide.run([long] * 6))
    assert {(each.verdict, len(each.output)) for each in outcomes} == {(Verdict.PASSED, 900000)}


def test_packages_that_are_named_can_be_imported() -> None:
    folder = Path(sysconfig.get_path("purelib"))
    candidate = "import numpy\ndef f(n): return numpy.arange(n).sum()"
    given, not_given = (
        PythonProgram(candidate, "import numpy\nassert f(4) == 6 and numpy.pi > 3"),
        PythonProgram(candidate, ""),
    )
    with PythonSandbox(Level.FULL, workers=1, packages=[folder]) as rich:
        assert [each.verdict for each in rich.run([given])] == [Verdict.PASSED]
    with PythonSandbox(Level.FULL, workers=1) as poor:
        (outcome,) = poor.run([not_given])
    assert outcome.detail.startswith("ModuleNotFoundError")


def test_equal_programs_can_be_run_once(sandbox: PythonSandbox) -> None:
    chance = PythonProgram("import os\nprint(os.urandom(8).hex())\nf = 1", "assert f == 1")
    other = PythonProgram(chance.candidate, "assert f == 2")
    first, second, third = sandbox.run_once([chance, other, chance])
    assert first == third
    assert second.verdict == Verdict.FAILED
    assert len({each.output for each in sandbox.run([chance, chance])}) == 2


def test_a_killed_worker_costs_nothing(sandbox: PythonSandbox) -> None:
    def programs() -> Iterator[PythonProgram]:
        for number in range(120):
            if number in (40, 80):
                for child in psutil.Process().children():
                    child.kill()
            yield PythonProgram(f"def f(): return {number}", f"assert f() == {number}")

    with PythonSandbox(Level.FULL, workers=2) as victim:
        assert {each.verdict for each in victim.run(programs())} == {Verdict.PASSED}
    # `sandbox` was a victim too, and is whole again when it is next used.
    assert judge(sandbox, "f = 1", "assert f == 1").verdict == Verdict.PASSED


def test_a_program_whose_worker_always_dies_is_a_harness_error() -> None:
    deadly = PythonProgram("def f(): return 1", "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")
    fine = PythonProgram("def f(): return 1", "assert f() == 1")
    with PythonSandbox(Level.FULL, workers=1) as sandbox:
        verdicts = [each.verdict for each in sandbox.run([fine, deadly, fine, fine])]
    assert verdicts == [Verdict.PASSED, Verdict.HARNESS_ERROR, Verdict.PASSED, Verdict.PASSED]


OWNER = """
import sys
from repotune.evaluate.sandbox.python import PythonProgram, PythonSandbox
from repotune.evaluate.sandbox.confinement import Level
with PythonSandbox(Level.FULL, workers=2) as sandbox:
    programs = [PythonProgram("import time\\nwhile True: time.sleep(1)", "")] * 2
    print("ready", flush=True)
    list(sandbox.run(programs))
"""


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_nothing_is_left_when_the_owner_is_killed(end: signal.Signals) -> None:
    with subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as owner:
        assert owner.stdout is not None
        owner.stdout.readline()
        started = psutil.Process(owner.pid).children(recursive=True)
        assert len(started) >= 2
        owner.send_signal(end)
    _, alive = psutil.wait_procs(started, timeout=60)
    assert not alive


def test_a_level_that_is_not_reached_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from repotune.evaluate.sandbox import probe as module

    weak = module.Probe(Level.LIMITED, "Linux", 0, False, False, False, False, {"confined": "there is no Landlock"})
    monkeypatch.setattr(module, "probe", lambda: weak)
    with pytest.raises(UserError, match="there is no Landlock"), PythonSandbox(Level.CONFINED):
        pass


@pytest.mark.skipif(DATA is None, reason="REPOTUNE_DATA names no folder with HumanEval")
def test_every_reference_solution_of_humaneval_passes(sandbox: PythonSandbox) -> None:
    with gzip.open(Path(DATA or "", "humaneval", "HumanEval.jsonl.gz"), "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    programs = [
        PythonProgram(row["prompt"] + row["canonical_solution"], f"{row['test']}\ncheck({row['entry_point']})")
        for row in rows
    ]
    outcomes = dict(zip((row["task_id"] for row in rows), sandbox.run(programs), strict=True))
    assert {task: each for task, each in outcomes.items() if each.verdict != Verdict.PASSED} == {}
