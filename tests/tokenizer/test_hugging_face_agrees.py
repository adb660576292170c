"""tokenizer.json gives the same ids in Hugging Face tokenizers and transformers as in our codec."""

from __future__ import annotations

from pathlib import Path

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from repotune.tokenizer.encoding import Codec
from repotune.tokenizer.layout import SPECIAL_TOKENS

# The one difference that is meant: Hugging Face's tokenizer turns the text of a special token into that token.
PLAIN = st.text().filter(lambda text: not any(special in text for special in SPECIAL_TOKENS))
RUNS = st.text(alphabet=" \t\r\n=-_#*/.()'\"<>abseEtTS019é日🐍ſ", max_size=80)


@pytest.fixture(scope="session")
def peer(built: dict[str, Path]) -> tokenizers.Tokenizer:
    return tokenizers.Tokenizer.from_file(str(built["tokenizer"] / "tokenizer.json"))


def test_on_real_files(codec: Codec, peer: tokenizers.Tokenizer, splits: dict[str, list[tuple[str, str, str]]]) -> None:
    texts = [text for split in splits.values() for text, path, _ in split if path != "s.py"]
    assert [peer.encode(text).ids for text in texts] == [codec.encode(text) for text in texts]


@settings(max_examples=1000, deadline=None)
@given(text=st.one_of(PLAIN, RUNS))
def test_on_any_text(codec: Codec, peer: tokenizers.Tokenizer, text: str) -> None:
    ids = codec.encode(text)
    assert peer.encode(text).ids == ids
    assert peer.decode(ids) == text


@settings(max_examples=500, deadline=None)
@given(ids=st.lists(st.integers(7, 4095), max_size=8))
def test_on_texts_that_entries_of_the_vocabulary_form(codec: Codec, peer: tokenizers.Tokenizer, ids: list[int]) -> None:
    text = codec.decode(ids)
    if not any(special in text for special in SPECIAL_TOKENS):
        assert peer.encode(text).ids == codec.encode(text)


def test_transformers_loads_it_with_special_tokens_in_their_roles(
    built: dict[str, Path], codec: Codec, splits: dict[str, list[tuple[str, str, str]]]
) -> None:
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    for loader in (PreTrainedTokenizerFast, AutoTokenizer):
        peer = loader.from_pretrained(built["tokenizer"])
        assert (peer.eos_token_id, peer.pad_token_id, len(peer)) == (codec.end, codec.fim_pad, codec.size)
        assert sorted(peer.all_special_ids) == list(range(7))
        text = splits["validation"][0][0]
        ids = peer(text)["input_ids"]
        assert ids == codec.encode(text)
        assert peer.decode(ids) == text
        assert peer.convert_tokens_to_ids("<fim_middle>") == codec.fim_middle
