"""What each contestant writes into a hole. Greedy: the likeliest token at every step, no sampling, no retries.

All answers are trimmed as a server trims them (`infer.trimming`), and cut the same way before they are scored:
arguments at the bracket that closes the call, everything else after as many lines as were taken out; where nothing was,
after the first line that says something. The cut says nothing to a contestant, which never sees what it has to write or
how long that is; it spares everyone what they would have written beyond. An answer also ends at an end token or after
MOST_TOKENS.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from repotune.evaluate.likelihood import header_ids
from repotune.evaluate.ngram import CACHE_TOKENS, NgramModel, Passage
from repotune.evaluate.own_code.items import Item, Kind
from repotune.evaluate.own_code.retrieval import Piece
from repotune.infer.decoding import Sampling, generate
from repotune.infer.engine import Engine
from repotune.infer.prompts import infilling_prompt
from repotune.infer.trimming import open_trimmer
from repotune.tokenizer.encoding import Codec

MOST_TOKENS: dict[Kind, int] = {
    "rest": 48, "line": 48, "block": 96, "body": 128, "arguments": 48, "imports": 48, "nothing": 16,
}  # fmt: skip
# Of a prompt's room that pieces of other files may take from the file at hand, as RepoCoder's (arXiv 2303.12570).
_PIECES_SHARE = 2
_SPARE_SHARE = 8
_LEAST_PIECE = 16  # tokens of text; less says nothing

_SAYS_SOMETHING = re.compile(r"\s*\S[^\n]*")
_QUOTED_OR_BRACKET = re.compile(r"\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'|[()\[\]{}]")


def cut(item: Item, answer: str) -> str:
    """The part of `answer` that counts."""
    if item.kind == "nothing":
        found = _SAYS_SOMETHING.match(answer)
        return found[0] if found else answer
    if item.kind == "arguments":
        answer = answer[: closing_bracket(answer)]
    return "\n".join(answer.split("\n")[: item.expected.count("\n") + 1])


def closing_bracket(text: str) -> int:
    """Where the first bracket stands that closes none of the text's own, or the text ends.

    >>> closing_bracket("a, f(')'), b) + 1")
    12
    """
    depth = 0
    for match in _QUOTED_OR_BRACKET.finditer(text):
        if match[0] in "([{":
            depth += 1
        elif match[0] in ")]}":
            depth -= 1
            if depth < 0:
                return match.start()
    return len(text)


def hole_ids(codec: Codec, item: Item, context: int) -> list[int]:
    """What stood in the hole, as training encodes it: by itself; at most half a context of it."""
    return codec.encode(item.expected)[: context // 2]


def item_prompt(codec: Codec, item: Item, context: int, pieces: Sequence[Piece] = ()) -> list[int]:
    """The prompt that asks for `item`, with room behind it for an answer and for what stood in the hole.

    `pieces`, best first, stand before the file as documents of their own, the best one next to it, as far as the file
    leaves room, and in half of the room in any case.
    """
    room = context - max(_most_tokens(item, context), len(hole_ids(codec, item, context)))

    def own(room: int) -> list[int]:
        return infilling_prompt(codec, item.prefix, item.suffix, item.file.path, room)

    prompt = own(room)
    documents: list[int] = []
    # A file that fits keeps some room to spare: cuts move in blocks, so a prompt is cut a little before it must.
    free = max(room // _PIECES_SHARE, room - len(prompt) - room // _SPARE_SHARE)
    for piece in pieces:
        header = header_ids(codec, piece.path, context)
        if free < len(header) + _LEAST_PIECE:
            break
        document = [*header, *codec.encode(piece.text)][:free]
        documents = document + documents
        free -= len(document)
    return [*documents, *own(room - len(documents))] if documents else prompt


def complete_by_engine(engine: Engine, codec: Codec, item: Item, prompt: Sequence[int] | None = None) -> str:
    """The answer of a network to `prompt`, by default that of the file alone: prefix, suffix and path."""
    if prompt is None:
        prompt = item_prompt(codec, item, engine.context)
    text, trimmer = "", open_trimmer(item.prefix, item.suffix, item.file.path)
    for piece in generate(engine, codec, prompt, Sampling(), _most_tokens(item, engine.context), heal=True):
        text += trimmer.feed(piece.text)
        if trimmer.done or cut(item, text) != text:
            return cut(item, text)
    return cut(item, text + trimmer.finish())


def _most_tokens(item: Item, context: int) -> int:
    return min(MOST_TOKENS[item.kind], context // 4)


class NgramCompleter:
    """The answers of the n-gram, which sees prefix and path: counts cannot use a suffix.

    The prompt's last token is taken back and the first written must begin with its bytes (token healing): a prefix may
    end where the tokenizer would have gone on, and the counts know no such cuts.
    """

    def __init__(self, model: NgramModel, codec: Codec, context: int) -> None:
        self._model, self._codec, self._context = model, codec, context
        self._bytes = [codec.decode_bytes([token]) for token in range(codec.size)]

    def complete(self, item: Item) -> str:
        ids, begun = self._prompt(item), b""
        if ids[-1] not in self._codec.special and item.prefix:
            begun = self._bytes[ids.pop()]
        written = b""
        for _ in range(MOST_TOKENS[item.kind]):
            token = self._next(ids, begun)
            if token in self._codec.special:
                break
            written += self._bytes[token][len(begun) :]
            ids, begun = [*ids, token], b""
            text = written.decode(errors="replace")
            if cut(item, text) != text:
                break
        trimmer = open_trimmer(item.prefix, item.suffix, item.file.path)
        return cut(item, trimmer.feed(written.decode(errors="replace")) + trimmer.finish())

    def hole_bits(self, item: Item) -> float:
        """The bits that it needs for what stood in the hole."""
        ids, hole = self._prompt(item), hole_ids(self._codec, item, self._context)
        passage = Passage(np.array(ids + hole), len(ids), len(ids) + len(hole))
        return float(self._model.bits(passage).sum()) if hole else 0.0

    def _prompt(self, item: Item) -> list[int]:
        header = header_ids(self._codec, item.file.path, self._context)
        return header + self._codec.encode(item.prefix)[-CACHE_TOKENS:]

    def _next(self, ids: Sequence[int], begun: bytes) -> int:
        """The likeliest token whose bytes begin with `begun`."""
        p = self._model.distribution(np.array(ids))
        if begun:
            agrees = [token for token, text in enumerate(self._bytes) if text.startswith(begun)]
            return agrees[int(p[agrees].argmax())]
        return int(p.argmax())
