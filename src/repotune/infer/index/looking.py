"""What the file at hand and the index say of a text that is known, and how likely it is mixed with a model's word.

    seen = look_up(cursor, ids)                     what each says before each of the ids, where `cursor` stands
    said = listen(seen, p_TV, special)              what a model that says p_TV there gives to the same
    p_T = mixed(gate, seen, said)                   each id's probability, as `mixing.Mixer` makes it

For fitting a gate and for measuring: an id is asked about, so no distribution over the vocabulary is put together.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from repotune.infer.index.cursor import Continuations, Cursor, Ids
from repotune.infer.index.gate import (
    BY_MODEL,
    EXPERTS,
    FEATURES,
    LEAST_P,
    NOTHING,
    Float,
    Gate,
    Probabilities,
    ask,
    outline,
)


@dataclass(frozen=True)
class Seen:
    """Of T ids what each of K experts but the model says of them: `shares` (T × K) that it gives to each, what it
    `expected` most (T × K, NOTHING where it says nothing), and the features that these make (T × FEATURES)."""

    ids: Ids
    shares: Float
    expected: Ids
    features: Float

    @property
    def present(self) -> NDArray[np.bool_]:
        """Which experts say anything, T × EXPERTS: the model always does."""
        return np.column_stack([np.ones(len(self.ids), bool), self.expected != NOTHING])

    def part(self, start: int, stop: int) -> Seen:
        """That of the ids from `start` to `stop`."""
        at = slice(start, stop)
        return Seen(self.ids[at], self.shares[at], self.expected[at], self.features[at])


@dataclass(frozen=True)
class Said:
    """What a model gives at the same T positions: to each id, to what each expert expected (T × K), to its own
    likeliest, and to all ids that are code together."""

    ids: Float
    expected: Float
    likeliest: Float
    code: Float


def look_up(cursor: Cursor, ids: Sequence[int]) -> Seen:
    """What is said of each of `ids`, the first where `cursor` stands; afterwards it stands behind the last."""
    shares, expected, features = [], [], []
    for token in ids:
        answers = ask(cursor)
        described, firsts = outline(answers)
        features.append(described)
        expected.append(firsts)
        shares.append([_share(answer, token) for answer in answers])
        cursor.push(token)
    many = len(EXPERTS) - 1
    return Seen(
        np.array(ids, np.int64),
        np.array(shares, np.float64).reshape(-1, many),
        np.array(expected, np.int64).reshape(-1, many),
        np.array(features, np.float64).reshape(-1, FEATURES),
    )


def listen(seen: Seen, p_TV: Probabilities, special: Collection[int]) -> Said:
    """What a model that says `p_TV` gives to what was asked and expected."""
    rows = np.arange(len(seen.ids))
    return Said(
        p_TV[rows, seen.ids].astype(np.float64),
        p_TV[rows[:, None], seen.expected].astype(np.float64),
        p_TV.max(1).astype(np.float64),
        1 - p_TV[:, sorted(special)].sum(1, dtype=np.float64),
    )


def described(seen: Seen, said: Said) -> Float:
    """All features, T × FEATURES."""
    features = seen.features.copy()
    sure = np.where(seen.expected == NOTHING, 1.0, said.expected)  # whose logarithm is none
    features[:, BY_MODEL] = np.log(np.maximum(np.column_stack([said.likeliest, sure]), LEAST_P))
    return features


def by_expert(seen: Seen, said: Said) -> Float:
    """Each id's probability by each expert, T × EXPERTS. Special ids keep what the model gives them, so that the others
    have the rest to share."""
    return np.column_stack([said.ids, said.code[:, None] * seen.shares])


def mixed(gate: Gate, seen: Seen, said: Said) -> Float:
    """The probability of each id, none of them special, shape (T,): over the whole vocabulary these add up to one."""
    shares = gate.shares(described(seen, said), seen.present)
    p: Float = (shares * by_expert(seen, said)).sum(1)
    return p


def _share(answer: Continuations, token: int) -> float:
    place = int(answer.ids.searchsorted(token))
    return float(answer.shares[place]) if place < len(answer.ids) and answer.ids[place] == token else 0.0
