"""Text to token ids and back.

    codec = load_codec(folder)
    codec.decode(codec.encode(text)) == text

`folder` is tokenizer/, a checkpoint or a release. A special token's text in source code stays text: special ids come
from the codec's attributes alone, so no file and no request can forge one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from repotune.core.errors import UserError
from repotune.tokenizer.encoders import open_encoder
from repotune.tokenizer.layout import (
    CONFIG_NAME,
    ROLES,
    TOKENIZER_NAME,
    Vocabulary,
    find_roles,
    missing_roles,
    read_vocabulary,
)
from repotune.tokenizer.pieces import MODEL_NAME, PieceModel, read_model


class Codec:
    """The vocabulary in use. Safe to use from many threads.

    `size` counts every id. `end`, `fim_prefix`, `fim_middle`, `fim_suffix`, `fim_pad`, `repo_name` and `file_sep` are
    the special ids, `names` their texts by role, and `special` holds every special id. Raises ValueError for a
    vocabulary that lacks one of the roles.
    """

    def __init__(self, vocabulary: Vocabulary | PieceModel) -> None:
        if missing := missing_roles(vocabulary.special):
            raise ValueError(f"it lacks special tokens: {', '.join(missing)}")
        self.names = find_roles(vocabulary.special)
        self.size = vocabulary.size
        self.special = frozenset(vocabulary.special.values())
        ids = (vocabulary.special[self.names[role]] for role in ROLES)
        self.end, self.fim_prefix, self.fim_middle, self.fim_suffix, self.fim_pad, self.repo_name, self.file_sep = ids
        self._encoder = open_encoder(vocabulary)
        self._bytes_of = {number: text.encode() for text, number in vocabulary.special.items()} | vocabulary.tokens

    def encode(self, text: str) -> list[int]:
        """The ids of `text`, never a special one. Lone surrogates, which UTF-8 cannot hold, become U+FFFD."""
        return self._encoder.encode(text)

    def encode_many(self, texts: Sequence[str], threads: int) -> list[list[int]]:
        """`encode` of each text, on `threads` threads; the interpreter is let go of meanwhile."""
        return self._encoder.encode_many(texts, threads)

    def decode(self, ids: Iterable[int]) -> str:
        """The text of `ids`; bytes that are not UTF-8 become U+FFFD. Raises KeyError for an id beyond `size`."""
        return self.decode_bytes(ids).decode(errors="replace")

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """The bytes of `ids`. Raises KeyError for an id beyond `size`."""
        return b"".join([self._bytes_of[number] for number in ids])

    def header(self, path: str) -> list[int]:
        """What stands before a document: `<file_sep>`, the path (empty where it is left out) and a line end."""
        return [self.file_sep, *self.encode(path + "\n")]


def load_codec(folder: Path) -> Codec:
    """The codec of a folder that holds a tokenizer with our roles. Raises UserError where there is none such."""
    try:
        return Codec(read_any(folder))
    except ValueError as error:
        raise UserError(
            f"{vocabulary_path(folder)} is not a tokenizer of repotune: {error}.",
            "train from it as a base model: what is missing is added then",
        ) from error


def read_any(folder: Path) -> Vocabulary | PieceModel:
    """The vocabulary in `folder`, ours or of another maker. Raises UserError where none can be read."""
    return read_model(folder) if vocabulary_path(folder).name == MODEL_NAME else read_vocabulary(folder)


def vocabulary_path(folder: Path) -> Path:
    """The file that says everything of a folder's vocabulary: SentencePiece's, where there is one, or tokenizer.json.

    Where makers give both, tokenizer.json is a translation.
    """
    return folder / (MODEL_NAME if (folder / MODEL_NAME).is_file() else TOKENIZER_NAME)


def tokenizer_files(folder: Path) -> tuple[str, ...]:
    """The names of the files that make up the tokenizer in `folder`, wherever it is copied to. Raises UserError where
    there is none."""
    names = (vocabulary_path(folder).name, CONFIG_NAME)
    for name in names:
        if not (folder / name).is_file():
            raise UserError(f"There is no tokenizer in {folder}: {name} is missing.")
    return names
