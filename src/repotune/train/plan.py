"""What a training run does, every number decided: the run follows it, and the same plan gives the same run."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from repotune.core.errors import UserError
from repotune.model.configuration import ModelConfig

# Tokens in one forward and backward pass. On a CPU more only leave the cache; on a GPU this fills it for the sizes
# of the ladder.
_PASS_TOKENS = {"cpu": 4096, "cuda": 32_768}
_CHECKPOINTS = 20


@dataclass(frozen=True)
class TrainPlan:
    """A training run. Amounts are in tokens. Raises UserError where they do not fit together.

    `batch_tokens` of whole rows of `sequence` make an optimiser's step. `learning_rate`, `weight_decay` and
    `checkpoint_tokens` may be left None, and are then what suits the optimiser, the size and the length of the run.
    `threads` None uses every core that this process may use.
    """

    model: ModelConfig
    tokens: int
    sequence: int
    batch_tokens: int
    optimiser: Literal["muon", "adamw"] = "muon"
    learning_rate: float | None = None
    weight_decay: float | None = None
    warmup_share: float = 0.02
    cooldown_share: float = 0.5
    infilling_rate: float = 0.5
    checkpoint_tokens: int | None = None
    device: Literal["cpu", "cuda"] = "cpu"
    threads: int | None = None
    seed: int = 1

    def __post_init__(self) -> None:
        for name in ("tokens", "sequence", "batch_tokens"):
            if getattr(self, name) < 1:
                raise UserError(f"Training needs {name} of at least 1, not {getattr(self, name)}.")
        if self.sequence > self.model.context:
            raise UserError(f"A sequence of {self.sequence} is longer than the context of {self.model.context}.")
        if self.batch_tokens < self.sequence:
            raise UserError(f"A batch of {self.batch_tokens} tokens does not hold one sequence of {self.sequence}.")
        if self.optimiser not in ("muon", "adamw"):
            raise UserError(f"There is no optimiser {self.optimiser!r}.", "optimisers: muon, adamw")
        if self.device not in _PASS_TOKENS:
            raise UserError(f"Training runs on cpu or cuda, not on {self.device!r}.")
        if not (0 <= self.infilling_rate <= 1 and 0 <= self.warmup_share < 1 and 0 <= self.cooldown_share <= 1):
            raise UserError("infilling_rate, warmup_share and cooldown_share are shares between 0 and 1.")
        if self.warmup_share + self.cooldown_share > 1:
            raise UserError("warmup_share and cooldown_share are more than the whole run together.")
        defaults = {
            "learning_rate": default_learning_rate(self.optimiser, self.model),
            "weight_decay": 0.1,
            "checkpoint_tokens": max(self.step_tokens, self.tokens // _CHECKPOINTS),
        }
        for name, value in defaults.items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)

    @property
    def peak(self) -> float:
        """The learning rate's peak, which is decided once the plan exists."""
        assert self.learning_rate is not None
        return self.learning_rate

    @property
    def decay(self) -> float:
        """The weight decay."""
        assert self.weight_decay is not None
        return self.weight_decay

    @property
    def rows(self) -> int:
        """Rows of `sequence` tokens in a step."""
        return self.batch_tokens // self.sequence

    @property
    def step_tokens(self) -> int:
        return self.rows * self.sequence

    @property
    def steps(self) -> int:
        """Optimiser steps in the run; the last may go a little beyond `tokens`."""
        return math.ceil(self.tokens / self.step_tokens)

    @property
    def checkpoint_steps(self) -> int:
        """Steps from one checkpoint to the next."""
        assert self.checkpoint_tokens is not None
        return max(1, self.checkpoint_tokens // self.step_tokens)

    @property
    def pass_rows(self) -> int:
        """Rows in one forward and backward pass: the most that divide a step evenly and fit the device."""
        limit = max(1, _PASS_TOKENS[self.device] // self.sequence)
        return max(rows for rows in range(1, min(limit, self.rows) + 1) if self.rows % rows == 0)


def default_learning_rate(optimiser: str, model: ModelConfig) -> float:
    """The peak learning rate for `model`: that of a width of 128, falling with the square root of the width.

    Muon's is in AdamW's units (its updates are scaled to AdamW's size: Moonlight, arXiv 2502.16982). Bits per byte
    after 250k tokens of 1M parameters: 2.014 at 4e-3, 1.957 at 8e-3; after 330k of 5M: 1.772 at 4e-3, 1.778 at 8e-3.
    """
    peak = {"muon": 8e-3, "adamw": 4e-3}[optimiser]
    return peak * math.sqrt(128 / max(128, model.width))
