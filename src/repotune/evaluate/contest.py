"""Who takes part, and what each of them does with the same passages and the same holes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

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
from repotune.evaluate.streams import answer_all
from repotune.evaluate.summary import WITH_FILES, Filled, Read
from repotune.infer.cpu.packed import packable
from repotune.infer.engine import Engine
from repotune.infer.opening import open_engine
from repotune.model.configuration import ModelConfig
from repotune.model.weights import load_model, read_config
from repotune.tokenizer.encoding import Codec, load_codec
from repotune.train.state import best_checkpoint

_Prompts = dict[str, list[list[int]]]
"""By contestant, what it is asked about each item."""


@dataclass(frozen=True)
class Contest:
    """Everyone who takes part, and on what. Networks write what a server would (`served_weights`), and are read in f32
    for their bits."""

    held_out: list[HeldOut]
    codec: Codec
    checkpoints: dict[str, Path]  # of `model` and `base` or `untrained`
    context: int
    ngram: NgramModel


def served_weights(config: ModelConfig) -> Literal["int8", "f32"]:
    """What answers are written with: what a server on a CPU reads by default, so that the verdict is about what is
    served, and f32 where the CPU engine does not know the shape or a GPU is at hand. Never bf16: what a model is worth
    must not depend on whether this machine has its products."""
    known = packable(config) and find_spec("numba") is not None and not torch.cuda.is_available()
    return "int8" if known else "f32"


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
    return Contest(held_out, codec, checkpoints, context, ngram)


def read_all(work: Work, contest: Contest, most_bytes: int) -> list[Read]:
    """The bits that each contestant needs for the same passages, of `most_bytes` together."""
    cuts = cut_passages(contest.held_out, contest.codec, contest.context, most_bytes, work.seed)
    passages = [passage for _, passage, _ in cuts]
    headers = [len(header_ids(contest.codec, file.path, contest.context)) for file, _, _ in cuts]
    bits = _network_bits(work, contest, "likelihood", dict.fromkeys(contest.checkpoints, (passages, headers)))
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
            folder = contest.checkpoints[_weights_of(name)]
            engine = open_engine(folder, weights=served_weights(read_config(folder)))
            for answers, written in zip(found, _written(engine, contest.codec, items, of), strict=True):
                answers[name] = written
                progress.advance(note=name)
    return found


def _written(engine: Engine, codec: Codec, items: Sequence[Item], prompts: Sequence[list[int]]) -> Iterator[str]:
    def write(engine: Engine, asked: tuple[Item, list[int]]) -> str:
        return complete_by_engine(engine, codec, *asked)

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
    for name, of in _network_bits(work, contest, "holes", passages).items():
        for bits, needed in zip(found, of, strict=True):
            bits[name] = needed
    return found


def _network_bits(
    work: Work, contest: Contest, title: str, passages: Mapping[str, tuple[Sequence[Passage], Sequence[int]]]
) -> dict[str, list[float]]:
    """By contestant the bits of each of its passages, which are given with the lengths of their headers."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    total = sum(passage.stop - passage.start for of, _ in passages.values() for passage in of)
    found = {}
    with work.console.progress(title, total, "tokens") as progress:
        for name, (of, headers) in passages.items():
            network = load_model(contest.checkpoints[_weights_of(name)]).to(device)
            found[name] = [float(bits.sum()) for bits in network_bits(network, of, headers, progress)]
    return found


def _weights_of(contestant: str) -> str:
    return "model" if contestant == WITH_FILES else contestant
