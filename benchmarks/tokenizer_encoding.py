"""MB of Python encoded per CPU-second on one core, against Hugging Face tokenizers and SentencePiece.

    python benchmarks/tokenizer_encoding.py [--quick]

All encode the same files in turn, on one thread. Hugging Face's tokenizers reads the same tokenizer.json, through its
fastest call (`encode_batch_fast`, no offsets), and its ids are compared with ours before anything is timed.
SentencePiece has a BPE model of the same size, trained on the same files. Ours and Hugging Face's remember words, so
each round begins with both fresh from their file; every file must come back byte for byte.
"""

from __future__ import annotations

import argparse
import io
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

import sentencepiece
from tokenizers import Tokenizer

from repotune.tokenizer.bpe import train_bpe
from repotune.tokenizer.encoding import load_codec
from repotune.tokenizer.layout import SPECIAL_TOKENS, vocabulary_of, write_vocabulary

SIZE = 32_768
BAR, PIECES_BAR = 7.0, 4.5


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


def train_pieces(texts: Sequence[str]) -> sentencepiece.SentencePieceProcessor:
    """SentencePiece's BPE of the same size, set to lose no text."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=(line for text in texts for line in text.splitlines()),
        model_writer=model,
        vocab_size=SIZE,
        model_type="bpe",
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        num_threads=1,
        minloglevel=2,
    )
    return sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())


def rate(encode: Callable[[Sequence[str]], object], texts: Sequence[str]) -> float:
    started = time.process_time()
    encode(texts)
    return sum(len(text.encode()) for text in texts) / 1e6 / (time.process_time() - started)


def check(folder: Path, texts: Sequence[str]) -> None:
    """Ends the program where ids differ from the peer's or a text does not come back."""
    codec, tokenizer = load_codec(folder), Tokenizer.from_file(str(folder / "tokenizer.json"))
    encoded = codec.encode_many(texts, threads=1)
    if [item.ids for item in tokenizer.encode_batch_fast(texts)] != encoded:
        sys.exit("the two sides do not give the same ids: nothing to compare")
    if [codec.decode(ids) for ids in encoded] != list(texts):
        sys.exit("a text does not come back")


def measure(folder: Path, texts: Sequence[str], pieces: sentencepiece.SentencePieceProcessor) -> dict[str, float]:
    """One round: MB per CPU-second of each."""
    codec, tokenizer = load_codec(folder), Tokenizer.from_file(str(folder / "tokenizer.json"))
    return {
        "ours": rate(lambda texts: codec.encode_many(texts, threads=1), texts),
        "Hugging Face tokenizers": rate(tokenizer.encode_batch_fast, texts),
        "SentencePiece": rate(lambda texts: pieces.encode(texts, num_threads=1), texts),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="2 MB and three rounds instead of 8 MB and seven")
    quick = parser.parse_args().quick
    texts = library(2 if quick else 8)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_vocabulary(folder, vocabulary_of(train_bpe(iter(texts), SIZE - len(SPECIAL_TOKENS))))
        check(folder, texts)
        pieces = train_pieces(texts)
        rounds = [measure(folder, texts, pieces) for _ in range(3 if quick else 7)]
    for figures in rounds:
        print("  ".join(f"{side} {figure:.1f}" for side, figure in figures.items()), "MB per CPU-s")
    ours, peer, pieces_rate = (statistics.median(figures[side] for figures in rounds) for side in rounds[0])
    result = {
        "name": "tokenizer_encoding",
        "figure": round(ours, 2),
        "unit": "MB per CPU-second",
        "peer": "Hugging Face tokenizers",
        "peer_figure": round(peer, 2),
        "ratio": round(ours / peer, 2),
        "bar": BAR,
        "sentencepiece": {"figure": round(pieces_rate, 2), "ratio": round(ours / pieces_rate, 2), "bar": PIECES_BAR},
        "met": ours / peer >= BAR and ours / pieces_rate >= PIECES_BAR,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
