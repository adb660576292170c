"""Time to the first token: ours against llama.cpp (q8_0), on a random Llama shape of about 110M parameters.

    python benchmarks/infer_first_token.py [--quick]

A cold prompt of 512 tokens, then one more typed character in the middle of a file, suffix first and prefix first.
Interleaved, medians of CPU time on one thread, so that other work on the machine weighs little; llama.cpp's includes
its HTTP, about a millisecond. Quality is not measured here: weights are random.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sysconfig
import tempfile
import time
import urllib.request
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
import xllamacpp

from repotune.infer.opening import open_engine
from repotune.infer.prompts import infilling_prompt
from repotune.model.configuration import ModelConfig
from repotune.model.network import Network
from repotune.model.weights import save_model
from repotune.release.gguf import write_gguf
from repotune.tokenizer.encoding import Codec, load_codec
from repotune.tokenizer.layout import SPECIAL_TOKENS, vocabulary_of, write_vocabulary
from repotune.tokenizer.vocabulary import train_bpe

PROMPT = 512
BAR = 1.5


def make_model(folder: Path) -> Codec:
    """A Hugging Face folder of about 110M parameters with a vocabulary of real code, and the q8_0 file beside."""
    tokenizer = folder / "tokenizer"
    tokenizer.mkdir()
    library = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*/*.py"))[:200]
    texts = (path.read_text(encoding="utf-8", errors="replace") for path in library)
    write_vocabulary(tokenizer, vocabulary_of(train_bpe(texts, 32_000 - len(SPECIAL_TOKENS))))
    codec = load_codec(tokenizer)
    shape = ModelConfig(codec.size, width=768, layers=12, heads=12, kv_heads=4, hidden=2560, context=2048)
    torch.manual_seed(0)
    save_model(folder, Network(shape), tokenizer)
    write_gguf(folder, folder / "model-Q8_0.gguf", "q8_0", "benchmark")
    return codec


class LlamaCpp:
    """llama.cpp's server, on one thread."""

    def __init__(self, path: Path) -> None:
        parameters = xllamacpp.CommonParams()
        parameters.model.path = str(path)
        parameters.n_ctx, parameters.n_parallel, parameters.verbosity = 2048, 1, -1
        parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = 1
        self._server = xllamacpp.Server(parameters)
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def complete(self, prompt: Sequence[int], count: int, cached: bool = False) -> dict[str, Any]:
        """A greedy completion of exactly `count` tokens."""
        asked = {"prompt": list(prompt), "n_predict": count, "temperature": 0, "ignore_eos": True}
        data = json.dumps(asked | {"cache_prompt": cached}).encode()
        address = f"{self._server.listening_address}/completion"
        with self._opener.open(urllib.request.Request(address, data, {"Content-Type": "application/json"})) as answer:
            completion: dict[str, Any] = json.loads(answer.read())
        return completion


def cpu_milliseconds(work: Callable[[], object]) -> float:
    """CPU time of this process, in which both engines run."""
    started = time.process_time()
    work()
    return 1000 * (time.process_time() - started)


def prefix_first(codec: Codec, prefix: str, suffix: str) -> list[int]:
    """What most editors send (PSM)."""
    ids = [*codec.header("a.py"), codec.fim_prefix, *codec.encode(prefix)]
    return [*ids, codec.fim_suffix, *codec.encode(suffix), codec.fim_middle]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="three rounds in place of nine")
    rounds = 3 if parser.parse_args().quick else 9
    source = Path(tempfile.__file__).read_text(encoding="utf-8")
    times: dict[str, list[float]] = {}

    def measure(what: str, work: Callable[[], object]) -> None:
        times.setdefault(what, []).append(cpu_milliseconds(work))

    with tempfile.TemporaryDirectory() as name:
        codec = make_model(Path(name))
        engine, peer = open_engine(Path(name), threads=1), LlamaCpp(Path(name) / "model-Q8_0.gguf")
        orders: dict[str, Callable[[str, str], list[int]]] = {
            "suffix first": lambda prefix, suffix: infilling_prompt(codec, prefix, suffix, "a.py", 1024),
            "prefix first": lambda prefix, suffix: prefix_first(codec, prefix, suffix),
        }
        for turn in range(rounds):
            ids = random.Random(turn).choices(range(len(SPECIAL_TOKENS), codec.size), k=PROMPT)
            measure("cold, ours", partial(engine.prefill, ids))
            measure("cold, llama.cpp", partial(peer.complete, ids, 1))
            end = 900 + 40 * turn
            for order, prompt in orders.items():
                before, after = (prompt(source[:cursor], source[end : end + 800]) for cursor in (end - 1, end))
                engine.prefill(before)
                measure(f"keystroke, {order}, ours", partial(engine.prefill, after))
                peer.complete(before, 1, cached=True)
                measure(f"keystroke, {order}, llama.cpp", partial(peer.complete, after, 1, cached=True))
        weights = engine.precision
    medians = {what: statistics.median(values) for what, values in times.items()}
    print(f"{weights} weights, one thread, {rounds} rounds, medians in ms of CPU time")
    for what, value in medians.items():
        print(f"{what:40}{value:9.1f}")
    figure, peer_figure = medians["cold, ours"], medians["cold, llama.cpp"]
    ratio = peer_figure / figure
    print(
        json.dumps(
            {
                "name": "first token of a 512-token prompt",
                "figure": round(figure, 1),
                "unit": "ms of CPU time on one thread",
                "peer": "llama.cpp q8_0 (xllamacpp)",
                "peer_figure": round(peer_figure, 1),
                "ratio": round(ratio, 2),
                "bar": BAR,
                "met": ratio >= BAR,
            }
        )
    )


if __name__ == "__main__":
    main()
