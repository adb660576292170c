"""What computes for paged streams: rows of any of them in, logits out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from repotune.infer.engine import Logits
from repotune.infer.paged.pages import Pages, Stream
from repotune.model.configuration import ModelConfig


class Passes(Protocol):
    """A model on a device, with pages for its streams. One call of `compute` at a time."""

    @property
    def config(self) -> ModelConfig:
        """The model's shape."""

    @property
    def precision(self) -> str:
        """As `Engine.precision`."""

    @property
    def most_rows(self) -> int:
        """Rows computed in one pass, at most."""

    @property
    def rows_beside_steps(self) -> int:
        """New rows of prompts in a pass that also has tokens of other streams, which wait for it."""

    @property
    def pages(self) -> Pages:
        """Where the streams' keys and values lie."""

    def compute(self, parts: Sequence[tuple[Stream, Sequence[int], int]]) -> list[Logits]:
        """Appends each part's ids to its stream and returns the logits after the last of them, as many rows as the
        part's number says (count × vocabulary, float32).

        The streams differ from each other, and hold together at most `most_rows` new ids. Raises Cancelled, and
        PagesFullError where there is no room; then no stream has changed.
        """

    def cancel(self) -> None:
        """Makes the call under way raise Cancelled at its next layer, or the next call. From any thread."""

    def resume(self) -> None:
        """Takes an earlier `cancel` back."""

    def settle(self) -> None:
        """Waits for what is done once for the shapes that were computed, beside the passes, to make them quicker."""
