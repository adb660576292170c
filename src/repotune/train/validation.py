"""A cheap look at text that is not trained on: the same few rows each time, so that the values compare."""

from __future__ import annotations

import math

import torch

from repotune.model.network import Network
from repotune.tokenizer.encoding import Codec
from repotune.tokenizer.packing import TokenStore
from repotune.train.batches import Batches
from repotune.train.infilling import Rendering
from repotune.train.loss import token_losses
from repotune.train.plan import TrainPlan
from repotune.train.step import Precision

# A forward pass costs a third of a step; an eighth of the tokens between checkpoints is 4 % of the time.
_SHARE = 1 / 8
_MOST_TOKENS = 65_536


class Validation:
    """A fixed part of the validation split, not infilled."""

    def __init__(self, store: TokenStore, codec: Codec, plan: TrainPlan) -> None:
        wanted = min(store.tokens, _MOST_TOKENS, int(plan.checkpoint_steps * plan.step_tokens * _SHARE))
        rows = max(1, wanted // plan.sequence)
        # A seed of its own: another training seed is measured on the same text.
        batches = Batches(store, Rendering(codec, plan.sequence, infilling_rate=0.0, seed=0), rows=1)
        self._rows = [batches.next() for _ in range(rows)]
        self._bytes = sum(len(codec.decode_bytes(_ordinary(targets, codec))) for _, targets in self._rows)

    @torch.no_grad()
    def measure(self, network: Network, precision: Precision) -> tuple[float, float]:
        """(nats per token, bits per byte of the text). Headers and ends count as tokens, but not as bytes."""
        total, count = 0.0, 0
        for ids_1T, targets_1T in self._rows:
            with precision.autocast():
                losses_1T = token_losses(network, ids_1T.to(precision.device), targets_1T.to(precision.device))
            total += float(losses_1T.double().sum())
            count += losses_1T.numel()
        return total / count, total / math.log(2) / max(1, self._bytes)


def _ordinary(targets_1T: torch.Tensor, codec: Codec) -> list[int]:
    special = {codec.end, codec.file_sep}
    return [token for token in targets_1T.flatten().tolist() if token not in special]
