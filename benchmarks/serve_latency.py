"""A completion over HTTP after a keystroke: our server against llama.cpp's (q8_0), about 110M random parameters.

    python benchmarks/serve_latency.py [--quick]

An editor asks for 16 tokens at a place in a file, the user types one more character, and the editor asks again: that
second answer is timed, from the request's text to the answer's. Both servers speak /infill, as their editors do, and
run in this process, interleaved, one thread each; medians of CPU time, so that other work on the machine weighs little.
llama.cpp's puts the prefix first, so a keystroke makes it read the suffix again; that is most of the difference.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import torch
import xllamacpp
from infer_first_token import make_model

from repotune.core.config import ServeSettings
from repotune.serve.run import open_server

TOKENS = 16
GAP = 60  # characters that are left to be written
BAR = 1.5


@contextmanager
def our_server(folder: Path) -> Iterator[str]:
    """The address of a server of `folder`, in a thread."""
    facts = {"name": "benchmark", "parameters": 0, "context": 2048, "licences": {}, "languages": {}, "verdict": ""}
    (folder / "release.json").write_text(json.dumps(facts))
    bound = open_server(folder, ServeSettings(port=0))
    thread = threading.Thread(target=bound.run)
    thread.start()
    try:
        yield bound.url
    finally:
        bound.server.should_exit = True
        thread.join()


def llama_cpp(model: Path) -> xllamacpp.Server:
    """llama.cpp's server on one thread; it runs while the object lives."""
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(model)
    parameters.n_ctx, parameters.n_parallel, parameters.verbosity = 2048, 1, -1
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = 1
    return xllamacpp.Server(parameters)


class Editor:
    """Asks one server, over a connection that it keeps."""

    def __init__(self, url: str) -> None:
        self._client = httpx.Client(base_url=url, timeout=60, trust_env=False)

    def keystroke(self, source: str, at: int) -> tuple[float, float, int]:
        """CPU and wall-clock milliseconds of the answer after a keystroke at `at`, and its tokens."""
        suffix = source[at + GAP : at + GAP + 800]
        self._ask(source[:at], suffix)
        cpu, wall = time.process_time(), time.perf_counter()
        answer = self._ask(source[: at + 1], suffix)
        return 1000 * (time.process_time() - cpu), 1000 * (time.perf_counter() - wall), answer["tokens_predicted"]

    def _ask(self, prefix: str, suffix: str) -> dict[str, Any]:
        body = {"input_prefix": prefix, "input_suffix": suffix, "n_predict": TOKENS}
        answer: dict[str, Any] = self._client.post("/infill", json=body | {"temperature": 0}).json()
        return answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="three rounds in place of nine")
    rounds = 3 if parser.parse_args().quick else 9
    torch.set_num_threads(1)
    source = Path(tempfile.__file__).read_text(encoding="utf-8")
    cpu: dict[str, list[float]] = {"ours": [], "llama.cpp": []}
    with tempfile.TemporaryDirectory() as name:
        make_model(Path(name))
        peer = llama_cpp(Path(name) / "model-Q8_0.gguf")
        with our_server(Path(name)) as url:
            editors = {"ours": Editor(url), "llama.cpp": Editor(peer.listening_address)}
            for turn in range(rounds):
                for who, editor in editors.items():
                    spent, passed, tokens = editor.keystroke(source, 1200 + 150 * turn)
                    print(f"{who:10}{spent:8.1f} ms of CPU time{passed:8.1f} ms passed{tokens:4} tokens")
                    if tokens == TOKENS:  # a random model may end or repeat itself: such an answer compares to nothing
                        cpu[who].append(spent)
    figure, peer_figure = (statistics.median(times) for times in cpu.values())
    print(
        json.dumps(
            {
                "name": f"{TOKENS} tokens over HTTP after a keystroke",
                "figure": round(figure, 1),
                "unit": "ms of CPU time on one thread",
                "peer": "llama.cpp's server, q8_0 (xllamacpp)",
                "peer_figure": round(peer_figure, 1),
                "ratio": round(peer_figure / figure, 2),
                "bar": BAR,
                "met": peer_figure / figure >= BAR,
            }
        )
    )


if __name__ == "__main__":
    main()
