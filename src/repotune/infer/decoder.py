"""An engine in plain torch over static caches, with exact weights or bfloat16.

It computes what a network computes, for comparisons and for shapes that the CPU engine (`cpu/`) does not know.
"""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from repotune.infer.cache import Cache, choose_cache, most_held
from repotune.infer.engine import Cancelled, EngineStats, Logits, check_ids
from repotune.infer.layers import Layer, Linear, Norm, Places
from repotune.model.network import Network

Precision = Literal["f32", "bf16"]

# Prompts are computed in chunks of this many tokens: what is done when a call is cancelled stays in the cache, and
# the scores of long prompts stay small.
CHUNK = 256
# Sequences held at once: a few files, or people, before one evicts another.
CACHES = 4


class Decoder:
    """An Engine (`repotune.infer.engine`) over the weights of a Network, which it copies."""

    def __init__(self, network: Network, precision: Precision, device: torch.device) -> None:
        config = network.config
        self.context, self.vocabulary, self.precision = config.context, config.vocabulary, precision
        state = {name: tensor.detach().to(device) for name, tensor in network.state_dict().items()}
        dense = torch.float32 if precision == "f32" else torch.bfloat16
        with torch.inference_mode():
            self._embedding_VD = state["embedding.weight"].to(dense)
            self._layers = [Layer(config, state, index, dense) for index in range(config.layers)]
            self._norm = Norm(config, state, "norm")
            self._head = Linear(self._embedding_VD if config.tied else state["head.weight"], dense)
            self._places = Places(config, device)
        self._config, self._device = config, device
        self._held = torch.float32 if device.type == "cpu" else dense
        self._alone = threading.Lock()
        self._begin()

    def _begin(self) -> None:
        self._caches = [Cache(self._config, self._held, self._device) for _ in range(CACHES)]
        self._cancelled = threading.Event()
        self._stats = EngineStats()

    def another(self) -> Decoder:
        """See `Engine.another`: with caches of its own; the engines take turns."""
        other = copy.copy(self)
        other._begin()
        return other

    def held(self, ids: Sequence[int]) -> int:
        """See `Engine.held`."""
        return most_held((list(cache.tokens) for cache in self._caches), ids)  # copies: a pass may extend them

    @torch.inference_mode()
    def prefill(self, ids: Sequence[int]) -> Logits:
        """See `Engine.prefill`."""
        started = time.perf_counter()
        check_ids(ids, self.vocabulary, room=self.context, context=self.context)
        cache, reused = choose_cache(self._caches, ids)
        del cache.tokens[reused:]
        for start in range(reused, len(ids), CHUNK):
            x_TD = self._advance(cache, ids[start : start + CHUNK])
        logits_V: Logits = self._logits(x_TD[-1:])[0]
        self._stats = self._stats.with_prompt(len(ids), reused, started)
        return logits_V

    def step(self, token: int) -> Logits:
        """See `Engine.step`."""
        logits_V: Logits = self.extend((token,))[0]
        return logits_V

    @torch.inference_mode()
    def extend(self, ids: Sequence[int]) -> Logits:
        """See `Engine.extend`. Several at once are the same numbers but for the order of sums within a product."""
        started = time.perf_counter()
        cache = self._caches[0]
        if not cache.tokens:
            raise ValueError("a sequence begins with a prefill")
        check_ids(ids, self.vocabulary, room=self.context - len(cache.tokens), context=self.context)
        logits_TV = self._logits(self._advance(cache, ids))
        self._stats = self._stats.with_step(started)
        return logits_TV

    def rewind(self, count: int) -> None:
        """See `Engine.rewind`."""
        tokens = self._caches[0].tokens
        if not 0 <= count < len(tokens):
            raise ValueError(f"{count} tokens cannot be taken back")
        del tokens[len(tokens) - count :]

    def end(self) -> None:
        """See `Engine.end`: the latest cache stays the first to be looked at."""
        self._cancelled.clear()

    def cancel(self) -> None:
        """See `Engine.cancel`."""
        self._cancelled.set()

    def stats(self) -> EngineStats:
        """What was done since the engine was opened."""
        return self._stats

    def _advance(self, cache: Cache, ids: Sequence[int]) -> Tensor:
        """Computes `ids` behind what `cache` holds. Returns the stream at each of them, T×D."""
        with self._alone:
            return self._advance_alone(cache, ids)

    def _advance_alone(self, cache: Cache, ids: Sequence[int]) -> Tensor:
        start = len(cache.tokens)
        place = self._places.at(start, start + len(ids))
        x_TD = F.embedding(torch.tensor(ids, device=self._device), self._embedding_VD).float()
        for layer in self._layers:
            if self._cancelled.is_set():
                self._cancelled.clear()
                raise Cancelled
            x_TD = layer(x_TD, place, cache)
        cache.tokens.extend(ids)
        return x_TD

    def _logits(self, x_TD: Tensor) -> Logits:
        logits_TV: Logits = self._head(self._norm(x_TD)).float().cpu().numpy()
        return logits_TV
