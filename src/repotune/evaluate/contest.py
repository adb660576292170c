"""Who takes part, and what each of them does with the same passages and the same holes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from repotune.core.errors import UserError
from repotune.core.flow import Work
from repotune.evaluate.baseline import train_ngram
from repotune.evaluate.completions import NgramCompleter, complete_by_engine, hole_ids, item_prompt
from repotune.evaluate.likelihood import cut_passages, header_ids, network_bits
from repotune.evaluate.ngram import NgramModel, Passage
from repotune.evaluate.own_code.held_out import HeldOut, read_held_out
from repotune.evaluate.own_code.items import Item
from repotune.evaluate.own_code.retrieval import Piece, read_retrievals
from repotune.evaluate.served import Beside, Served, read_served
from repotune.evaluate.streams import answer_all
from repotune.evaluate.summary import SERVED, WITH_FILES, Filled, Read
from repotune.infer.engine import Engine
from repotune.infer.index.looking import Seen
from repotune.infer.served import open_served
from repotune.model.weights import load_model, read_config
from repotune.tokenizer.encoding import Codec, load_codec
from repotune.train.state import best_checkpoint

_Prompts = dict[str, list[list[int]]]
"""By contestant, what it is asked about each item."""


@dataclass(frozen=True)
class Contest:
    """Everyone who takes part, and on what. Networks write with the weights that are served (`infer.served`), and are
    read in f32 for their bits. `served` is the model with the index, where mixing helps it."""

    held_out: list[HeldOut]
    codec: Codec
    checkpoints: dict[str, Path]  # of `model` and `base` or `untrained`
    context: int
    ngram: NgramModel
    served: Served | None


def prepare(work: Work) -> Contest:
    """Opens what is compared. Raises UserError where no file is held out."""
    held_out = read_held_out(work.inputs["corpus"])
    if not held_out:
        raise UserError("No file is held out to measure on.", "raise corpus.test_share, or add repositories")
    codec = load_codec(work.inputs["tokenizer"])
    run, start = work.inputs["run"], "base" if "base" in work.inputs else "untrained"
    checkpoints = {"model": best_checkpoint(run), start: run / "initial"}
    context = read_config(checkpoints["model"]).context
    with work.console.progress("n-gram", 1, "index") as progress:
        ngram = train_ngram(work.inputs["tokens"], codec, context)
        progress.advance(note=f"{ngram.tokens:,} tokens")
    served = read_served(work.inputs["index"], checkpoints["model"], codec) if "index" in work.inputs else None
    return Contest(held_out, codec, checkpoints, context, ngram, served)


def read_all(work: Work, contest: Contest, most_bytes: int) -> list[Read]:
    """The bits that each contestant needs for the same passages, of `most_bytes` together."""
    cuts = cut_passages(contest.held_out, contest.codec, contest.context, most_bytes, work.seed)
    passages = [passage for _, passage, _ in cuts]
    headers = [len(header_ids(contest.codec, file.path, contest.context)) for file, _, _ in cuts]
    nothing: Beside = ((), ())  # what stands behind a passage is what comes next in it, or unknown
    asked = dict.fromkeys(contest.checkpoints, (passages, headers))
    bits = _network_bits(work, contest, "likelihood", asked, [nothing] * len(passages))
    with work.console.progress("likelihood by n-gram", len(passages), "files") as progress:
        bits["ngram"] = []
        for passage in passages:
            bits["ngram"].append(float(contest.ngram.bits(passage).sum()))
            progress.advance()
    return [
        Read(file, length, {name: of[place] for name, of in bits.items()})
        for place, (file, _, length) in enumerate(cuts)
    ]


def fill_all(work: Work, contest: Contest, items: Sequence[Item]) -> list[Filled]:
    """Every item with the answers and the bits of all; of an untrained network the bits alone, for it rambles to the
    last token of every hole and is never near."""
    pieces = _find_pieces(work, items)
    prompts = _prompts(contest, items, pieces)
    answers = _answers(work, contest, items, prompts)
    bits = _hole_bits(work, contest, items, prompts)
    sizes = [len(contest.codec.decode_bytes(hole_ids(contest.codec, item, contest.context))) for item in items]
    return [Filled(*each) for each in zip(items, answers, bits, sizes, pieces, strict=True)]


def _find_pieces(work: Work, items: Sequence[Item]) -> list[list[Piece]]:
    found = []
    with work.console.progress("pieces of other files", len(items), "items") as progress:
        retrievals = read_retrievals(work.inputs["corpus"], {item.file.repository for item in items})
        for item in items:
            found.append(retrievals[item.file.repository].pieces(item))
            progress.advance()
    return found


def _prompts(contest: Contest, items: Sequence[Item], pieces: Sequence[Sequence[Piece]]) -> _Prompts:
    alone = [item_prompt(contest.codec, item, contest.context) for item in items]
    beside = [
        item_prompt(contest.codec, item, contest.context, shown) for item, shown in zip(items, pieces, strict=True)
    ]
    return {**dict.fromkeys(contest.checkpoints, alone), WITH_FILES: beside}


def _answers(work: Work, contest: Contest, items: Sequence[Item], prompts: _Prompts) -> list[dict[str, str]]:
    asked = {name: of for name, of in prompts.items() if name != "untrained"}
    ngram = NgramCompleter(contest.ngram, contest.codec, contest.context)
    found: list[dict[str, str]] = []
    with work.console.progress("infilling by n-gram", len(items), "items") as progress:
        for item in items:
            found.append({"ngram": ngram.complete(item)})
            progress.advance(note=item.kind)
    with work.console.progress("infilling", len(asked) * len(items), "items") as progress:
        for name, of in asked.items():
            engine = open_served(contest.checkpoints[_weights_of(name)])
            served = contest.served if name == "model" else None
            for answers, written in zip(found, _written(engine, contest.codec, items, of, served), strict=True):
                answers.update(zip((name, SERVED), written, strict=False))
                progress.advance(note=name)
    return found


def _written(
    engine: Engine, codec: Codec, items: Sequence[Item], prompts: Sequence[list[int]], served: Served | None
) -> Iterator[list[str]]:
    """To each prompt the model's answer and, next while the prompt is in the engine still, the one that is served."""

    def write(engine: Engine, asked: tuple[Item, list[int]]) -> list[str]:
        alone = complete_by_engine(engine, codec, *asked)
        return [alone, served.complete(engine, *asked)] if served else [alone]

    return answer_all(engine, list(zip(items, prompts, strict=True)), write)


