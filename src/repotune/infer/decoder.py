"""Our engine: a decoder in plain torch over static caches.

    engine = open_engine(Path("release"))
    logits_V = engine.prefill(prompt)
    logits_V = engine.step(int(logits_V.argmax()))

Prompts are computed in bfloat16 where the CPU has instructions for it, and decoding reads 8-bit weights (`linear.py`).
On a GPU, where torch has one, everything is bfloat16; that path has not been measured.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from repotune.core.errors import UserError
from repotune.core.hardware import has_bf16
from repotune.infer.cache import Cache, choose_cache
from repotune.infer.engine import Cancelled, EngineStats, Logits
from repotune.infer.layers import Layer, Norm, Places
from repotune.infer.linear import Precision, make_linear
from repotune.model.network import Network
from repotune.model.weights import load_model

# Prompts are computed in chunks of this many tokens: what is done when a call is cancelled stays in the cache, and
# the scores of long prompts stay small.
CHUNK = 256
# Sequences held at once: a few files, or people, before one evicts another.
CACHES = 4


def open_engine(folder: Path, weights: Literal["auto"] | Precision = "auto", threads: int | None = None) -> Decoder:
    """The engine of the Hugging Face folder `folder`.

    `weights` "auto" is bf16 on a GPU, int8 on a CPU that multiplies bfloat16 natively, and f32 on any other. `threads`
    is torch's, for the whole process; None leaves it as it is. Raises UserError where the folder holds no model.
    """
    if weights not in ("auto", "f32", "bf16", "int8"):
        raise UserError(f"There are no weights {weights!r}.", "weights: auto, f32, bf16, int8")
    if threads is not None:
        torch.set_num_threads(threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return Decoder(load_model(folder), choose_precision(weights, device), device)


def choose_precision(weights: Literal["auto"] | Precision, device: torch.device) -> Precision:
    """The precision that `weights` stands for on `device`. Raises UserError for int8 on a GPU."""
    if device.type != "cpu":
        if weights == "int8":
            raise UserError("int8 weights are for CPUs.", "on a GPU use bf16")
        return "bf16" if weights == "auto" else weights
    if weights == "auto":
        return "int8" if has_bf16() else "f32"
    return weights


class Decoder:
    """An Engine (`repotune.infer.engine`) over the weights of a Network, which it copies."""

    def __init__(self, network: Network, precision: Precision, device: torch.device) -> None:
        config = network.config
        self.context, self.vocabulary, self.precision = config.context, config.vocabulary, precision
        state = {name: tensor.detach().to(device) for name, tensor in network.state_dict().items()}
        wide = precision == "f32" or (precision == "int8" and not has_bf16())
        dense = torch.float32 if wide else torch.bfloat16
        with torch.inference_mode():
            self._embedding_VD = state["embedding.weight"].to(dense)
            self._layers = [Layer(config, state, index, precision, dense) for index in range(config.layers)]
            self._norm = Norm(config, state, "norm")
            self._head = make_linear(self._embedding_VD if config.tied else state["head.weight"], precision, dense)
            self._places = Places(config, device)
            held = torch.float32 if device.type == "cpu" else dense
            self._caches = [Cache(config, held, device) for _ in range(CACHES)]
        self._device = device
        self._cancelled = threading.Event()
        self._stats = EngineStats()

    @torch.inference_mode()
    def prefill(self, ids: Sequence[int]) -> Logits:
        """See `Engine.prefill`."""
        started = time.perf_counter()
        self._cancelled.clear()
        self._check(ids, room=self.context)
        cache, reused = choose_cache(self._caches, ids)
        del cache.tokens[reused:]
        for start in range(reused, len(ids), CHUNK):
            last_1D = self._advance(cache, ids[start : start + CHUNK])
        logits_V = self._logits(last_1D)
        self._stats = replace(
            self._stats,
            prompts=self._stats.prompts + 1,
            prompt_tokens=self._stats.prompt_tokens + len(ids),
            reused_tokens=self._stats.reused_tokens + reused,
            prefill_seconds=self._stats.prefill_seconds + time.perf_counter() - started,
        )
        return logits_V

    @torch.inference_mode()
    def step(self, token: int) -> Logits:
        """See `Engine.step`."""
        started = time.perf_counter()
        cache = self._caches[0]
        if not cache.tokens:
            raise ValueError("a sequence begins with a prefill")
        self._check((token,), room=self.context - len(cache.tokens))
        logits_V = self._logits(self._advance(cache, (token,)))
        self._stats = replace(
            self._stats,
            steps=self._stats.steps + 1,
            step_seconds=self._stats.step_seconds + time.perf_counter() - started,
        )
        return logits_V

    def cancel(self) -> None:
        """See `Engine.cancel`."""
        self._cancelled.set()

    def stats(self) -> EngineStats:
        """What was done since the engine was opened."""
        return self._stats

    def _advance(self, cache: Cache, ids: Sequence[int]) -> Tensor:
        """Computes `ids` behind what `cache` holds. Returns the stream at the last of them, 1×D."""
        start = len(cache.tokens)
        place = self._places.at(start, start + len(ids))
        x_TD = F.embedding(torch.tensor(ids, device=self._device), self._embedding_VD).float()
        for layer in self._layers:
            if self._cancelled.is_set():
                raise Cancelled
            x_TD = layer(x_TD, place, cache)
        cache.tokens.extend(ids)
        return x_TD[-1:]

    def _logits(self, x_1D: Tensor) -> Logits:
        logits_1V: Tensor = self._head(self._norm(x_1D))
        array: Logits = logits_1V[0].float().cpu().numpy()
        return array

    def _check(self, ids: Sequence[int], room: int) -> None:
        if not ids:
            raise ValueError("a prompt needs at least one token")
        if len(ids) > room:
            raise ValueError(f"{len(ids)} tokens do not fit into the {room} of {self.context} that are left")
        if not 0 <= min(ids) <= max(ids) < self.vocabulary:
            raise ValueError(f"token ids run from 0 to {self.vocabulary - 1}, not from {min(ids)} to {max(ids)}")
