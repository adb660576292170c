"""Text to token ids and back, over tiktoken.

    codec = load_codec(folder)
    codec.decode(codec.encode(text)) == text

`folder` is tokenizer/, a checkpoint or a release. A special token's text in source code stays text: special ids come
from the codec's attributes alone, so no file and no request can forge one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import tiktoken

from repotune.tokenizer import layout
from repotune.tokenizer.layout import Vocabulary

# The regular expression engines of tiktoken and rustbpe keep a way back for each character of a run of white space
# and abort the process's thread at a million; a run this long is cut, and only there may ids differ from other
# engines'.
_LONGEST_SPACE = 500_000
_SPACE = re.compile(r"\s++")


class Codec:
    """The vocabulary in use. Safe to use from many threads.

    `size` counts every id. `end`, `fim_prefix`, `fim_middle`, `fim_suffix`, `fim_pad`, `repo_name` and `file_sep` are
    the special ids, and `special` holds them all.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.size = vocabulary.size
        self.special = frozenset(vocabulary.special.values())
        self.end = vocabulary.special[layout.END]
        self.fim_prefix = vocabulary.special[layout.FIM_PREFIX]
        self.fim_middle = vocabulary.special[layout.FIM_MIDDLE]
        self.fim_suffix = vocabulary.special[layout.FIM_SUFFIX]
        self.fim_pad = vocabulary.special[layout.FIM_PAD]
        self.repo_name = vocabulary.special[layout.REPO_NAME]
        self.file_sep = vocabulary.special[layout.FILE_SEP]
        self._encoding = tiktoken.Encoding(
            "repotune",
            pat_str=vocabulary.pattern,
            mergeable_ranks=vocabulary.ranks,
            special_tokens=vocabulary.special,
            explicit_n_vocab=vocabulary.size,
        )

    def encode(self, text: str) -> list[int]:
        """The ids of `text`, never a special one. Lone surrogates, which UTF-8 cannot hold, become U+FFFD."""
        if len(text) < _LONGEST_SPACE:
            return self._encoding.encode_ordinary(text)
        return [number for part in cut_long_space(text) for number in self._encoding.encode_ordinary(part)]

    def encode_many(self, texts: Sequence[str], threads: int) -> list[list[int]]:
        """`encode` of each text, on `threads` threads; tiktoken lets go of the interpreter meanwhile."""
        if any(len(text) >= _LONGEST_SPACE for text in texts):
            return [self.encode(text) for text in texts]
        return self._encoding.encode_ordinary_batch(list(texts), num_threads=threads)

    def decode(self, ids: Iterable[int]) -> str:
        """The text of `ids`; bytes that are not UTF-8 become U+FFFD. Raises KeyError for an id beyond `size`."""
        return self.decode_bytes(ids).decode(errors="replace")

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """The bytes of `ids`. Raises KeyError for an id beyond `size`."""
        return self._encoding.decode_bytes(list(ids))

    def header(self, path: str) -> list[int]:
        """What stands before a document: `<file_sep>`, the path (empty where it is left out) and a line end."""
        return [self.file_sep, *self.encode(path + "\n")]


def load_codec(folder: Path) -> Codec:
    """The codec of a folder that holds our tokenizer.json. Raises UserError where that is absent, broken or foreign."""
    return Codec(layout.read_vocabulary(folder))


def cut_long_space(text: str) -> Iterator[str]:
    """`text` in pieces that hold no run of white space beyond what the regular expression engines can take."""
    start = 0
    if len(text) >= _LONGEST_SPACE:
        for run in _SPACE.finditer(text):
            for cut in range(run.start() + _LONGEST_SPACE, run.end(), _LONGEST_SPACE):
                yield text[start:cut]
                start = cut
    yield text[start:]
