"""Reference solutions judged: our sandbox against the way of openai/human-eval, two workers each.

    REPOTUNE_DATA=folder python benchmarks/evaluate_sandbox.py [--quick] [--infilling]

Programs are HumanEval's 164 reference solutions with their tests or, with --infilling, the 1033 of single-line
infilling (prompt + reference + suffix, as openai/human-eval-infilling puts them together). The peer's way, as published
in human_eval/execution.py: a Manager and a process for each program, a working folder of its own, stdout swallowed, a
timer, and os.* set to None, which holds next to nothing. Ours runs at the highest level that the machine reaches.
Wall time, interleaved, medians; every program must pass in both.

The lines of one solution give the same program once the reference stands in for each, so that of the 1033 but 164
differ. Ours runs equal programs once there; what it does without that is stated on stderr.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import importlib
import io
import json
import multiprocessing
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.managers import ListProxy
from pathlib import Path
from types import FrameType
from typing import Any

from repotune.evaluate.sandbox.execution import Outcome, Verdict
from repotune.evaluate.sandbox.probe import probe
from repotune.evaluate.sandbox.python import PythonProgram, PythonSandbox

WORKERS = 2
SECONDS = 5.0
BARS = {"humaneval": 4.0, "infilling": 6.0}
FILES = {
    "humaneval": "humaneval/HumanEval.jsonl.gz",
    "infilling": "humaneval_infilling/HumanEval-SingleLineInfilling.jsonl.gz",
}
REMOVED = {  # by human-eval's reliability_guard
    "os": "kill system putenv remove removedirs rmdir fchdir setuid fork forkpty killpg rename renames truncate "
    "replace unlink fchmod fchown chmod chown chroot lchown getcwd chdir",
    "shutil": "rmtree move chown",
    "subprocess": "Popen",
}


def read_programs(kind: str) -> list[PythonProgram]:
    folder = os.environ.get("REPOTUNE_DATA")
    if folder is None:
        sys.exit("set REPOTUNE_DATA to the folder with humaneval/ and humaneval_infilling/")
    with gzip.open(Path(folder) / FILES[kind], "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    return [
        PythonProgram(
            row["prompt"] + row["canonical_solution"] + row.get("suffix", ""),
            f"{row['test']}\ncheck({row['entry_point']})\n",
            row["entry_point"],
        )
        for row in rows
    ]


def run_as_human_eval(program: PythonProgram) -> bool:
    with multiprocessing.Manager() as manager:
        result = manager.list()
        process = multiprocessing.Process(target=execute_unsafely, args=(program, result))
        process.start()
        process.join(timeout=SECONDS + 1)
        if process.is_alive():
            process.kill()
        return list(result) == ["passed"]


def execute_unsafely(program: PythonProgram, result: ListProxy[str]) -> None:
    folder = tempfile.mkdtemp()
    kept = {name: getattr(os, name) for name in ("chdir", "rmdir")}
    os.chdir(folder)
    for name, removed in REMOVED.items():
        module = importlib.import_module(name)
        for each in removed.split():
            setattr(module, each, None)
    signal.signal(signal.SIGALRM, time_is_over)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            signal.setitimer(signal.ITIMER_REAL, SECONDS)
            exec(f"{program.candidate}\n{program.tests}", {})
            signal.setitimer(signal.ITIMER_REAL, 0)
        result.append("passed")
    except BaseException as error:
        result.append(f"failed: {error}")
    kept["chdir"]("/")
    kept["rmdir"](folder)


def time_is_over(number: int, frame: FrameType | None) -> None:
    raise TimeoutError


def peer(programs: list[PythonProgram]) -> int:
    with ThreadPoolExecutor(WORKERS) as executor:
        return sum(executor.map(run_as_human_eval, programs))


def passed(outcomes: Iterable[Outcome]) -> int:
    return sum(outcome.verdict == Verdict.PASSED for outcome in outcomes)


def seconds(work: Callable[[], int], expected: int) -> float:
    started = time.perf_counter()
    right = work()
    if right != expected:
        sys.exit(f"{expected - right} of {expected} reference solutions did not pass")
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="fewer programs and rounds")
    parser.add_argument("--infilling", action="store_true", help="the references of single-line infilling")
    arguments = parser.parse_args()
    kind = "infilling" if arguments.infilling else "humaneval"
    programs = read_programs(kind)
    programs = programs[:: max(1, len(programs) // 160)] if arguments.quick else programs
    level = probe().level
    with PythonSandbox(level, workers=WORKERS) as sandbox:
        ways: dict[str, Callable[[], int]] = {
            "ours, every program": lambda: passed(sandbox.run(programs)),
            "peer": lambda: peer(programs),
        }
        if arguments.infilling:
            ways["ours, equal programs once"] = lambda: passed(sandbox.run_once(programs))
        times: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(3 if arguments.quick or arguments.infilling else 5):
            for name, way in ways.items():
                times[name].append(seconds(way, len(programs)))
    rates = {name: len(programs) / statistics.median(taken) for name, taken in times.items()}
    for name, taken in times.items():
        listed = ", ".join(f"{each:.2f}" for each in taken)
        sys.stderr.write(f"{name}: {listed} s for {len(programs)} programs, {rates[name] / rates['peer']:.2f} x peer\n")
    judged = "ours, equal programs once" if arguments.infilling else "ours, every program"
    figure, peer_figure = rates[judged], rates["peer"]
    result: dict[str, Any] = {
        "name": f"{kind} references judged ({judged}), {WORKERS} workers, level {level.name.lower()}",
        "figure": round(figure, 1),
        "unit": "programs/s",
        "peer": "openai/human-eval's way",
        "peer_figure": round(peer_figure, 1),
        "ratio": round(figure / peer_figure, 2),
        "bar": BARS[kind],
        "met": figure / peer_figure >= BARS[kind],
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
