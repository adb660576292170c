"""compare_vocabularies: bytes per token by language, beside each other; and the pattern for code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from repotune.core.console import Console
from repotune.core.errors import UserError
from repotune.core.flow import Work
from repotune.tokenizer.compression import compare_vocabularies
from repotune.tokenizer.encoding import Codec, load_codec
from repotune.tokenizer.layout import SPECIAL_TOKENS, vocabulary_of, write_vocabulary
from repotune.tokenizer.vocabulary import build_tokenizer


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory, built: dict[str, Path]) -> Path:
    """A vocabulary of the same size and corpus, split by the pattern for code."""
    folder = tmp_path_factory.mktemp("code")
    build_tokenizer(Work(folder, built, Console(quiet=True), seed=1), 4096, "code")
    return folder


def test_each_folder_is_measured_by_language(built: dict[str, Path], code: Path, tmp_path: Path) -> None:
    write_vocabulary(tmp_path, vocabulary_of([bytes([byte]) for byte in range(256)]))
    ours, for_code, raw = compare_vocabularies(
        Console(quiet=True), built["corpus"], [built["tokenizer"], code, tmp_path], "train"
    )
    report = json.loads((built["tokenizer"] / "compression.json").read_text())
    assert {key: ours[key] for key in ("bytes", "tokens", "bytes_per_token", "languages")} == report["splits"]["train"]
    assert raw["bytes_per_token"] == raw["languages"]["Text"]["bytes_per_token"] == 1.0
    assert (ours["folder"], ours["size"], raw["size"]) == (str(built["tokenizer"]), 4096, 263)
    assert for_code["bytes_per_token"] > 1.04 * ours["bytes_per_token"]


def test_a_folder_without_a_tokenizer_is_named(built: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=str(tmp_path)):
        compare_vocabularies(Console(quiet=True), built["corpus"], [built["tokenizer"], tmp_path])


def test_an_unknown_pattern_is_refused(built: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="pattern") as caught:
        build_tokenizer(Work(tmp_path, built, Console(quiet=True), seed=1), 512, "words")
    assert "llama-3, code" in (caught.value.hint or "")


@pytest.fixture(scope="module")
def code_codec(code: Path) -> Codec:
    return load_codec(code)


@pytest.fixture(scope="module")
def peer(code: Path) -> tokenizers.Tokenizer:
    return tokenizers.Tokenizer.from_file(str(code / "tokenizer.json"))


@settings(max_examples=500, deadline=None)
@given(text=st.one_of(st.text(), st.text(alphabet=" \t\r\n=-_#*/.()'\"<|>abeE09é日🐍", max_size=60)))
def test_the_pattern_for_code_gives_hugging_faces_ids_and_every_text_back(
    code_codec: Codec, peer: tokenizers.Tokenizer, text: str
) -> None:
    ids = code_codec.encode(text)
    assert code_codec.decode(ids) == text
    assert peer.encode(text).ids == ids


def test_the_pattern_for_code_forges_no_special_token(code_codec: Codec) -> None:
    texts = [around.format(special) for special in SPECIAL_TOKENS for around in ("{}", "a{}b", " {}\n", "_{0}{0}_")]
    for text, ids in zip(texts, code_codec.encode_many(texts, 2), strict=True):
        assert not code_codec.special & {*ids, *code_codec.encode(text)}
        assert code_codec.decode(ids) == text


def test_the_pattern_for_code_keeps_indentation_and_names_whole(code_codec: Codec) -> None:
    pieces = [code_codec.decode([number]) for number in code_codec.encode("if x:\n        return self.__class__\n")]
    assert ":\n        " in pieces
    assert any(piece.endswith("__class__") for piece in pieces)
