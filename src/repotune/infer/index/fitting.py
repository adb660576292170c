"""Fitting a gate: how far to trust the index, for a model, on files that neither has seen.

    gate = fit_gate(open_index(folder), tokens, model, codec)
    write_gate(folder, gate)

The validation split is read in windows as long as the model's context, by turns as plain text and as an infilling
prompt has it, suffix first. As in an editor, what stands in the file before a window, or behind the hole, is open, and
the model's weights are those that are served.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from repotune.core.console import Console
from repotune.core.errors import UserError
from repotune.infer.engine import Engine
from repotune.infer.index.cursor import Cursor
from repotune.infer.index.folder import Index
from repotune.infer.index.gate import EXPERTS, FEATURES, Float, Gate, Probabilities, model_hash
from repotune.infer.index.looking import by_expert, described, listen, look_up
from repotune.infer.served import open_served
from repotune.tokenizer.encoding import Codec
from repotune.tokenizer.packing import TokenStore, read_index

FITTED_TOKENS = 24_000  # for 80 weights; a model of 4 layers reads them in seconds, one of 125M parameters in minutes
_RIDGE = 1e-3
_ROUNDS = 200
_LEAST_WINDOW = 8  # tokens
_LEAST_P = 1e-9  # of the model: no expert is believed without end
_ROWS = 256  # read at once: of 32,000 entries they take 32 MB


@dataclass(frozen=True)
class Window:
    """Ids for one pass; those from `first` on are predicted. `beside` is the rest of the file."""

    document: int
    ids: list[int]
    first: int
    before: list[int]
    behind: list[int]


@dataclass(frozen=True)
class Evidence:
    """Of T predicted ids: their probabilities by each expert (T × EXPERTS), which experts are there, the features
    (T × FEATURES), and which document each stands in."""

    p: Float
    present: NDArray[np.bool_]
    features: Float
    document: NDArray[np.int64]


class TooFewHeldOutError(UserError):
    """One file is no basis for saying how much the index knows of others."""


def fit_gate(index: Index, tokens: Path, model: Path, codec: Codec, console: Console | None = None) -> Gate:
    """The gate for the model in the folder `model` and `index`, on the validation split in `tokens`.

    Raises UserError where the index, the tokens and the model are not of one tokenizer, or nothing is held out.
    """
    store = TokenStore(tokens, "validation")
    if not index.tokenizer == read_index(tokens)["tokenizer"]:
        raise UserError(f"{index.folder} is not the index of {tokens}.", "build the index again")
    engine = open_served(model)
    if engine.vocabulary < codec.size:
        raise UserError(f"The model in {model} is of another tokenizer than {tokens}.")
    windows = list(cut_windows(store, codec, engine.context, FITTED_TOKENS))
    if len({window.document for window in windows}) < 2:
        raise TooFewHeldOutError("Fewer than two files are held out to fit on.", "raise corpus.validation_share")
    evidence = gather(windows, engine, Cursor(index, codec.special), codec, console or Console(quiet=True))
    halves = [evidence.document % 2 == 0, evidence.document % 2 == 1]
    nats = np.empty(len(evidence.p))
    for half, other in (halves, halves[::-1]):
        nats[other] = _nats(_fit(evidence, half), evidence, other)
    without = float(-np.log(evidence.p[:, 0]).mean())
    weights = tuple(tuple(row) for row in _fit(evidence, np.ones(len(nats), bool)).tolist())
    return Gate(model_hash(model), index.tokenizer, len(nats), without, float(nats.mean()), weights)


def cut_windows(store: TokenStore, codec: Codec, context: int, most: int) -> Iterator[Window]:
    """Windows that predict about `most` ids together, all documents in turns, far apart in each."""
    lengths = [len(store.document(number)) for number in range(len(store))]
    left, turn = most, 0
    while left > 0:
        before = left
        for number, length in enumerate(lengths):
            header = codec.header(store.path(number))
            header = header if 4 * len(header) <= context else codec.header("")
            start = turn * context
            if length - start >= _LEAST_WINDOW and left > 0:
                window = _cut(number, store.document(number).tolist(), start, header, context, codec, turn + number)
                yield window
                left -= len(window.ids) - window.first
        if left == before:
            return
        turn += 1


def gather(windows: Sequence[Window], engine: Engine, cursor: Cursor, codec: Codec, console: Console) -> Evidence:
    """What each expert says of what each window predicts; special ids, which are not mixed, left out."""
    found: list[Evidence] = []
    total = sum(len(window.ids) - window.first for window in windows)
    special = sorted(codec.special)
    with console.progress("what the model and the index say", total, "tokens") as progress:
        for window in windows:
            cursor.open_file(window.before, window.behind)
            cursor.move_to(window.ids[: window.first])
            for start, p_TV in _read(engine, window):
                seen = look_up(cursor, window.ids[start : start + len(p_TV)])
                said = listen(seen, p_TV, special)
                code = ~np.isin(seen.ids, special)
                p = np.maximum(by_expert(seen, said), [_LEAST_P, *np.zeros(len(EXPERTS) - 1)])
                document = np.full(len(p), window.document)
                found.append(Evidence(p[code], seen.present[code], described(seen, said)[code], document[code]))
                progress.advance(len(p_TV))
    return Evidence(*(np.concatenate(parts) for parts in zip(*map(_columns, found), strict=True)))


def _columns(evidence: Evidence) -> tuple[NDArray[Any], ...]:
    return evidence.p, evidence.present, evidence.features, evidence.document


def _cut(number: int, body: list[int], start: int, header: list[int], context: int, codec: Codec, turn: int) -> Window:
    """The window of a document at `start`: plain or, every other time, the end of it first as a suffix."""
    room = context - len(header)
    if turn % 2 == 0 or len(body) - start < 4 * _LEAST_WINDOW:
        ids = header + body[start : start + room]
        return Window(number, ids, len(header), body[:start], [])
    whole = body[start : start + room - 3]
    hole = 3 * len(whole) // 4
    ids = [*header, codec.fim_prefix, codec.fim_suffix, *whole[hole:], codec.fim_middle, *whole[:hole]]
    return Window(number, ids, len(ids) - hole, body[:start], body[start + hole :])


def _read(engine: Engine, window: Window) -> Iterator[tuple[int, Probabilities]]:
    """The model's probabilities for each predicted id, some rows at a time, and the place of the first."""
    start, logits_TV = window.first, engine.prefill(window.ids[: window.first])[None]
    while start < len(window.ids):
        p_TV = np.exp(logits_TV - logits_TV.max(1, keepdims=True))
        yield start, p_TV / p_TV.sum(1, keepdims=True)
        start += len(p_TV)
        if start < len(window.ids):
            logits_TV = engine.extend(window.ids[start - 1 : min(len(window.ids) - 1, start - 1 + _ROWS)])
    engine.end()


