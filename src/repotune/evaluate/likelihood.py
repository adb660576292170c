"""Bits per byte of held-out files: how many bits a model needs for code it has never seen. Lower is better.

What is predicted is the code alone: the header (`<file_sep>`, path) is given, the end token is not asked for. Every
byte counts once. A file longer than the network's context is read in windows that advance by half of it, so that each
token is predicted from at least half a context; each window begins with the header, as a trimmed prompt does.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from repotune.core.console import Progress
from repotune.evaluate.ngram import Float, Passage
from repotune.evaluate.own_code.held_out import HeldOut, number
from repotune.evaluate.suffix_array import Int
from repotune.model.network import Network
from repotune.tokenizer.encoding import Codec

_BATCH = 8


@dataclass(frozen=True)
class Window:
    """Ids for one forward pass; those from `first` on are scored, and stand at `place` in the passage's scores."""

    ids: Int
    first: int
    place: int


def header_ids(codec: Codec, path: str, context: int) -> list[int]:
    """The header of `path`, or the one without a path where that would take a quarter of the context."""
    header = codec.header(path)
    return header if 4 * len(header) <= context else codec.header("")


def cut_passages(
    files: Sequence[HeldOut], codec: Codec, context: int, most_bytes: int, seed: int
) -> list[tuple[HeldOut, Passage, int]]:
    """A passage of every file and its length in bytes, together at most `most_bytes` (but a token of each file).

    The bytes are shared out evenly: short files are read whole, of longer ones a piece where `seed` decides.
    """
    widths = np.array([len(codec.decode_bytes([token])) for token in range(codec.size)])
    share = even_share([len(file.text.encode(errors="replace")) for file in files], most_bytes)
    passages = []
    for file in files:
        header, body = header_ids(codec, file.path, context), codec.encode(file.text)
        if body:
            start, stop = _piece(widths[body], share, number(seed, "likelihood", file.name))
            ids = np.array(header + body)
            length = int(widths[body[start:stop]].sum())
            passages.append((file, Passage(ids, len(header) + start, len(header) + stop), length))
    return passages


def even_share(sizes: Sequence[int], total: int) -> int:
    """The largest cap under which the capped `sizes` sum to at most `total`; at least 1."""
    left = total
    for position, size in enumerate(sorted(sizes)):
        cap = left // (len(sizes) - position)
        if size > cap:
            return max(1, cap)
        left -= size
    return max([1, *sizes])


def windows(passage: Passage, header: int, context: int) -> Iterator[Window]:
    """The passes that score each id of `passage` once; `header` ids at its beginning are repeated in each."""
    room = context + 1 - header  # the last id is predicted, not read
    at = passage.start
    while at < passage.stop:
        end = min(passage.stop, max(header + room, at + max(1, room // 2)))
        begin = max(header, end - room)
        ids = np.concatenate([passage.ids[:header], passage.ids[begin:end]])
        yield Window(ids, header + at - begin, at - passage.start)
        at = end


def network_bits(
    network: Network, passages: Sequence[Passage], headers: Sequence[int], progress: Progress
) -> list[Float]:
    """−log2 p of each id that each passage predicts. `headers`: the length of each one's header.

    Advances `progress` by ids scored. Runs in the weights' own type and on their device.
    """
    bits = [np.zeros(passage.stop - passage.start) for passage in passages]
    for scored in score_windows(network, passages, headers, progress):
        bits[scored.passage][scored.place : scored.place + len(scored.ids)] = scored.bits()
    return bits


@dataclass(frozen=True)
class Scored:
    """What a network says of T `ids`, which stand from `place` on in a passage's scores: `logits`, T×V."""

    passage: int
    place: int
    ids: torch.Tensor
    logits: torch.Tensor

    def bits(self) -> NDArray[np.float32]:
        """−log2 p of each id."""
        nats = torch.nn.functional.cross_entropy(self.logits, self.ids, reduction="none")
        bits: NDArray[np.float32] = (nats / math.log(2)).cpu().numpy()
        return bits


@torch.inference_mode()
def score_windows(
    network: Network, passages: Sequence[Passage], headers: Sequence[int], progress: Progress
) -> Iterator[Scored]:
    """Every id of every passage once, like lengths together. Arguments as those of `network_bits`."""
    todo = [
        (number, window)
        for number, (passage, header) in enumerate(zip(passages, headers, strict=True))
        for window in windows(passage, header, network.config.context)
    ]
    todo.sort(key=lambda pair: len(pair[1].ids))  # like lengths together: little padding
    for start in range(0, len(todo), _BATCH):
        batch = todo[start : start + _BATCH]
        yield from _score(network, batch, progress)


def _score(network: Network, batch: Sequence[tuple[int, Window]], progress: Progress) -> Iterator[Scored]:
    """What is scored in each window. Padding stands on the right, where a causal network does not look."""
    longest = max(len(window.ids) for _, window in batch)
    padded = np.zeros((len(batch), longest), np.int64)
    for row, (_, window) in enumerate(batch):
        padded[row, : len(window.ids)] = window.ids
    ids = torch.from_numpy(padded).to(next(network.parameters()).device)
    features = network.features(ids[:, :-1])
    for row, (passage, window) in enumerate(batch):
        logits = network.head(features[row, window.first - 1 : len(window.ids) - 1]).float()
        yield Scored(passage, window.place, ids[row, window.first : len(window.ids)], logits)
        progress.advance(len(logits))


def _piece(widths: Int, share: int, chosen: int) -> tuple[int, int]:
    """Start and stop of at least one and else as many tokens as fit into `share` bytes, at a chosen place."""
    ends = np.cumsum(widths)
    spare = max(0, int(ends[-1]) - share)
    start = int(np.searchsorted(ends, chosen % (spare + 1), side="right"))
    before = int(ends[start] - widths[start])
    stop = int(np.searchsorted(ends, before + share, side="right"))
    return start, max(start + 1, stop)
