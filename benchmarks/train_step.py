"""Tokens a CPU-second trains: repotune's step against nanoGPT's way, in float32 and in bf16 autocast, same shape.

    python benchmarks/train_step.py            # also compiled, as runs of ten minutes and more are
    python benchmarks/train_step.py --quick    # eager steps alone

10M parameters (width 320, 6 layers, 5 heads, 8,192 entries), 4 rows of 512 tokens, AdamW, gradients clipped, one
thread. The peer is the step of nanoGPT's train.py: LayerNorm, GELU, tied embeddings, scaled_dot_product_attention,
cross entropy over all logits. Steps alternate, so that other work on the machine slows all alike; medians of CPU time.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from repotune.model.configuration import ModelConfig
from repotune.model.network import Network
from repotune.train.optimisers import build_optimisers, set_learning_rate
from repotune.train.step import Precision, take_step

VOCABULARY, WIDTH, LAYERS, HEADS, SEQUENCE, ROWS = 8192, 320, 6, 5, 512, 4
BARS = {"nanoGPT float32": 3.1, "nanoGPT bf16 autocast": 1.5}


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
        x = x + self.c_proj(y.transpose(1, 2).contiguous().view(B, T, D))
        return x + self.down(F.gelu(self.c_fc(self.ln_2(x))))


class NanoGPT(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.wte, self.wpe = nn.Embedding(VOCABULARY, WIDTH), nn.Embedding(SEQUENCE, WIDTH)
        self.h = nn.ModuleList(NanoBlock() for _ in range(LAYERS))
        self.ln_f = nn.LayerNorm(WIDTH, bias=False)
        self.lm_head = nn.Linear(WIDTH, VOCABULARY, bias=False)
        self.lm_head.weight = self.wte.weight

    def forward(self, ids: Tensor, targets: Tensor) -> Tensor:
        x = self.wte(ids) + self.wpe(torch.arange(ids.shape[1]))
        for block in self.h:
            x = block(x)
        logits = self.lm_head(self.ln_f(x))
        return F.cross_entropy(logits.view(-1, VOCABULARY), targets.view(-1))


def nano_step(bf16: bool, ids: Tensor, targets: Tensor) -> Callable[[], object]:
    model = NanoGPT()
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-4, betas=(0.9, 0.95), weight_decay=0.1)

    def step() -> None:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            loss = model(ids, targets)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    return step


def our_step(compiled: bool, ids: Tensor, targets: Tensor) -> Callable[[], object]:
    config = ModelConfig(
        VOCABULARY, WIDTH, LAYERS, HEADS, HEADS, 4 * WIDTH, SEQUENCE, norm="layer", position="alibi", activation="gelu"
    )
    network = Network(config)
    features = torch.compile(network.features) if compiled else network.features
    optimisers = build_optimisers(network, "adamw", 0.1)
    set_learning_rate(optimisers, 3e-4)
    precision = Precision.of("cpu")
    return lambda: take_step(network, features, optimisers, (ids, targets), ROWS, precision)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--peer", choices=["float32", "bf16"], default="float32")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    stream = torch.randint(VOCABULARY, (ROWS, SEQUENCE + 1))
    ids, targets = stream[:, :-1].contiguous(), stream[:, 1:].contiguous()
    steps = {
        "nanoGPT float32": nano_step(False, ids, targets),
        "nanoGPT bf16 autocast": nano_step(True, ids, targets),
        "repotune": our_step(False, ids, targets),
    }
    if not arguments.quick:
        steps["repotune compiled"] = our_step(True, ids, targets)
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(7 if arguments.quick else 16):
        for name, step in steps.items():
            started = time.process_time()
            step()
            if number >= 2:
                seconds[name].append(time.process_time() - started)
    speeds = {name: ROWS * SEQUENCE / statistics.median(values) for name, values in seconds.items()}
    for name, speed in speeds.items():
        print(f"{name:22s} {speed:7,.0f} tokens per CPU-second", file=sys.stderr)
    ours = list(speeds)[-1]
    peer = "nanoGPT float32" if arguments.peer == "float32" else "nanoGPT bf16 autocast"
    ratio = speeds[ours] / speeds[peer]
    result = {"name": f"train_step, {ours}", "figure": round(speeds[ours]), "unit": "tokens per CPU-second"}
    result |= {"peer": peer, "peer_figure": round(speeds[peer]), "ratio": round(ratio, 2)}
    print(json.dumps(result | {"bar": BARS[peer], "met": ratio >= BARS[peer]}))


if __name__ == "__main__":
    main()
