"""The engines that turn text into ids; those of byte-level vocabularies are alike to the last id.

gigatoken has the common patterns built in as vector code and remembers each word's ids: 80 to 130 MB of code a second
on one core, against tiktoken's 10 to 14. tiktoken takes any pattern, and texts with one of the few characters that the
two read differently.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Protocol

import gigatoken
import tiktoken

from repotune.tokenizer.layout import Vocabulary, tokenizer_json
from repotune.tokenizer.patterns import known_pattern
from repotune.tokenizer.pieces import PieceEncoder, PieceModel

# tiktoken's regular expressions, and rustbpe's, keep a way back for each character of a run of white space and abort
# the process's thread at a million; a run this long is cut, and only there may ids differ from other engines'.
_LONGEST_SPACE = 500_000
_SPACE = re.compile(r"\s++")

# gigatoken 0.10 knows the letters of Unicode 17, tiktoken 0.14 those of Unicode 16: these ranges hold every character
# that they class differently, ſ, which only some fold into the s of 's, and surrogates, which UTF-8 cannot hold.
_RARE = re.compile("[ſ\u0870-\u089f\u0c5c\u0cdc\ua7c0-\ua7ff\ud800-\udfff\U00010000-\U0001efff\U0001fb00-\U0010ffff]")

# gigatoken keeps about 100 bytes for each word that it has met and never forgets one: it begins anew after this many
# characters, which takes 0.1 s.
_MEMORY = 1 << 28


class Encoder(Protocol):
    """Text to ids, never a special one. Safe to use from many threads."""

    def encode(self, text: str) -> list[int]:
        """The ids of `text`. Lone surrogates, which UTF-8 cannot hold, become U+FFFD."""
        ...

    def encode_many(self, texts: Sequence[str], threads: int) -> list[list[int]]:
        """`encode` of each text, on one thread or, where `threads` is more, on several: some engines take all cores."""
        ...


def open_encoder(vocabulary: Vocabulary | PieceModel) -> Encoder:
    """The fastest engine that gives exactly the ids of `vocabulary`."""
    if isinstance(vocabulary, PieceModel):
        return PieceEncoder(vocabulary)
    general = RegexEncoder(vocabulary)
    simd = known_pattern(vocabulary.pattern).simd
    return SimdEncoder(vocabulary, simd, general) if simd else general


class RegexEncoder:
    """tiktoken: any pattern. Made at the first text: where it stands in for another, most never need it."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._pattern, self._ranks = vocabulary.pattern, vocabulary.ranks

    @cached_property
    def _encoding(self) -> tiktoken.Encoding:
        return tiktoken.Encoding("repotune", pat_str=self._pattern, mergeable_ranks=self._ranks, special_tokens={})

    def encode(self, text: str) -> list[int]:
        if len(text) < _LONGEST_SPACE:
            return self._encoding.encode_ordinary(text)
        return [number for part in cut_long_space(text) for number in self._encoding.encode_ordinary(part)]

    def encode_many(self, texts: Sequence[str], threads: int) -> list[list[int]]:
        if any(len(text) >= _LONGEST_SPACE for text in texts):
            return [self.encode(text) for text in texts]
        return self._encoding.encode_ordinary_batch(list(texts), num_threads=threads)


class SimdEncoder:
    """gigatoken, under its own spelling of the pattern, `simd`; texts with rare characters go to `general`."""

    def __init__(self, vocabulary: Vocabulary, simd: str, general: Encoder) -> None:
        # Without special tokens, which gigatoken would find in text.
        plain = replace(vocabulary, special={}, pattern=simd)
        self._content = json.dumps(tokenizer_json(plain), ensure_ascii=False)
        self._general = general
        self._lock = threading.Lock()  # an engine that is used by two threads at once raises
        self._begin()

    def encode(self, text: str) -> list[int]:
        if _has_rare(text):
            return self._general.encode(text)
        with self._lock:
            self._count(len(text))
            ids: list[int] = self._engine.encode(text).tolist()
        return ids

    def encode_many(self, texts: Sequence[str], threads: int) -> list[list[int]]:
        rare = {index: text for index, text in enumerate(texts) if _has_rare(text)}
        plain = ["" if index in rare else text for index, text in enumerate(texts)]
        with self._lock:
            self._count(sum(map(len, plain)))
            # None: in parallel, but for a process that was forked, where its threads would wait for ever.
            encoded = self._engine.encode_batch_list(plain, parallel=None if threads > 1 else False)
        for index, ids in zip(rare, self._general.encode_many(list(rare.values()), threads), strict=True):
            encoded[index] = ids
        return encoded

    def _begin(self) -> None:
        self._engine = gigatoken.Tokenizer.from_json(self._content)
        self._room = _MEMORY

    def _count(self, characters: int) -> None:
        if self._room < 0:
            self._begin()
        self._room -= characters


def cut_long_space(text: str) -> Iterator[str]:
    """`text` in pieces that hold no run of white space beyond what the regular expression engines can take."""
    start = 0
    if len(text) >= _LONGEST_SPACE:
        for run in _SPACE.finditer(text):
            for cut in range(run.start() + _LONGEST_SPACE, run.end(), _LONGEST_SPACE):
                yield text[start:cut]
                start = cut
    yield text[start:]


def _has_rare(text: str) -> bool:
    return not text.isascii() and _RARE.search(text) is not None
