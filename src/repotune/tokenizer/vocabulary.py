"""corpus/ → tokenizer/: trains byte-level BPE on the train split with rustbpe and reports how well it compresses.

Training takes 2.6 CPU-seconds and 175 MB for 31 MB of Python and 32,768 entries; Hugging Face's trainer 8.9 and 197
(benchmarks/tokenizer_training.py). The result does not depend on the order of the documents or the number of threads.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import rustbpe

from repotune.core.console import Progress
from repotune.core.errors import UserError
from repotune.core.flow import Work
from repotune.tokenizer.compression import write_compression
from repotune.tokenizer.documents import count_documents, read_columns
from repotune.tokenizer.encoding import Codec, cut_long_space
from repotune.tokenizer.layout import SPECIAL_TOKENS, SPLIT_PATTERN, vocabulary_of, write_vocabulary

_SMALLEST = len(SPECIAL_TOKENS) + 256
_LONGEST_TOKEN = 128  # bytes, as in GPT-4's vocabulary: what is longer is a ruler or base64, not code


def build_tokenizer(work: Work, size: int) -> None:
    """Writes tokenizer.json, tokenizer_config.json and compression.json of at most `size` entries.

    `size` counts the special tokens. A corpus with too few distinct pairs of neighbours gives fewer entries, and a
    message says so. Raises UserError for a size without room for every byte and for a corpus without training text.
    """
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
        tokens = train_bpe(_pieces(corpus, progress), size - len(SPECIAL_TOKENS))
    vocabulary = vocabulary_of(tokens)
    if vocabulary.size < size:
        work.console.say(f"  the corpus fills {vocabulary.size:,} of {size:,} entries: there is nothing more to merge")
    write_vocabulary(work.folder, vocabulary)
    write_compression(work, Codec(vocabulary), size)


def train_bpe(texts: Iterator[str], count: int) -> list[bytes]:
    """At most `count` tokens of byte-level BPE over `texts`: the 256 bytes and then the merges in their order."""
    trainer = rustbpe.Tokenizer()
    spare = count // 50  # takes the place of tokens that turn out too long
    trainer.train_from_iterator(texts, count + spare, pattern=SPLIT_PATTERN)
    tokens = [bytes(token) for token, _ in trainer.get_mergeable_ranks()]
    # What is merged from a token is longer still, so no merge that stays needs one that goes.
    return [token for token in tokens if len(token) <= _LONGEST_TOKEN][:count]


def _pieces(corpus: Path, progress: Progress) -> Iterator[str]:
    for (texts,) in read_columns(corpus, "train", "text"):
        for text in texts:
            yield from cut_long_space(text)
        progress.advance(len(texts))
