"""Training on a GPU: tokens a second and the share of its peak, for 1B and replit-code-v1.5-3b at 2,048 tokens in bf16.

    python benchmarks/gpu_training.py            # on a machine with a GPU; torch alone is enough, no network
    python benchmarks/gpu_training.py --quick    # the same code on small shapes, on a CPU too; says nothing of speed

The step is training's own: bf16 products beside float32 weights, compiled features, AdamW, clipping, random tokens.
The peer is LLM Foundry's published table (scripts/train/benchmarking, H100, bf16, T = 2,048): 41.8 % of the peak for
MPT-1B and 43.7 % for MPT-3B, counted in the same way: 6 operations a parameter and token, 12·layers·width·T of
attention.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))  # where repotune is not installed

from repotune.model.configuration import ModelConfig, preset
from repotune.model.network import Network
from repotune.train.optimisers import build_optimisers, set_learning_rate
from repotune.train.step import Precision, take_step

SEQUENCE = 2048
BAR = 0.5
# Dense bf16 operations a second, of the makers' data sheets.
PEAKS = {"H100": 989e12, "H200": 989e12, "A100": 312e12}
WARMING_STEPS = 3

# MPT-1B as LLM Foundry has it.
MPT_1B = replace(preset("mpt-7b"), vocabulary=50_368, width=2048, layers=24, heads=16, kv_heads=16, hidden=8192)


@dataclass(frozen=True)
class Trial:
    """A shape to train, the rows of a step and of a pass, and what LLM Foundry reaches with its like."""

    name: str
    config: ModelConfig
    rows: int
    pass_rows: int
    published: float


# By estimate, not measured: a row of 2,048 tokens keeps about 4 GB of activations at 1B and 8 GB at 3B, beside
# 16 bytes a parameter.
TRIALS = (
    Trial("1B", MPT_1B, rows=32, pass_rows=8, published=0.418),
    Trial("replit-code-v1.5-3b", preset("replit-code-v1.5-3b"), rows=16, pass_rows=2, published=0.437),
)


def small(trial: Trial) -> Trial:
    """The same kind of network, small enough for a CPU."""
    group = trial.config.heads // trial.config.kv_heads
    config = replace(trial.config, vocabulary=512, width=96, layers=2, heads=2 * group, kv_heads=2, hidden=384)
    return replace(trial, config=config, rows=2, pass_rows=1)


def speed(trial: Trial, sequence: int, device: str, compiled: bool, steps: int) -> float:
    """Tokens a second: the median of `steps` steps."""
    torch.manual_seed(1)
    with torch.device(device):
        network = Network(trial.config)
    features = torch.compile(network.features) if compiled else network.features
    optimisers = build_optimisers(network, "adamw", 0.1)
    set_learning_rate(optimisers, 1e-4)
    precision = Precision.of(device)
    stream = torch.randint(trial.config.vocabulary, (trial.rows, sequence + 1), device=device)
    batch = (stream[:, :-1].contiguous(), stream[:, 1:].contiguous())
    durations: list[float] = []
    for _ in range(WARMING_STEPS + steps):
        started = time.perf_counter()
        # The loss comes back as a number, so the GPU has finished when the step returns.
        take_step(network, features, optimisers, batch, trial.pass_rows, precision)
        durations.append(time.perf_counter() - started)
    return trial.rows * sequence / statistics.median(durations[WARMING_STEPS:])


def line(trial: Trial, sequence: int, rate: float, peak: float | None) -> dict[str, object]:
    """What was reached. Without a known peak there is no share, and nothing that a bar could be held against."""
    result: dict[str, object] = {"name": f"gpu_training, {trial.name}", "figure": round(rate, 1), "unit": "tokens/s"}
    share = rate * trial.config.flops_per_token(sequence) / peak if peak else None
    result |= {"share_of_peak": share and round(share, 4), "peer": "LLM Foundry on an H100, published"}
    result |= {"peer_figure": trial.published, "ratio": share and round(share / trial.published, 2), "bar": BAR}
    return result | {"met": share is not None and share >= BAR}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--steps", type=int, default=10)
    arguments = parser.parse_args()
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    if gpu is None and not arguments.quick:
        sys.exit("There is no GPU here, so nothing was measured. The same code on small shapes: --quick")
    if gpu is None:
        print("There is no GPU here: small shapes on the CPU, which say nothing of speed.", file=sys.stderr)
    peak = next((peak for name, peak in PEAKS.items() if gpu and name in gpu and not arguments.quick), None)
    sequence = 128 if arguments.quick else SEQUENCE
    lines = []
    for trial in map(small, TRIALS) if arguments.quick else TRIALS:
        rate = speed(
            trial, sequence, "cuda" if gpu else "cpu", gpu is not None, 2 if arguments.quick else arguments.steps
        )
        lines.append(line(trial, sequence, rate, peak))
        print(f"{trial.name}: {rate:,.0f} tokens/s, share of the peak {lines[-1]['share_of_peak']}", file=sys.stderr)
        torch.cuda.empty_cache()
    met = all(bool(line["met"]) for line in lines)
    print(json.dumps({**lines[0], "others": lines[1:], "device": gpu or "cpu", "met": met}))


if __name__ == "__main__":
    main()
