"""Programs of C++, Java, TypeScript and Go judged end to end: compilers kept ready against a compiler for each program.

    REPOTUNE_DATA=folder python benchmarks/evaluate_languages.py [--quick] [--programs N]

Programs are MultiPL-E's, each with the sample answer that the data has. Ours puts them together, compiles, runs them in
the sandbox at the highest level that the machine reaches, and has the tests prove that they finished. The peer's way
is that of MultiPL-E's evaluators (eval_cpp.py, eval_java.py, eval_ts.py, eval_go.py), which hold a program by a timeout
only: `g++ -std=c++17` and the program; `javac` and `java -ea`; `tsc` and `node`; `go test` with an empty build cache,
as a fresh container has it, and, told apart on stderr, with a cache that earlier programs have filled. One program at
a time, the two in turn, wall seconds, medians. The first program of each language is not counted in either; Java's
compiler is warm after some twenty, so that --quick shows less than there is.

The line on stdout is of the language that is nearest to its bar, or farthest below it; `met` is for all of them.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from repotune.evaluate.languages.cache import prepared, run_tool
from repotune.evaluate.languages.joining import join_whole
from repotune.evaluate.languages.language import Language, load_languages
from repotune.evaluate.languages.running import LanguageSandbox
from repotune.evaluate.sandbox.execution import Verdict
from repotune.evaluate.sandbox.probe import probe

SECONDS = 120
BARS = {"cpp": 3.0, "java": 5.0, "ts": 4.0, "go": 10.0}
TUPLES = Path(sys.modules[LanguageSandbox.__module__].__file__ or "").parent / "servers" / "org" / "javatuples"


def read_programs(language: Language, count: int) -> list[str]:
    """`count` programs from all over the data, and one before them to warm up with."""
    folder = os.environ.get("REPOTUNE_DATA")
    if folder is None:
        sys.exit("set REPOTUNE_DATA to the folder with multipl_e/")
    with gzip.open(Path(folder) / "multipl_e" / f"humaneval-{language.key}.jsonl.gz", "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    chosen = [rows[0], *rows[1 :: len(rows) // count][:count]]
    return [join_whole(language, row["prompt"], row["sample_solution"], row["tests"]) for row in chosen]


def ends_well(words: list[str], folder: Path, **environment: str) -> bool:
    try:
        finished = subprocess.run(
            words, cwd=folder, env={**os.environ, **environment}, capture_output=True, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return False
    return finished.returncode == 0


def cold_cpp(text: str, folder: Path) -> bool:
    (folder / "program.cpp").write_text(text)
    words = ["g++", "program.cpp", "-o", "program", "-std=c++17"]
    return ends_well(words, folder) and ends_well(["./program"], folder)


def cold_java(text: str, folder: Path) -> bool:
    def compile_tuples(place: Path) -> None:
        run_tool(["javac", "-d", place, *sorted(TUPLES.glob("*.java"))], place)

    path = f"{folder}:{prepared('tuples', [], compile_tuples)}"
    (folder / "Problem.java").write_text(text)
    words = ["javac", "-encoding", "UTF8", "-cp", path, "-d", str(folder), "Problem.java"]
    return ends_well(words, folder) and ends_well(["java", "-ea", "-cp", path, "Problem"], folder)


def cold_ts(text: str, folder: Path) -> bool:
    (folder / "program.ts").write_text(text)
    words = ["tsc", "--target", "esnext", "program.ts"]
    return ends_well(words, folder) and ends_well(["node", "program.js"], folder)


def cold_go(text: str, folder: Path) -> bool:
    (folder / "program_test.go").write_text(text)
    return ends_well(["go", "test", "program_test.go"], folder, GOCACHE=str(folder / "cache"), GO111MODULE="off")


def shared_go(text: str, folder: Path) -> bool:
    (folder / "program_test.go").write_text(text)
    cache = prepared("go-test", [], lambda _: None)
    return ends_well(["go", "test", "program_test.go"], folder, GOCACHE=str(cache), GO111MODULE="off")


PEERS: dict[str, dict[str, Callable[[str, Path], bool]]] = {
    "cpp": {"g++ for each program": cold_cpp},
    "java": {"javac and java for each program": cold_java},
    "ts": {"tsc for each program": cold_ts},
    "go": {"go test, empty cache": cold_go, "go test, filled cache": shared_go},
}


def measure(language: Language, count: int) -> dict[str, list[float]]:
    """Seconds of each program by each way; says where the verdicts differ."""
    taken: dict[str, list[float]] = {"ours": [], **{name: [] for name in PEERS[language.key]}}
    with LanguageSandbox(language, probe().level, workers=1) as sandbox:
        for text in read_programs(language, count):
            verdicts = {}
            for name in taken:
                with tempfile.TemporaryDirectory() as folder:
                    started = time.perf_counter()
                    if name == "ours":
                        verdicts[name] = next(sandbox.run([text])).verdict == Verdict.PASSED
                    else:
                        verdicts[name] = PEERS[language.key][name](text, Path(folder))
                    taken[name].append(time.perf_counter() - started)
            if len(set(verdicts.values())) > 1:
                sys.stderr.write(f"{language.name}: verdicts differ, {verdicts}\n{text}\n")
    return {name: each[1:] for name, each in taken.items()}


def result_of(language: Language, count: int) -> dict[str, Any]:
    taken = measure(language, count)
    medians = {name: statistics.median(each) for name, each in taken.items()}
    peer = next(iter(PEERS[language.key]))
    for name, median in medians.items():
        spread = f"{min(taken[name]):.3f} to {max(taken[name]):.3f}"
        ratio = f", {median / medians['ours']:.1f} times ours" if name != "ours" else ""
        sys.stderr.write(f"{language.name}, {name}: {median:.3f} s a program ({spread}){ratio}\n")
    ratio = medians[peer] / medians["ours"]
    return {
        "name": f"{language.name} judged end to end, one after the other, sandbox at {probe().level.name.lower()}",
        "figure": round(1 / medians["ours"], 2),
        "unit": "programs/s",
        "peer": peer,
        "peer_figure": round(1 / medians[peer], 2),
        "ratio": round(ratio, 2),
        "bar": BARS[language.key],
        "met": ratio >= BARS[language.key],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="three programs of each language")
    parser.add_argument("--programs", type=int, default=20, help="of each language")
    arguments = parser.parse_args()
    languages = [load_languages()[key] for key in BARS]
    here = [language for language in languages if language.version()]
    if not here:
        sys.exit("none of C++, Java, TypeScript and Go is here")
    results = [result_of(language, 3 if arguments.quick else arguments.programs) for language in here]
    nearest = min(results, key=lambda result: result["ratio"] / result["bar"])
    print(json.dumps({**nearest, "met": all(result["met"] for result in results)}))


if __name__ == "__main__":
    main()
