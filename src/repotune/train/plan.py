"""What a training run does, every number decided: the run follows it, and the same plan gives the same run."""

from __future__ import annotations

import itertools
import math
from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, get_args

from repotune.core.errors import UserError
from repotune.model.configuration import LoRA, ModelConfig
from repotune.train.schedules import Schedule, ScheduleName

OptimiserName = Literal["muon", "adamw", "lionw"]

# Tokens in one forward and backward pass. On a CPU more only leave the cache; on a GPU this fills it for the sizes
# of the ladder.
_PASS_TOKENS = {"cpu": 4096, "cuda": 32_768}
_CHECKPOINTS = 20
# An adapter's rate against that of the whole network: at a width of 4,096 AdamW's 7e-4 becomes the 3.5e-4 that LoRA is
# mostly trained with.
_ADAPTER_RATE = 0.5


@dataclass(frozen=True)
class Stage:
    """A part of a run: `tokens` of it, in rows of `sequence`, whole rows of at most `batch_tokens` a step.

    A `rope_base` holds from there on: longer rows want a larger one, so that no rotation meets an angle it has not
    learnt (StarCoder2 went from 1e5 to 1e6 between rows of 4k and 16k).
    """

    tokens: int
    sequence: int
    batch_tokens: int
    rope_base: float | None = None

    def __post_init__(self) -> None:
        for name in ("tokens", "sequence", "batch_tokens"):
            if getattr(self, name) < 1:
                raise UserError(f"Training needs {name} of at least 1, not {getattr(self, name)}.")
        if self.batch_tokens < self.sequence:
            raise UserError(f"A batch of {self.batch_tokens} tokens does not hold one sequence of {self.sequence}.")

    @property
    def rows(self) -> int:
        """Rows of `sequence` tokens in a step."""
        return self.batch_tokens // self.sequence

    @property
    def step_tokens(self) -> int:
        return self.rows * self.sequence

    @property
    def steps(self) -> int:
        """Optimiser steps; the last may go a little beyond `tokens`."""
        return math.ceil(self.tokens / self.step_tokens)

    def pass_rows(self, device: str) -> int:
        """Rows in one forward and backward pass: the most that divide a step evenly and fit the device."""
        limit = max(1, _PASS_TOKENS[device] // self.sequence)
        return max(rows for rows in range(1, min(limit, self.rows) + 1) if self.rows % rows == 0)


@dataclass(frozen=True)
class TrainPlan:
    """A training run. Amounts are in tokens. Raises UserError where they do not fit together.

    `stages` are its parts in order, one after another over the same weights and schedule: a growing `batch_tokens` is
    a batch ramp, a growing `sequence` the way to a long context. `learning_rate`, `weight_decay`, `final_share` and
    `checkpoint_tokens` may be left None, and are then what suits the optimiser, the schedule, the size and the length
    of the run. With `document_attention` no token sees another document of its row. With an `adapter` a base is
    continued by low-rank matrices alone. `threads` None uses every core that this process may use.
    """

    model: ModelConfig
    stages: tuple[Stage, ...]
    optimiser: OptimiserName = "muon"
    learning_rate: float | None = None
    weight_decay: float | None = None
    schedule: ScheduleName = "wsd"
    warmup_share: float = 0.02
    cooldown_share: float = 0.5
    final_share: float | None = None
    dropout: float = 0.0
    adapter: LoRA | None = None
    infilling_rate: float = 0.5
    syntax_share: float = 0.5
    document_attention: bool = True
    checkpoint_tokens: int | None = None
    device: Literal["cpu", "cuda"] = "cpu"
    threads: int | None = None
    tensorboard: bool = False
    seed: int = 1

    def __post_init__(self) -> None:
        if not self.stages:
            raise UserError("A run needs at least one stage.")
        if self.sequence > self.model.context:
            raise UserError(f"A sequence of {self.sequence} is longer than the context of {self.model.context}.")
        if self.device not in _PASS_TOKENS:
            raise UserError(f"Training runs on cpu or cuda, not on {self.device!r}.")
        for name, kind in (("optimiser", OptimiserName), ("schedule", ScheduleName)):
            if getattr(self, name) not in get_args(kind):
                raise UserError(f"There is no {name} {getattr(self, name)!r}.", f"{name}s: {', '.join(get_args(kind))}")
        for name in ("warmup_share", "cooldown_share", "final_share", "dropout", "infilling_rate", "syntax_share"):
            if not 0 <= (getattr(self, name) or 0.0) <= 1:
                raise UserError(f"{name} is a share between 0 and 1, not {getattr(self, name)}.")
        if self.warmup_share + self.cooldown_share > 1:
            raise UserError("warmup_share and cooldown_share are more than the whole run together.")
        self._decide()

    @classmethod
    def simple(cls, model: ModelConfig, tokens: int, sequence: int, batch_tokens: int, **settings: Any) -> TrainPlan:
        """A run of one stage."""
        return cls(model, (Stage(tokens, sequence, batch_tokens),), **settings)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> TrainPlan:
        """The plan of which `data` is `dataclasses.asdict`, as JSON keeps it."""
        stages = tuple(Stage(**stage) for stage in data["stages"])
        lora = data["adapter"]
        adapter = LoRA(lora["rank"], lora["alpha"], tuple(lora["targets"])) if lora else None
        return cls(**{**data, "model": ModelConfig(**data["model"]), "stages": stages, "adapter": adapter})

    def _decide(self) -> None:
        """Fills what was left open."""
        defaults = {
            "learning_rate": default_learning_rate(self.optimiser, self.model) * (_ADAPTER_RATE if self.adapter else 1),
            "weight_decay": default_weight_decay(self.optimiser, epochs=1.0),
            "final_share": 0.1 if self.schedule in ("cosine", "infinite") else 0.0,
            "checkpoint_tokens": max(self.stages[-1].step_tokens, self.tokens // _CHECKPOINTS),
        }
        for name, value in defaults.items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)

    @property
    def tokens(self) -> int:
        return sum(stage.tokens for stage in self.stages)

    @property
    def sequence(self) -> int:
        """The longest sequence of the run, for which the trained model is meant."""
        return max(stage.sequence for stage in self.stages)

    @property
    def steps(self) -> int:
        """Optimiser steps in the run."""
        return self._ends[-1]

    def stage(self, step: int) -> Stage:
        """The stage of `step`, which counts from 1."""
        return self.stages[min(bisect_right(self._ends, step - 1), len(self.stages) - 1)]

    def rope_base(self, step: int) -> float:
        """The base of the rotations at `step`: the last that a stage up to it states, else the model's."""
        begun = self.stages[: self.stages.index(self.stage(step)) + 1]
        return next((stage.rope_base for stage in reversed(begun) if stage.rope_base), self.model.rope_base)

    def tokens_after(self, step: int) -> int:
        """Tokens that the run has seen after `step` steps."""
        starts = (0, *self._ends)
        taken = (min(max(step - start, 0), stage.steps) for start, stage in zip(starts, self.stages, strict=False))
        return sum(count * stage.step_tokens for count, stage in zip(taken, self.stages, strict=True))

    def learning_rate_at(self, step: int) -> float:
        """The rate of a step, taken at its middle, so that neither the first nor the last is without effect."""
        assert self.learning_rate is not None and self.final_share is not None
        schedule = Schedule(self.schedule, self.warmup_share, self.cooldown_share, self.final_share)
        middle = (self.tokens_after(step - 1) + self.tokens_after(step)) / 2
        return self.learning_rate * schedule.share(middle, self.tokens_after(self.steps))

    def ends_with_checkpoint(self, step: int) -> bool:
        """Whether a checkpoint is due after `step`: one every `checkpoint_tokens`, and one at the end of the run."""
        assert self.checkpoint_tokens is not None
        before, after = (self.tokens_after(number) // self.checkpoint_tokens for number in (step - 1, step))
        return after > before or step == self.steps

    @property
    def decay(self) -> float:
        """The weight decay, which is decided once the plan exists."""
        assert self.weight_decay is not None
        return self.weight_decay

    @cached_property
    def _ends(self) -> tuple[int, ...]:
        """The last step of each stage."""
        return tuple(itertools.accumulate(stage.steps for stage in self.stages))


def default_learning_rate(optimiser: OptimiserName, model: ModelConfig) -> float:
    """The peak learning rate for `model`: that of a width of 128, falling with the square root of the width.

    Muon's is in AdamW's units (its updates are scaled to AdamW's size: Moonlight, arXiv 2502.16982). Bits per byte
    after 250k tokens of 1M parameters: 2.014 at 4e-3, 1.957 at 8e-3; after 330k of 5M: 1.772 at 4e-3, 1.778 at 8e-3.
    AdamW after 1M tokens of 1M parameters: 1.620 at 1e-3, 1.540 at 2e-3, 1.598 at 4e-3, 1.725 at 8e-3; LionW 1.553 at
    8e-4, 0.4 of AdamW's (its paper says a third to a tenth).
    """
    peak = {"muon": 8e-3, "adamw": 2e-3, "lionw": 8e-4}[optimiser]
    return peak * math.sqrt(128 / max(128, model.width))


def default_weight_decay(optimiser: OptimiserName, epochs: float) -> float:
    """What suits so many epochs of one corpus: a tenth for each, from 0.1 to 1.2. LionW's is five times that, with
    which it was measured: its rate is smaller.

    Repetition wants far more decay than fresh text (arXiv 2509.14786). Bits per byte of other files, 1M parameters,
    Muon at 8e-3: after 12 epochs of 195k tokens 1.832 at 0.1, 1.578 at 0.5, 1.493 at 1, 1.516 at 2; after a quarter of
    an epoch 1.509 at 0.1, 1.520 at 0.5, 1.545 at 1.
    """
    decay = 0.1 * min(max(epochs, 1.0), 12.0)
    return 5 * decay if optimiser == "lionw" else decay
