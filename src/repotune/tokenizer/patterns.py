"""Where text may be cut before bytes are merged: the patterns to choose from, and those of other makers.

Bytes per held-out token at 32,768 entries, standard library / C and C++ headers: Llama 3's 4.11 / 3.75; line ends with
the indentation that follows 4.54 / 4.02; names with their underscores 4.14 / 4.06; both, which is "code", 4.57 / 4.33;
line ends with indentation and camelCase cut 4.49 / 3.96.
"""

from __future__ import annotations

from dataclasses import dataclass

# Llama 3's spelling and Qwen2's as their makers write them, and as gigatoken knows them.
_LLAMA_3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_QWEN_2 = _LLAMA_3.replace(r"\p{N}{1,3}", r"\p{N}")
GPT_2 = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"

# StarCoder cuts out each digit first and then applies GPT-2's pattern to what lies between: there a digit ends the
# text, and white space before it is not split from its last blank.
STARCODER = r"\p{N}|'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?[^\s\p{L}\p{N}]+|\s+(?=\p{N})|\s+(?!\S)|\s+"

_CONTRACTIONS = r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"


@dataclass(frozen=True)
class Pattern:
    """A way to cut text. `gguf` is llama.cpp's name for it, or None: then no GGUF file can be written.

    `simd` is the spelling under which gigatoken, which has such patterns built in, knows it, or None.
    """

    regex: str
    gguf: str | None = None
    simd: str | None = None


# To choose from in repotune.toml as tokenizer.pattern.
PATTERNS = {
    # Llama 3's, because every engine knows it. The contractions are spelt out, as not every engine folds case alike.
    "llama-3": Pattern(
        _CONTRACTIONS + _LLAMA_3[_LLAMA_3.index(r"|[^\r\n") :],
        gguf="llama-bpe",
        simd=_LLAMA_3,
    ),
    # A line end keeps the indentation that follows, and names keep their underscores: 11 % more bytes per token of
    # Python, 15 % of C++ headers. Only engines of regular expressions know it: llama.cpp does not, so there is no GGUF
    # file, and encoding takes about ten times as long.
    "code": Pattern(
        _CONTRACTIONS + r"|[^\r\n\p{L}\p{N}_]?[\p{L}_]+|\p{N}{1,3}"
        r"| ?[^\s\p{L}\p{N}_]+(?:[\r\n]+[ \t]*)?|\s*[\r\n]+[ \t]*|\s+(?!\S)|\s+"
    ),
}

_FOREIGN = (
    Pattern(_LLAMA_3, gguf="llama-bpe", simd=_LLAMA_3),
    Pattern(_QWEN_2, gguf="qwen2", simd=_QWEN_2),
    Pattern(GPT_2, gguf="gpt-2", simd=GPT_2),
    Pattern(STARCODER, gguf="starcoder"),
)
KNOWN = {pattern.regex: pattern for pattern in (*PATTERNS.values(), *_FOREIGN)}


def known_pattern(regex: str) -> Pattern:
    """The pattern of `regex`, with what is known of it; nothing is where no engine has it built in."""
    return KNOWN.get(regex, Pattern(regex))
