"""Small training runs for benchmarks: a corpus of this Python's standard library, and one run from seed to score.

with small_corpus(megabytes=1.0) as corpus:
    corpus.run(Recipe(...), tokens=1_000_000).bits_per_byte
"""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from libraries import this_library
from torch.optim import Optimizer

from repotune.core.console import Console
from repotune.core.flow import Work
from repotune.model.configuration import ModelConfig
from repotune.model.network import Network
from repotune.tokenizer.encoding import Codec, load_codec
from repotune.tokenizer.layout import SPECIAL_TOKENS, vocabulary_of, write_vocabulary
from repotune.tokenizer.packing import TokenStore, build_tokens
from repotune.tokenizer.vocabulary import train_bpe
from repotune.train.batches import Batches
from repotune.train.infilling import Rendering
from repotune.train.optimisers import build_optimisers
from repotune.train.plan import TrainPlan
from repotune.train.schedules import Schedule
from repotune.train.step import Precision, take_step
from repotune.train.validation import Validation

VOCABULARY, SEQUENCE, BATCH_TOKENS = 2048, 256, 2048
MODEL = ModelConfig(VOCABULARY, width=128, layers=4, heads=4, kv_heads=2, hidden=352, context=SEQUENCE)


@dataclass(frozen=True)
class Recipe:
    """How to train. The optimisers' groups have their peaks as rates, which the schedule multiplies. With `documents`
    attention stays within one."""

    name: str
    optimisers: Callable[[Network], list[Optimizer]]
    schedule: Schedule
    dropout: float = 0.0
    seed: int = 1
    documents: bool = True


@dataclass(frozen=True)
class Run:
    """What a run came to: bits per byte of validation text, and CPU-seconds."""

    recipe: str
    tokens: int
    bits_per_byte: float
    cpu_seconds: float


def ours(name: str, optimiser: str, rate: float, decay: float, schedule: Schedule, dropout: float = 0.0) -> Recipe:
    """A recipe of repotune's optimisers, at one peak for all."""

    def optimisers(network: Network) -> list[Optimizer]:
        built = build_optimisers(network, optimiser, decay)
        for each in built:
            for group in each.param_groups:
                group["lr"] = rate
        return built

    return Recipe(name, optimisers, schedule, dropout)


@dataclass(frozen=True)
class SmallCorpus:
    """Tokens to train on, and the codec that made them."""

    tokens: Path
    codec: Codec

    @property
    def epoch(self) -> int:
        return TokenStore(self.tokens, "train").tokens

    def run(self, recipe: Recipe, tokens: int, model: ModelConfig = MODEL) -> Run:
        """Trains `model` for `tokens` on one thread."""
        torch.set_num_threads(1)
        started = time.process_time()
        torch.manual_seed(recipe.seed)
        network = Network(model, recipe.dropout)
        optimisers = recipe.optimisers(network)
        peaks = [[group["lr"] for group in optimiser.param_groups] for optimiser in optimisers]
        rendering = Rendering(self.codec, SEQUENCE, infilling_rate=0.0, seed=recipe.seed)
        batches = Batches(TokenStore(self.tokens, "train"), rendering, BATCH_TOKENS // SEQUENCE)
        precision = Precision.of("cpu")
        steps = tokens // BATCH_TOKENS
        for step in range(steps):
            share = recipe.schedule.share(step + 0.5, steps)
            for optimiser, before in zip(optimisers, peaks, strict=True):
                for group, peak in zip(optimiser.param_groups, before, strict=True):
                    group["lr"] = peak * share
            separator = self.codec.file_sep if recipe.documents else None
            rows = BATCH_TOKENS // SEQUENCE
            take_step(network, network.features, optimisers, batches.next(), rows, precision, separator)
        plan = TrainPlan.simple(model, tokens, SEQUENCE, BATCH_TOKENS, checkpoint_tokens=10**7, infilling_rate=0.0)
        scores = Validation(TokenStore(self.tokens, "validation"), self.codec, plan).measure(network, precision)
        return Run(recipe.name, tokens, scores.bits_per_byte, time.process_time() - started)


@contextmanager
def small_corpus(megabytes: float) -> Iterator[SmallCorpus]:
    """About `megabytes` of the library to train on, and 0.3 MB of other files to validate."""
    with tempfile.TemporaryDirectory() as name:
        folders = {each: Path(name) / each for each in ("corpus", "tokenizer", "tokens")}
        for folder in folders.values():
            folder.mkdir()
        files = sorted(this_library(), key=lambda file: hashlib.sha256(file.path.encode()).hexdigest())
        files = [file for file in files if len(file.text) < 60_000]
        validation, rest = _first(files, 0.3e6)
        train, _ = _first(rest, megabytes * 1e6)
        for split, chosen in (("train", train), ("validation", validation), ("test", validation[:1])):
            columns = {
                "text": [file.text for file in chosen],
                "path": [file.path for file in chosen],
                "language": ["Python"] * len(chosen),
                "repository": ["library"] * len(chosen),
                "weight": [1.0] * len(chosen),
            }
            pq.write_table(pa.table(columns), folders["corpus"] / f"{split}-00000.parquet")
        tokens = train_bpe(iter([file.text for file in train]), VOCABULARY - len(SPECIAL_TOKENS))
        write_vocabulary(folders["tokenizer"], vocabulary_of(tokens))
        build_tokens(Work(folders["tokens"], folders, Console(quiet=True), seed=1))
        yield SmallCorpus(folders["tokens"], load_codec(folders["tokenizer"]))


def _first(files: list, size: float) -> tuple[list, list]:
    """As many of the first `files` as have `size` bytes together, and the others."""
    total = 0
    for number, file in enumerate(files):
        total += len(file.text)
        if total >= size:
            return files[: number + 1], files[number + 1 :]
    return files, []


__all__ = ["MODEL", "Recipe", "Run", "SmallCorpus", "ours", "replace", "small_corpus"]
