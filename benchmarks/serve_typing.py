"""From a keystroke to a shown completion of 16 tokens over HTTP, by a replayed typing trace: ours, llama.cpp, OpenVINO.

    python benchmarks/serve_typing.py [--quick] [--threads 2] [--seed 0]

Someone types in files of the standard library, stops and reads, types on while an answer is under way (which cancels
it), and jumps to other files and back (`peers/typing_trace.py`). Ours is the real server; llama.cpp's is asked at
/infill with its caches on; OpenVINO GenAI has the least HTTP around it, our prompt and its prefix cache. Each is a
process; every stop, with the keystrokes that led to it, is played to one after the other while the rest are stopped.
Wall-clock time from the request to the whole answer; the 125M Llama shape with random weights (`peers/model.py`).
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from importlib.util import find_spec
from pathlib import Path

import httpx
from peers import openvino
from peers.model import library_files, make_model
from peers.process import Peer
from peers.typing_trace import Request, typing_trace

from repotune.release.gguf import gguf_path

TOKENS = 16
# Of the peer's p50 and p95; and milliseconds after a keystroke and after a jump, p95.
BARS = {"llama.cpp q8_0": 2.0, "OpenVINO int8": 1.2}
KEYSTROKE_LIMIT, COLD_LIMIT = 150, 250
MOST_MEMORY = 500  # MB of our server, resident, after all requests
Times = dict[str, list[tuple[bool, float]]]


class Editor:
    """Asks one server, over a connection that it keeps until it cancels."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._client = httpx.Client(base_url=peer.ready["url"], timeout=60, trust_env=False)

    def type(self, requests: list[Request]) -> float | None:
        """Plays the cancelled requests and then the one that is waited for, whose milliseconds are returned; None where
        the answer is not of TOKENS tokens, and so compares to nothing."""
        self._peer.wake()
        for request in requests[:-1]:
            with suppress(httpx.ReadTimeout):
                self._ask(request)
        begun = time.perf_counter()
        tokens = self._ask(requests[-1])
        passed = 1000 * (time.perf_counter() - begun)
        self._peer.sleep()
        return passed if tokens == TOKENS else None

    def memory(self) -> float:
        """Megabytes that the server holds."""
        return self._peer.memory()

    def _ask(self, request: Request) -> int:
        """How many tokens the answer has. A timeout of httpx's closes the connection, which is how editors cancel."""
        body = {"input_prefix": request.prefix, "input_suffix": request.suffix, "n_predict": TOKENS, "temperature": 0}
        timeout = 60.0 if request.pause is None else request.pause
        answer = self._client.post("/infill", json=body, timeout=httpx.Timeout(60.0, read=timeout))
        return int(answer.raise_for_status().json()["tokens_predicted"])


def servers(folder: Path, threads: int) -> Iterator[tuple[str, list[str]]]:
    """Each server's name and command; what is not installed is said."""
    run = [sys.executable, "-m", "peers.serving"]
    yield "ours int8", [*run, "ours", str(folder), str(threads)]
    yield "llama.cpp q8_0", [*run, "llama.cpp", str(gguf_path(folder, "q8_0")), str(threads)]
    if find_spec("openvino_genai"):
        yield "OpenVINO int8", [*run, "openvino", str(openvino.prepare(folder, "int8")), str(threads)]
    else:
        print("OpenVINO int8: openvino_genai is not installed")


def stops(trace: Iterator[Request]) -> Iterator[list[Request]]:
    """The requests up to one that is waited for, again and again."""
    held: list[Request] = []
    for request in trace:
        held.append(request)
        if request.pause is None:
            yield held
            held = []


def replay(editors: dict[str, Editor], trace: Iterator[Request]) -> Times:
    """For each server whether a stop was the first after a jump, and its milliseconds; only stops that all answered."""
    times: Times = {name: [] for name in editors}
    for requests in stops(trace):
        passed = {name: editor.type(requests) for name, editor in editors.items()}
        if None not in passed.values():
            for name, milliseconds in passed.items():
                times[name].append((any(request.cold for request in requests), milliseconds or 0.0))
    return times


def summary(times: list[tuple[bool, float]]) -> dict[str, float]:
    """p50 and p95 of all stops, p95 of those in a place that is known already, and of the first after a jump."""
    every = [milliseconds for _, milliseconds in times]
    warm, cold = ([milliseconds for first, milliseconds in times if first is wanted] for wanted in (False, True))
    figures = {"p50": statistics.median(every), "p95": _p95(every), "p95 keystroke": _p95(warm), "p95 jump": _p95(cold)}
    return {name: round(figure, 1) for name, figure in figures.items()}


def _p95(values: list[float]) -> float:
    return statistics.quantiles(values, n=20, method="inclusive")[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="five places in place of forty")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    files = [path for path in library_files() if 150 < path.read_text(encoding="utf-8").count("\n") < 1500]
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        make_model(Path(name), ("q8_0",))
        editors = {}
        for who, command in servers(Path(name), asked.threads):
            peer = stack.enter_context(Peer(who, command))
            editors[who] = Editor(peer)
            editors[who].type([Request("def f():\n", "\n", None, True)])
        times = replay(editors, typing_trace(files, 5 if asked.quick else 40, asked.seed))
        memory = {who: round(editor.memory()) for who, editor in editors.items()}
    figures = {who: summary(passed) for who, passed in times.items()}
    ours = figures["ours int8"]
    for who, row in figures.items():
        print(f"{who:16}" + "".join(f"{name:>16}{figure:8.1f} ms" for name, figure in row.items()))
    ratios = {who: min(figures[who][share] / ours[share] for share in ("p50", "p95")) for who in figures if who in BARS}
    limits = ours["p95 keystroke"] < KEYSTROKE_LIMIT and ours["p95 jump"] < COLD_LIMIT
    print(", ".join(f"{who} {figure} MB" for who, figure in memory.items()))
    print(f"{len(times['ours int8'])} stops, {asked.threads} threads")
    print(
        json.dumps(
            {
                "name": f"{TOKENS} tokens over HTTP after a keystroke, p95 of a typing trace",
                "figure": ours["p95"],
                "unit": "ms",
                "peer": "llama.cpp q8_0",
                "peer_figure": figures["llama.cpp q8_0"]["p95"],
                "ratio": round(figures["llama.cpp q8_0"]["p95"] / ours["p95"], 2),
                "bar": BARS["llama.cpp q8_0"],
                "met": limits and all(ratio >= BARS[who] for who, ratio in ratios.items()),
                "figures": figures,
                "memory": {"MB": memory, "bar": MOST_MEMORY, "met": memory["ours int8"] <= MOST_MEMORY},
            }
        )
    )


if __name__ == "__main__":
    main()
