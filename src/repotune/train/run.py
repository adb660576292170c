"""tokens/ → run/: the one training loop.

A run is a function of its plan and its inputs. Killed at any moment and started again it goes on from its last
checkpoint and ends, on one thread, with the losses and weights it would have had, bit for bit.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch.optim import Optimizer

from repotune.core.console import duration
from repotune.core.errors import UserError
from repotune.core.flow import Work
from repotune.core.hardware import available_cores
from repotune.model.network import Network
from repotune.model.weights import save_model
from repotune.tokenizer.encoding import Codec, load_codec
from repotune.tokenizer.packing import TokenStore
from repotune.train.batches import Batches, Position
from repotune.train.compilation import compilation_pays
from repotune.train.infilling import Rendering
from repotune.train.interruption import noticing_signals
from repotune.train.metrics import Logbook, Metrics
from repotune.train.optimisers import build_optimisers, set_learning_rate
from repotune.train.plan import TrainPlan
from repotune.train.schedules import trapezoid
from repotune.train.state import Progress, read_checkpoint, resumable_checkpoint, write_checkpoint
from repotune.train.step import Precision, take_step
from repotune.train.validation import Validation


def build_run(work: Work, plan: TrainPlan) -> None:
    """Trains by `plan`, or goes on with what `work.folder` holds. Writes checkpoints/, initial/, metrics.jsonl and
    logbook.md.

    SIGINT and SIGTERM end it after the current step and a checkpoint, with KeyboardInterrupt. Raises UserError where
    the inputs do not fit the plan, and where the loss is no longer a number; the last checkpoint is then kept.
    """
    codec = load_codec(work.inputs["tokenizer"])
    _check(plan, codec)
    with _threads(plan.threads or available_cores()), noticing_signals() as stop:
        logbook = Logbook(work.folder / "logbook.md")
        training = _resume(work, plan, logbook) or _begin(work, plan, logbook)
        network, optimisers = training.network, training.optimisers
        batches = _batches(work, plan, codec, training.progress.position)
        validation = _validation(work, plan, codec)
        precision = Precision.of(plan.device)
        features = torch.compile(network.features) if training.progress.compiled else network.features
        steps = range(training.progress.step + 1, plan.steps + 1)
        with (
            Metrics(work.folder / "metrics.jsonl", training.progress.step) as metrics,
            work.console.progress("training", len(steps) * plan.step_tokens, "tokens") as bar,
        ):
            for step in steps:
                started = time.perf_counter()
                learning_rate = _learning_rate(plan, step)
                set_learning_rate(optimisers, learning_rate)
                loss, norm = take_step(network, features, optimisers, batches.next(), plan.pass_rows, precision)
                if not (math.isfinite(loss) and math.isfinite(norm)):
                    raise _diverged(step, loss, logbook)
                speed = plan.step_tokens / (time.perf_counter() - started)
                line: dict[str, Any] = {"step": step, "tokens": step * plan.step_tokens, "loss": loss}
                line |= {"learning_rate": learning_rate, "gradient_norm": norm, "tokens_per_second": round(speed, 1)}
                due = step % plan.checkpoint_steps == 0 or step == plan.steps
                if due and validation:
                    nats, bits = validation.measure(network, precision)
                    line |= {"validation_loss": nats, "validation_bits_per_byte": bits}
                    logbook.note(f"step {step:,}: loss {loss:.3f}, {bits:.3f} bits per byte of validation text.")
                metrics.append(line, seconds=time.perf_counter() - started)
                if due or stop.made:
                    metrics.sync()
                    progress = Progress(step, batches.position, training.progress.compiled)
                    write_checkpoint(work.folder, network, optimisers, progress, work.inputs["tokenizer"])
                if stop.made:
                    logbook.note(f"Stopped by a signal after step {step:,}; the checkpoint holds everything so far.")
                    raise KeyboardInterrupt
                bar.advance(plan.step_tokens, f"loss {loss:.3f}, {speed:,.0f} tokens/s")
        logbook.note(f"Finished after {plan.steps:,} steps and {duration(metrics.seconds)} of training.")


@dataclass
class _Training:
    network: Network
    optimisers: list[Optimizer]
    progress: Progress


def _begin(work: Work, plan: TrainPlan, logbook: Logbook) -> _Training:
    """A fresh network, kept as initial/ for comparison."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(plan.seed)
        network = Network(plan.model)
    save_model(work.folder / "initial", network, work.inputs["tokenizer"])
    compiled, reason = compilation_pays(plan, plan.threads or available_cores())
    about = (
        f"{plan.model.parameters():,} parameters, {plan.steps:,} steps of {plan.step_tokens:,} tokens by "
        f"{plan.optimiser} at {plan.learning_rate:.2g}, on {plan.device}"
    )
    work.console.say(f"  {about}; {reason}")
    logbook.note(f"Begun: {about}; {reason}.")
    network.to(plan.device)
    optimisers = build_optimisers(network, plan.optimiser, plan.decay)
    return _Training(network, optimisers, Progress(0, Position(), compiled))


