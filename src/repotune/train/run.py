"""tokens/ → run/: a training run, from its plan to its last checkpoint.

A run is a function of its plan and its inputs. Killed at any moment and started again it goes on from its last
checkpoint and ends, on one thread, with the losses and weights it would have had, bit for bit. Where the loss goes
wrong it returns to the last checkpoint and leaves out the data since, as was done for PaLM (Chowdhery et al. 2022).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch

from repotune.core.errors import UserError
from repotune.core.flow import Work
from repotune.core.hardware import available_cores
from repotune.model.adapters import load_adapter_state
from repotune.model.network import Network
from repotune.model.weights import save_model
from repotune.tokenizer.encoding import Codec, load_codec
from repotune.train.allocation import keep_freed_memory
from repotune.train.base import adapt, network_of_base
from repotune.train.batches import Position
from repotune.train.compilation import compilation_pays
from repotune.train.interruption import noticing_signals
from repotune.train.loop import Setback, Training, train
from repotune.train.metrics import Logbook
from repotune.train.optimisers import build_optimisers
from repotune.train.plan import TrainPlan
from repotune.train.state import Progress, read_checkpoint, resumable_checkpoint, write_checkpoint

_MOST_SETBACKS = 3


def build_run(work: Work, plan: TrainPlan) -> None:
    """Trains by `plan`, or goes on with what `work.folder` holds. Writes checkpoints/, initial/, metrics.jsonl and
    logbook.md.

    SIGINT and SIGTERM end it after the current step and a checkpoint, with KeyboardInterrupt. Raises UserError where
    the inputs do not fit the plan, and where the loss goes wrong again and again; the last checkpoint is then kept.
    """
    codec = load_codec(work.inputs["tokenizer"])
    _check(plan, codec, "base" in work.inputs)
    logbook = Logbook(work.folder / "logbook.md")
    keep_freed_memory()
    with _threads(plan.threads or available_cores()), noticing_signals() as stop:
        training = _resume(work, plan, logbook) or _begin(work, plan, logbook)
        while setback := train(work, plan, codec, training, logbook, stop):
            training = _step_back(work, plan, logbook, setback)


def _begin(work: Work, plan: TrainPlan, logbook: Logbook) -> Training:
    """A fresh network or the base, kept as initial/ for comparison."""
    network = _first_network(work, plan)
    save_model(work.folder / "initial", network, work.inputs["tokenizer"])
    adapt(network, plan.adapter, plan.seed)
    compiled, reason = compilation_pays(plan, plan.threads or available_cores())
    trained = sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
    of_all = "" if trained == plan.model.parameters() else f" of {plan.model.parameters():,}"
    about = (
        f"{trained:,}{of_all} parameters, {plan.steps:,} steps of {_step_tokens(plan)} tokens by "
        f"{plan.optimiser} at {plan.learning_rate:.2g}, on {plan.device}"
    )
    work.console.say(f"  {about}; {reason}")
    logbook.note(f"{'Begun from the base' if 'base' in work.inputs else 'Begun'}: {about}; {reason}.")
    network.to(plan.device)
    optimisers = build_optimisers(network, plan.optimiser, plan.decay)
    return Training(network, optimisers, Progress(0, None, compiled))


def _first_network(work: Work, plan: TrainPlan) -> Network:
    if "base" in work.inputs:
        return network_of_base(work.inputs["base"], plan.model, plan.dropout)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(plan.seed)
        return Network(plan.model, plan.dropout)


def _resume(work: Work, plan: TrainPlan, logbook: Logbook) -> Training | None:
    """What the last whole checkpoint holds, or None without one."""

    def warn(message: str) -> None:
        work.console.warn(message)
        logbook.note(f"Warning: {message}.")

    folder = resumable_checkpoint(work.folder, warn)
    if folder is None:
        return None
    checkpoint = read_checkpoint(folder)
    if plan.adapter is not None:
        network = _first_network(work, plan)
        adapt(network, plan.adapter, plan.seed)
        load_adapter_state(network, checkpoint.adapters)
    else:
        # Copied out of the mapped file, so that numbers lie in memory as in an uninterrupted run.
        network = Network(plan.model, plan.dropout)
        network.load_state_dict(checkpoint.network().state_dict())
    network.to(plan.device)
    optimisers = build_optimisers(network, plan.optimiser, plan.decay)
    for optimiser, state in zip(optimisers, checkpoint.optimisers, strict=True):
        optimiser.load_state_dict(state)
    progress = checkpoint.progress
    work.console.say(f"  goes on from step {progress.step:,} of {plan.steps:,}")
    logbook.note(f"Resumed from step {progress.step:,}.")
    return Training(network, optimisers, progress)


def _step_back(work: Work, plan: TrainPlan, logbook: Logbook, setback: Setback) -> Training:
    """The last checkpoint with the data after the setback. It is written as such, so that a kill changes nothing."""
    logbook.note(f"Setback at step {setback.step:,}: {setback.anomaly.what}.")
    training = _resume(work, plan, logbook) if setback.anomaly.mendable else None
    if training is None or training.progress.setbacks == _MOST_SETBACKS:
        raise _went_wrong(setback)
    back = training.progress
    # Another stage's rows may be of another length, whose positions are others too: there a new epoch begins.
    same = plan.stage(back.step + 1).sequence == plan.stage(setback.step).sequence
    position = setback.position if same or back.position is None else Position(back.position.epoch + 1)
    training.progress = replace(back, position=position, setbacks=back.setbacks + 1)
    write_checkpoint(work.folder, training.network, training.optimisers, training.progress, work.inputs["tokenizer"])
    work.console.warn(f"{setback.anomaly.what}; back to step {back.step:,}, without the data since")
    logbook.note(f"Back to step {back.step:,}, without the data since ({back.setbacks + 1} of {_MOST_SETBACKS}).")
    return training


def _step_tokens(plan: TrainPlan) -> str:
    sizes = sorted({stage.step_tokens for stage in plan.stages})
    return " to ".join(f"{size:,}" for size in dict.fromkeys((sizes[0], sizes[-1])))


def _check(plan: TrainPlan, codec: Codec, continued: bool) -> None:
    if plan.model.vocabulary != codec.size:
        raise UserError(
            f"The plan's model has a vocabulary of {plan.model.vocabulary:,}, the tokenizer one of {codec.size:,}.",
            "make the plan again: repotune run --discard plan",
        )
    if plan.adapter is not None and not continued:
        raise UserError("An adapter needs a base to stand in.", 'name one: model.base = "FOLDER"')
    if plan.device == "cuda" and not torch.cuda.is_available():
        raise UserError("The plan trains on cuda, but torch finds no GPU.", 'set train.device to "cpu"')


def _went_wrong(setback: Setback) -> UserError:
    if not setback.anomaly.mendable:
        return UserError(
            f"Training is of no use: {setback.anomaly.what} (step {setback.step:,}).",
            "the corpus may be small or repeat itself: fewer epochs, or more text; the last checkpoint is kept",
        )
    return UserError(
        f"Training diverged: {setback.anomaly.what} (step {setback.step:,}).",
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
