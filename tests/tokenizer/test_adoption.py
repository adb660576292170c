"""adopt_tokenizer: vocabularies in the layouts of Llama 3, Qwen2, StarCoder2 and GPT-2 keep their ids."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Regex, models, normalizers, pre_tokenizers, processors, trainers

from repotune.core.console import Console
from repotune.core.errors import UserError
from repotune.core.flow import Work
from repotune.tokenizer.adoption import adopt_tokenizer
from repotune.tokenizer.encoding import Codec, load_codec

LLAMA_3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
OF_LLAMA_3 = ["<|begin_of_text|>", "<|end_of_text|>", "<|reserved_special_token_0|>"]
OF_QWEN_2 = [
    *("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>"),
    *("<|fim_pad|>", "<|repo_name|>", "<|file_sep|>"),
]
OF_STARCODER_2 = [
    *("<|endoftext|>", "<fim_prefix>", "<fim_middle>", "<fim_suffix>", "<fim_pad>", "<repo_name>", "<file_sep>"),
    "<issue_start>",
]


def split_by(pattern: str) -> Any:
    split = pre_tokenizers.Split(Regex(pattern), "isolated")
    return pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def by_digits() -> Any:
    digits = pre_tokenizers.Digits(individual_digits=True)
    return pre_tokenizers.Sequence([digits, pre_tokenizers.ByteLevel(add_prefix_space=False)])


MAKERS: dict[str, tuple[Callable[[], Any], Sequence[str], bool]] = {
    "llama-3": (lambda: split_by(LLAMA_3), OF_LLAMA_3, False),
    "qwen-2": (lambda: split_by(LLAMA_3.replace("{1,3}", "")), OF_QWEN_2, False),
    "starcoder-2": (by_digits, OF_STARCODER_2, True),
    "gpt-2": (lambda: pre_tokenizers.ByteLevel(add_prefix_space=False), ["<|endoftext|>"], False),
}


def make_peer(maker: str, texts: Sequence[str]) -> tokenizers.Tokenizer:
    """A tokenizer trained here in the layout of `maker`; StarCoder2's special tokens come first, the others' last."""
    pre_tokenizer, special, first = MAKERS[maker]
    peer = tokenizers.Tokenizer(models.BPE(ignore_merges=maker == "llama-3"))
    peer.pre_tokenizer = pre_tokenizer()
    if maker == "qwen-2":
        peer.normalizer = normalizers.NFC()
    trainer = trainers.BpeTrainer(
        vocab_size=1500,
        show_progress=False,
        special_tokens=list(special) if first else [],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    peer.train_from_iterator(texts, trainer)
    peer.add_special_tokens(list(special))
    if maker == "llama-3":
        peer.post_processor = processors.TemplateProcessing(
            single="<|begin_of_text|> $A", special_tokens=[("<|begin_of_text|>", peer.token_to_id("<|begin_of_text|>"))]
        )
    return peer


@pytest.fixture(scope="module", params=list(MAKERS))
def adopted(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    built: dict[str, Path],
    splits: dict[str, list[tuple[str, str, str]]],
) -> tuple[str, tokenizers.Tokenizer, Codec]:
    """A maker's tokenizer, and ours after adoption."""
    root = tmp_path_factory.mktemp(request.param)
    (root / "base").mkdir()
    (root / "tokenizer").mkdir()
    peer = make_peer(request.param, [text for text, _, _ in splits["train"][:20]])
    peer.save(str(root / "base" / "tokenizer.json"))
    work = Work(root / "tokenizer", {"corpus": built["corpus"]}, Console(quiet=True), seed=1)
    adopt_tokenizer(work, root / "base")
    return request.param, peer, load_codec(root / "tokenizer")


SCRAPS = [
    *(" ", "  ", "\t", "\n", "\r\n", "'s", "'S", "'ſ", "don't", "1", "12345", "٣", "x", "Foo", "é", "e\u0301", "日本"),
    *("🐍", "_", "==", "(", "\xa0", "\u2003", "\0", "return", "    "),
]
TEXTS = st.one_of(st.lists(st.sampled_from(SCRAPS), max_size=25).map("".join), st.text(max_size=30))


