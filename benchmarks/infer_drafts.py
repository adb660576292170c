"""Tokens a second of one stream with drafts on real code, ours in 4 bits against the best peer, at 125M parameters.

    python benchmarks/infer_drafts.py WORKSPACE [--quick] [--threads 2]

What a draft yields is for a trained model to say, what a pass costs for a large one. So the model of WORKSPACE, as
`repotune demo` leaves it, writes on in its held-out files, with drafts from the open file and from the index of its
corpus, and beside each of its passes one of the same rows is made with the ladder's 125M shape, whose seconds count,
with those of drafting. The peers of `infer_peers.py` decode without drafts between the answers. Greedy; that the text
is the same with drafts as without is asserted.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from infer_peers import started
from peers.model import make_model

from repotune.infer.engine import Engine, Logits
from repotune.infer.index.cursor import Cursor
from repotune.infer.index.drafting import Drafter, IndexDrafter
from repotune.infer.index.folder import open_index
from repotune.infer.opening import open_engine
from repotune.infer.speculation import DraftedEngine
from repotune.tokenizer.encoding import Codec, load_codec
from repotune.tokenizer.packing import TokenStore

COUNT = 48
PEERS = ["OpenVINO int4", "llama.cpp q4_0", "ONNX Runtime int4"]


class Beside:
    """The `small` model's logits; each pass is made with `large` as well, and its seconds after prompts are kept."""

    def __init__(self, small: Engine, large: Engine) -> None:
        self._small, self._large = small, large
        self.context, self.vocabulary, self.precision = small.context, small.vocabulary, large.precision
        self.seconds = 0.0

    def prefill(self, ids: Sequence[int]) -> Logits:
        self._large.prefill(ids)
        return self._small.prefill(ids)

    def step(self, token: int) -> Logits:
        logits_V: Logits = self.extend((token,))[0]
        return logits_V

    def extend(self, ids: Sequence[int]) -> Logits:
        begun = time.perf_counter()
        self._large.extend(ids)
        self.seconds += time.perf_counter() - begun
        return self._small.extend(ids)

    def rewind(self, count: int) -> None:
        self._large.rewind(count)
        self._small.rewind(count)

    def end(self) -> None:
        self._large.end()
        self._small.end()

    def __getattr__(self, name: str) -> object:  # what a single stream without cancels does not use
        return getattr(self._small, name)


class Timed:
    """A drafter, whose seconds are kept."""

    def __init__(self, drafter: Drafter) -> None:
        self._drafter, self.seconds = drafter, 0.0

    def __getattr__(self, name: str) -> Callable[..., object]:
        method = getattr(self._drafter, name)

        def timed(*arguments: object) -> object:
            begun = time.perf_counter()
            try:
                return method(*arguments)
            finally:
                self.seconds += time.perf_counter() - begun

        return timed


def prompts(workspace: Path, codec: Codec, count: int, context: int) -> list[tuple[list[int], list[int]]]:
    """Beginnings of held-out files, each as the model sees it and as the drafter does."""
    store = TokenStore(workspace / "tokens", "test")
    found = []
    for number in range(count):
        body = store.document(number % len(store)).tolist()
        body = body[: len(body) * (1 + number // len(store)) // 4]
        found.append(([*codec.header(store.path(number % len(store))), *body][-(context - COUNT - 8) :], body))
    return found


def answer(engine: Engine, ids: list[int]) -> list[int]:
    chosen = [int(engine.prefill(ids).argmax())]
    while len(chosen) < COUNT:
        chosen.append(int(engine.step(chosen[-1]).argmax()))
    engine.end()
    return chosen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--quick", action="store_true", help="12 answers in place of 96")
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    asked.only, asked.vllm = PEERS, ""
    codec = load_codec(asked.workspace / "release")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_model(folder)
        beside = Beside(open_engine(asked.workspace / "release", "f32"), open_engine(folder, "int4", asked.threads))
        drafter = Timed(IndexDrafter(Cursor(open_index(asked.workspace / "index"), codec.special)))
        drafted = DraftedEngine(beside, drafter)
        rates: dict[str, list[float]] = {"alone": [], "with drafts": []}
        with started(asked, folder, lambda turn: [100 + turn] * 16, 1) as peers:
            for ids, body in prompts(asked.workspace, codec, 12 if asked.quick else 96, beside.context):
                beside.seconds = 0.0
                alone = answer(beside, ids)
                rates["alone"].append((COUNT - 1) / beside.seconds)
                beside.seconds = drafter.seconds = 0.0
                drafted.open_file(body, [])
                drafter.seconds = 0.0  # the file is read while it is opened, not while it is typed in
                assert answer(drafted, ids) == alone
                rates["with drafts"].append((COUNT - 1) / (beside.seconds + drafter.seconds))
                for peer in peers:
                    rates.setdefault(peer.name, []).append(peer.complete(ids, COUNT).rate)
    figures = {who: round(len(found) / sum(1 / rate for rate in found), 1) for who, found in rates.items()}
    for who, figure in figures.items():
        print(f"{who:20}{figure:8.1f} tokens/s, {statistics.median(rates[who]):.1f} in the median answer")
    best = max((who for who in figures if who in PEERS), key=figures.__getitem__)
    ratio = figures["with drafts"] / figures[best]
    print(
        json.dumps(
            {"name": "decoding with drafts on real code, int4", "figure": figures["with drafts"], "unit": "tokens/s",
             "peer": best, "peer_figure": figures[best], "ratio": round(ratio, 2), "bar": 1.5, "met": ratio >= 1.5}
        )
    )  # fmt: skip


if __name__ == "__main__":
    main()
