"""MB of Python encoded per CPU-second on one core, against Hugging Face tokenizers with the same tokenizer.json.

    python benchmarks/tokenizer_encoding.py [--quick]

Both encode the same files in turn, file by file, the peer through its fastest call (`encode_batch_fast`, no offsets).
The ids are compared before anything is timed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

os.environ |= {"RAYON_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}

from tokenizers import Tokenizer

from repotune.tokenizer.encoding import load_codec
from repotune.tokenizer.layout import SPECIAL_TOKENS, vocabulary_of, write_vocabulary
from repotune.tokenizer.vocabulary import train_bpe

SIZE = 32_768
BAR = 3.0


def library(megabytes: float) -> list[str]:
    """Files of the standard library, evenly spread, until they hold `megabytes`."""
    root = Path(sysconfig.get_paths()["stdlib"])
    texts, room = [], megabytes * 1e6
    for path in sorted(path for path in root.rglob("*.py") if "site-packages" not in path.parts)[::3]:
        text = path.read_bytes().decode(errors="replace")
        if not any(special in text for special in SPECIAL_TOKENS) and room > 0:
            texts.append(text)
            room -= len(text.encode())
    return texts


def rate(encode: Callable[[Sequence[str]], object], texts: Sequence[str]) -> float:
    started = time.process_time()
    encode(texts)
    return sum(len(text.encode()) for text in texts) / 1e6 / (time.process_time() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="2 MB and three rounds instead of 8 MB and seven")
    quick = parser.parse_args().quick
    texts = library(2 if quick else 8)
    with tempfile.TemporaryDirectory() as folder:
        write_vocabulary(Path(folder), vocabulary_of(train_bpe(iter(texts), SIZE - len(SPECIAL_TOKENS))))
        codec = load_codec(Path(folder))
        tokenizer = Tokenizer.from_file(str(Path(folder) / "tokenizer.json"))
    if [item.ids for item in tokenizer.encode_batch_fast(texts)] != codec.encode_many(texts, threads=1):
        sys.exit("the two sides do not give the same ids: nothing to compare")
    rounds = [
        (rate(lambda texts: codec.encode_many(texts, threads=1), texts), rate(tokenizer.encode_batch_fast, texts))
        for _ in range(3 if quick else 7)
    ]
    for ours, peer in rounds:
        print(f"ours {ours:5.1f} MB per CPU-s  peer {peer:5.1f}")
    ours, peer = (statistics.median(figures) for figures in zip(*rounds, strict=True))
    print(
        json.dumps(
            {
                "name": "tokenizer_encoding",
                "figure": round(ours, 2),
                "unit": "MB per CPU-second",
                "peer": "Hugging Face tokenizers",
                "peer_figure": round(peer, 2),
                "ratio": round(ours / peer, 2),
                "bar": BAR,
                "met": ours / peer >= BAR,
            }
        )
    )


if __name__ == "__main__":
    main()
