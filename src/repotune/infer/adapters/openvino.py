"""OpenVINO as an Engine: its kernels under our prompts, decoding and caches.

    engine = open_openvino(Path("release"), "int8", threads=2)

OpenVINO keeps keys and values in a request's state, which only grows. Tokens that an edit took back are therefore left
in it and masked, which changes no other token's numbers, until so many are stale that the state is copied without them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from repotune.core.errors import UserError
from repotune.infer.cache import common_prefix, most_held
from repotune.infer.engine import Cancelled, EngineStats, Logits, check_ids
from repotune.model.configuration import ModelConfig
from repotune.model.weights import load_model

if TYPE_CHECKING:
    from repotune.infer.adapters.openvino_graph import OpenvinoWeights

# Sequences that are held beside those under way: a few files, or people, before one evicts another.
IDLE = 4
# Masked tokens cost attention a little, and a copy of the state without them costs a pass over it.
MOST_STALE = 256
# Between pieces of a prompt it is looked whether the call was cancelled, should the request have missed it.
CHUNK = 512
# Everything in float32, and no rounding of activations: for comparisons.
_EXACT = {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0"}


def open_openvino(folder: Path, weights: OpenvinoWeights = "int8", threads: int | None = None) -> OpenvinoEngine:
    """OpenVINO over the model in the Hugging Face folder `folder`, on the CPU; `threads` compute together, by default
    one a core. Raises UserError without OpenVINO, without a model, and for a shape that `openvino_graph` does not
    build."""
    if find_spec("openvino") is None:
        raise UserError("OpenVINO is not installed.", "pip install openvino")
    if weights not in ("f32", "f16", "int8", "int4"):
        raise UserError(f"There are no weights {weights!r} for OpenVINO.", "weights: f32, f16, int8, int4")
    graph, ov = import_module("repotune.infer.adapters.openvino_graph"), import_module("openvino")
    network = load_model(folder)
    options: dict[str, Any] = dict(_EXACT) if weights == "f32" else {}
    if threads is not None:
        options["INFERENCE_NUM_THREADS"] = threads
    model = graph.build_graph(network.config, network.state_dict(), weights, chosen=True)
    return OpenvinoEngine(network.config, _Pool(ov.Core().compile_model(model, "CPU", options)), weights)


class OpenvinoEngine:
    """An Engine (`repotune.infer.engine`) over a compiled graph, which `another` shares."""

    def __init__(self, config: ModelConfig, pool: _Pool, precision: str) -> None:
        self.context, self.vocabulary, self.precision = config.context, config.vocabulary, precision
        self._config, self._pool = config, pool
        self._sequence: _Sequence | None = None
        self._cancelled = threading.Event()
        self._stats = EngineStats()

    def held(self, ids: Sequence[int]) -> int:
        """See `Engine.held`."""
        return self._pool.held(ids)

    def prefill(self, ids: Sequence[int]) -> Logits:
        """See `Engine.prefill`."""
        started = time.perf_counter()
        check_ids(ids, self.vocabulary, self.context, self.context)
        self._unless_cancelled()
        self._put_back()
        self._sequence = self._pool.take(ids)
        reused = len(self._sequence.tokens)
        for start in range(reused, len(ids), CHUNK):
            logits_1V = self._advance(self._sequence, ids[start : start + CHUNK], wanted=1)
        self._stats = self._stats.with_prompt(len(ids), reused, started)
        logits_V: Logits = logits_1V[0]
        return logits_V

    def step(self, token: int) -> Logits:
        """See `Engine.step`."""
        logits_V: Logits = self.extend((token,))[0]
        return logits_V

    def extend(self, ids: Sequence[int]) -> Logits:
        """See `Engine.extend`."""
        started = time.perf_counter()
        sequence = self._under_way()
        check_ids(ids, self.vocabulary, self.context - len(sequence.tokens), self.context)
        logits_TV = self._advance(sequence, ids, wanted=len(ids))
        self._stats = self._stats.with_step(started)
        return logits_TV

    def rewind(self, count: int) -> None:
        """See `Engine.rewind`."""
        sequence = self._under_way()
        if not 0 <= count < len(sequence.tokens):
            raise ValueError(f"of {len(sequence.tokens)} tokens {count} cannot be taken back")
        sequence.keep(len(sequence.tokens) - count)

    def end(self) -> None:
        """See `Engine.end`."""
        self._put_back()
        self._cancelled.clear()

    def another(self) -> OpenvinoEngine:
        """See `Engine.another`. OpenVINO computes requests one after the other, in the order they come."""
        return OpenvinoEngine(self._config, self._pool, self.precision)

    def cancel(self) -> None:
        """See `Engine.cancel`: OpenVINO ends the call at its next operation."""
        self._cancelled.set()
        if self._sequence is not None:
            self._sequence.cancel()

    def stats(self) -> EngineStats:
        """What was done since the engine was opened."""
        return self._stats

    def _put_back(self) -> None:
        if self._sequence is not None:
            self._pool.give_back(self._sequence)
            self._sequence = None

    def _under_way(self) -> _Sequence:
        if self._sequence is None:
            raise ValueError("a sequence begins with a prefill")
        return self._sequence

    def _advance(self, sequence: _Sequence, ids: Sequence[int], wanted: int) -> Logits:
        self._unless_cancelled()
        try:
            return sequence.append(ids, wanted)
        except RuntimeError:
            self._unless_cancelled()
            raise

    def _unless_cancelled(self) -> None:
        if self._cancelled.is_set():
            self._cancelled.clear()
            raise Cancelled("cancelled") from None


class _Sequence:
    """One request and what its state holds: `tokens`, and for each the column of the state in which it stands."""

    def __init__(self, compiled: Any) -> None:
        self.tokens: list[int] = []
        self._columns: list[int] = []
        self._width = 0
        self._request = compiled.create_infer_request()

    def keep(self, count: int) -> None:
        """Takes all but the first `count` tokens back."""
        del self.tokens[count:], self._columns[count:]
        if not count:
            self._request.reset_state()
            self._width = 0
        elif self._width - count > MOST_STALE:
            self._copy_state()

    def append(self, ids: Sequence[int], wanted: int) -> Logits:
        """The logits of the last `wanted` of `ids`, wanted × V, which are held from then on. Where the call fails or
        is cancelled, what was held before still is."""
        before, new = len(self.tokens), len(ids)
        mask = np.zeros((1, self._width + new), np.int64)
        mask[0, self._columns] = mask[0, self._width :] = 1
        inputs = {
            "input_ids": np.array([ids], np.int64),
            "attention_mask": mask,
            "position_ids": np.arange(before, before + new)[None],
            "beam_idx": np.zeros(1, np.int32),
            "wanted": np.array([wanted]),
        }
        try:
            self._request.start_async(inputs)
            self._request.wait()
        except RuntimeError:
            # Some layers have the new tokens and some have not.
            self._copy_state()
            raise
        self._columns.extend(range(self._width, self._width + new))
        self._width += new
        self.tokens.extend(ids)
        logits_TV: Logits = self._request.get_tensor("logits").data[0].copy()
        return logits_TV

    def cancel(self) -> None:
        """From another thread: ends the `append` under way."""
        self._request.cancel()

    def _copy_state(self) -> None:
        """Makes the state one of the held tokens alone."""
        tensor = import_module("openvino").Tensor
        if self._columns:
            for variable in self._request.query_state():
                variable.state = tensor(np.ascontiguousarray(variable.state.data[:, :, self._columns]))
        else:
            self._request.reset_state()
        self._columns = list(range(len(self.tokens)))
        self._width = len(self.tokens)


class _Pool:
    """The sequences that no engine is using, latest first."""

    def __init__(self, compiled: Any) -> None:
        self._compiled = compiled
        self._idle: list[_Sequence] = []
        self._lock = threading.Lock()

    def take(self, ids: Sequence[int]) -> _Sequence:
        """A sequence to continue with `ids`, cut down to what it shares with them; at least the last of `ids` is
        left to compute.

        That with the longest common prefix, where that is at least half of what it holds: the same file, edited.
        Otherwise a new one, or the one unused for longest once there are IDLE.
        """
        with self._lock:
            shared = [common_prefix(sequence.tokens, ids) for sequence in self._idle]
            best = max(range(len(shared)), key=shared.__getitem__, default=None)
            if best is not None and shared[best] and 2 * shared[best] >= len(self._idle[best].tokens):
                sequence, kept = self._idle.pop(best), min(shared[best], len(ids) - 1)
            else:
                sequence, kept = self._idle.pop() if len(self._idle) >= IDLE else _Sequence(self._compiled), 0
        sequence.keep(kept)
        return sequence

    def held(self, ids: Sequence[int]) -> int:
        with self._lock:
            return most_held((sequence.tokens for sequence in self._idle), ids)

    def give_back(self, sequence: _Sequence) -> None:
        with self._lock:
            self._idle.insert(0, sequence)
            del self._idle[IDLE:]
