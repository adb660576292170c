"""A base model's folder → tokenizer/: its vocabulary as it is, for a run that goes on from its weights.

Every id keeps its meaning. Roles that the base has no special token for (`<fim_prefix>`, `<file_sep>`, … with Llama 3)
get new ids behind its last one, and the model's embedding has to grow by as many rows.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from repotune.core.errors import UserError
from repotune.core.flow import Work
from repotune.tokenizer.compression import write_compression
from repotune.tokenizer.encoding import Codec, read_any
from repotune.tokenizer.layout import ROLES, SPECIAL_TOKENS, Vocabulary, missing_roles, write_vocabulary
from repotune.tokenizer.pieces import PieceModel, add_special, write_model


def adopt_tokenizer(work: Work, folder: Path) -> None:
    """Writes the vocabulary in `folder` in our layout, and compression.json.

    `folder` holds tokenizer.json, byte-level BPE as Llama 3, Qwen2 or StarCoder2 have it, or SentencePiece's
    tokenizer.model. Raises UserError for any other.
    """
    vocabulary = read_any(folder)
    added = [
        text for role, text in zip(ROLES, SPECIAL_TOKENS, strict=True) if role in missing_roles(vocabulary.special)
    ]
    if taken := sorted(set(added) & {token.decode(errors="replace") for token in vocabulary.tokens.values()}):
        raise UserError(
            f"The vocabulary in {folder} has {', '.join(taken)} as ordinary text.",
            "a source file could forge it: train a vocabulary instead",
        )
    whole = _extend(vocabulary, added)
    if isinstance(whole, PieceModel):
        write_model(work.folder, whole)
    else:
        write_vocabulary(work.folder, whole)
    if added:
        work.console.say(f"  {len(added)} special tokens are new: {', '.join(added)}")
    write_compression(work, Codec(whole), whole.size)


def _extend(vocabulary: Vocabulary | PieceModel, texts: list[str]) -> Vocabulary | PieceModel:
    """`vocabulary` with the special `texts` as further ids at its end."""
    if isinstance(vocabulary, PieceModel):
        return add_special(vocabulary, texts)
    first = vocabulary.size
    added = {text: first + index for index, text in enumerate(texts)}
    return replace(vocabulary, special=vocabulary.special | added)
