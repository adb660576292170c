"""Prompts as training sees documents (`docs/architecture.md`), in the order that a keystroke extends.

An infilling prompt puts the suffix first (SPM, variant 2 of Bavarian et al. 2022): typing then changes the prompt's
last token or two, and the engine computes only these. With the prefix first, a keystroke moves the whole suffix:
`benchmarks/infer_peers.py` measures what that costs.
"""

from __future__ import annotations

from collections.abc import Sequence

from repotune.tokenizer.encoding import Codec

# A suffix keeps a quarter of the room when both are too long: what was just written says more about what comes next.
_SUFFIX_SHARE = 4
# Cuts move in blocks of this share of the room: one full prefill every so many tokens typed, not at each.
_BLOCK_SHARE = 16
_LEAST_ROOM = 16
# No file averages more characters a token; what lies further away is dropped before it is encoded.
_CHARACTERS_PER_TOKEN = 16


def infilling_prompt(codec: Codec, prefix: str, suffix: str, path: str, room: int) -> list[int]:
    """Token ids, at most `room`, after which the model writes what stands between `prefix` and `suffix`.

    A file too long loses the suffix's far end first, down to a quarter of the room, then the prefix's beginning. Both
    cuts move in blocks (`_settled_length`), so they stay put while some lines are typed. Raises ValueError where
    `room` does not even hold the special tokens and a little text.
    """
    header = _header(codec, path, room)
    space = room - len(header) - 3
    block = _block(space)
    prefix_ids = _encode_end(codec, prefix, space)
    suffix_ids = codec.encode(suffix[: space * _CHARACTERS_PER_TOKEN])
    wanted = _round_up(_settled_length(codec, prefix_ids, block), block)
    suffix_ids = suffix_ids[: max(space // _SUFFIX_SHARE, space - wanted)]
    prefix_ids = _keep_end(codec, prefix_ids, space - len(suffix_ids), block)
    return [*header, codec.fim_prefix, codec.fim_suffix, *suffix_ids, codec.fim_middle, *prefix_ids]


def continuation_prompt(codec: Codec, prefix: str, path: str, room: int) -> list[int]:
    """Token ids, at most `room`, after which the model goes on from the end of `prefix`; cut and raising as above."""
    header = _header(codec, path, room)
    space = room - len(header)
    return [*header, *_keep_end(codec, _encode_end(codec, prefix, space), space, _block(space))]


def other_files(codec: Codec, files: Sequence[tuple[str, str]], room: int) -> list[int]:
    """Token ids, at most `room`, of the last of `files` (path, text) that fit, to stand before a prompt: documents like
    those that precede one in training."""
    documents: list[list[int]] = []
    for path, text in reversed(files):
        document = [*codec.header(path), *codec.encode(text), codec.end]
        room -= len(document)
        if room < 0:
            break
        documents.insert(0, document)
    return [token for document in documents for token in document]


def _header(codec: Codec, path: str, room: int) -> list[int]:
    """The path's header, or the one without a path where the path would take a quarter of the room."""
    if room < _LEAST_ROOM:
        raise ValueError(f"a prompt needs room for {_LEAST_ROOM} tokens, not {room}")
    header = codec.header(path)
    return header if 4 * len(header) <= room else codec.header("")


def _block(space: int) -> int:
    return max(1, space // _BLOCK_SHARE)


def _encode_end(codec: Codec, text: str, space: int) -> list[int]:
    """The ids of `text`, or of its end where it is far too long; the cut moves in blocks and lies at a line's start."""
    limit = space * _CHARACTERS_PER_TOKEN
    dropped = _round_up(max(0, len(text) - limit), limit // 2)
    if dropped:
        dropped = text.find("\n", dropped) + 1 or dropped
    return codec.encode(text[dropped:])


def _settled_length(codec: Codec, ids: list[int], block: int) -> int:
    """The length that cuts go by: the last line, which is being typed, counts as whole blocks.

    The plain number of tokens falls when a keystroke merges two, and a cut that goes by it flips to and fro.
    """
    last_line = next(
        (back for back, token in enumerate(reversed(ids)) if b"\n" in codec.decode_bytes([token])), len(ids)
    )
    return len(ids) - last_line + _round_up(max(last_line, 1), block)


def _keep_end(codec: Codec, ids: list[int], space: int, block: int) -> list[int]:
    """The end of `ids` that fits into `space`, cut by whole blocks and then up to a line's start in the next block."""
    dropped = _round_up(max(0, _settled_length(codec, ids, block) - space), block)
    if not dropped:
        return ids
    for position in range(dropped, min(dropped + block, len(ids))):
        if codec.decode_bytes([ids[position - 1]]).endswith(b"\n"):
            return ids[position:]
    return ids[dropped:]


def _round_up(count: int, step: int) -> int:
    return -(-count // step) * step
