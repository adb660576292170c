"""The n-gram over tokens/, trained on the train split and weighted on the validation split."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from repotune.core.errors import UserError
from repotune.evaluate.likelihood import even_share, header_ids
from repotune.evaluate.ngram import NgramModel, Passage
from repotune.evaluate.suffix_array import Int
from repotune.tokenizer.encoding import Codec
from repotune.tokenizer.packing import TokenStore

MOST_TOKENS = 1 << 25  # sorting takes 40 bytes a token: 1.3 GB; of larger corpora every second, third, … document
FITTED_TOKENS = 40_000  # for some 280 weights


def train_ngram(tokens: Path, codec: Codec, context: int) -> NgramModel:
    """An n-gram that read documents as the network does. Raises UserError where a split holds no tokens."""
    train, validation = TokenStore(tokens, "train"), TokenStore(tokens, "validation")
    for name, store in (("train", train), ("validation", validation)):
        if not store.tokens:
            raise UserError(f"The {name} split holds no tokens.", "add repositories, or raise corpus.validation_share")
    every = -(-train.tokens // MOST_TOKENS)
    model = NgramModel([_document(train, i, codec, context)[0] for i in range(0, len(train), every)], codec.size)
    share = even_share([len(validation.document(i)) for i in range(len(validation))], FITTED_TOKENS)
    passages = []
    for i in range(len(validation)):
        ids, header = _document(validation, i, codec, context)
        passages.append(Passage(ids, header, min(len(ids) - 1, header + share)))
    model.fit([passage for passage in passages if passage.stop > passage.start])
    return model


def _document(store: TokenStore, number: int, codec: Codec, context: int) -> tuple[Int, int]:
    """Header, document and end as ids, and the header's length."""
    header = header_ids(codec, store.path(number), context)
    return np.concatenate([header, store.document(number), [codec.end]]).astype(np.int64), len(header)
