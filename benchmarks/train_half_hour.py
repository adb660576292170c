"""Half an hour of one core on the standard library: repotune's best way beside nanoGPT's, curve and scores.

Both get the same tokens (vocabulary 4,096), about 2M parameters, the same CPU-seconds on one thread, and are read on
the same held-out files. nanoGPT's way is its train.py with the settings it gives for small runs: LayerNorm, GELU,
learnt positions, AdamW at 1e-3 by a cosine to a tenth, beta2 0.99, decay 0.1, bf16 autocast, rows of 256 drawn
anywhere. Ours is what a plan would say: Muon, wsd, document attention, half of the pieces with a hole. Only ours can
fill holes; its share of exact rests of a line is told.

    python benchmarks/train_half_hour.py [--quick] [--minutes 30]
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from repotune.core.console import Console
from repotune.core.flow import run_flow
from repotune.evaluate.completions import complete_by_engine
from repotune.evaluate.own_code.held_out import read_held_out
from repotune.evaluate.own_code.items import draw_items
from repotune.evaluate.scores import exact_match
from repotune.infer.opening import open_engine
from repotune.model.configuration import ladder
from repotune.model.network import Network
from repotune.model.weights import save_model
from repotune.pipeline.project import open_project
from repotune.pipeline.steps import build_steps, until
from repotune.tokenizer.encoding import load_codec
from repotune.tokenizer.packing import TokenStore
from repotune.train.allocation import keep_freed_memory
from repotune.train.batches import Batches
from repotune.train.infilling import Rendering
from repotune.train.optimisers import build_optimisers, set_learning_rate
from repotune.train.plan import TrainPlan, default_weight_decay
from repotune.train.schedules import Schedule
from repotune.train.step import Precision, take_step
from repotune.train.validation import Piece, Validation

SEQUENCE, ROWS, VOCABULARY = 256, 8, 4096
WIDTH, LAYERS, HEADS = 176, 4, 4  # nanoGPT's, for as many parameters as our 2m
_TICKS = 10
_CONFIG = """
[project]
name = "library"
repositories = [{library}]
[corpus]
languages = ["Python"]
validation_share = 0.03
test_share = 0.05
exclude = ["**/test/**", "**/tests/**", "**/idle_test/**", "site-packages/**", "dist-packages/**"]
[tokenizer]
size = 4096
"""


class NanoGPT(nn.Module):
    """nanoGPT's model, in the lines that matter."""

    def __init__(self) -> None:
        super().__init__()
        self.wte, self.wpe = nn.Embedding(VOCABULARY, WIDTH), nn.Embedding(2 * SEQUENCE, WIDTH)
        self.h = nn.ModuleList(NanoBlock() for _ in range(LAYERS))
        self.ln_f = nn.LayerNorm(WIDTH, bias=False)
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                residual = name.endswith(("c_proj.weight", "down.weight"))
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * LAYERS) if residual else 0.02)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.wte(ids) + self.wpe(torch.arange(ids.shape[1]))
        for block in self.h:
            x = block(x)
        return F.linear(self.ln_f(x), self.wte.weight)


