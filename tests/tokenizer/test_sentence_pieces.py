"""SentencePiece models, BPE and Unigram, as codecs: its ids, every text back, and no special token from text."""

from __future__ import annotations

import io
import itertools
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st

from repotune.core.console import Console
from repotune.core.errors import UserError
from repotune.core.flow import Work
from repotune.tokenizer.adoption import adopt_tokenizer
from repotune.tokenizer.encoding import Codec, load_codec

LINES = [
    "def main(x):",
    "    return x + 1",
    "for name in names:",
    "        print(name, sep='')",
    "import os",
    "# a note",
]


def train(path: Path, lines: list[str], **options: Any) -> None:
    settings = {
        "vocab_size": 420,
        "byte_fallback": True,
        "normalization_rule_name": "identity",
        "hard_vocab_limit": False,
        "num_threads": 1,
        "minloglevel": 2,
    }
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(lines), model_writer=model, **(settings | options))
    path.mkdir()
    (path / "tokenizer.model").write_bytes(model.getvalue())


@pytest.fixture(scope="module", params=["bpe", "unigram"])
def adopted(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, built: dict[str, Path]
) -> tuple[Path, Codec]:
    """The maker's folder, and the codec after adoption. The maker lets text match `<fim_prefix>`."""
    root = tmp_path_factory.mktemp(request.param)
    lines = [" ".join(pair) for pair in itertools.product(LINES, repeat=2)]
    train(
        root / "base",
        lines,
        model_type=request.param,
        user_defined_symbols=["<fim_prefix>", "▁▁▁▁"],
        control_symbols=["<fim_suffix>"],
    )
    (root / "tokenizer").mkdir()
    adopt_tokenizer(Work(root / "tokenizer", built, Console(quiet=True), seed=1), root / "base")
    return root / "base", load_codec(root / "tokenizer")


SCRAPS = st.sampled_from(
    [*LINES, " ", "  ", "\t", "\n", "\r\n", "▁", "▁▁", "\0", "é", "e\u0301", "日本", "🐍", "<0x41>", "<s>", "<unk>"]
)
TEXTS = st.one_of(st.lists(SCRAPS, max_size=12).map("".join), st.text(max_size=30))


@settings(max_examples=500, deadline=None)
@given(text=TEXTS)
def test_every_text_comes_back_and_none_forges_a_special_token(adopted: tuple[Path, Codec], text: str) -> None:
    _, codec = adopted
    ids = codec.encode(text)
    assert codec.decode(ids) == text
    assert not codec.special & set(ids)
    assert codec.encode_many([text, "x", text], 2) == [ids, codec.encode("x"), ids]


def test_ids_are_sentencepieces_after_the_first_word(adopted: tuple[Path, Codec]) -> None:
    """The maker's own engine puts a blank before a text and squeezes runs; without those it gives the same ids."""
    base, codec = adopted
    processor = sentencepiece.SentencePieceProcessor(model_file=str(base / "tokenizer.model"))
    for line in ("def main(x): for name in names: import os", "print(name, sep='')", "naïve 日本 🐍"):
        assert codec.encode(f" {line}") == processor.encode(line)


def test_special_texts_stay_text(adopted: tuple[Path, Codec]) -> None:
    _, codec = adopted
    for special in ("<s>", "</s>", "<unk>", *codec.names.values()):
        for text in (special, f"a {special}b", special * 2, *(special[:cut] for cut in range(len(special)))):
            ids = codec.encode(text)
            assert not codec.special & set(ids)
            assert codec.decode(ids) == text


def test_ids_are_kept_and_missing_special_tokens_come_behind(adopted: tuple[Path, Codec]) -> None:
    base, codec = adopted
    processor = sentencepiece.SentencePieceProcessor(model_file=str(base / "tokenizer.model"))
    assert codec.end == processor.piece_to_id("</s>")
    assert codec.fim_prefix == processor.piece_to_id("<fim_prefix>")
    assert codec.fim_suffix == processor.piece_to_id("<fim_suffix>")
    added = [codec.fim_middle, codec.fim_pad, codec.repo_name, codec.file_sep]
    assert added == list(range(processor.vocab_size(), codec.size))


def test_lone_surrogates_become_the_replacement_character(adopted: tuple[Path, Codec]) -> None:
    _, codec = adopted
    assert codec.decode(codec.encode("a\ud800b")) == "a\ufffdb"
    assert codec.decode(codec.encode("\ud83d\udc0d")) == "🐍"


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"model_type": "bpe", "byte_fallback": False, "vocab_size": 60}, "no bytes to fall back on"),
        ({"model_type": "bpe", "normalization_rule_name": "nmt_nfkc"}, "changes characters"),
        ({"model_type": "char"}, "neither BPE nor Unigram"),
    ],
)
def test_a_model_that_would_lose_text_is_refused(tmp_path: Path, options: dict[str, Any], reason: str) -> None:
    train(tmp_path / "base", LINES * 3, **options)
    with pytest.raises(UserError, match=reason):
        load_codec(tmp_path / "base")


def test_a_damaged_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.model").write_bytes(b"\xff\xfe not a model")
    with pytest.raises(UserError, match=r"tokenizer\.model"):
        load_codec(tmp_path)
