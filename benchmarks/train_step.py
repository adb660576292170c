"""Tokens a CPU-second trains: repotune's step against nanoGPT's way, in float32 and in bf16 autocast, same shape.

    python benchmarks/train_step.py            # also compiled, as runs of ten minutes and more are
    python benchmarks/train_step.py --quick    # eager steps alone

10M parameters (width 320, 6 layers, 5 heads, 8,192 entries), 4 rows of 512 tokens of the standard library, AdamW,
gradients clipped, one thread. The peer is the step of nanoGPT's train.py: LayerNorm, GELU, tied embeddings,
scaled_dot_product_attention, cross entropy over all logits. Steps alternate; medians of CPU time. That bf16 and
blockwise attention cost nothing is told by the loss of the same steps in float32 with textbook attention.
"""

from __future__ import annotations

import argparse
import json

import torch
from contest import Text, Turns, against, compete, stepping
from torch import Tensor, nn
from torch.nn import functional as F

from repotune.model import attention
from repotune.model.configuration import ModelConfig
from repotune.model.network import Network
from repotune.train.allocation import keep_freed_memory
from repotune.train.optimisers import build_optimisers, set_learning_rate
from repotune.train.step import Precision, take_step

VOCABULARY, WIDTH, LAYERS, HEADS, SEQUENCE, ROWS = 8192, 320, 6, 5, 512, 4
BARS = {"nanoGPT float32": 3.1, "nanoGPT bf16 autocast": 1.5}
LOSS_BAR = 0.01


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
        for parameter in self.parameters():
            if parameter.dim() == 2:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, ids: Tensor, targets: Tensor) -> Tensor:
        x = self.wte(ids) + self.wpe(torch.arange(ids.shape[1]))
        for block in self.h:
            x = block(x)
        logits = self.lm_head(self.ln_f(x))
        return F.cross_entropy(logits.view(-1, VOCABULARY), targets.view(-1))


def nano_float32(text: Text, turns: Turns) -> None:
    nano(text, turns, bf16=False)


def nano_bf16(text: Text, turns: Turns) -> None:
    nano(text, turns, bf16=True)


def nano(text: Text, turns: Turns, bf16: bool) -> None:
    model = NanoGPT()
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-4, betas=(0.9, 0.95), weight_decay=0.1)

    def step(ids: Tensor, targets: Tensor) -> float:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            loss = model(ids, targets)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        return float(loss.detach())

    stepping(step, text, turns)


def ours_eager(text: Text, turns: Turns) -> None:
    keep_freed_memory()
    ours(text, turns, Precision.of("cpu"), compiled=False)


def ours_compiled(text: Text, turns: Turns) -> None:
    keep_freed_memory()
    ours(text, turns, Precision.of("cpu"), compiled=True)


def ours_float32(text: Text, turns: Turns) -> None:
    attention.EXPLICIT_ATTENTION_LIMIT = 0  # torch's own kernel
    ours(text, turns, Precision(torch.device("cpu"), bf16=False), compiled=False)


def ours(text: Text, turns: Turns, precision: Precision, compiled: bool) -> None:
    config = ModelConfig(
        VOCABULARY, WIDTH, LAYERS, HEADS, HEADS, 4 * WIDTH, SEQUENCE, norm="layer", position="alibi", activation="gelu"
    )
    network = Network(config)
    features = torch.compile(network.features) if compiled else network.features
    optimisers = build_optimisers(network, "adamw", 0.1)
    set_learning_rate(optimisers, 3e-4)

    def step(ids: Tensor, targets: Tensor) -> float:
        return take_step(network, features, optimisers, (ids, targets), ROWS, precision)[0]

    stepping(step, text, turns)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    contestants = {"nanoGPT float32": nano_float32, "nanoGPT bf16 autocast": nano_bf16, "repotune": ours_eager}
    contestants["repotune float32"] = ours_float32
    if not quick:
        contestants["repotune compiled"] = ours_compiled
    records = compete(contestants, Text(VOCABULARY, ROWS, SEQUENCE), steps=5 if quick else 16)
    fastest = "repotune" if quick else max(("repotune", "repotune compiled"), key=lambda name: records[name].speed(1))
    result = {"name": f"train_step, {fastest}"} | against(records, fastest, BARS, ROWS * SEQUENCE)
    difference = abs(records[fastest].loss() - records["repotune float32"].loss())
    result |= {"loss_difference": round(difference, 4), "loss_bar": LOSS_BAR}
    print(json.dumps(result | {"met": bool(result["met"]) and difference <= LOSS_BAR}))


if __name__ == "__main__":
    main()