class NanoBlock(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(WIDTH, bias=False), nn.LayerNorm(WIDTH, bias=False)
        self.c_attn, self.c_proj = nn.Linear(WIDTH, 3 * WIDTH, bias=False), nn.Linear(WIDTH, WIDTH, bias=False)
        self.c_fc, self.down = nn.Linear(WIDTH, 4 * WIDTH, bias=False), nn.Linear(4 * WIDTH, WIDTH, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        B, T, D = x.shape
        parts = self.c_attn(self.ln_1(x)).split(D, dim=2)
        q, k, v = (part.view(B, T, HEADS, D // HEADS).transpose(1, 2) for part in parts)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.c_proj(y.transpose(1, 2).reshape(B, T, D))
        return x + self.down(F.gelu(self.c_fc(self.ln_2(x))))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="20 seconds each")
    parser.add_argument("--minutes", type=float, default=30.0)
    arguments = parser.parse_args()
    seconds = 20.0 if arguments.quick else 60 * arguments.minutes
    with tempfile.TemporaryDirectory() as name:
        workspace = built(Path(name))
        with multiprocessing.get_context("spawn").Pool(2) as pool:
            peer, own = (pool.apply_async(train, (workspace, seconds)) for train in (nanogpt, repotune))
            (nano_bits, _), (bits, exact) = peer.get(), own.get()
    result = {
        "name": f"bits per byte after {seconds / 60:g} minutes of one core",
        "figure": round(bits, 4),
        "unit": "bits per byte",
        "peer": "nanoGPT",
        "peer_figure": round(nano_bits, 4),
        "ratio": round(bits / nano_bits, 3),
        "exact_rests_of_a_line": exact,
        "bar": 1.0,
        "met": bits < nano_bits,
    }
    print(json.dumps(result))


def built(folder: Path) -> Path:
    """A workspace as far as its tokens."""
    path = folder / "repotune.toml"
    path.write_text(_CONFIG.format(library=json.dumps(sysconfig.get_paths()["stdlib"])))
    project = open_project(path)
    run_flow(until(build_steps(project), "tokens"), project.workspace, Console(quiet=True), 1)
    return project.workspace


def repotune(workspace: Path, seconds: float) -> tuple[float, float | None]:
    keep_freed_memory()
    codec, store = load_codec(workspace / "tokenizer"), TokenStore(workspace / "tokens", "train")
    torch.manual_seed(1)
    config = ladder("2m", VOCABULARY, SEQUENCE)
    network = Network(config)
    epochs = seconds * 6000 / store.tokens  # tokens a CPU-second, about
    plan = TrainPlan.simple(
        config, 1_000_000, SEQUENCE, SEQUENCE * ROWS, weight_decay=default_weight_decay("muon", epochs)
    )
    optimisers = build_optimisers(network, "muon", plan.decay)
    batches = Batches(store, Rendering(codec, SEQUENCE, 0.5, 1, plan.syntax_share), ROWS)
    schedule, precision = Schedule("wsd", 0.02, 0.5, 0.0), Precision.of("cpu")

    def step(done: float) -> None:
        set_learning_rate(optimisers, plan.learning_rate * schedule.share(done, 1.0))
        take_step(network, network.features, optimisers, batches.next(), ROWS, precision, codec.file_sep)

    bits = paced("repotune", workspace, network, step, seconds, lambda piece: (piece.ids, piece.first))
    folder = workspace / "model"
    save_model(folder, network, workspace / "tokenizer")
    engine = open_engine(folder, weights="f32", threads=1)
    items = draw_items(read_held_out(workspace / "corpus"), ["rest"], 200, 1)
    exact = [exact_match(complete_by_engine(engine, codec, item), item.expected) for item in items]
    return bits, sum(exact) / len(exact)


def nanogpt(workspace: Path, seconds: float) -> tuple[float, None]:
    codec, store = load_codec(workspace / "tokenizer"), TokenStore(workspace / "tokens", "train")
    stream = np.concatenate([np.append(store.document(number), codec.end) for number in range(len(store))])
    ids = torch.from_numpy(stream.astype(np.int64))
    torch.manual_seed(1)
    model = NanoGPT()
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.99), weight_decay=0.1)
    schedule = Schedule("cosine", 0.02, 0.0, 0.1)

    def step(done: float) -> None:
        set_learning_rate([optimiser], 1e-3 * schedule.share(done, 1.0))
        places = torch.randint(len(ids) - SEQUENCE - 1, (ROWS,))
        rows = torch.stack([ids[place : place + SEQUENCE + 1] for place in places.tolist()])
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = model(rows[:, :-1])
            loss = F.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten())
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    def without_header(piece: Piece) -> tuple[Tensor, int]:  # it has never seen one
        return torch.cat((torch.tensor([[codec.end]]), piece.ids[:, piece.first :]), 1), 1

    return paced("nanoGPT", workspace, model, step, seconds, without_header), None


def paced(
    name: str,
    workspace: Path,
    model: nn.Module,
    step: Callable[[float], None],
    seconds: float,
    shown: Callable[[Piece], tuple[Tensor, int]],
) -> float:
    """Steps until `seconds` of CPU time are spent, with ten looks at held-out text. Returns the last bits per byte."""
    torch.set_num_threads(1)
    plan = TrainPlan.simple(ladder("2m", VOCABULARY, SEQUENCE), 1, SEQUENCE, SEQUENCE, checkpoint_tokens=10**7)
    pieces = Validation(TokenStore(workspace / "tokens", "validation"), load_codec(workspace / "tokenizer"), plan).plain
    spent, steps, bits = 0.0, 0, math.inf
    for tick in range(1, _TICKS + 1):
        while spent < seconds * tick / _TICKS:
            started = time.process_time()
            step(spent / seconds)
            spent, steps = spent + time.process_time() - started, steps + 1
        bits = read(model, pieces, shown)
        tokens = steps * ROWS * SEQUENCE
        print(f"{name}, {spent / 60:.1f} min, {tokens / 1e6:.2f}M tokens: {bits:.4f}", file=sys.stderr, flush=True)
    return bits


@torch.no_grad()
def read(model: nn.Module, pieces: list[Piece], shown: Callable[[Piece], tuple[Tensor, int]]) -> float:
    """Bits per byte of the pieces."""
    nats = 0.0
    for piece in pieces:
        ids, first = shown(piece)
        logits = model(ids[:, :-1])[0, first - 1 :].float()
        nats += float(F.cross_entropy(logits, ids[0, first:], reduction="sum"))
    return nats / math.log(2) / sum(piece.size for piece in pieces)


if __name__ == "__main__":
    main()
