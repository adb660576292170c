"""A cheap look at text that is not trained on: the same few pieces each time, so that the values compare.

    scores = Validation(store, codec, plan).measure(network, precision)
    scores.bits_per_byte, scores.languages, scores.infilling

Bits per byte do not depend on the vocabulary; headers and ends are not text and do not count.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from repotune.model.network import Network
from repotune.tokenizer.encoding import Codec
from repotune.tokenizer.packing import TokenStore
from repotune.train.infilling import Rendering
from repotune.train.loss import token_losses
from repotune.train.plan import TrainPlan
from repotune.train.step import Precision

# A forward pass costs a third of a step; a tenth of the tokens between checkpoints is 3 % of the time.
_SHARE = 1 / 10
_MOST_TOKENS = 65_536
_INFILLED = 1 / 4  # of the pieces that are read plain


@dataclass(frozen=True)
class Scores:
    """`nats` per token of plain text, `bits_per_byte` of it in all and by language, and those of what stands in holes
    (`infilling`, None where holes were not trained)."""

    nats: float
    bits_per_byte: float
    languages: dict[str, float]
    infilling: float | None

    def as_json(self) -> dict[str, Any]:
        """The scores as a line of metrics.jsonl has them."""
        return {
            "validation_loss": self.nats,
            "validation_bits_per_byte": self.bits_per_byte,
            "validation_languages": self.languages,
            "validation_infilling_bits_per_byte": self.infilling,
        }

    def describe(self) -> str:
        holes = "" if self.infilling is None else f", {self.infilling:.3f} in holes"
        return f"{self.bits_per_byte:.3f} bits per byte of validation text{holes}"


@dataclass(frozen=True)
class Piece:
    """Ids, shape 1×T, of which those from `first` on are scored; they spell `size` bytes."""

    ids: Tensor
    first: int
    size: int
    language: str


class Validation:
    """A fixed part of the validation split: pieces plain and, where the plan infills, some with a hole."""

    def __init__(self, store: TokenStore, codec: Codec, plan: TrainPlan) -> None:
        assert plan.checkpoint_tokens is not None
        # A seed of its own: another training seed is measured on the same text.
        rendering = Rendering(codec, plan.sequence, infilling_rate=0.0, seed=0)
        wanted = max(plan.sequence, min(_MOST_TOKENS, int(plan.checkpoint_tokens * _SHARE)))
        pieces = _pieces(store, rendering, wanted)
        self.plain = [_plain(codec, *piece) for piece in pieces]
        holes = pieces[: math.ceil(len(pieces) * _INFILLED)] if plan.infilling_rate else []
        self.infilled = [_infilled(codec, number, *piece) for number, piece in enumerate(holes)]

    @torch.no_grad()
    def measure(self, network: Network, precision: Precision) -> Scores:
        """The scores of `network`, without dropout."""
        was_training = network.training
        network.eval()
        nats: dict[str, float] = defaultdict(float)
        sizes: dict[str, int] = defaultdict(int)
        for piece in self.plain:
            nats[piece.language] += _nats(network, precision, piece)
            sizes[piece.language] += piece.size
        in_holes = sum(_nats(network, precision, piece) for piece in self.infilled)
        network.train(was_training)
        tokens = sum(piece.ids.shape[1] - piece.first for piece in self.plain)
        return Scores(
            nats=sum(nats.values()) / tokens,
            bits_per_byte=_bits(sum(nats.values()), sum(sizes.values())),
            languages={name: _bits(nats[name], sizes[name]) for name in sorted(nats)},
            infilling=_bits(in_holes, sum(piece.size for piece in self.infilled)) if self.infilled else None,
        )


def _pieces(store: TokenStore, rendering: Rendering, wanted: int) -> list[tuple[str, str, list[int]]]:
    """Paths, languages and bare ids of pieces drawn over all documents, about `wanted` tokens in all."""
    counts = np.array([rendering.pieces(size) for size in store.sizes.tolist()])
    lasts, result = np.cumsum(counts), []
    for number in np.random.default_rng(0).permutation(int(lasts[-1])).tolist():
        document = int(np.searchsorted(lasts, number, side="right"))
        body, _ = rendering.cut(store.document(document), document, number - int(lasts[document] - counts[document]), 0)
        if body:
            result.append((store.path(document), store.language(document), body))
            wanted -= len(body)
        if wanted <= 0:
            break
    return result


def _plain(codec: Codec, path: str, language: str, body: list[int]) -> Piece:
    header = codec.header(path)
    return _piece(codec, language, [*header, *body], len(header))


def _infilled(codec: Codec, number: int, path: str, language: str, body: list[int]) -> Piece:
    """The rest of a line is the hole, as it is for a person who types; prefix first, so that it alone is scored."""
    text = codec.decode(body)
    start = int(np.random.default_rng((0, number)).integers(len(text)))
    stop = text.find("\n", start + 1)
    stop = len(text) if stop < 0 else stop
    before, middle, after = (codec.encode(part) for part in (text[:start], text[start:stop], text[stop:]))
    prompt = [*codec.header(path), codec.fim_prefix, *before, codec.fim_suffix, *after, codec.fim_middle]
    return _piece(codec, language, [*prompt, *middle], len(prompt))


def _piece(codec: Codec, language: str, ids: list[int], first: int) -> Piece:
    size = len(codec.decode_bytes(ids[first:]))
    return Piece(torch.tensor([ids]), first, size, language)


def _nats(network: Network, precision: Precision, piece: Piece) -> float:
    """The sum over the scored ids of a piece."""
    ids_1T = piece.ids.to(precision.device)
    with precision.autocast():
        losses_1T = token_losses(network, ids_1T[:, :-1], ids_1T[:, 1:])
    return float(losses_1T[0, piece.first - 1 :].double().sum())


def _bits(nats: float, size: int) -> float:
    return nats / math.log(2) / max(1, size)
