"""A model's next-token probabilities mixed with those of the index and of the open file.

    engine = MixedEngine(open_engine(release), Mixer(Cursor(index, codec.special), gate, codec.special))
    engine.open_file(ids before the cursor, ids behind it)
    generate(engine, codec, prompt, …)      unchanged: what it gets for logits are log-probabilities

Special tokens keep the probability that the model gives them: where a hole ends, and a document, the index cannot know.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from repotune.infer.engine import Engine, EngineStats, Logits
from repotune.infer.index.cursor import Cursor
from repotune.infer.index.gate import Gate, ask, describe
from repotune.infer.speculation import DraftedEngine


class Mixer:
    """Mixes where `cursor` stands, as much as `gate` says. `special` ids are left alone."""

    def __init__(self, cursor: Cursor, gate: Gate, special: Collection[int]) -> None:
        self.cursor = cursor
        self._gate = gate
        self._special = np.array(sorted(special), np.int64)

    def another(self) -> Mixer:
        """One for another sequence."""
        return Mixer(self.cursor.another(), self._gate, self._special.tolist())

    def mix(self, logits: Logits) -> Logits:
        """Log-probabilities of the next token, shape (V,), float32, from the model's logits for it."""
        p = np.exp(logits - logits.max())
        p /= p.sum()
        answers = ask(self.cursor)
        present = [True, *(answer.length > 0 for answer in answers)]
        if any(present[1:]):
            special = p[self._special]
            model, *others = self._gate.shares(describe(answers, p), present).tolist()
            p *= model
            for answer, share in zip(answers, others, strict=True):
                p[answer.ids] += answer.shares * (share * (1 - float(special.sum())))
            p[self._special] = special
        log_p: Logits = np.log(np.maximum(p, np.finfo(np.float32).tiny), dtype=np.float32)
        return log_p


class MixedEngine:
    """An Engine (`repotune.infer.engine`) whose logits are those of another one, mixed."""

    def __init__(self, engine: Engine, mixer: Mixer) -> None:
        self._engine, self._mixer = engine, mixer
        self.context, self.vocabulary, self.precision = engine.context, engine.vocabulary, engine.precision

    def open_file(self, before: Sequence[int], behind: Sequence[int] = ()) -> None:
        """See `Cursor.open_file`; holds until it is called again. The engine beneath is told where it drafts."""
        self._mixer.cursor.open_file(before, behind)
        if isinstance(self._engine, DraftedEngine):
            self._engine.open_file(before, behind)

    def held(self, ids: Sequence[int]) -> int:
        """See `Engine.held`."""
        return self._engine.held(ids)

    def prefill(self, ids: Sequence[int]) -> Logits:
        """See `Engine.prefill`."""
        logits = self._engine.prefill(ids)
        self._mixer.cursor.move_to(ids)
        return self._mixer.mix(logits)

    def step(self, token: int) -> Logits:
        """See `Engine.step`."""
        logits = self._engine.step(token)
        self._mixer.cursor.push(token)
        return self._mixer.mix(logits)

    def extend(self, ids: Sequence[int]) -> Logits:
        """See `Engine.extend`."""
        logits_TV = self._engine.extend(ids)
        mixed = []
        for token, logits in zip(ids, logits_TV, strict=True):
            self._mixer.cursor.push(token)
            mixed.append(self._mixer.mix(logits))
        return np.stack(mixed)

    def rewind(self, count: int) -> None:
        """See `Engine.rewind`."""
        self._engine.rewind(count)
        self._mixer.cursor.rewind(count)

    def end(self) -> None:
        """See `Engine.end`."""
        self._engine.end()

    def another(self) -> MixedEngine:
        """See `Engine.another`. It has no file open."""
        return MixedEngine(self._engine.another(), self._mixer.another())

    def cancel(self) -> None:
        """See `Engine.cancel`."""
        self._engine.cancel()

    def stats(self) -> EngineStats:
        """What the engine beneath has done."""
        return self._engine.stats()
