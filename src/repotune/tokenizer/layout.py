"""tokenizer.json in and out: byte-level BPE as Hugging Face `tokenizers`, transformers and llama.cpp read it.

In a vocabulary of ours the seven special tokens come first, then the 256 bytes, then one token a merge, in the order of
merging. Here as in those of other makers a token's id is also its merges' rank, so tiktoken, which merges the pair
whose joined bytes have the lowest id, gives the same ids.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from repotune.core.artefact import write_atomically
from repotune.core.errors import UserError
from repotune.tokenizer.patterns import GPT_2, PATTERNS, STARCODER

TOKENIZER_NAME = "tokenizer.json"
CONFIG_NAME = "tokenizer_config.json"
ROLES = ("end", "fim_prefix", "fim_middle", "fim_suffix", "fim_pad", "repo_name", "file_sep")
END, FIM_PREFIX, FIM_MIDDLE, FIM_SUFFIX, FIM_PAD, REPO_NAME, FILE_SEP = SPECIAL_TOKENS = (
    "<|endoftext|>",
    "<fim_prefix>",
    "<fim_middle>",
    "<fim_suffix>",
    "<fim_pad>",
    "<repo_name>",
    "<file_sep>",
)
# What other makers write for the same: Qwen2, Llama 3, Code Llama, CodeGemma.
ROLE_TEXTS = {
    "end": (END, "<|end_of_text|>", "</s>", "<eos>"),
    "fim_prefix": (FIM_PREFIX, "<|fim_prefix|>", "▁<PRE>"),
    "fim_middle": (FIM_MIDDLE, "<|fim_middle|>", "▁<MID>"),
    "fim_suffix": (FIM_SUFFIX, "<|fim_suffix|>", "▁<SUF>"),
    "fim_pad": (FIM_PAD, "<|fim_pad|>"),
    "repo_name": (REPO_NAME, "<|repo_name|>"),
    "file_sep": (FILE_SEP, "<|file_sep|>", "<|file_separator|>"),
}
SPLIT_PATTERN = PATTERNS["llama-3"].regex
GGUF_PRE = PATTERNS["llama-3"].gguf
Merge = tuple[bytes, bytes]


@dataclass(frozen=True)
class Vocabulary:
    """What an encoder needs: the ids of byte strings and of special texts, the merges in their order, the split."""

    ranks: dict[bytes, int]
    merges: list[Merge]
    special: dict[str, int]
    pattern: str

    @property
    def size(self) -> int:
        return len(self.ranks) + len(self.special)

    @property
    def tokens(self) -> dict[int, bytes]:
        """The bytes of every id that is not special."""
        return {number: token for token, number in self.ranks.items()}


def missing_roles(special: Iterable[str]) -> list[str]:
    """The roles in `ROLES` that have no text among `special`."""
    found = find_roles(special)
    return [role for role in ROLES if role not in found]


def find_roles(special: Iterable[str]) -> dict[str, str]:
    """The special text of each role in `ROLES` that has one among `special`, whoever made them."""
    present = set(special)
    found = {role: next((text for text in texts if text in present), None) for role, texts in ROLE_TEXTS.items()}
    return {role: text for role, text in found.items() if text is not None}


def vocabulary_of(tokens: list[bytes], pattern: str = SPLIT_PATTERN) -> Vocabulary:
    """The vocabulary of `tokens`, the 256 bytes and the merges in their order, behind the special tokens."""
    first = len(SPECIAL_TOKENS)
    ranks = {token: first + rank for rank, token in enumerate(tokens)}
    return Vocabulary(
        ranks=ranks,
        merges=[_last_pair(token, ranks) for token in tokens if len(token) > 1],
        special={text: number for number, text in enumerate(SPECIAL_TOKENS)},
        pattern=pattern,
    )


def write_vocabulary(folder: Path, vocabulary: Vocabulary) -> None:
    """Writes tokenizer.json and tokenizer_config.json into `folder`."""
    roles = find_roles(vocabulary.special)
    named = (roles["end"], roles["fim_pad"])
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": roles["end"],
        "pad_token": roles["fim_pad"],
        "additional_special_tokens": [text for text in vocabulary.special if text not in named],
        "clean_up_tokenization_spaces": False,  # it would eat spaces before punctuation: code
    }
    content = json.dumps(tokenizer_json(vocabulary), ensure_ascii=False, indent=1)
    write_atomically(folder / TOKENIZER_NAME, content + "\n")
    write_atomically(folder / CONFIG_NAME, json.dumps(config, indent=2) + "\n")


def tokenizer_json(vocabulary: Vocabulary) -> dict[str, Any]:
    """The content of tokenizer.json."""
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
        "merges": [[_spell(left), _spell(right)] for left, right in vocabulary.merges],
    }
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [_added_token(text, number) for text, number in vocabulary.special.items()],
        "normalizer": None,
        "pre_tokenizer": _pre_tokenizer(vocabulary.pattern),
        "post_processor": None,
        "decoder": _byte_level(use_regex=False),
        "model": model,
    }


def read_vocabulary(folder: Path) -> Vocabulary:
    """The vocabulary in `folder`, ours or of another maker of byte-level BPE, whatever special tokens it has.

    Raises UserError where tokenizer.json is absent, broken or of another kind.
    """
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
            "byte-level BPE is needed, as Llama 3, Qwen2 and StarCoder2 have it; repotune run builds one",
        ) from error


def _byte_level(use_regex: bool) -> dict[str, Any]:
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": use_regex}


def _pre_tokenizer(pattern: str) -> dict[str, Any]:
    split = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    return {"type": "Sequence", "pretokenizers": [split, _byte_level(use_regex=False)]}


def _added_token(text: str, number: int) -> dict[str, Any]:
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {"id": number, "content": text} | flags


def _parse(content: dict[str, Any]) -> Vocabulary:
    model = content["model"]
    # NFC, Qwen2's, is left out: it would change a file's bytes. What is in NFC already has the same ids.
    if model["type"] != "BPE" or model.get("byte_fallback") or content["normalizer"] not in (None, {"type": "NFC"}):
        raise ValueError("it is not plain byte-level BPE")
    special = {str(token["content"]): int(token["id"]) for token in content["added_tokens"]}
    ranks = {_bytes_of(text): int(number) for text, number in model["vocab"].items() if text not in special}
    vocabulary = Vocabulary(
        ranks=dict(sorted(ranks.items(), key=lambda item: item[1])),
        merges=[_parse_merge(merge) for merge in model["merges"]],
        special=special,
        pattern=_parse_pattern(content["pre_tokenizer"]),
    )
    _check_order(vocabulary)
    return vocabulary


def _parse_merge(merge: str | list[str]) -> Merge:
    """A merge as tokenizers ≥ 0.20 writes it, a list, or as it used to, with a blank between."""
    left, right = merge.split(" ") if isinstance(merge, str) else merge
    return _bytes_of(left), _bytes_of(right)


def _parse_pattern(pre_tokenizer: dict[str, Any]) -> str:
    """The one pattern that cuts as `pre_tokenizer` does: one that it names, GPT-2's own, or StarCoder's."""
    match pre_tokenizer:
        case {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": str(regex)}, "behavior": "Isolated", "invert": False},
                {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False},
            ],
        }:
            return regex
        case {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Digits", "individual_digits": True},
                {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True},
            ],
        }:
            return STARCODER
        case {"type": "ByteLevel", "add_prefix_space": False} if pre_tokenizer.get("use_regex", True):
            return GPT_2
    raise ValueError("it cuts text in a way that is not known here")


def _check_order(vocabulary: Vocabulary) -> None:
    """The ids are 0 … size − 1, every byte has one, and the merges come in the order of the ids of what they make."""
    ranks = vocabulary.ranks
    if sorted([*ranks.values(), *vocabulary.special.values()]) != list(range(vocabulary.size)):
        raise ValueError("its ids have holes or come twice")
    if any(bytes([byte]) not in ranks for byte in range(256)):
        raise ValueError("some bytes have no token")
    made = [ranks[left + right] for left, right in vocabulary.merges if left in ranks and right in ranks]
    if len(made) != len(vocabulary.merges) or any(former > later for former, later in pairwise(made)):
        raise ValueError("its merges are not in the order of its ids")


def _last_pair(token: bytes, ranks: Mapping[bytes, int]) -> Merge:
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
# For str.translate, which is six times as fast as a loop over letters: 0.25 s of a server's start. A letter that spells
# no byte becomes one that Latin-1 has not.
_BYTE_OF = dict.fromkeys(range(256), "\uffff") | {ord(letter): chr(byte) for byte, letter in _LETTER_OF.items()}


def _spell(token: bytes) -> str:
    return token.decode("latin-1").translate(_LETTER_OF)


def _bytes_of(spelling: str) -> bytes:
    try:
        return spelling.translate(_BYTE_OF).encode("latin-1")
    except UnicodeEncodeError:
        raise ValueError(f"{spelling!r} spells no bytes") from None


def _reason(error: Exception) -> str:
    if isinstance(error, ValueError):
        return str(error).rstrip(".")
    return f"{type(error).__name__} at {error}"
