"""Prompts are what training sees, fit their room, and change little while someone types."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repotune.infer.cache import common_prefix
from repotune.infer.opening import open_engine
from repotune.infer.prompts import continuation_prompt, infilling_prompt
from repotune.tokenizer.encoding import Codec

PREFIX = "import os\n\n\ndef size(path):\n    retu"
SUFFIX = "\n\n\nprint(size('.'))\n"


def test_an_infilling_prompt_is_the_beginning_of_what_training_sees(codec: Codec) -> None:
    expected = [*codec.header("a/b.py"), codec.fim_prefix, codec.fim_suffix, *codec.encode(SUFFIX)]
    expected += [codec.fim_middle, *codec.encode(PREFIX)]
    assert infilling_prompt(codec, PREFIX, SUFFIX, "a/b.py", 512) == expected
    assert infilling_prompt(codec, "", "", "", 512) == [
        *codec.header(""),
        codec.fim_prefix,
        codec.fim_suffix,
        codec.fim_middle,
    ]


def test_a_continuation_prompt_is_the_header_and_the_text(codec: Codec) -> None:
    assert continuation_prompt(codec, PREFIX, "a.py", 512) == codec.header("a.py") + codec.encode(PREFIX)


def test_special_texts_in_a_file_stay_text(codec: Codec) -> None:
    prompt = infilling_prompt(codec, "<fim_middle>", "<|endoftext|>", "<fim_suffix>", 512)
    special = [token for token in prompt if token < 7]
    assert special == [codec.file_sep, codec.fim_prefix, codec.fim_suffix, codec.fim_middle]


@given(st.text(max_size=400), st.text(max_size=400), st.text(max_size=60), st.integers(16, 200))
@settings(max_examples=200, deadline=None)
def test_no_prompt_exceeds_its_room(codec: Codec, prefix: str, suffix: str, path: str, room: int) -> None:
    assert len(infilling_prompt(codec, prefix, suffix, path, room)) <= room
    assert len(continuation_prompt(codec, prefix, path, room)) <= room


def test_a_long_file_keeps_the_prefixs_end_and_the_suffixs_start(codec: Codec, sources: list[str]) -> None:
    prompt = infilling_prompt(codec, sources[0], sources[1], "a.py", 256)
    middle = prompt.index(codec.fim_middle)
    suffix = codec.decode(prompt[prompt.index(codec.fim_suffix) + 1 : middle])
    prefix = codec.decode(prompt[middle + 1 :])
    assert sources[1].startswith(suffix)
    assert sources[0].endswith("\n" + prefix), "what is left begins at a line's start"
    assert 50 <= len(codec.encode(suffix)) <= 64
    assert len(prompt) > 256 - 3 * 16


def test_the_prefix_gets_the_room_that_a_short_suffix_leaves(codec: Codec, sources: list[str]) -> None:
    assert len(infilling_prompt(codec, sources[0], "", "", 256)) > 256 - 3 * 16
    long_suffix = infilling_prompt(codec, "x", sources[0], "", 256)
    assert len(long_suffix) > 256 - 3 * 16


def test_a_path_that_would_fill_the_room_is_left_out(codec: Codec) -> None:
    prompt = infilling_prompt(codec, PREFIX, SUFFIX, "very/long/" * 40 + "path.py", 128)
    assert prompt[: len(codec.header(""))] == codec.header("")


def test_too_little_room_is_refused(codec: Codec) -> None:
    with pytest.raises(ValueError, match="room for 16 tokens"):
        infilling_prompt(codec, "x", "y", "", 15)


@pytest.mark.parametrize("start", [300, 1200, 6000], ids=["whole file", "at the limit", "trimmed"])
def test_typing_changes_the_last_tokens_and_moves_the_cuts_once_a_block(
    codec: Codec, sources: list[str], start: int
) -> None:
    text, suffix, room, typed = sources[0], sources[1], 512, 600
    before, moved = infilling_prompt(codec, text[:start], suffix, "a.py", room), 0
    for end in range(start + 1, start + typed + 1):
        after = infilling_prompt(codec, text[:end], suffix, "a.py", room)
        moved += common_prefix(before, after) < len(before) - 3
        before = after
    blocks = len(codec.encode(text[start : start + typed])) / (room // 16)
    assert moved <= blocks + 2


def test_a_keystroke_reuses_all_but_the_last_few_tokens_of_the_engines_cache(
    codec: Codec, sources: list[str], llama_folder: Path
) -> None:
    engine = open_engine(llama_folder, "f32")
    computed = []
    for end in range(300, 400):
        prompt = infilling_prompt(codec, sources[0][:end], sources[1][:600], "a.py", 500)
        before = engine.stats().reused_tokens
        engine.prefill(prompt)
        computed.append(len(prompt) - (engine.stats().reused_tokens - before))
    assert computed[0] > 200, "the first prompt is computed"
    assert max(computed[1:]) <= 3, "then a keystroke costs a token or three"
