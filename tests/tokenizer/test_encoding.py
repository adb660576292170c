"""Codec: exact round trips, no forged special tokens, and errors for folders that hold no tokenizer of ours."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repotune.core.errors import UserError
from repotune.tokenizer.encoders import cut_long_space
from repotune.tokenizer.encoding import Codec, load_codec
from repotune.tokenizer.layout import SPECIAL_TOKENS

CODE = st.text(alphabet=" \t\r\n=-_#*/.()'\"<|>abeE09é日🐍", max_size=60)


@given(text=st.one_of(st.text(), CODE))
def test_every_text_comes_back(codec: Codec, text: str) -> None:
    assert codec.decode(codec.encode(text)) == text


@pytest.mark.parametrize("special", SPECIAL_TOKENS)
@pytest.mark.parametrize("around", ["{}", "a{}b", "\r\n{}\r\n", '"{}"', "é{}🐍", "{0}{0}", " {} "])
def test_a_special_text_in_code_stays_text(codec: Codec, special: str, around: str) -> None:
    text = around.format(special)
    ids = codec.encode(text)
    assert min(ids) >= len(SPECIAL_TOKENS)
    assert codec.decode(ids) == text


@pytest.mark.parametrize("special", SPECIAL_TOKENS)
def test_a_special_text_in_two_pieces_stays_text(codec: Codec, special: str) -> None:
    for cut in range(1, len(special)):
        ids = codec.encode(special[:cut]) + codec.encode(special[cut:])
        assert min(ids) >= len(SPECIAL_TOKENS)
        assert codec.decode(ids) == special


def test_special_ids_are_the_first_in_the_contracts_order(codec: Codec) -> None:
    ids = [codec.end, codec.fim_prefix, codec.fim_middle, codec.fim_suffix, codec.fim_pad, codec.repo_name]
    assert [*ids, codec.file_sep] == list(range(7))
    assert codec.decode(range(7)) == "".join(SPECIAL_TOKENS)


def test_lone_surrogates_become_the_replacement_character(codec: Codec) -> None:
    assert codec.decode(codec.encode("a\ud800b")) == "a\ufffdb"
    assert codec.decode(codec.encode("\ud83d\udc0d")) == "🐍"


def test_half_a_character_decodes_to_its_bytes(codec: Codec) -> None:
    ids = codec.encode("🦖")
    assert codec.decode_bytes(ids[:1]) == "🦖".encode()[: len(codec.decode_bytes(ids[:1]))]
    assert "\ufffd" in codec.decode(ids[:1])


def test_many_are_encoded_as_each_alone(codec: Codec, splits: dict[str, list[tuple[str, str, str]]]) -> None:
    texts = [text for text, _, _ in splits["train"]]
    assert codec.encode_many(texts, threads=4) == [codec.encode(text) for text in texts]


def test_the_header_is_the_path_on_a_line_after_its_mark(codec: Codec) -> None:
    assert codec.header("src/a.py") == [codec.file_sep, *codec.encode("src/a.py\n")]
    assert codec.header("") == [codec.file_sep, *codec.encode("\n")]
    assert codec.decode(codec.header("<fim_pad>")[1:]) == "<fim_pad>\n"


@pytest.mark.parametrize("run", [499_999, 500_000, 1_700_000])
@pytest.mark.parametrize("space", [" ", "\t", "\n"])
def test_long_white_space_comes_back(codec: Codec, run: int, space: str) -> None:
    text = "a" + space * run + "b"
    assert codec.decode_bytes(codec.encode(text)) == text.encode()


def test_only_long_white_space_is_cut() -> None:
    assert list(cut_long_space("ab cd\n" * 200_000)) == ["ab cd\n" * 200_000]
    assert [len(piece) for piece in cut_long_space("a" + " " * 1_200_000)] == [500_001, 500_000, 200_000]


def test_a_folder_without_a_tokenizer_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"tokenizer\.json"):
        load_codec(tmp_path)


def drop_special(content: dict[str, Any]) -> None:
    content["added_tokens"] = content["added_tokens"][:3]


def swap_merges(content: dict[str, Any]) -> None:
    merges = content["model"]["merges"]
    merges[10], merges[20] = merges[20], merges[10]


def drop_byte(content: dict[str, Any]) -> None:
    del content["model"]["vocab"]["a"]


def repeat_id(content: dict[str, Any]) -> None:
    content["model"]["vocab"]["a"] = content["model"]["vocab"]["b"]


def normalise(content: dict[str, Any]) -> None:
    content["normalizer"] = {"type": "NFKC"}


def add_prefix_space(content: dict[str, Any]) -> None:
    content["pre_tokenizer"]["pretokenizers"][1]["add_prefix_space"] = True


def be_unigram(content: dict[str, Any]) -> None:
    content["model"] = {"type": "Unigram", "vocab": [["a", -1.0]]}


def spell_strangely(content: dict[str, Any]) -> None:
    content["model"]["vocab"]["▁a"] = content["model"]["vocab"].pop("a")


FAULTS = [drop_special, swap_merges, drop_byte, repeat_id, normalise, add_prefix_space, be_unigram, spell_strangely]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_foreign_tokenizer_is_refused(
    built: dict[str, Path], tmp_path: Path, fault: Callable[[dict[str, Any]], None]
) -> None:
    content = json.loads((built["tokenizer"] / "tokenizer.json").read_text())
    fault(content)
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match="is not a tokenizer of repotune"):
        load_codec(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "{}", '{"model": 3}'])
def test_a_broken_file_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "tokenizer.json").write_text(text)
    with pytest.raises(UserError, match=r"tokenizer\.json"):
        load_codec(tmp_path)


def test_special_ids_are_found_by_content(built: dict[str, Path], tmp_path: Path, codec: Codec) -> None:
    """As in a release whose special tokens stand last."""
    shutil.copytree(built["tokenizer"], tmp_path, dirs_exist_ok=True)
    content = json.loads((tmp_path / "tokenizer.json").read_text())
    moved = {text: (number - 7) % 4096 for text, number in content["model"]["vocab"].items()}
    content["model"]["vocab"] = moved
    for token in content["added_tokens"]:
        token["id"] = moved[token["content"]]
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    other = load_codec(tmp_path)
    assert (other.end, other.file_sep, other.size) == (4089, 4095, 4096)
    assert other.encode("def main():\n") == [number - 7 for number in codec.encode("def main():\n")]