@settings(max_examples=400, deadline=None)
@given(text=TEXTS)
def test_ids_are_the_makers(adopted: tuple[str, tokenizers.Tokenizer, Codec], text: str) -> None:
    maker, peer, codec = adopted
    ids = codec.encode(text)
    assert codec.decode(ids) == text
    if maker != "qwen-2" or unicodedata.is_normalized("NFC", text):  # what Qwen2 would change stays as it is with us
        assert ids == peer.encode(text, add_special_tokens=False).ids


def test_ids_are_the_makers_on_real_files(
    adopted: tuple[str, tokenizers.Tokenizer, Codec], splits: dict[str, list[tuple[str, str, str]]]
) -> None:
    _, peer, codec = adopted
    texts = [text for text, _, _ in splits["validation"]]
    assert codec.encode_many(texts, 2) == [item.ids for item in peer.encode_batch(texts, add_special_tokens=False)]


def test_special_tokens_keep_their_ids_and_missing_ones_come_behind(
    adopted: tuple[str, tokenizers.Tokenizer, Codec],
) -> None:
    maker, peer, codec = adopted
    size = peer.get_vocab_size()
    known = {role: peer.token_to_id(text) for role, text in codec.names.items()}
    assert all(getattr(codec, role) == number for role, number in known.items() if number is not None)
    added = [getattr(codec, role) for role, number in known.items() if number is None]
    assert added == list(range(size, codec.size))
    assert len(added) == {"llama-3": 6, "qwen-2": 0, "starcoder-2": 0, "gpt-2": 6}[maker]


def test_no_special_text_of_the_maker_can_be_forged(adopted: tuple[str, tokenizers.Tokenizer, Codec]) -> None:
    maker, _, codec = adopted
    for special in {*MAKERS[maker][1], *codec.names.values()}:
        texts = [special, f"a{special}b", f" {special}\n", special * 2, *(special[:cut] for cut in range(len(special)))]
        for text, ids in zip(texts, codec.encode_many(texts, 1), strict=True):
            assert not codec.special & {*ids, *codec.encode(text)}
            assert codec.decode(ids) == text


def test_transformers_reads_what_was_adopted(built: dict[str, Path], tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    (tmp_path / "base").mkdir()
    (tmp_path / "tokenizer").mkdir()
    make_peer("starcoder-2", ["def f(x):\n    return x + 12\n" * 9]).save(str(tmp_path / "base" / "tokenizer.json"))
    adopt_tokenizer(Work(tmp_path / "tokenizer", built, Console(quiet=True), seed=1), tmp_path / "base")
    codec, peer = load_codec(tmp_path / "tokenizer"), AutoTokenizer.from_pretrained(tmp_path / "tokenizer")
    text = "def g(y):\n        return y - 345  7\n"
    assert peer(text)["input_ids"] == codec.encode(text)
    assert (peer.eos_token_id, peer.pad_token_id) == (codec.end, codec.fim_pad)


def test_a_base_is_no_codec_before_it_is_adopted(tmp_path: Path) -> None:
    make_peer("llama-3", ["some text"]).save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(UserError, match=r"lacks special tokens: fim_prefix"):
        load_codec(tmp_path)


@pytest.mark.parametrize("change", ["prefix", "strip", "unigram"])
def test_another_kind_is_refused(built: dict[str, Path], tmp_path: Path, change: str) -> None:
    content = json.loads(make_peer("gpt-2", ["some text"]).to_str())
    if change == "prefix":
        content["pre_tokenizer"]["add_prefix_space"] = True
    elif change == "strip":
        content["normalizer"] = {"type": "Strip", "strip_left": True, "strip_right": True}
    else:
        content["model"] = {"type": "Unigram", "unk_id": 0, "vocab": [["a", -1.0]]}
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"tokenizer\.json is not"):
        adopt_tokenizer(Work(tmp_path, built, Console(quiet=True), seed=1), tmp_path)
