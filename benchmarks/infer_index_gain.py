"""What a trained model gains from an index of its corpus: nats per token, holes filled right, tokens a pass.

    python benchmarks/infer_index_gain.py WORKSPACE [--quick]

The workspace has corpus/, tokens/ and release/, as `repotune demo` leaves them. The index holds the training split, the
gate is fitted on the validation split, and all figures are of the test split: nats per token without the index and with
it; holes of several kinds filled with the very text that stood there, by the model, the n-gram with its cache, and the
model mixed with index and open file; and how many tokens a pass of the engine yields when drafts are checked along.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from pathlib import Path

import numpy as np
import torch

from repotune.core.console import Console
from repotune.evaluate.baseline import train_ngram
from repotune.evaluate.completions import NgramCompleter, complete_by_engine, item_prompt
from repotune.evaluate.own_code.held_out import read_held_out
from repotune.evaluate.own_code.items import KINDS, draw_items
from repotune.infer.decoding import Sampling, generate
from repotune.infer.index.building import build
from repotune.infer.index.cursor import Cursor
from repotune.infer.index.drafting import IndexDrafter
from repotune.infer.index.fitting import cut_windows, fit_gate, gather
from repotune.infer.index.folder import Index, open_index
from repotune.infer.index.gate import Gate
from repotune.infer.index.mixing import MixedEngine, Mixer
from repotune.infer.opening import open_engine
from repotune.infer.served import open_served
from repotune.infer.speculation import DraftedEngine
from repotune.tokenizer.encoding import Codec, load_codec
from repotune.tokenizer.packing import TokenStore


def held_out_nats(index: Index, gate: Gate, workspace: Path, codec: Codec, most: int) -> tuple[float, float]:
    """Nats per token of the test split, in windows as those that gates are fitted on: the model's, and mixed."""
    engine = open_served(workspace / "release")
    windows = list(cut_windows(TokenStore(workspace / "tokens", "test"), codec, engine.context, most))
    evidence = gather(windows, engine, Cursor(index, codec.special), codec, Console(quiet=True))
    rows = zip(evidence.features, evidence.present, evidence.p, strict=True)
    mixed = [float(np.log(gate.shares(features, present) @ p)) for features, present, p in rows]
    return float(-np.log(evidence.p[:, 0]).mean()), -statistics.mean(mixed)


def right_holes(index: Index, gate: Gate, workspace: Path, codec: Codec, count: int) -> dict[str, dict[str, int]]:
    """By kind of hole and contestant how many of `count` holes are filled with the very text that stood there."""
    alone = open_engine(workspace / "release", "f32", 1)
    mixed = MixedEngine(alone.another(), Mixer(Cursor(index, codec.special), gate, codec.special))
    ngram = NgramCompleter(train_ngram(workspace / "tokens", codec, alone.context), codec, alone.context)
    right: dict[str, dict[str, int]] = {}
    kinds = [kind for kind in KINDS if kind != "nothing"]
    for item in draw_items(read_held_out(workspace / "corpus"), kinds, count, 1):
        prompt = item_prompt(codec, item, alone.context)
        mixed.open_file(codec.encode(item.prefix), codec.encode(item.suffix))
        answers = {
            "model": complete_by_engine(alone, codec, item, prompt),
            "n-gram": ngram.complete(item),
            "mixed": complete_by_engine(mixed, codec, item, prompt),
        }
        for who, answer in answers.items():
            of = right.setdefault(item.kind, dict.fromkeys(answers, 0))
            of[who] += answer == item.expected
    return right


def tokens_per_pass(index: Index | None, workspace: Path, codec: Codec, count: int) -> float:
    """Tokens that a pass of the engine yields where drafts are checked along; greedy, in files of the test split."""
    engine, store = open_engine(workspace / "release", "f32", 1), TokenStore(workspace / "tokens", "test")
    drafter = IndexDrafter(Cursor(index, codec.special))
    drafted, written = DraftedEngine(engine, drafter), 0
    for number in range(count):
        body = store.document(number % len(store)).tolist()
        cut = len(body) * (1 + number // len(store)) // 4
        prompt = [*codec.header(store.path(number % len(store))), *body[:cut]][-engine.context + 64 :]
        drafter.cursor.open_file(body[:cut])
        for piece in generate(drafted, codec, prompt, Sampling(), 48):
            written += len(piece.tokens)
    return written / (engine.stats().steps + engine.stats().prompts)


def compare(workspace: Path, quick: bool) -> dict[str, object]:
    torch.set_num_threads(1)
    codec = load_codec(workspace / "release")
    with tempfile.TemporaryDirectory() as name:
        build(workspace / "tokens", workspace / "corpus", Path(name))
        index = open_index(Path(name))
        gate = fit_gate(index, workspace / "tokens", workspace / "release", codec)
        without, mixed = held_out_nats(index, gate, workspace, codec, 4_000 if quick else 40_000)
        right = right_holes(index, gate, workspace, codec, 8 if quick else 75)
        sources: dict[str, Index | None] = {"file": None, "file and index": index}
        passes = {who: tokens_per_pass(of, workspace, codec, 16 if quick else 96) for who, of in sources.items()}
    for kind, of in right.items():
        print(f"{kind:10} right: " + ", ".join(f"{who} {count}" for who, count in of.items()))
    print(", ".join(f"drafts of the {who}: {tokens:.2f} tokens a pass" for who, tokens in passes.items()))
    sums = {who: sum(of[who] for of in right.values()) for who in ("model", "n-gram", "mixed")}
    return {
        "name": f"a model's held-out code with the index (holes right: {sums})",
        "figure": round(mixed, 3),
        "unit": "nats per token",
        "peer": "the model alone",
        "peer_figure": round(without, 3),
        "ratio": round(mixed / without, 3),
        "bar": 1.0,
        "met": mixed < without and sums["mixed"] > max(sums["model"], sums["n-gram"]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--quick", action="store_true", help="fewer tokens and holes")
    options = parser.parse_args()
    print(json.dumps(compare(options.workspace, options.quick)))


if __name__ == "__main__":
    main()