def _hole_bits(work: Work, contest: Contest, items: Sequence[Item], prompts: _Prompts) -> list[dict[str, float]]:
    """The bits that each needs for what stood in the hole, after the same prompt."""
    ngram = NgramCompleter(contest.ngram, contest.codec, contest.context)
    found = [{"ngram": ngram.hole_bits(item)} for item in items]
    holes = [hole_ids(contest.codec, item, contest.context) for item in items]
    passages = {
        name: (
            [
                Passage(np.array(prompt + hole), len(prompt), len(prompt) + len(hole))
                for prompt, hole in zip(of, holes, strict=True)
            ],
            [len(prompt) for prompt in of],
        )
        for name, of in prompts.items()
    }
    beside = [contest.served.beside(item) for item in items] if contest.served else []
    for name, of in _network_bits(work, contest, "holes", passages, beside).items():
        for bits, needed in zip(found, of, strict=True):
            bits[name] = needed
    return found


def _network_bits(
    work: Work,
    contest: Contest,
    title: str,
    passages: Mapping[str, tuple[Sequence[Passage], Sequence[int]]],
    beside: Sequence[Beside],
) -> dict[str, list[float]]:
    """By contestant the bits of each of its passages, which are given with the lengths of their headers. The model's
    are read once for it and for what is served, to which what stands `beside` each is open."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    total = sum(passage.stop - passage.start for of, _ in passages.values() for passage in of)
    seen = _look_up(work, contest.served, passages["model"][0], beside) if contest.served else []
    found: dict[str, list[float]] = {}
    with work.console.progress(title, total, "tokens") as progress:
        for name, (of, headers) in passages.items():
            network = load_model(contest.checkpoints[_weights_of(name)]).to(device)
            if contest.served and name == "model":
                alone, together = contest.served.bits(network, of, headers, seen, progress)
                found[SERVED] = [float(bits.sum()) for bits in together]
            else:
                alone = network_bits(network, of, headers, progress)
            found[name] = [float(bits.sum()) for bits in alone]
    return found


def _look_up(work: Work, served: Served, passages: Sequence[Passage], beside: Sequence[Beside]) -> list[Seen]:
    seen = []
    total = sum(passage.stop - passage.start for passage in passages)
    with work.console.progress("what the index says", total, "tokens") as progress:
        for passage, of in zip(passages, beside, strict=True):
            seen.append(served.look_up(passage, of))
            progress.advance(passage.stop - passage.start)
    return seen


def _weights_of(contestant: str) -> str:
    return "model" if contestant == WITH_FILES else contestant
