"""A benchmark's answers drawn eight at a time against one after the other, by the same engine, to the same bits.

    python benchmarks/evaluate_streams.py [--quick]

The model is `peers/model.py`'s, 125M random parameters in int8, prompts are beginnings of Python's own library, answers
are 48 tokens each. Every round opens the engine anew, so that no prompt is known; answers are checked to be equal. Wall
time with as many threads as cores, interleaved, medians. On stderr the same for 50 streams under way, without prompts.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

from peers.model import library_files, make_model

from repotune.core.hardware import available_cores
from repotune.evaluate.benchmarks.problem import Problem
from repotune.evaluate.benchmarks.sampling import Answer, Drawing, draw
from repotune.evaluate.streams import STREAMS
from repotune.infer.opening import open_engine
from repotune.infer.speed import measure, throughput
from repotune.tokenizer.encoding import Codec

BAR = 1.5
TOKENS = 48
CHARACTERS = 600  # of a prompt: about as long as HumanEval's


def drawn(folder: Path, codec: Codec, problems: list[Problem], together: bool) -> tuple[float, list[Answer]]:
    """Seconds, and the answers."""
    engine = open_engine(folder, "int8")
    engine.prefill([0])  # what is read from disk
    drawing, endings = Drawing(most_tokens=TOKENS), {"py": ".py"}
    started = time.perf_counter()
    if together:
        answers = list(draw(engine, codec, [(problem, 0) for problem in problems], drawing, endings))
    else:
        answers = [answer for problem in problems for answer in draw(engine, codec, [(problem, 0)], drawing, endings)]
    return time.perf_counter() - started, answers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="fewer answers and rounds")
    quick = parser.parse_args().quick
    texts = [path.read_text(encoding="utf-8")[:CHARACTERS] for path in library_files()[: 12 if quick else 32]]
    problems = [Problem(str(place), "py", text, None, "", "") for place, text in enumerate(texts)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        codec = make_model(folder, ggufs=())
        alone, together = list[float](), list[float]()
        for _ in range(1 if quick else 5):
            seconds, one_by_one = drawn(folder, codec, problems, together=False)
            alone.append(seconds)
            seconds, at_once = drawn(folder, codec, problems, together=True)
            together.append(seconds)
            if at_once != one_by_one:
                sys.exit("the two disagree")
        engine = open_engine(folder, "int8")
        single, many = measure(engine).tokens_per_second, throughput(engine)
    tokens = sum(answer.tokens for answer in one_by_one)
    figure, peer = (tokens / statistics.median(times) for times in (together, alone))
    sys.stderr.write(
        f"{available_cores()} cores, {len(problems)} answers of {tokens} tokens; under way, without prompts: "
        f"{single:.0f} tokens/s of one stream, {many or 0:.0f} of 50\n"
    )
    result = {
        "name": f"benchmark answers, {STREAMS} streams together",
        "figure": round(figure, 1),
        "unit": "tokens/s",
        "peer": "one stream of the same engine",
        "peer_figure": round(peer, 1),
        "ratio": round(figure / peer, 2),
        "bar": BAR,
        "met": figure / peer >= BAR,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