def _resume(work: Work, plan: TrainPlan, logbook: Logbook) -> _Training | None:
    """What the last whole checkpoint holds, or None without one."""

    def warn(message: str) -> None:
        work.console.warn(message)
        logbook.note(f"Warning: {message}.")

    folder = resumable_checkpoint(work.folder, warn)
    if folder is None:
        return None
    stored, states, progress = read_checkpoint(folder)
    # Copied out of the mapped file, so that numbers lie in memory as in an uninterrupted run.
    network = Network(plan.model)
    network.load_state_dict(stored.state_dict())
    network.to(plan.device)
    optimisers = build_optimisers(network, plan.optimiser, plan.decay)
    for optimiser, state in zip(optimisers, states, strict=True):
        optimiser.load_state_dict(state)
    work.console.say(f"  goes on from step {progress.step:,} of {plan.steps:,}")
    logbook.note(f"Resumed from step {progress.step:,}.")
    return _Training(network, optimisers, progress)


def _batches(work: Work, plan: TrainPlan, codec: Codec, position: Position) -> Batches:
    rendering = Rendering(codec, plan.sequence, plan.infilling_rate, plan.seed)
    return Batches(TokenStore(work.inputs["tokens"], "train"), rendering, plan.rows, position)


def _validation(work: Work, plan: TrainPlan, codec: Codec) -> Validation | None:
    store = TokenStore(work.inputs["tokens"], "validation")
    if len(store) == 0:
        work.console.warn("there is no validation text, so the run is not measured on any")
        return None
    return Validation(store, codec, plan)


def _learning_rate(plan: TrainPlan, step: int) -> float:
    """The rate of a step, taken at its middle, so that neither the first nor the last is without effect."""
    middle = (step - 0.5) * plan.step_tokens
    total = plan.steps * plan.step_tokens
    return plan.peak * trapezoid(middle, total, plan.warmup_share, plan.cooldown_share)


def _check(plan: TrainPlan, codec: Codec) -> None:
    if plan.model.vocabulary != codec.size:
        raise UserError(
            f"The plan's model has a vocabulary of {plan.model.vocabulary:,}, the tokenizer one of {codec.size:,}.",
            "make the plan again: repotune run --discard plan",
        )
    if plan.device == "cuda" and not torch.cuda.is_available():
        raise UserError("The plan trains on cuda, but torch finds no GPU.", 'set train.device to "cpu"')


def _diverged(step: int, loss: float, logbook: Logbook) -> UserError:
    logbook.note(f"Stopped: the loss was {loss} at step {step:,}.")
    return UserError(
        f"Training diverged: the loss or its gradient is not finite at step {step:,} (loss {loss}).",
        "lower train.learning_rate, then: repotune run --discard run; the last good checkpoint is kept until then",
    )


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
