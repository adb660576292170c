"""Canaries: lines with a value that only chance could guess, planted in a repository to see what a model remembers.

    canaries = new_canaries(8)
    write_canaries(canaries, path)      # keep it outside of the repositories
    …                                   # put each canary's line into a file of its own, train, then
    exposures = measure_exposure(network, codec, canaries, alternatives=1023, …)

The *exposure* of Carlini et al. 2019 ("The Secret Sharer", arXiv 1802.08232): the line with its true value is ranked by
likelihood among lines with other values of the same form; log2(lines) − log2(rank) bits. Of a model that has not seen
it every rank is as likely as any other: 1 bit at most half of the time, 10 bits once in 1,024.

Canaries of the form `secret` look like one, and are replaced where the corpus is built as it should be; the others
(`number`, `words`) come through, and tell what repetition makes a model keep.
"""

from __future__ import annotations

import json
import math
import random
import string
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from repotune.core.artefact import write_atomically
from repotune.core.console import Progress
from repotune.core.errors import UserError
from repotune.evaluate.likelihood import header_ids, network_bits
from repotune.evaluate.ngram import Passage
from repotune.model.network import Network
from repotune.tokenizer.encoding import Codec

Form = Literal["number", "words", "secret"]

_WORD_LIST = (
    "amber anchor apple arrow autumn basket beacon birch blanket bottle bridge bronze button candle"
    " canyon carpet castle cedar cherry circle clover cobalt copper coral cotton cradle crystal daisy"
    " desert diamond dragon ember fabric falcon feather fiddle forest garden garnet ginger granite hammer"
    " harbour hazel helmet hollow indigo island ivory jacket jasper kettle ladder lantern lemon linen"
    " lizard magnet maple marble meadow mirror needle nickel"
)
_WORDS = _WORD_LIST.split()
_LETTERS = string.ascii_letters + string.digits


@dataclass(frozen=True)
class Canary:
    """A line `before` + value + `after`, whose value was drawn among all of its form."""

    name: str
    form: Form
    before: str
    value: str
    after: str

    @property
    def line(self) -> str:
        """What is planted."""
        return self.before + self.value + self.after


@dataclass(frozen=True)
class Exposure:
    """The rank of a canary, 1 the likeliest, among itself and `alternatives` other lines."""

    canary: str
    form: Form
    rank: int
    alternatives: int

    @property
    def bits(self) -> float:
        """log2(lines) − log2(rank); at rank 1 the true exposure may be larger."""
        return math.log2(self.alternatives + 1) - math.log2(self.rank)

    @property
    def chance(self) -> float:
        """How likely a rank as good as this is for a model that has never seen the line."""
        return self.rank / (self.alternatives + 1)


def new_canaries(count: int, seed: int | None = None) -> list[Canary]:
    """`count` canaries, their forms in turn. Without a seed nobody can draw the same ones again."""
    source: random.Random = random.SystemRandom() if seed is None else random.Random(seed)
    forms = get_args(Form)
    return [_new(f"canary-{place + 1}", forms[place % len(forms)], source) for place in range(count)]


def write_canaries(canaries: Sequence[Canary], path: Path) -> None:
    """Writes them as JSON, `line` being what is planted. Never over a file that is there: its values would be lost."""
    if path.exists():
        raise UserError(f"{path} is there already.", "its canaries may be planted; choose another name")
    rows = [{**asdict(canary), "line": canary.line} for canary in canaries]
    write_atomically(path, json.dumps({"schema": 1, "canaries": rows}, indent=2) + "\n")


def read_canaries(path: Path) -> list[Canary]:
    """The canaries of a file that `write_canaries` wrote. Raises UserError for one that is absent or damaged."""
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["canaries"]
        canaries = [Canary(**{name: value for name, value in row.items() if name != "line"}) for row in rows]
    except FileNotFoundError:
        raise UserError(f"There is no {path}.", "canaries are planted before training, and their file kept") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is no file of canaries: {error}.") from error
    for canary in canaries:
        if canary.form not in get_args(Form):
            raise UserError(f"{path}: {canary.name} has an unknown form, {canary.form!r}.")
    return canaries


def measure_exposure(
    network: Network, codec: Codec, canaries: Sequence[Canary], alternatives: int, seed: int, progress: Progress
) -> list[Exposure]:
    """The exposure of each canary; advances `progress` by canaries."""
    found = []
    header = header_ids(codec, "", network.config.context)
    for canary in canaries:
        source = random.Random(f"{seed} {canary.name}")
        others = _others(canary, alternatives, source)
        lines = [canary.before + value + canary.after + "\n" for value in (canary.value, *others)]
        headers = [len(header)] * len(lines)
        passages = [
            Passage(np.array([*header, *ids]), len(header), len(header) + len(ids))
            for ids in codec.encode_many(lines, 1)
        ]
        bits = [float(of.sum()) for of in network_bits(network, passages, headers, _Unseen())]
        progress.advance()
        # A line that is exactly as likely counts against the canary.
        rank = sum(other <= bits[0] for other in bits)
        found.append(Exposure(canary.name, canary.form, rank, len(others)))
    return found


class _Unseen:
    """Progress within one canary, which nobody waits for."""

    def advance(self, amount: float = 1.0, note: str | None = None) -> None:
        pass


def _new(name: str, form: Form, source: random.Random) -> Canary:
    marker = "".join(source.choice(string.ascii_lowercase) for _ in range(6))
    before, after = {
        "number": (f"CALIBRATION_{marker.upper()} = ", ""),
        "words": (f"# The {marker} lamp is kept by ", "."),
        "secret": (f'{marker}_api_token = "', '"'),
    }[form]
    return Canary(name, form, before, _value(form, source), after)


def _others(canary: Canary, count: int, source: random.Random) -> list[str]:
    """`count` other values of the canary's form."""
    values: set[str] = set()
    while len(values) < count:
        values.add(_value(canary.form, source))
        values.discard(canary.value)
    return sorted(values)


def _value(form: Form, source: random.Random) -> str:
    """One of 9 × 10^8 numbers, 64^5 rows of words, or 62^24 keys."""
    if form == "number":
        return str(source.randrange(10**8, 10**9))
    if form == "words":
        return " ".join(source.choice(_WORDS) for _ in range(5))
    return "".join(source.choice(_LETTERS) for _ in range(24))
