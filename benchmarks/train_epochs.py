"""Many epochs of one small corpus: bits per byte of other files after ours, nanoGPT's and nanochat's ways to train.

All train the same network (1M parameters, sequence 256) on the same tokens in the same number of steps. nanoGPT's way
is that of its config/train_shakespeare_char.py: AdamW, rate 1e-3 by a cosine to a tenth, beta2 0.99, decay 0.1, dropout
0.2. nanochat's is that of its base_train.py: Muon at 0.02 for matrices, momentum 0.95; AdamW at 0.2 for embeddings and
0.004 for the head (here tied, so 0.2), betas (0.8, 0.95), scaled by (width / 768)^-0.5; linear cooldown over the last
fifth; no decay, no dropout. Both also with their rates halved, doubled and times four; the best of all counts.

    python benchmarks/train_epochs.py [--quick]
"""

from __future__ import annotations

import argparse
import json
import sys

from small_runs import MODEL, Recipe, Run, SmallCorpus, ours, small_corpus
from torch.optim import AdamW, Muon, Optimizer

from repotune.model.network import Network
from repotune.train.plan import default_weight_decay
from repotune.train.schedules import Schedule

_BAR = 0.97
_EPOCHS = 12
_COSINE = Schedule("cosine", warmup=0.02, cooldown=0.0, final=0.1)
_WARMDOWN = Schedule("wsd", warmup=0.0, cooldown=0.2, final=0.0)
_OURS = Schedule("wsd", warmup=0.02, cooldown=0.5, final=0.0)


def nanogpt(scale: float) -> Recipe:
    def optimisers(network: Network) -> list[Optimizer]:
        matrices = [parameter for parameter in network.parameters() if parameter.dim() >= 2]
        vectors = [parameter for parameter in network.parameters() if parameter.dim() < 2]
        groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
        return [AdamW(groups, lr=1e-3 * scale, betas=(0.9, 0.99))]

    return Recipe(f"nanoGPT, rate × {scale:g}", optimisers, _COSINE, dropout=0.2, documents=False)


def nanochat(scale: float) -> Recipe:
    width_scale = (MODEL.width / 768) ** -0.5

    def optimisers(network: Network) -> list[Optimizer]:
        blocks = [parameter for parameter in network.blocks.parameters() if parameter.dim() == 2]
        held = {id(parameter) for parameter in blocks}
        tables = [parameter for parameter in network.parameters() if parameter.dim() == 2 and id(parameter) not in held]
        vectors = [parameter for parameter in network.parameters() if parameter.dim() < 2]
        muon = Muon(blocks, lr=0.02 * scale, momentum=0.95, weight_decay=0.0, adjust_lr_fn="original")
        groups = [{"params": tables, "lr": 0.2 * width_scale * scale}, {"params": vectors, "lr": 0.004 * width_scale}]
        return [muon, AdamW(groups, betas=(0.8, 0.95), eps=1e-10, weight_decay=0.0)]

    return Recipe(f"nanochat, rates × {scale:g}", optimisers, _WARMDOWN, documents=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the text, and no other rates")
    quick = parser.parse_args().quick
    scales = (1.0,) if quick else (0.5, 1.0, 2.0, 4.0)
    with small_corpus(megabytes=0.1 if quick else 0.6) as corpus:
        peers = [told(corpus, way(scale)) for way in (nanogpt, nanochat) for scale in scales]
        best = min(peers, key=lambda run: run.bits_per_byte)
        own = told(corpus, ours("repotune", "muon", 8e-3, default_weight_decay("muon", _EPOCHS), _OURS))
    ratio = own.bits_per_byte / best.bits_per_byte
    result = {
        "name": f"bits per byte after {_EPOCHS} epochs of {corpus_tokens(own)} tokens",
        "figure": round(own.bits_per_byte, 4),
        "unit": "bits per byte",
        "peer": best.recipe,
        "peer_figure": round(best.bits_per_byte, 4),
        "ratio": round(ratio, 4),
        "bar": _BAR,
        "met": ratio <= _BAR,
    }
    print(json.dumps(result))


def corpus_tokens(run: Run) -> int:
    return run.tokens // _EPOCHS


def told(corpus: SmallCorpus, recipe: Recipe) -> Run:
    run = corpus.run(recipe, _EPOCHS * corpus.epoch)
    print(f"{recipe.name}: {run.bits_per_byte:.4f} bits per byte, {run.cpu_seconds:.0f} CPU-seconds", file=sys.stderr)
    return run


if __name__ == "__main__":
    main()
