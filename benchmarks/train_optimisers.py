"""Tokens that Muon needs to reach the loss at which tuned AdamW ends, same network, same data, same schedule.

AdamW trains for a fixed number of tokens at each of several rates, and the lowest bits per byte count. Muon trains for
shares of those tokens, each a whole run with its own cooldown; where it crosses AdamW's end is interpolated between
the runs, in the logarithm of tokens. 1M parameters, sequence 256, the standard library, one thread; LionW beside.

    python benchmarks/train_optimisers.py [--quick]
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import sys

from small_runs import Run, SmallCorpus, ours, small_corpus

from repotune.train.schedules import Schedule

_BAR = 0.67
_WSD = Schedule("wsd", warmup=0.02, cooldown=0.5, final=0.0)
_ADAMW_RATES = (1e-3, 2e-3, 4e-3, 8e-3)
_MUON_SHARES = (0.3, 0.4, 0.5, 0.67)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a sixth of the tokens, and fewer runs")
    quick = parser.parse_args().quick
    tokens = 160_000 if quick else 1_000_000
    with small_corpus(megabytes=8.0) as corpus:
        rates = (4e-3,) if quick else _ADAMW_RATES
        peers = [told(corpus, "adamw", rate, 0.1, tokens) for rate in rates]
        best = min(peers, key=lambda run: run.bits_per_byte)
        shares = (0.4, 0.67) if quick else _MUON_SHARES
        muon = [told(corpus, "muon", 8e-3, 0.1, round(share * tokens)) for share in shares]
        lion = None if quick else told(corpus, "lionw", 8e-4, 0.5, tokens)
    needed = crossing(muon, best.bits_per_byte)
    result = {
        "name": f"tokens to {best.bits_per_byte:.3f} bits per byte, Muon at 8e-3",
        "figure": round(needed),
        "unit": "tokens",
        "peer": best.recipe,
        "peer_figure": tokens,
        "ratio": round(needed / tokens, 3),
        "bar": _BAR,
        "lionw_bits_per_byte": round(lion.bits_per_byte, 3) if lion else None,
        "met": needed / tokens <= _BAR,
    }
    print(json.dumps(result))


def told(corpus: SmallCorpus, optimiser: str, rate: float, decay: float, tokens: int) -> Run:
    run = corpus.run(ours(f"{optimiser} at {rate:g}", optimiser, rate, decay, _WSD), tokens)
    print(f"{run.recipe}, {tokens:,} tokens: {run.bits_per_byte:.4f} bits per byte", file=sys.stderr)
    return run


def crossing(runs: list[Run], bits: float) -> float:
    """Tokens after which `runs`, in the order of their lengths, stand at `bits`; the first run's where all are lower,
    infinity where none is."""
    if runs[0].bits_per_byte <= bits:
        return runs[0].tokens
    for shorter, longer in itertools.pairwise(runs):
        if longer.bits_per_byte <= bits:
            passed = (shorter.bits_per_byte - bits) / (shorter.bits_per_byte - longer.bits_per_byte)
            return math.exp(math.log(shorter.tokens) + passed * math.log(longer.tokens / shorter.tokens))
    return math.inf


if __name__ == "__main__":
    main()
