"""What each model, as it is served, does with the same passages and the same holes, in its own vocabulary; kept as it
goes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from repotune import __version__
from repotune.core.artefact import digest
from repotune.core.console import Console, Progress
from repotune.evaluate.comparison.contestants import Contestant
from repotune.evaluate.comparison.kept import Done, Kept
from repotune.evaluate.comparison.same_bytes import Stretch, hole_passage, shared_hole, stretch_passage
from repotune.evaluate.completions import MOST_TOKENS, complete_by_engine
from repotune.evaluate.likelihood import network_bits
from repotune.evaluate.ngram import Float, Passage
from repotune.evaluate.own_code.items import Item
from repotune.evaluate.served import Beside
from repotune.evaluate.streams import answer_all
from repotune.evaluate.summary import Filled, Read
from repotune.infer.engine import Engine
from repotune.infer.opening import open_engine
from repotune.model.network import Network
from repotune.model.weights import load_model

_KEPT_AT_ONCE = 32  # passages between two lines kept; always the same ones, since what is padded together rounds alike
_Headed = tuple[Passage, int, Beside]  # the length of its header, and what of the file is open where it has an index


@dataclass(frozen=True)
class Questions:
    """What everyone is asked: stretches to predict, holes to fill, and how much of each hole's text is predicted."""

    stretches: Sequence[Stretch]
    items: Sequence[Item]
    holes: Sequence[str]

    def contents(self) -> str:
        """A hash of all of it."""
        return digest([
            [(each.file.name, each.file.text, each.start, each.stop) for each in self.stretches],
            [(item.kind, item.file.name, item.prefix, item.expected, item.suffix) for item in self.items],
            self.holes,
        ])  # fmt: skip


def questions(contestants: Sequence[Contestant], stretches: Sequence[Stretch], items: Sequence[Item]) -> Questions:
    """The questions that all `contestants` can be asked."""
    return Questions(stretches, items, [shared_hole(contestants, item) for item in items])


def ask_all(
    contestants: Sequence[Contestant], asked: Questions, folder: Path, console: Console
) -> tuple[list[Read], list[Filled]]:
    """Everyone's bits and answers, of which those kept in `folder` are asked for no more."""
    folder.mkdir(parents=True, exist_ok=True)
    done = {contestant.name: _ask(contestant, asked, folder, console) for contestant in contestants}
    bits = {name: kept.bits("read", len(asked.stretches)) for name, kept in done.items()}
    holes = {name: kept.bits("hole", len(asked.items)) for name, kept in done.items()}
    answers = {name: kept.answers(len(asked.items)) for name, kept in done.items()}
    reads = [
        Read(stretch.file, stretch.bytes, {name: of[place] for name, of in bits.items()})
        for place, stretch in enumerate(asked.stretches)
    ]
    filled = [
        Filled(
            item,
            {name: of[place] for name, of in answers.items()},
            {name: of[place] for name, of in holes.items()},
            len(asked.holes[place].encode()),
        )
        for place, item in enumerate(asked.items)
    ]
    return reads, filled


def _ask(contestant: Contestant, asked: Questions, folder: Path, console: Console) -> Kept:
    # What an answer depends on beside the model and the question; another version of torch may round otherwise, one of
    # ours trim otherwise.
    circumstances = [
        __version__,
        contestant.contents,
        asked.contents(),
        contestant.weights,
        dict(MOST_TOKENS),
        torch.__version__,
        _device().type,
    ]
    kept = Kept(folder / f"{digest(circumstances)[:16]}.jsonl")
    _read(contestant, asked, kept, console)
    _fill(contestant, asked, kept, console)
    return kept


def _read(contestant: Contestant, asked: Questions, kept: Kept, console: Console) -> None:
    """The bits of all passages and of all holes."""

    def stretch(place: int) -> _Headed:
        return *stretch_passage(contestant, asked.stretches[place]), ((), ())

    def hole(place: int) -> _Headed:
        item = asked.items[place]
        beside: Beside = contestant.served.beside(item) if contestant.served else ((), ())
        return *hole_passage(contestant, item, asked.holes[place]), beside

    todo = [*_batches(kept, "read", len(asked.stretches), stretch), *_batches(kept, "hole", len(asked.items), hole)]
    if not todo:
        return
    network = load_model(contestant.folder).to(_device())
    tokens = sum(passage.stop - passage.start for _, batch in todo for passage, *_ in batch.values())
    with console.progress(f"{contestant.name}: likelihood", tokens, "tokens") as progress:
        for done, batch in todo:
            bits = [float(of.sum()) for of in _bits(contestant, network, list(batch.values()), progress)]
            kept.add(done, dict(zip(batch, bits, strict=True)))


def _bits(contestant: Contestant, network: Network, batch: Sequence[_Headed], progress: Progress) -> list[Float]:
    """Those of the model as it is served."""
    passages, headers = [passage for passage, *_ in batch], [header for _, header, _ in batch]
    if (served := contestant.served) is None:
        return network_bits(network, passages, headers, progress)
    seen = [served.look_up(passage, beside) for passage, _, beside in batch]
    return served.bits(network, passages, headers, seen, progress)[1]


def _batches(
    kept: Kept, done: Done, count: int, make: Callable[[int], _Headed]
) -> Iterator[tuple[Done, dict[int, _Headed]]]:
    """By place the passages whose bits are not kept, and those that are batched with them."""
    for start in range(0, count, _KEPT_AT_ONCE):
        places = range(start, min(count, start + _KEPT_AT_ONCE))
        if kept.missing(done, places):
            yield done, {place: make(place) for place in places}


def _fill(contestant: Contestant, asked: Questions, kept: Kept, console: Console) -> None:
    """The answers to all holes."""

    def answer(engine: Engine, place: int) -> str:
        if (served := contestant.served) is None:
            return complete_by_engine(engine, contestant.codec, asked.items[place])
        return served.complete(engine, asked.items[place])

    missing = kept.missing("answer", range(len(asked.items)))
    if not missing:
        return
    engine = open_engine(contestant.folder, weights=contestant.weights)
    with console.progress(f"{contestant.name}: infilling", len(missing), "items") as progress:
        for place, written in zip(missing, answer_all(engine, missing, answer), strict=True):
            kept.add("answer", {place: written})
            progress.advance(note=asked.items[place].kind)


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
