"""tokenizer.json in and out: byte-level BPE as Hugging Face `tokenizers`, transformers and llama.cpp read it.

The seven special tokens come first, then the 256 bytes, then one token a merge, in the order of merging. So an id is
also the merge's rank, and tiktoken, which merges the pair whose joined bytes have the lowest id, gives the same ids.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from repotune.core.artefact import write_atomically
from repotune.core.errors import UserError

TOKENIZER_NAME = "tokenizer.json"
END, FIM_PREFIX, FIM_MIDDLE, FIM_SUFFIX, FIM_PAD, REPO_NAME, FILE_SEP = SPECIAL_TOKENS = (
    "<|endoftext|>",
    "<fim_prefix>",
    "<fim_middle>",
    "<fim_suffix>",
    "<fim_pad>",
    "<repo_name>",
    "<file_sep>",
)

# Where text may be cut before merging: Llama 3's pattern, because every engine knows it, llama.cpp under GGUF_PRE.
# Bytes per token at 8,192 entries, standard library / C++ headers: this 3.79 / 3.82; GPT-2 3.74 / 3.30; Qwen2 (single
# digits) 3.73 / 3.67; GPT-4o (cuts camelCase) 3.78 / 3.76; whole snake_case names 3.81 / 4.05; line ends with the
# indentation that follows 4.03 / 3.79, but llama.cpp can express neither of the last two.
SPLIT_PATTERN = (
    r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"
    r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
GGUF_PRE = "llama-bpe"


@dataclass(frozen=True)
class Vocabulary:
    """What an encoder needs: the ids of byte strings, in order of merging, those of special texts, and the split."""

    ranks: dict[bytes, int]
    special: dict[str, int]
    pattern: str

    @property
    def size(self) -> int:
        return len(self.ranks) + len(self.special)


def vocabulary_of(tokens: list[bytes]) -> Vocabulary:
    """The vocabulary of `tokens`, the 256 bytes and the merges in their order, behind the special tokens."""
    first = len(SPECIAL_TOKENS)
    return Vocabulary(
        ranks={token: first + rank for rank, token in enumerate(tokens)},
        special={text: number for number, text in enumerate(SPECIAL_TOKENS)},
        pattern=SPLIT_PATTERN,
    )


def write_vocabulary(folder: Path, vocabulary: Vocabulary) -> None:
    """Writes tokenizer.json and tokenizer_config.json into `folder`."""
    model = {
        "type": "BPE",
        "dropout": None,
        "unk_token": None,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": False,
        "byte_fallback": False,
        "ignore_merges": True,  # a piece that is a token is that token: tiktoken's rule
        "vocab": vocabulary.special | {_spell(token): number for token, number in vocabulary.ranks.items()},
        "merges": [[_spell(part) for part in _last_pair(token, vocabulary.ranks)] for token in _merged(vocabulary)],
    }
    content = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [_added_token(text, number) for text, number in vocabulary.special.items()],
        "normalizer": None,
        "pre_tokenizer": _pre_tokenizer(vocabulary.pattern),
        "post_processor": None,
        "decoder": _BYTE_LEVEL,
        "model": model,
    }
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": END,
        "pad_token": FIM_PAD,
        "additional_special_tokens": [text for text in SPECIAL_TOKENS if text not in (END, FIM_PAD)],
        "clean_up_tokenization_spaces": False,  # it would eat spaces before punctuation: code
    }
    write_atomically(folder / TOKENIZER_NAME, json.dumps(content, ensure_ascii=False, indent=1) + "\n")
    write_atomically(folder / "tokenizer_config.json", json.dumps(config, indent=2) + "\n")


def read_vocabulary(folder: Path) -> Vocabulary:
    """The vocabulary in `folder`. Raises UserError where tokenizer.json is absent, broken or not in our layout."""
    path = folder / TOKENIZER_NAME
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return _parse(content)
    except FileNotFoundError:
        raise UserError(f"There is no {path}.", "repotune run builds what is missing") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}.", "remove its folder and repeat: repotune run") from error
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise UserError(
            f"{path} is not a tokenizer of repotune: {_reason(error)}.",
            "byte-level BPE with repotune's special tokens is needed; repotune run builds one",
        ) from error


_BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}


def _pre_tokenizer(pattern: str) -> dict[str, Any]:
    split = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    return {"type": "Sequence", "pretokenizers": [split, _BYTE_LEVEL]}


def _added_token(text: str, number: int) -> dict[str, Any]:
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {"id": number, "content": text} | flags


def _parse(content: dict[str, Any]) -> Vocabulary:
    model = content["model"]
    pattern = content["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"]
    if model["type"] != "BPE" or content["pre_tokenizer"] != _pre_tokenizer(pattern) or content["normalizer"]:
        raise ValueError("it is not plain byte-level BPE")
    special = {str(token["content"]): int(token["id"]) for token in content["added_tokens"]}
    if missing := [text for text in SPECIAL_TOKENS if text not in special]:
        raise ValueError(f"it lacks {', '.join(missing)}")
    ranks = {_bytes_of(text): int(number) for text, number in model["vocab"].items() if text not in special}
    vocabulary = Vocabulary(dict(sorted(ranks.items(), key=lambda item: item[1])), special, pattern)
    _check_order(vocabulary, [_bytes_of(left) + _bytes_of(right) for left, right in model["merges"]])
    return vocabulary


def _check_order(vocabulary: Vocabulary, merges: list[bytes]) -> None:
    """The ids are 0 … size − 1, every byte has one, and the merges come in the order of their ids."""
    if sorted([*vocabulary.ranks.values(), *vocabulary.special.values()]) != list(range(vocabulary.size)):
        raise ValueError("its ids have holes or come twice")
    if any(bytes([byte]) not in vocabulary.ranks for byte in range(256)):
        raise ValueError("some bytes have no token")
    if merges != _merged(vocabulary):
        raise ValueError("its merges are not in the order of its ids")


def _merged(vocabulary: Vocabulary) -> list[bytes]:
    return [token for token in vocabulary.ranks if len(token) > 1]


def _last_pair(token: bytes, ranks: dict[bytes, int]) -> tuple[bytes, bytes]:
    """The two tokens whose merge made `token`: what is left when only merges before its own are allowed."""
    parts = [token[index : index + 1] for index in range(len(token))]
    while len(parts) > 2:
        joined = [ranks.get(left + right, math.inf) for left, right in pairwise(parts)]
        index = joined.index(min(joined))
        parts[index : index + 2] = [parts[index] + parts[index + 1]]
    left, right = parts
    return left, right


def _spelling() -> dict[int, str]:
    """GPT-2's spelling of bytes: printable Latin-1 stands for itself, the rest for the letters from U+0100 on."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + index) for index, byte in enumerate(others)}


_LETTER_OF = _spelling()
_BYTE_OF = {letter: byte for byte, letter in _LETTER_OF.items()}


def _spell(token: bytes) -> str:
    return "".join(_LETTER_OF[byte] for byte in token)


def _bytes_of(spelling: str) -> bytes:
    return bytes(_BYTE_OF[letter] for letter in spelling)


def _reason(error: Exception) -> str:
    if isinstance(error, ValueError):
        return str(error).rstrip(".")
    return f"{type(error).__name__} at {error}"
