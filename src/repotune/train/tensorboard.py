"""A run's lines as event files for TensorBoard, beside metrics.jsonl."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from repotune.core.errors import UserError
from repotune.train.metrics import Line

_SCALARS = ("loss", "learning_rate", "gradient_norm", "tokens_per_second", "share_of_peak", "memory")


class TensorBoard:
    """Scalars a step in `folder`. Of a run that resumes at `step`, what an interrupted one wrote beyond it is hidden.

    Raises UserError where tensorboardX is not installed.
    """

    def __init__(self, folder: Path, step: int) -> None:
        try:
            from tensorboardX import SummaryWriter
        except ModuleNotFoundError:
            raise UserError(
                "train.tensorboard needs tensorboardX.", "pip install 'repotune[tensorboard]', or leave it out"
            ) from None
        self._writer = SummaryWriter(str(folder), purge_step=step + 1)

    def append(self, line: Line) -> None:
        """Adds a step's numbers and, where they were measured, its scores."""
        for name in _SCALARS:
            self._writer.add_scalar(f"training/{name}", getattr(line, name), line.step)
        if line.scores:
            self._writer.add_scalar("validation/bits_per_byte", line.scores.bits_per_byte, line.step)
            for language, bits in line.scores.languages.items():
                self._writer.add_scalar(f"validation/{language}", bits, line.step)
            if line.scores.infilling is not None:
                self._writer.add_scalar("validation/infilling", line.scores.infilling, line.step)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._writer.close()
