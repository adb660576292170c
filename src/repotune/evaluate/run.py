"""The results step: how good what is served is on held-out files, beside an n-gram and what training began from.

`results.json` (a score is {"value", "low", "high"}, a 95 % interval clustered by file):

    schema       3
    verdict      one sentence
    judged       the contestant that it is about: `served` where the index helps the model, else `model`
    likelihood   {contestant: {"bits_per_byte", "bytes", "files"}}
    infilling    {kind: {contestant: {"items", measure}}}
    languages    {language: the same as infilling, for what is served, the model and the n-gram}
    later        {"after", "items", "files", "infilling"}: the same for holes in lines that were added after everything
                 trained on, of which `after` is the newest date, or null where a file bears none
    other_files  {"all" or kind: {"items", measure: {"without", "with", "difference"}}}: the model asked without and
                 with pieces of other files in front
    differences  {opponent: {"likelihood": {"bits_per_byte"}, kind: {measure}}}, as judged − opponent
    data, contestants, seed, environment: on what, by what and where it was measured

Contestants are `served` (the model with the index mixed in and the file at hand open, through the server's own door;
where mixing helps), `model` (alone), `ngram`, and `base` where one was gone on from, else `untrained`. Kinds are
`rest`, `line`, `block`, `body`, `arguments`, `imports` and `nothing`, those that the files hold; measures
`exact_match`, `edit_similarity`, `identifier_f1` and `bits_per_byte`, the latter two where holes have identifiers or
text, and of the untrained the last alone.
The `weights` of a contestant are what it writes with: as it is served. All bits are those of networks in f32, for
`served` mixed as the server mixes.
`samples.jsonl` holds every item with every answer, those to prompts with pieces as `model_with_files`.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from repotune.core.artefact import digest, write_atomically
from repotune.core.errors import UserError
from repotune.core.flow import Work
from repotune.core.settings import EvaluateSettings
from repotune.evaluate import summary
from repotune.evaluate.completions import MOST_TOKENS
from repotune.evaluate.contest import Contest, fill_all, prepare, read_all
from repotune.evaluate.own_code.held_out import learnt_until
from repotune.evaluate.own_code.history import later_lines, local_histories
from repotune.evaluate.own_code.items import KINDS, Item, draw_items
from repotune.evaluate.verdict import verdict
from repotune.infer.served import served_weights
from repotune.model.weights import read_config


def build_results(work: Work, settings: EvaluateSettings, repositories: Sequence[str] = ()) -> None:
    """Writes results.json and samples.jsonl. `repositories` are those that the corpus was made of: the history of those
    on this disk tells which lines are later than everything trained on.

    Raises UserError where no file is held out, none holds an item, or a history does not hold the corpus's commit.
    """
    contest = prepare(work)
    after = learnt_until(work.inputs["corpus"])
    later = later_lines(contest.held_out, after, local_histories(repositories))
    items = draw_items(contest.held_out, KINDS, settings.items, work.seed, later)
    if not items:
        raise UserError("The held-out files hold no line to complete.", "raise corpus.test_share, or add repositories")
    reads = read_all(work, contest, settings.likelihood_bytes)
    filled = fill_all(work, contest, items)
    found, judged = summary.differences(reads, filled), summary.judged(reads)
    results = {
        "schema": 3,
        "verdict": verdict(found, len(contest.held_out), judged),
        "judged": judged,
        "likelihood": summary.likelihood_scores(reads),
        "infilling": summary.infilling_scores(filled),
        "languages": summary.language_scores(filled),
        "later": summary.later_scores(filled, after),
        "other_files": summary.file_scores(filled),
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


def _circumstances(work: Work, contest: Contest, items: Sequence[Item]) -> dict[str, Any]:
    return {
        "data": {
            "files": len(contest.held_out),
            "files_sha256": digest([(file.name, file.text) for file in contest.held_out]),
            "items_sha256": digest([(item.kind, item.file.name, item.prefix, item.expected) for item in items]),
        },
        "contestants": {
            **{
                name: {
                    "checkpoint": folder.name,
                    "weights": "f32" if name == "untrained" else served_weights(read_config(folder)),
                    "prompt": "suffix first",
                }
                for name, folder in contest.checkpoints.items()
            },
            **({"served": contest.served.as_json()} if contest.served else {}),
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
