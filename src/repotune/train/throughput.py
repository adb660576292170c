"""How many tokens per second a plan will train with here, from a few real steps."""

from __future__ import annotations

import statistics
import time
from typing import Literal

import torch

from repotune.model.configuration import ModelConfig
from repotune.model.network import Network
from repotune.train.allocation import keep_freed_memory
from repotune.train.optimisers import build_optimisers
from repotune.train.plan import TrainPlan
from repotune.train.step import Precision, take_step

_SECONDS = 3.0
_LEAST_STEPS = 2


def measure(
    config: ModelConfig, sequence: int, batch_tokens: int, device: Literal["cpu", "cuda"], threads: int
) -> float:
    """Tokens per second: the median of the steps that fit into three seconds (two at least), on random tokens with
    the default optimiser and the passes that training makes, after one that warms up. Not compiled."""
    plan = TrainPlan.simple(config, batch_tokens, sequence, batch_tokens, device=device, threads=threads)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    keep_freed_memory()  # as training does
    try:
        durations = _durations(plan)
    finally:
        torch.set_num_threads(before)
    return plan.stages[0].step_tokens / statistics.median(durations)


def _durations(plan: TrainPlan) -> list[float]:
    """Seconds of each step after the first."""
    generator = torch.Generator().manual_seed(plan.seed)
    with torch.random.fork_rng(devices=[]):
        network = Network(plan.model).to(plan.device)
    optimisers = build_optimisers(network, plan.optimiser, plan.decay)
    precision = Precision.of(plan.device)
    rows, pass_rows = plan.stages[0].rows, plan.stages[0].pass_rows(plan.device)
    durations: list[float] = []
    while len(durations) <= _LEAST_STEPS or sum(durations) < _SECONDS:
        shape = (rows, plan.sequence + 1)
        stream = torch.randint(plan.model.vocabulary, shape, generator=generator)
        started = time.perf_counter()
        # The loss comes back as a number, so a GPU has finished when the step returns.
        take_step(network, network.features, optimisers, (stream[:, :-1], stream[:, 1:]), pass_rows, precision)
        durations.append(time.perf_counter() - started)
    return durations[1:]
