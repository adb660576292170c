"""The whole corpus, from a repository to Parquet: MB/s a core, peak memory, and both as the input grows.

The input are the files of this Python's standard library, 1, 10 and (without --quick) 100 times, and no two alike: in
each copy half of the names are other names, and what stands at the top level stands in another order. Each build is a
process of its own with the default settings; its CPU time counts, start-up and listing included, and every fiftieth of
a second the memory of it and all its children is read: resident (with what is mapped from files), and its own alone.
The peer is the smallest of ours: what a build costs should be its input's size and nothing else.

    python benchmarks/corpus_build.py [--quick]
"""

from __future__ import annotations

import argparse
import json
import keyword
import random
import re
import resource
import subprocess
import sys
import tempfile
import time
from functools import partial
from multiprocessing import Pool
from pathlib import Path

import psutil
from libraries import this_library

_SPEED_BAR = 4.0  # MB/s a core
_LINEAR_BAR = 1.15  # CPU seconds a MB, of the largest against the next
# The stated constant, in MB of own memory, however large the input: what DuckDB may hold before it spills, and what a
# process holds that reads documents, of which there are the workers and the one that hands out work.
_DUCKDB_MB, _PROCESS_MB = 512, 250
_TIMES, _QUICK_TIMES = (1, 10, 100), (1, 4)
_NAME = re.compile(r"[A-Za-z_]\w{2,}")
_TOP = re.compile(r"^(?=(?:def|class|async def|@)\b)", re.MULTILINE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="1 and 4 times")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--build", nargs=2, metavar=("REPOSITORY", "CORPUS"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.build:
        build(*map(Path, arguments.build), arguments.workers)
        return
    measured = []
    for times in _QUICK_TIMES if arguments.quick else _TIMES:
        with tempfile.TemporaryDirectory() as folder:
            size = write_variations(Path(folder) / "library", times)
            figures = measure(Path(folder), arguments.workers)
        measured.append(figures | {"times": times, "mb": round(size, 1), "rate": size / figures["cpu_s"]})
        told = ", ".join(f"{name} {value:.5g}" for name, value in measured[-1].items())
        print(told, file=sys.stderr)
    *_, before, last = measured
    linear = before["rate"] / last["rate"]
    most = _DUCKDB_MB + _PROCESS_MB * (arguments.workers + 1)
    result = {
        "name": f"a corpus of {last['mb']:.0f} MB from repository to Parquet, per core",
        "figure": round(last["rate"], 2),
        "unit": "MB/s",
        "peer": f"ours at {before['mb']:.0f} MB",
        "peer_figure": round(before["rate"], 2),
        "ratio": round(last["rate"] / before["rate"], 3),
        "bar": _SPEED_BAR,
        "cpu_of_linear": round(linear, 3),
        "cpu_of_linear_bar": _LINEAR_BAR,
        "peak_mb": [round(each["rss_mb"]) for each in measured],
        "peak_own_mb": [round(each["own_mb"]) for each in measured],
        "peak_own_mb_bar": most,
        "met": last["rate"] >= _SPEED_BAR and linear <= _LINEAR_BAR and last["own_mb"] <= most,
    }
    print(json.dumps(result))


def write_variations(folder: Path, times: int) -> float:
    """Writes the library `times` times and returns megabytes."""
    with Pool() as pool:
        return sum(pool.imap_unordered(partial(write_copy, folder), range(times))) / 1e6


def write_copy(folder: Path, copy: int) -> int:
    size = 0
    for file in this_library():
        data = varied(file.text, random.Random(f"{file.path} {copy}")).encode()
        path = folder / f"copy{copy}" / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        size += len(data)
    return size


def varied(text: str, draw: random.Random) -> str:
    head, *tops = _TOP.split(text)
    draw.shuffle(tops)
    names: dict[str, str] = {}

    def other(match: re.Match[str]) -> str:
        name = match[0]
        if name not in names:
            same = keyword.iskeyword(name) or draw.random() < 0.5
            names[name] = name if same else f"{name[: draw.randint(1, 6)]}{draw.choice('_xyz')}{draw.randrange(1000)}"
        return names[name]

    return _NAME.sub(other, "".join([head, *tops]))


def measure(folder: Path, workers: int) -> dict[str, float]:
    (folder / "corpus").mkdir()
    command = [sys.executable, __file__, "--workers", str(workers)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.monotonic()
    process = subprocess.Popen([*command, "--build", str(folder / "library"), str(folder / "corpus")])
    resident, own = 0, 0
    while process.poll() is None:
        now = memory(process.pid)
        resident, own = max(resident, now[0]), max(own, now[1])
        time.sleep(0.02)
    if process.returncode:
        sys.exit("The build failed.")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    kept = json.loads((folder / "corpus" / "summary.json").read_text())["funnel"][-1]
    return {
        "cpu_s": cpu,
        "wall_s": time.monotonic() - started,
        "rss_mb": resident / 1e6,
        "own_mb": own / 1e6,
        "kept": kept["files"],
    }


def memory(pid: int) -> tuple[int, int]:
    """Bytes resident of a process and its children, and those that no file backs."""
    resident = shared = 0
    try:
        for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
            found = process.memory_info()
            resident, shared = resident + found.rss, shared + getattr(found, "shared", 0)
    except psutil.NoSuchProcess:
        pass
    return resident, resident - shared


def build(repository: Path, corpus: Path, workers: int) -> None:
    from repotune.core.console import Console
    from repotune.core.flow import Work
    from repotune.core.settings import CorpusSettings
    from repotune.corpus.build import build_corpus
    from repotune.corpus.engines.local import LocalEngine

    work = Work(corpus, {}, Console(quiet=True), 1)
    build_corpus(work, [str(repository)], CorpusSettings(), partial(LocalEngine, workers))


if __name__ == "__main__":
    main()
