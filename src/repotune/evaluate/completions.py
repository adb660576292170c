"""What each contestant writes into a hole. Greedy: the likeliest token at every step, no sampling, no retries.

All answers are cut the same way before they are scored: a line at its end, a block after as many lines as were taken
out. The cut says nothing to a contestant, which never sees what it has to write or how long that is; it spares everyone
what they would have written beyond. An answer also ends at an end token or after MOST_TOKENS.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from repotune.evaluate.likelihood import header_ids
from repotune.evaluate.ngram import CACHE_TOKENS, NgramModel
from repotune.evaluate.tasks import Item, Kind
from repotune.infer.decoding import Sampling, generate
from repotune.infer.engine import Engine
from repotune.infer.prompts import infilling_prompt
from repotune.tokenizer.encoding import Codec

MOST_TOKENS: dict[Kind, int] = {"line": 48, "block": 96}


def lines_of(item: Item) -> int:
    """How many lines the hole had."""
    return item.expected.count("\n") + 1


def cut(text: str, lines: int) -> str:
    """The first `lines` lines of `text`, the last line's end left out.

    >>> cut("a\\nb\\nc", 2)
    'a\\nb'
    """
    return "\n".join(text.split("\n")[:lines])


def complete_by_engine(engine: Engine, codec: Codec, item: Item) -> str:
    """The answer of a network, which sees prefix, suffix and path."""
    most = min(MOST_TOKENS[item.kind], engine.context // 4)
    prompt = infilling_prompt(codec, item.prefix, item.suffix, item.file.path, engine.context - most)
    text, wanted = "", lines_of(item)
    for piece in generate(engine, codec, prompt, Sampling(), most, heal=True):
        text += piece.text
        if text.count("\n") >= wanted:
            break
    return cut(text, wanted)


class NgramCompleter:
    """The answers of the n-gram, which sees prefix and path: counts cannot use a suffix.

    The prompt's last token is taken back and the first written must begin with its bytes (token healing): a prefix may
    end where the tokenizer would have gone on, and the counts know no such cuts.
    """

    def __init__(self, model: NgramModel, codec: Codec, context: int) -> None:
        self._model, self._codec, self._context = model, codec, context
        self._bytes = [codec.decode_bytes([token]) for token in range(codec.size)]

    def complete(self, item: Item) -> str:
        header = header_ids(self._codec, item.file.path, self._context)
        prefix = self._codec.encode(item.prefix)[-CACHE_TOKENS:]
        ids, begun = (header + prefix[:-1], self._bytes[prefix[-1]]) if prefix else (header, b"")
        written, wanted = b"", lines_of(item)
        for _ in range(MOST_TOKENS[item.kind]):
            token = self._next(ids, begun)
            if token in self._codec.special:
                break
            written += self._bytes[token][len(begun) :]
            ids, begun = [*ids, token], b""
            if written.count(b"\n") >= wanted:
                break
        return cut(written.decode(errors="replace"), wanted)

    def _next(self, ids: Sequence[int], begun: bytes) -> int:
        """The likeliest token whose bytes begin with `begun`."""
        p = self._model.distribution(np.array(ids))
        if begun:
            agrees = [token for token, text in enumerate(self._bytes) if text.startswith(begun)]
            return agrees[int(p[agrees].argmax())]
        return int(p.argmax())
