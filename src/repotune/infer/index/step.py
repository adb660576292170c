"""The index step: the training split's code, and how much it says beside the released model."""

from __future__ import annotations

from repotune.core.flow import Work
from repotune.infer.index.building import build
from repotune.infer.index.fitting import TooFewHeldOutError, fit_gate
from repotune.infer.index.folder import open_index
from repotune.infer.index.gate import write_gate
from repotune.tokenizer.encoding import load_codec


def build_index(work: Work) -> None:
    """Writes the index of inputs tokens and corpus, and the gate of input release's model where enough is held out."""
    tokens, release = work.inputs["tokens"], work.inputs["release"]
    build(tokens, work.inputs["corpus"], work.folder, work.console)
    try:
        gate = fit_gate(open_index(work.folder), tokens, release, load_codec(release), work.console)
    except TooFewHeldOutError as error:
        work.console.warn(f"The index is used for drafts and attribution alone. {error.message}")
        return
    write_gate(work.folder, gate)
    work.console.say(
        f"  {gate.tokens:,} tokens of validation files: {gate.without:.2f} nats per token by the model alone, "
        f"{gate.nats:.2f} with the index and the open file"
    )
