"""Verbatim memory: given the k tokens before, does the model write the next n exactly as a file has them?

*Discoverable extraction* of Carlini et al. 2023 (arXiv 2202.07646): the greedy continuation is the file's own. One
forward pass over the file's tokens answers it without generating: greedy decoding follows the file as long as the
likeliest token is the file's next one. The same pass gives the probability p of the n tokens, and with it
1 − (1 − p)^100, that of a hundred samples holding them (Hayes et al. 2024, arXiv 2410.19482).

Some code is predictable without memory. So the same is asked about files that were held out: what comes back of these
is what the code itself gives away.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from repotune.core.console import Progress
from repotune.core.errors import UserError
from repotune.evaluate.leaks.documents import Document
from repotune.evaluate.likelihood import header_ids
from repotune.evaluate.own_code.held_out import number
from repotune.evaluate.scores import Score, clustered_mean, clustered_share
from repotune.model.network import Network
from repotune.tokenizer.encoding import Codec

ATTEMPTS = 100
_BATCH = 8


@dataclass(frozen=True)
class Window:
    """Tokens of a file behind `header` ids; the model is given those before `first` and asked for the others."""

    document: Document
    ids: tuple[int, ...]
    header: int
    first: int


@dataclass(frozen=True)
class Recall:
    """What the model knows of a window: how many tokens greedy decoding follows the file, and the natural logarithm of
    the probability of the first n."""

    window: Window
    followed: int
    log_probability: float


def draw_windows(
    documents: Sequence[Document], codec: Codec, given: int, asked: int, context: int, count: int, seed: int
) -> list[Window]:
    """`count` windows of `given` + `asked` tokens that do not overlap, at drawn places, one of each file in turn. They
    go on as far as the context has room, up to four times `asked`, to see how long the longest run is.

    Raises UserError where the context has no room for them.
    """
    room = context - given - max((len(header_ids(codec, of.path, context)) for of in documents), default=0)
    if room < asked:
        raise UserError(
            f"A context of {context} tokens has no room for {given} that are given and {asked} that are asked for.",
            "ask for fewer tokens",
        )
    length = given + min(room, 4 * asked)
    bodies = codec.encode_many([document.text for document in documents], 1)
    turns: list[tuple[int, int, Window]] = []
    for place, (document, body) in enumerate(zip(documents, bodies, strict=True)):
        slots = len(body) // (given + asked)
        spare = len(body) - slots * (given + asked)
        header = header_ids(codec, document.path, context)
        order = sorted(range(slots), key=lambda slot: number(seed, document.name, slot))
        for turn, slot in enumerate(order):
            start = slot * (given + asked) + number(seed, document.name, "spare") % (spare + 1)
            ids = (*header, *body[start : start + length])
            turns.append((turn, place, Window(document, ids, len(header), len(header) + given)))
    return [window for _, _, window in sorted(turns, key=lambda turn: turn[:2])[:count]]


@torch.inference_mode()
def recall(network: Network, windows: Sequence[Window], asked: int, progress: Progress) -> list[Recall]:
    """What `network` knows of `windows`, in their order; runs in the weights' own type and on their device."""
    found = []
    device = next(network.parameters()).device
    for start in range(0, len(windows), _BATCH):
        batch = windows[start : start + _BATCH]
        padded = np.zeros((len(batch), max(len(window.ids) for window in batch)), np.int64)
        for row, window in enumerate(batch):  # padding stands on the right, where a causal network does not look
            padded[row, : len(window.ids)] = window.ids
        ids = torch.from_numpy(padded).to(device)
        features = network.features(ids[:, :-1])
        for row, window in enumerate(batch):
            targets = ids[row, window.first : len(window.ids)]
            logits = network.head(features[row, window.first - 1 : len(window.ids) - 1]).float()
            agrees = (logits.argmax(1) == targets).cpu().numpy()
            followed = len(agrees) if agrees.all() else int(agrees.argmin())
            lost = torch.nn.functional.cross_entropy(logits[:asked], targets[:asked], reduction="sum")
            found.append(Recall(window, followed, -float(lost)))
        progress.advance(len(batch))
    return found


def reproduced(recalls: Sequence[Recall], asked: int) -> Score | None:
    """The share of windows of which greedy decoding writes `asked` tokens, clustered by file; None without any."""
    if not recalls:
        return None
    return clustered_share([float(of.followed >= asked) for of in recalls], _files(recalls))


def extracted(recalls: Sequence[Recall]) -> Score | None:
    """The expected share of windows that a hundred samples at temperature 1 would give back; None without any."""
    if not recalls:
        return None
    return clustered_mean([_in_attempts(of.log_probability) for of in recalls], _files(recalls))


def _in_attempts(log_probability: float) -> float:
    """1 − (1 − p)^ATTEMPTS, exact for the smallest p, too."""
    if log_probability >= -1e-12:
        return 1.0
    return -math.expm1(ATTEMPTS * math.log1p(-math.exp(log_probability)))


def _files(recalls: Sequence[Recall]) -> list[str]:
    return [of.window.document.name for of in recalls]
