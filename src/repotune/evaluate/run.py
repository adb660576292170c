"""The results step: how good the model is on held-out files, beside an n-gram and beside what its training began from.

`results.json` (a score is {"value", "low", "high"}, a 95 % interval clustered by file):

    verdict      one sentence
    likelihood   {model: {"bits_per_byte", "bytes", "files"}}
    infilling    {kind: {model: {"items", "exact_match", "edit_similarity"}}}
    languages    {language: the same as infilling, for the model and the n-gram}
    differences  {opponent: {"likelihood": {"bits_per_byte"}, kind: {"exact_match", "edit_similarity"}}}, as
                 model − opponent
    data, contestants, seed, environment: on what, by what and where it was measured

Models are `model`, `ngram`, and `base` where one was gone on from, else `untrained`. `samples.jsonl` holds every item
with every answer.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from repotune.core.artefact import digest, write_atomically
from repotune.core.config import EvaluateSettings
from repotune.core.errors import UserError
from repotune.core.flow import Work
from repotune.evaluate import summary
from repotune.evaluate.baseline import train_ngram
from repotune.evaluate.completions import MOST_TOKENS, NgramCompleter, complete_by_engine
from repotune.evaluate.likelihood import cut_passages, header_ids, network_bits
from repotune.evaluate.ngram import NgramModel
from repotune.evaluate.summary import Filled, Read
from repotune.evaluate.tasks import KINDS, HeldOut, Item, draw_items, read_held_out
from repotune.evaluate.verdict import verdict
from repotune.infer.decoder import open_engine
from repotune.model.weights import load_model, read_config
from repotune.tokenizer.encoding import Codec, load_codec
from repotune.train.state import best_checkpoint

# The untrained network rambles to the last token of every hole and is never near: a few holes show as much.
UNTRAINED_ITEMS = 20
# What is scored is the model as trained; what rounding its weights for a release costs is measured there.
WEIGHTS: Literal["f32"] = "f32"


@dataclass(frozen=True)
class _Contest:
    """Everyone who takes part, and on what."""

    held_out: list[HeldOut]
    codec: Codec
    checkpoints: dict[str, Path]  # of `model` and `base` or `untrained`
    context: int
    ngram: NgramModel


def build_results(work: Work, settings: EvaluateSettings) -> None:
    """Writes results.json and samples.jsonl. Raises UserError where no file is held out or none holds an item."""
    contest = _prepare(work)
    items = [item for kind in KINDS for item in draw_items(contest.held_out, kind, settings.items, work.seed)]
    if not items:
        raise UserError("The held-out files hold no line to complete.", "raise corpus.test_share, or add repositories")
    reads = _read_all(work, contest, settings.likelihood_bytes)
    filled = _fill_all(work, contest, items)
    found = summary.differences(reads, filled)
    results = {
        "schema": 1,
        "verdict": verdict(found, len(contest.held_out)),
        "likelihood": summary.likelihood_scores(reads),
        "infilling": summary.infilling_scores(filled),
        "languages": summary.language_scores(filled),
        "differences": {
            opponent: {
                measure: {name: score.as_json() for name, score in scores.items()}
                for measure, scores in measured.items()
            }
            for opponent, measured in found.items()
        },
        **_circumstances(work, contest, items),
    }
    lines = [json.dumps(one.as_json(), ensure_ascii=False) + "\n" for one in filled]
    write_atomically(work.folder / "samples.jsonl", "".join(lines))
    write_atomically(work.folder / "results.json", json.dumps(results, indent=2, ensure_ascii=False) + "\n")
    work.console.say(f"  {results['verdict']}")


def _prepare(work: Work) -> _Contest:
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
    return _Contest(held_out, codec, checkpoints, context, ngram)


def _read_all(work: Work, contest: _Contest, most_bytes: int) -> list[Read]:
    """The bits that each contestant needs for the same passages."""
    cuts = cut_passages(contest.held_out, contest.codec, contest.context, most_bytes, work.seed)
    passages = [passage for _, passage, _ in cuts]
    headers = [len(header_ids(contest.codec, file.path, contest.context)) for file, _, _ in cuts]
    total = sum(passage.stop - passage.start for passage in passages)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    bits: dict[str, list[float]] = {}
    with work.console.progress("likelihood", total * (len(contest.checkpoints) + 1), "tokens") as progress:
        for name, folder in contest.checkpoints.items():
            found = network_bits(load_model(folder).to(device), passages, headers, progress)
            bits[name] = [float(one.sum()) for one in found]
        bits["ngram"] = []
        for passage in passages:
            bits["ngram"].append(float(contest.ngram.bits(passage).sum()))
            progress.advance(passage.stop - passage.start)
    return [
        Read(file, length, {name: of[place] for name, of in bits.items()})
        for place, (file, _, length) in enumerate(cuts)
    ]


def _fill_all(work: Work, contest: _Contest, items: Sequence[Item]) -> list[Filled]:
    """Every item with the answers of all; of an untrained network only for the first of each kind."""
    engines = {name: open_engine(folder, weights=WEIGHTS) for name, folder in contest.checkpoints.items()}
    ngram = NgramCompleter(contest.ngram, contest.codec, contest.context)
    filled = []
    seen = dict.fromkeys(KINDS, 0)
    with work.console.progress("infilling", len(items), "items") as progress:
        for item in items:
            answers = {"ngram": ngram.complete(item)}
            for name, engine in engines.items():
                if name != "untrained" or seen[item.kind] < UNTRAINED_ITEMS:
                    answers[name] = complete_by_engine(engine, contest.codec, item)
            seen[item.kind] += 1
            filled.append(Filled(item, answers))
            progress.advance(note=item.kind)
    return filled


def _circumstances(work: Work, contest: _Contest, items: Sequence[Item]) -> dict[str, Any]:
    return {
        "data": {
            "files": len(contest.held_out),
            "files_sha256": digest([(file.name, file.text) for file in contest.held_out]),
            "items_sha256": digest([(item.kind, item.file.name, item.prefix, item.expected) for item in items]),
        },
        "contestants": {
            **{
                name: {"checkpoint": folder.name, "weights": WEIGHTS, "prompt": "suffix first"}
                for name, folder in contest.checkpoints.items()
            },
            "ngram": {"tokens": contest.ngram.tokens, "prompt": "prefix"},
            "decoding": "greedy",
            "most_tokens": dict(MOST_TOKENS),
        },
        "seed": work.seed,
        "environment": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
            "machine": platform.machine(),
            "threads": torch.get_num_threads(),
        },
    }
