"""SentencePiece models, BPE or Unigram: tokenizer.model in and out, and text to their ids.

Only models that can spell every text are read: identity normalisation with bytes to fall back on, as Llama 2, Code
Llama, Mistral and Gemma have them. Two of their habits lose text and are turned off: no blank is put before a text, and
none is taken out of a run. So a first word has other ids than after that blank, and all others the same.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import chain
from pathlib import Path
from typing import Any

from repotune.core.artefact import write_atomically, write_bytes_atomically
from repotune.core.errors import UserError
from repotune.tokenizer.layout import CONFIG_NAME, ROLE_TEXTS, find_roles

MODEL_NAME = "tokenizer.model"
# The types of a piece and of a model in sentencepiece_model.proto.
_UNKNOWN, _CONTROL, _BYTE = 2, 3, 6
_UNIGRAM, _BPE = 1, 2
# A model's own sign for a blank: where text holds the sign itself, only its bytes tell the two apart.
_BLANK = "▁"
_SURROGATE = re.compile("[\ud800-\udfff]")
_ROLE_NAMES = frozenset(chain.from_iterable(ROLE_TEXTS.values()))


@dataclass(frozen=True)
class PieceModel:
    """A model: as SentencePiece stores it, the ids of its special texts, and the bytes of all other ids."""

    data: bytes
    special: dict[str, int]
    tokens: dict[int, bytes]

    @property
    def size(self) -> int:
        return len(self.special) + len(self.tokens)


def read_model(folder: Path) -> PieceModel:
    """The model in `folder`. Raises UserError where it is absent, damaged or would lose text."""
    path = folder / MODEL_NAME
    proto = _new_proto()
    try:
        proto.ParseFromString(path.read_bytes())
    except FileNotFoundError:
        raise UserError(f"There is no {path}.") from None
    except Exception as error:  # protobuf's own class differs from version to version
        raise UserError(f"{path} is not a SentencePiece model: {error}.") from error
    if reason := _lossy(proto):
        raise UserError(f"{path} cannot be used for code: {reason}.", "train a vocabulary instead: leave out the base")
    proto.normalizer_spec.add_dummy_prefix = False
    proto.normalizer_spec.remove_extra_whitespaces = False
    for piece in proto.pieces:
        if piece.piece in _ROLE_NAMES:  # some makers let text match them
            piece.type = _CONTROL
    return _model_of(proto)


def write_model(folder: Path, model: PieceModel) -> None:
    """Writes tokenizer.model and tokenizer_config.json into `folder`."""
    roles = find_roles(model.special)
    config = {"tokenizer_class": "LlamaTokenizer", "eos_token": roles["end"], "pad_token": roles["fim_pad"]}
    write_bytes_atomically(folder / MODEL_NAME, model.data)
    write_atomically(folder / CONFIG_NAME, json.dumps(config, indent=2) + "\n")


def add_special(model: PieceModel, texts: Sequence[str]) -> PieceModel:
    """`model` with the special `texts` as further ids at its end."""
    proto = _new_proto()
    proto.ParseFromString(model.data)
    for text in texts:
        proto.pieces.add(piece=text, score=0.0, type=_CONTROL)
    return _model_of(proto)


class PieceEncoder:
    """SentencePiece's own engine. Safe to use from many threads."""

    def __init__(self, model: PieceModel) -> None:
        self._processor = _import("sentencepiece").SentencePieceProcessor(model_proto=model.data)
        self._blank = [self._processor.piece_to_id(f"<0x{byte:02X}>") for byte in _BLANK.encode()]

    def encode(self, text: str) -> list[int]:
        if _SURROGATE.search(text):
            text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        first, *others = (self._processor.encode(part) for part in text.split(_BLANK))
        return list(chain(first, *(self._blank + ids for ids in others)))

    def encode_many(self, texts: Sequence[str], threads: int) -> list[list[int]]:
        if any(_BLANK in text or _SURROGATE.search(text) for text in texts):
            return [self.encode(text) for text in texts]
        ids: list[list[int]] = self._processor.encode(list(texts), num_threads=threads)
        return ids


def _lossy(proto: Any) -> str | None:
    """Why a model cannot give every text back, or None where it can."""
    trainer, normalizer = proto.trainer_spec, proto.normalizer_spec
    if not proto.pieces or trainer.model_type not in (_UNIGRAM, _BPE):
        return "it is neither BPE nor Unigram"
    if not trainer.byte_fallback or sum(piece.type == _BYTE for piece in proto.pieces) != 256:
        return "it has no bytes to fall back on, so rare characters would be lost"
    if normalizer.precompiled_charsmap:
        return f"it changes characters before it encodes them ({normalizer.name or 'a map of its own'})"
    if not normalizer.escape_whitespaces or trainer.treat_whitespace_as_suffix:
        return "it keeps blanks in a way that is not known here"
    return None


def _model_of(proto: Any) -> PieceModel:
    special = {piece.piece: number for number, piece in enumerate(proto.pieces) if piece.type in (_CONTROL, _UNKNOWN)}
    tokens = {
        number: bytes([int(piece.piece[3:5], 16)]) if piece.type == _BYTE else _text_of(piece.piece)
        for number, piece in enumerate(proto.pieces)
        if piece.type not in (_CONTROL, _UNKNOWN)
    }
    return PieceModel(proto.SerializeToString(), special, tokens)


def _text_of(piece: str) -> bytes:
    return piece.replace(_BLANK, " ").encode()


def _new_proto() -> Any:
    return _import("sentencepiece.sentencepiece_model_pb2").ModelProto()


def _import(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise UserError(
            f"A SentencePiece model needs {error.name}, which is not installed.",
            "pip install 'repotune[sentencepiece]'",
        ) from error
