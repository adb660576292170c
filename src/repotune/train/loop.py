"""The one training loop: a step, a line about it, and at times a look at validation text and a checkpoint."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from itertools import groupby

import torch
from torch import Tensor
from torch.optim import Optimizer

from repotune.core.console import duration
from repotune.core.flow import Work
from repotune.model.network import Network
from repotune.tokenizer.encoding import Codec
from repotune.tokenizer.packing import TokenStore
from repotune.train.anomalies import Anomaly, Watch
from repotune.train.batches import Batches, Position
from repotune.train.infilling import Rendering
from repotune.train.interruption import StopRequest
from repotune.train.metrics import Line, Logbook, Metrics, Pace
from repotune.train.optimisers import set_learning_rate
from repotune.train.plan import Stage, TrainPlan
from repotune.train.state import Progress, write_checkpoint
from repotune.train.step import Precision, take_step
from repotune.train.tensorboard import TensorBoard
from repotune.train.validation import Validation


@dataclass
class Training:
    """What changes in a run."""

    network: Network
    optimisers: list[Optimizer]
    progress: Progress


@dataclass(frozen=True)
class Setback:
    """A step that must not be kept. `position` is where the data after it begins."""

    step: int
    position: Position
    anomaly: Anomaly


def train(
    work: Work, plan: TrainPlan, codec: Codec, training: Training, logbook: Logbook, stop: StopRequest
) -> Setback | None:
    """Takes the steps that `training` has not taken, with a checkpoint wherever one is due.

    Returns the setback that ended it, or None when the run is finished. Raises KeyboardInterrupt after a checkpoint
    when `stop` was asked for.
    """
    network, optimisers = training.network, training.optimisers
    validation = _validation(work, plan, codec)
    precision = Precision.of(plan.device)
    separator = codec.file_sep if plan.document_attention else None
    features = torch.compile(network.features) if training.progress.compiled else network.features
    remaining = plan.tokens_after(plan.steps) - plan.tokens_after(training.progress.step)
    with (
        Metrics(work.folder / "metrics.jsonl", training.progress.step) as metrics,
        _tensorboard(work, plan, training.progress.step) as tensorboard,
        work.console.progress("training", remaining, "tokens") as bar,
    ):
        watch, pace = Watch(metrics.losses), Pace(plan)
        for step, stage, batch, position in _batches(work, plan, codec, training.progress):
            started = time.perf_counter()
            _seed_dropout(plan, step)
            if network.config.rope_base != plan.rope_base(step):
                network.stretch(network.config.context, plan.rope_base(step))
            rate = plan.learning_rate_at(step)
            set_learning_rate(optimisers, rate)
            rows = stage.pass_rows(plan.device)
            loss, norm = take_step(network, features, optimisers, batch, rows, precision, separator)
            if anomaly := watch.judge(loss, norm):
                return Setback(step, position, anomaly)
            line = Line(step, plan.tokens_after(step), loss, rate, norm)
            pace.take(line, stage.step_tokens, time.perf_counter() - started)
            due = plan.ends_with_checkpoint(step)
            if due and validation:
                line.scores = validation.measure(network, precision)
                logbook.note(f"step {step:,}: loss {loss:.3f}, {line.scores.describe()}.")
            metrics.append(line, seconds=time.perf_counter() - started)
            if tensorboard:
                tensorboard.append(line)
            bits = line.scores.bits_per_byte if line.scores else None
            training.progress = replace(training.progress, step=step, position=position, bits_per_byte=bits)
            if due or stop.made:
                metrics.sync()
                write_checkpoint(work.folder, network, optimisers, training.progress, work.inputs["tokenizer"])
            if stop.made:
                logbook.note(f"Stopped by a signal after step {step:,}; the checkpoint holds everything so far.")
                raise KeyboardInterrupt
            bar.advance(stage.step_tokens, line.describe())
        logbook.note(f"Finished after {plan.steps:,} steps and {duration(metrics.seconds)} of training.")
    return None


def _batches(
    work: Work, plan: TrainPlan, codec: Codec, progress: Progress
) -> Iterator[tuple[int, Stage, tuple[Tensor, Tensor], Position]]:
    """The steps to take: number, stage, ids and targets B×T, and the position after them.

    Stages of one sequence length go on in one stream; where the length changes, pieces are others, and a new epoch
    begins.
    """
    store, position = TokenStore(work.inputs["tokens"], "train"), progress.position
    sequence = plan.stage(max(1, progress.step)).sequence
    for stage, steps in groupby(range(progress.step + 1, plan.steps + 1), plan.stage):
        if position is not None and stage.sequence != sequence:
            position = Position(position.epoch + 1)
        sequence = stage.sequence
        rendering = Rendering(codec, sequence, plan.infilling_rate, plan.seed, plan.syntax_share)
        batches = Batches(store, rendering, stage.rows, position)
        for step in steps:
            batch = batches.next()
            position = batches.position
            yield step, stage, batch, position


def _tensorboard(work: Work, plan: TrainPlan, step: int) -> AbstractContextManager[TensorBoard | None]:
    return TensorBoard(work.folder / "tensorboard", step) if plan.tensorboard else nullcontext()


def _seed_dropout(plan: TrainPlan, step: int) -> None:
    """What is dropped is a function of seed and step, so a checkpoint holds no generator's state."""
    if plan.dropout:
        torch.manual_seed(plan.seed * 2**32 + step)


def _validation(work: Work, plan: TrainPlan, codec: Codec) -> Validation | None:
    store = TokenStore(work.inputs["tokens"], "validation")
    if len(store) == 0:
        work.console.warn("there is no validation text, so the run is not measured on any")
        return None
    return Validation(store, codec, plan)
