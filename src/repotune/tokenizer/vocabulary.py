"""corpus/ → tokenizer/: trains byte-level BPE on the train split and reports how well it compresses.

A corpus beyond 2 GB is sampled, so that memory stays bounded: what decides about a file is a hash of its text, and
the result depends on neither the order of the files nor the number of threads.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path

from repotune.core.console import Progress
from repotune.core.errors import UserError
from repotune.core.flow import Work
from repotune.tokenizer.bpe import train_bpe
from repotune.tokenizer.compression import write_compression
from repotune.tokenizer.documents import count_documents, read_columns, text_size
from repotune.tokenizer.encoders import cut_long_space
from repotune.tokenizer.encoding import Codec
from repotune.tokenizer.layout import SPECIAL_TOKENS, vocabulary_of, write_vocabulary
from repotune.tokenizer.patterns import PATTERNS

_SMALLEST = len(SPECIAL_TOKENS) + 256
# Bytes of text to train on; more changes hardly a merge. Words and their places take 43 MB of 8 MB of text, 80 of 31.
_MOST_TEXT = 2e9


def build_tokenizer(work: Work, size: int, pattern: str = "llama-3") -> None:
    """Writes tokenizer.json, tokenizer_config.json and compression.json of at most `size` entries.

    `size` counts the special tokens, `pattern` names one of `patterns.PATTERNS`. A corpus with too few distinct pairs
    of neighbours gives fewer entries, and a message says so. Raises UserError for a size without room for every byte,
    for an unknown pattern and for a corpus without training text.
    """
    if pattern not in PATTERNS:
        raise UserError(
            f"There is no pattern {pattern!r} to split text by.",
            f"set tokenizer.pattern to one of {', '.join(PATTERNS)}",
        )
    if size < _SMALLEST:
        raise UserError(
            f"A vocabulary of {size} has no room for the special tokens and the 256 bytes.",
            f"set tokenizer.size to {_SMALLEST} or more",
        )
    corpus = work.inputs["corpus"]
    rows = count_documents(corpus, "train")
    if not rows:
        raise UserError(f"{corpus} holds no training text.", "add repositories, or loosen [corpus] in repotune.toml")
    with work.console.progress("reading the train split", rows, "files") as progress:
        tokens = train_bpe(_pieces(corpus, progress), size - len(SPECIAL_TOKENS), PATTERNS[pattern].regex)
    vocabulary = vocabulary_of(tokens, PATTERNS[pattern].regex)
    if vocabulary.size < size:
        work.console.say(f"  the corpus fills {vocabulary.size:,} of {size:,} entries: there is nothing more to merge")
    write_vocabulary(work.folder, vocabulary)
    write_compression(work, Codec(vocabulary), size)


def _pieces(corpus: Path, progress: Progress) -> Iterator[str]:
    share = min(1.0, _MOST_TEXT / max(1, text_size(corpus, "train")))
    for (texts,) in read_columns(corpus, "train", "text"):
        for text in texts:
            if share == 1 or _is_drawn(text, share):
                yield from cut_long_space(text)
        progress.advance(len(texts))


def _is_drawn(text: str, share: float) -> bool:
    return zlib.crc32(text.encode(errors="replace")) < share * 2**32
