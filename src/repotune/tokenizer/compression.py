"""compression.json: bytes per token by language, on the text that the vocabulary was trained on and on unseen text.

    {"schema": 1, "size": …, "requested": …,
     "splits": {"train" | "validation": {"bytes", "tokens", "bytes_per_token",
                                         "languages": {…: {"bytes", "tokens", "bytes_per_token"}}}}}

A large gap between the splits says that the vocabulary has learnt its corpus by heart and could be smaller.
`compare_vocabularies` sets the same figures of vocabularies given as files beside each other.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from repotune.core.artefact import write_atomically
from repotune.core.console import Console
from repotune.core.flow import Work
from repotune.tokenizer.documents import count_documents, read_columns
from repotune.tokenizer.encoders import Encoder, open_encoder
from repotune.tokenizer.encoding import Codec, read_any

_MEASURED = ("train", "validation")


def write_compression(work: Work, codec: Codec, requested: int) -> None:
    """Encodes both splits whole and writes compression.json; `requested` is the size that was asked for."""
    splits = {split: _measure(work.console, work.inputs["corpus"], codec, split) for split in _MEASURED}
    content = {"schema": 1, "size": codec.size, "requested": requested, "splits": splits}
    write_atomically(work.folder / "compression.json", json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    said = ", ".join(f"{splits[split]['bytes_per_token'] or 0:.2f} on {split}" for split in _MEASURED)
    work.console.say(f"  {codec.size:,} entries; bytes per token: {said}")


def compare_vocabularies(
    console: Console, corpus: Path, folders: Sequence[Path], split: str = "validation"
) -> list[dict[str, Any]]:
    """How well the vocabulary in each of `folders`, ours or of another maker, compresses a split of corpus/.

    One object a folder, in their order: {"folder", "size", "bytes", "tokens", "bytes_per_token", "languages": {…: the
    same three}}. Raises UserError where a folder holds no tokenizer that can be read.
    """
    vocabularies = {folder: read_any(folder) for folder in folders}
    return [
        {"folder": str(folder), "size": vocabulary.size} | _measure(console, corpus, open_encoder(vocabulary), split)
        for folder, vocabulary in vocabularies.items()
    ]


def _measure(console: Console, corpus: Path, codec: Codec | Encoder, split: str) -> dict[str, Any]:
    threads = os.cpu_count() or 1
    size: Counter[str] = Counter()
    tokens: Counter[str] = Counter()
    rows = count_documents(corpus, split)
    with console.progress(f"measuring on {split}", rows, "files") as progress:
        for texts, languages in read_columns(corpus, split, "text", "language"):
            for text, language, ids in zip(texts, languages, codec.encode_many(texts, threads), strict=True):
                size[language] += len(text.encode())
                tokens[language] += len(ids)
            progress.advance(len(texts))
    by_language = {language: _ratio(size[language], tokens[language]) for language in sorted(size)}
    return _ratio(size.total(), tokens.total()) | {"languages": by_language}


def _ratio(size: int, tokens: int) -> dict[str, Any]:
    return {"bytes": size, "tokens": tokens, "bytes_per_token": round(size / tokens, 4) if tokens else None}