def _fit(evidence: Evidence, part: NDArray[np.bool_]) -> Float:
    """The gate's weights, FEATURES × EXPERTS, that make what is predicted in `part` likeliest, but for a ridge."""
    mean, spread = evidence.features[part].mean(0), evidence.features[part].std(0) + 1e-6
    mean[0], spread[0] = 0, 1  # the constant
    x = torch.from_numpy((evidence.features[part] - mean) / spread)
    p, present = torch.from_numpy(evidence.p[part]), torch.from_numpy(evidence.present[part])
    weights = torch.zeros(FEATURES, len(EXPERTS), dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([weights], max_iter=_ROUNDS, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        shares = (x @ weights).masked_fill(~present, -torch.inf).softmax(1)
        nats = -(shares * p).sum(1).log().mean() + _RIDGE * weights.square().mean()
        nats.backward()  # type: ignore[no-untyped-call]
        return nats

    optimiser.step(loss)  # type: ignore[no-untyped-call]
    fitted: Float = weights.detach().numpy() / spread[:, None]
    fitted[0] -= mean @ fitted
    return fitted


def _nats(weights: Float, evidence: Evidence, part: NDArray[np.bool_]) -> Float:
    """What each id in `part` takes, mixed."""
    scores = np.where(evidence.present[part], evidence.features[part] @ weights, -np.inf)
    shares = np.exp(scores - scores.max(1, keepdims=True))
    nats: Float = -np.log((shares / shares.sum(1, keepdims=True) * evidence.p[part]).sum(1))
    return nats
