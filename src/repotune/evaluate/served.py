"""The model as it is served: drafts and probabilities from the index of the training split, and from the file at hand.

Its bits are comparable to the model's: before each token, what the model says is mixed by the server's own gate with
what followed like contexts in the index and earlier in the file. These are probabilities over the whole vocabulary that
add up to one, and they depend on nothing but what is known before that token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from repotune.core.artefact import digest
from repotune.core.console import Progress
from repotune.evaluate.completions import complete_by_engine
from repotune.evaluate.likelihood import score_windows
from repotune.evaluate.ngram import Float, Passage
from repotune.evaluate.own_code.items import Item
from repotune.infer.assistance import assist
from repotune.infer.engine import Engine
from repotune.infer.index.cursor import Cursor
from repotune.infer.index.folder import Index, open_index
from repotune.infer.index.gate import Gate, model_hash, read_gate
from repotune.infer.index.looking import Seen, listen, look_up, mixed
from repotune.model.network import Network
from repotune.tokenizer.encoding import Codec

Beside = tuple[Sequence[int], Sequence[int]]
"""Ids of the file at hand, before and behind the cursor."""


@dataclass(frozen=True)
class Served:
    """An index of what the model was trained on, and how much of its word the model takes."""

    index: Index
    gate: Gate
    codec: Codec

    def contents(self) -> str:
        """A hash of the index and of the gate."""
        return digest([asdict(self.gate), [segment.entry.files for segment in self.index.segments]])

    def as_json(self) -> dict[str, Any]:
        """What results.json says of it; nats per token are of the validation split, to which the gate was fitted."""
        return {
            "indexed_files": self.index.documents,
            "indexed_tokens": self.index.tokens,
            "nats_per_token": {"without": round(self.gate.without, 4), "with": round(self.gate.nats, 4)},
        }

    def complete(self, engine: Engine, item: Item, prompt: Sequence[int] | None = None) -> str:
        """The answer of the model of `engine` when it is served, to `prompt`, by default that of the file alone. The
        file is open around the hole."""
        assisted = assist(engine, self.codec.special, self.index, self.gate)
        assisted.open_file(*self.beside(item))
        return complete_by_engine(assisted, self.codec, item, prompt)

    def beside(self, item: Item) -> Beside:
        """What an editor sends of the file: all that is known around the hole, and nothing of what stood in it."""
        return self.codec.encode(item.prefix), self.codec.encode(item.suffix)

    def look_up(self, passage: Passage, beside: Beside = ((), ())) -> Seen:
        """What index and file say of each id that `passage` predicts, from what stands before it there; `beside` is
        open too."""
        cursor, ids = Cursor(self.index, self.codec.special), passage.ids.tolist()
        cursor.open_file(*beside)
        cursor.move_to(ids[: passage.start])
        return look_up(cursor, ids[passage.start : passage.stop])

    def bits(
        self,
        network: Network,
        passages: Sequence[Passage],
        headers: Sequence[int],
        seen: Sequence[Seen],
        progress: Progress,
    ) -> tuple[list[Float], list[Float]]:
        """The bits of each id that each passage predicts, by `network` alone and mixed with what was `seen` of them.
        Arguments as those of `likelihood.network_bits`."""
        alone, together = ([np.zeros(passage.stop - passage.start) for passage in passages] for _ in range(2))
        for scored in score_windows(network, passages, headers, progress):
            at = slice(scored.place, scored.place + len(scored.ids))
            known = seen[scored.passage].part(at.start, at.stop)
            said = listen(known, scored.logits.softmax(1).cpu().numpy(), self.codec.special)
            alone[scored.passage][at] = scored.bits()
            together[scored.passage][at] = -np.log2(mixed(self.gate, known, said))
        return alone, together


def read_served(folder: Path, model: Path, codec: Codec) -> Served | None:
    """What a server makes of the index in `folder` and `model`; None where mixing does not help this model. Raises
    UserError where the index is damaged."""
    index = open_index(folder)
    gate = read_gate(folder, model_hash(model), index.tokenizer)
    return Served(index, gate, codec) if gate is not None and gate.helps else None
