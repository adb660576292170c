"""What is done to each document of a corpus, per core: each default step, and all of them, against datatrove's like.

Both go through this Python's standard library, tests included, in one process; what a step would drop goes on, so that
each sees all documents. Ours begins with the files on the disk and ends with what duplicates are found by; its
benchmarks of contamination are made-up words, as many sequences as HumanEval, its infilling tasks and MultiPL-E have.
datatrove gets texts, and does what comes nearest: Gopher's two filters, personal data, MinHash signatures. A regular
expression finds its words, for its own splitter is a language model for prose. CPU time, in turns on the same slice of
files; medians over rounds.

    python benchmarks/corpus_steps.py [--quick]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import statistics
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from datatrove.data import Document
from datatrove.pipeline.dedup import minhash
from datatrove.pipeline.filters import GopherQualityFilter, GopherRepetitionFilter
from datatrove.pipeline.formatters import PIIFormatter
from datatrove.utils import word_tokenizers

from repotune.core.settings import CorpusSettings
from repotune.corpus.build import _steps
from repotune.corpus.engines.steps import Step
from repotune.corpus.exclusion import Exclusion
from repotune.corpus.languages import wanted_languages
from repotune.corpus.opt_out import OptOut
from repotune.corpus.rows import REASON
from repotune.corpus.selection import Select
from repotune.corpus.sources.folder import Folder

Peer = Callable[[Document], Any]

_BAR = 10.0
_ROUNDS = 5
_BATCH_FILES, _BATCH_BYTES = 256, 4_000_000
_ITEMS, _ITEM_WORDS = 10_000, 58


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a third of the files")
    quick = parser.parse_args().quick
    with tempfile.TemporaryDirectory() as name:
        settings = CorpusSettings(exclude=("site-packages",), contamination=(made_up(Path(name)),))
        source = Folder("python", Path(sysconfig.get_paths()["stdlib"]))
        steps = {named(step): step for step in _steps([source], settings, Path(), 0, None)}
        peers = datatrove_steps(name)
        files = listed(source, settings)
        if quick:
            files = files.take(pa.array(range(0, files.num_rows, 3)))
        few = files.slice(0, 20)
        ours(few, steps), theirs(few, steps, peers)  # imports and tables are not part of the rate
        rates: dict[str, list[float]] = {name: [] for name in (*steps, "all", *peers, "datatrove")}
        for number in range(_ROUNDS):
            part = list(batches_of(files.take(pa.array(range(number, files.num_rows, _ROUNDS)))))
            size = sum(pc.sum(batch.column("size")).as_py() for batch in part) / 1e6
            spent = [ours(batch, steps) | theirs(batch, steps, peers) for batch in part]
            for name in rates:
                rates[name].append(size / sum(seconds[name] for seconds in spent))
            shown = f"ours {rates['all'][-1]:.1f} MB/s, datatrove {rates['datatrove'][-1]:.2f} MB/s"
            print(f"round {number}: {shown}", file=sys.stderr)
    medians = {name: statistics.median(each) for name, each in rates.items()}
    figure, peer = medians["all"], medians["datatrove"]
    result = {
        "name": "all default steps on each document, per core",
        "figure": round(figure, 2),
        "unit": "MB/s",
        "peer": f"datatrove {version('datatrove')}: Gopher's filters, personal data, MinHash",
        "peer_figure": round(peer, 2),
        "ratio": round(statistics.median(map(float.__truediv__, rates["all"], rates["datatrove"])), 1),
        "bar": _BAR,
        "steps": {name: round(medians[name], 1) for name in (*steps, *peers)},
        "load": round(os.getloadavg()[0], 1),
        "met": figure >= _BAR,
    }
    print(json.dumps(result))


def ours(batch: pa.RecordBatch, steps: dict[str, Step]) -> dict[str, float]:
    """The CPU seconds of each step, and of all."""
    spent = {}
    for name, step in steps.items():
        spent[name], batch = timed(step, batch)
        batch = batch.drop_columns([column for column in REASON if column in batch.schema.names])
    return spent | {"all": sum(spent.values())}


def theirs(batch: pa.RecordBatch, steps: dict[str, Step], peers: dict[str, Peer]) -> dict[str, float]:
    """The CPU seconds of each of datatrove's steps, and of all, on the texts that ours reads."""
    texts = steps["decode"](steps["Read"](batch)).column("text").to_pylist()
    documents = [Document(text=text, id=str(number)) for number, text in enumerate(texts) if text]
    spent = {name: timed(lambda step=step: [step(each) for each in documents])[0] for name, step in peers.items()}
    return spent | {"datatrove": sum(spent.values())}


def timed(function: Callable[..., Any], *arguments: Any) -> tuple[float, Any]:
    started = time.process_time()
    result = function(*arguments)
    return time.process_time() - started, result


def named(step: Step) -> str:
    return getattr(step, "__name__", type(step).__name__)


def listed(source: Folder, settings: CorpusSettings) -> pa.RecordBatch:
    """The files of `source` that are worth reading."""
    select = Select([source], Exclusion(settings.exclude), OptOut(settings.opt_out), wanted_languages(None))
    files = select(pa.record_batch({"source": pa.array([0], pa.int64())}))
    return files.filter(pc.is_null(files.column("rule"))).drop_columns(list(REASON))


def batches_of(files: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """`files` as the corpus takes them."""
    start = weight = 0
    for place, size in enumerate(files.column("size").to_pylist()):
        if weight + size > _BATCH_BYTES or place - start == _BATCH_FILES:
            yield files.slice(start, place - start)
            start, weight = place, 0
        weight += size
    yield files.slice(start)


def made_up(folder: Path) -> str:
    """A benchmark of random words, so that all is looked for and nothing is found."""
    draw = random.Random(0)
    words = ["".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=6)) for _ in range(5_000)]
    rows = [{"task_id": f"{n}", "prompt": " ".join(draw.choices(words, k=_ITEM_WORDS))} for n in range(_ITEMS)]
    path = folder / "made_up.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


class Words:
    """Stands in for datatrove's word splitter."""

    word_tokenize = staticmethod(re.compile(r"\w+").findall)


def datatrove_steps(folder: str) -> dict[str, Peer]:
    word_tokenizers.load_word_tokenizer = minhash.load_word_tokenizer = lambda language: Words()
    signature = minhash.MinhashDedupSignature(folder)
    repetition, quality, personal = GopherRepetitionFilter(), GopherQualityFilter(), PIIFormatter()
    return {
        "GopherRepetitionFilter": repetition.filter,
        "GopherQualityFilter": quality.filter,
        "PIIFormatter": lambda document: personal.format(document.text),
        "MinhashDedupSignature": lambda document: sign(signature, document.text),
    }


def sign(signature: minhash.MinhashDedupSignature, text: str) -> Any:
    shingles = signature.get_shingles(text)
    return signature.get_signature(shingles) if shingles.size else None


if __name__ == "__main__":
    main()
