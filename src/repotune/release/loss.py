"""What rounded weights cost, measured on held-out text beside the exact ones before anything is shipped.

Both read the same passages. The bits per byte and the lines that greedy decoding gets right say what a user would
notice; the divergence and the likeliest tokens that stay the same say how near the two are, with less noise.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from repotune.infer.engine import Engine
from repotune.model.network import Network
from repotune.tokenizer.encoding import Codec
from repotune.tokenizer.packing import TokenStore

# Held-out text is read in passages of this many tokens, so many of them; the first tokens of each are not scored.
PASSAGES, PASSAGE, UNSCORED = 32, 160, 32
# Above this share of the exact model's bits per byte something was lost: a tenth of what the smallest change of a model
# that users notice costs.
NEGLIGIBLE = 0.001


@dataclass(frozen=True)
class Loss:
    """What rounding weights cost on `tokens` positions of held-out text.

    `divergence` from the exact model's next-token distribution, mean, in nats; `agreement`, the share of positions at
    which the likeliest token stayed the same; `bits_per_byte` of the exact model and `bits_per_byte_lost`; `lines`, how
    many whole lines there are, `lines_right` of them as greedy decoding by the exact model writes them, and
    `lines_lost`, how many fewer by the rounded one (below 0 where it gets more right).
    """

    divergence: float
    agreement: float
    bits_per_byte: float
    bits_per_byte_lost: float
    lines: int
    lines_right: int
    lines_lost: int
    tokens: int

    @property
    def negligible(self) -> bool:
        """Whether nothing was lost that could be told from chance."""
        return self.lines_lost <= 0 and self.bits_per_byte_lost <= NEGLIGIBLE * self.bits_per_byte

    def as_json(self) -> dict[str, float | int]:
        """For release.json, rounded so that the order of sums does not show."""
        digits = {"divergence": 4, "agreement": 3, "bits_per_byte": 3, "bits_per_byte_lost": 4}
        return {**asdict(self), **{name: round(getattr(self, name), count) for name, count in digits.items()}}


@dataclass(frozen=True)
class _Reading:
    """A model's view of one passage: log-probabilities (positions × vocabulary) of what comes next."""

    log_p: Tensor
    meant: Tensor

    def nats(self) -> Tensor:
        return -self.log_p.gather(1, self.meant[:, None])[:, 0]

    def right(self) -> NDArray[np.bool_]:
        found: NDArray[np.bool_] = (self.log_p.argmax(1) == self.meant).numpy()
        return found


def measure_loss(exact: Network, rounded: Network | Engine, codec: Codec, passages: list[list[int]]) -> Loss:
    """What `rounded` lost against `exact` on `passages` of token ids, of which there is at least one."""
    divergence, same, nats, lost, lines = [], [], [], [], []
    size = 0
    for ids in passages:
        true, given = _read(exact, ids), _read(rounded, ids)
        divergence.append((true.log_p.exp() * (true.log_p - given.log_p)).sum(-1))
        same.append(true.log_p.argmax(-1) == given.log_p.argmax(-1))
        nats.append(true.nats())
        lost.append(given.nats() - true.nats())
        lines += [(true.right()[line].all(), given.right()[line].all()) for line in _lines(codec, ids)]
        size += len(codec.decode_bytes(ids[UNSCORED + 1 :]))
    bits = float(np.log(2)) * size
    right = [sum(bool(line[which]) for line in lines) for which in (0, 1)]
    unchanged = torch.cat(same)
    return Loss(
        divergence=float(torch.cat(divergence).mean()),
        agreement=float(unchanged.double().mean()),
        bits_per_byte=float(torch.cat(nats).sum()) / bits,
        bits_per_byte_lost=float(torch.cat(lost).sum()) / bits,
        lines=len(lines),
        lines_right=right[0],
        lines_lost=right[0] - right[1],
        tokens=len(unchanged),
    )


def held_out_passages(tokens: Path, codec: Codec, context: int) -> list[list[int]]:
    """The beginnings of the first held-out documents long enough to score, each behind its header."""
    found: list[list[int]] = []
    length = min(PASSAGE, context)
    for path, document in _documents(tokens):
        ids = [*codec.header(path), *document][:length]
        if len(ids) > UNSCORED + 1:
            found.append(ids)
        if len(found) == PASSAGES:
            break
    return found


def _documents(tokens: Path) -> Iterator[tuple[str, list[int]]]:
    for split in ("test", "validation"):
        store = TokenStore(tokens, split)
        for number in range(len(store)):
            yield store.path(number), store.document(number)[:PASSAGE].tolist()


@torch.no_grad()
def _read(model: Network | Engine, ids: list[int]) -> _Reading:
    if isinstance(model, Network):
        logits: Tensor = model(torch.tensor([ids]))[0, UNSCORED:-1]
    else:
        model.prefill(ids[:UNSCORED])
        logits = torch.from_numpy(model.extend(ids[UNSCORED:-1]))
    return _Reading(logits.double().log_softmax(-1), torch.tensor(ids[UNSCORED + 1 :]))


def _lines(codec: Codec, ids: list[int]) -> Iterator[slice]:
    """The whole lines among the scored tokens, of which a token that ends one is the last."""
    scored = ids[UNSCORED + 1 :]
    ends = [place + 1 for place, token in enumerate(scored) if b"\n" in codec.decode_bytes([token])]
    for start, end in itertools.pairwise(ends):
        yield slice(start, end)
