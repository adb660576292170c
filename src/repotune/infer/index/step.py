"""The index step: the training split's code, and how much it says beside the model that was trained on it."""

from __future__ import annotations

from repotune.core.flow import Work
from repotune.infer.index.building import build
from repotune.infer.index.fitting import TooFewHeldOutError, fit_gate
from repotune.infer.index.folder import open_index
from repotune.infer.index.gate import write_gate
from repotune.tokenizer.encoding import load_codec
from repotune.train.state import best_checkpoint


def build_index(work: Work) -> None:
    """Writes the index of inputs tokens and corpus, and the gate of input run's best checkpoint, which is what will be
    released, where enough is held out."""
    tokens, model = work.inputs["tokens"], best_checkpoint(work.inputs["run"])
    build(tokens, work.inputs["corpus"], work.folder, work.console)
    try:
        gate = fit_gate(open_index(work.folder), tokens, model, load_codec(model), work.console)
    except TooFewHeldOutError as error:
        work.console.warn(f"The index is used for drafts and attribution alone. {error.message}")
        return
    write_gate(work.folder, gate)
    work.console.say(
        f"  {gate.tokens:,} tokens of validation files: {gate.without:.2f} nats per token by the model alone, "
        f"{gate.nats:.2f} with the index and the open file"
    )
