"""What a release answers on held-out holes of one's own code, beside its exact weights: `repotune release verify`.

The release step measures what rounding costs in bits per byte and in lines, by likelihood. This asks for whole answers,
as an editor does: of each kind of packed weights beside float32, and with drafts beside the same weights without.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from repotune.core.console import Console
from repotune.core.errors import UserError
from repotune.evaluate.completions import complete_by_engine, item_prompt
from repotune.evaluate.own_code.held_out import read_held_out
from repotune.evaluate.own_code.items import KINDS, Item, draw_items
from repotune.evaluate.scores import Score, clustered_mean, edit_similarity, exact_match
from repotune.infer.cpu.packed import packed_name
from repotune.infer.engine import Engine
from repotune.infer.index.cursor import Cursor
from repotune.infer.index.drafting import IndexDrafter
from repotune.infer.opening import BITS, open_engine, open_ours
from repotune.infer.speculation import DraftedEngine
from repotune.tokenizer.encoding import Codec, load_codec

Answer = Callable[[Item, Sequence[int]], str]
"""From a hole and the prompt that asks for it to the text that is put there."""


@dataclass(frozen=True)
class Verified:
    """The answers of `name` to `items` holes, beside those of `against`: how many are exactly right, how many of
    `against`'s are, and how many are the same text, as all must be where `exactly` is promised; the differences of
    exact matches and of edit similarity, a mean a hole with its 95 % interval over files."""

    name: str
    against: str
    items: int
    right: int
    right_against: int
    same: int
    exact: Score
    similarity: Score
    exactly: bool

    @property
    def lost(self) -> bool:
        """Whether something was lost that is no chance, or, where the same is promised, anything changed."""
        return self.same < self.items if self.exactly else min(self.exact.sign, self.similarity.sign) < 0


def verify_release(release: Path, corpus: Path, count: int, console: Console) -> list[Verified]:
    """Asks for `count` holes of each kind in the held-out files of `corpus`: a row for each packed weights that
    `release` has, and one with drafts from the open file for each.

    Raises UserError where the release has no packed weights, no file is held out, or nothing is asked for.
    """
    if count < 1:
        raise UserError(f"{count} holes of each kind cannot be asked for.", "--items 20")
    kinds = {kind: bits for kind, bits in BITS.items() if (release / packed_name(bits)).is_file()}
    if not kinds:
        raise UserError(f"{release} has no packed weights.", 'release.packed = ["int8"] in repotune.toml writes them')
    items = draw_items(read_held_out(corpus), KINDS, count, seed=1)
    if not items:
        raise UserError(f"No file of {corpus} is held out to ask about.")
    codec, network = load_codec(release), open_engine(release, "f32")
    prompts = [item_prompt(codec, item, network.context) for item in items]

    def answers(name: str, answer: Answer) -> list[str]:
        texts = []
        with console.progress(f"answering by {name}", len(items), "holes") as progress:
            for item, prompt in zip(items, prompts, strict=True):
                texts.append(answer(item, prompt))
                progress.advance()
        return texts

    exact = answers("f32", _alone(network, codec))
    found = []
    for kind, bits in kinds.items():
        engine = open_ours(release, bits)
        rounded = answers(kind, _alone(engine, codec))
        found.append(_compared(items, kind, rounded, "f32", exact, exactly=False))
        drafted = answers(f"{kind} with drafts", _with_drafts(engine, codec))
        found.append(_compared(items, f"{kind} with drafts", drafted, kind, rounded, exactly=True))
    return found


def _alone(engine: Engine, codec: Codec) -> Answer:
    return lambda item, prompt: complete_by_engine(engine, codec, item, prompt)


def _with_drafts(engine: Engine, codec: Codec) -> Answer:
    """With the file around the hole open, as in an editor."""
    drafted = DraftedEngine(engine, IndexDrafter(Cursor(None, codec.special)))

    def answer(item: Item, prompt: Sequence[int]) -> str:
        drafted.open_file(codec.encode(item.prefix), codec.encode(item.suffix))
        return complete_by_engine(drafted, codec, item, prompt)

    return answer


def _compared(
    items: Sequence[Item], name: str, given: list[str], against: str, others: list[str], *, exactly: bool
) -> Verified:
    files = [item.file.name for item in items]
    right, similar = (
        [[score(text, item.expected) for text, item in zip(texts, items, strict=True)] for texts in (given, others)]
        for score in (exact_match, edit_similarity)
    )
    exact, similarity = (
        clustered_mean([one - other for one, other in zip(*scores, strict=True)], files) for scores in (right, similar)
    )
    same = sum(one == other for one, other in zip(given, others, strict=True))
    counts = len(items), int(sum(right[0])), int(sum(right[1])), same
    return Verified(name, against, *counts, exact, similarity, exactly)
