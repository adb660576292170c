"""An engine as the server uses it: drafts from the file at hand and the index, and what the index knows mixed in."""

from __future__ import annotations

from collections.abc import Collection

from repotune.infer.engine import Engine
from repotune.infer.index.cursor import Cursor
from repotune.infer.index.drafting import IndexDrafter
from repotune.infer.index.folder import Index
from repotune.infer.index.gate import Gate
from repotune.infer.index.mixing import MixedEngine, Mixer
from repotune.infer.speculation import DraftedEngine

AssistedEngine = DraftedEngine | MixedEngine


def assist(engine: Engine, special: Collection[int], index: Index | None, gate: Gate | None) -> AssistedEngine:
    """`engine` with drafts, from `index` where there is one, and mixed with it where `gate` says how much and that it
    helps. Call `open_file` before each prompt."""
    drafted = DraftedEngine(engine, IndexDrafter(Cursor(index, special)))
    if index is None or gate is None or not gate.helps:
        return drafted
    return MixedEngine(drafted, Mixer(Cursor(index, special), gate, special))
