"""A repeat says where it stands; what is no repeat says nothing."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repotune.corpus.licences.expressions import satisfied
from repotune.infer.index.attribution import attribute, refusals
from repotune.infer.index.building import update
from repotune.infer.index.folder import Index, open_index
from repotune.tokenizer.encoding import Codec

from .conftest import File, document, small_index, source

OWN = 'zebra = {"quince": 41, "medlar": 17}\nfor wombat in zebra:\n    marmalade(wombat, lemur=9)\n'


def is_permissive(expression: str) -> bool:
    return satisfied(expression, {"MIT", "Apache-2.0"}.__contains__)


def piece(text: str, first: int, lines: int) -> str:
    return "".join(text.splitlines(keepends=True)[first - 1 : first - 1 + lines])


def test_a_repeat_is_found_with_its_file_and_line(index: Index, files: list[File], codec: Codec) -> None:
    of, text = files[7]
    copied = piece(text, 41, 12)
    ids = codec.encode(OWN + copied + OWN)
    (repeat,) = attribute(index, codec, ids, least=40)
    found = codec.decode(ids[repeat.start : repeat.stop])
    assert copied.strip() in found and len(found) < len(copied) + 20
    assert repeat.places[0].source == of and repeat.places[0].line in (40, 41)
    assert repeat.licences == {"MIT"} and repeat.files == 1


def test_a_repeat_longer_than_the_index_is_sorted_by_is_one(index: Index, files: list[File], codec: Codec) -> None:
    ids = codec.encode(files[3][1])[100:700]
    (repeat,) = attribute(index, codec, ids, least=64)
    assert (repeat.start, repeat.stop) == (0, 600)


def test_shorter_than_asked_for_is_none(index: Index, files: list[File], codec: Codec) -> None:
    ids = [*codec.encode(OWN), *codec.encode(files[3][1])[100:139], *codec.encode(OWN)]
    assert attribute(index, codec, ids, least=48) == []
    assert attribute(index, codec, ids[:10], least=24) == []
    with pytest.raises(ValueError, match="at least one"):
        attribute(index, codec, ids, least=0)


def test_two_repeats_are_told_apart_and_no_run_goes_from_one_document_into_the_next(
    index: Index, files: list[File], codec: Codec
) -> None:
    first, second = (codec.encode(files[n][1]) for n in (0, 1))
    repeats = attribute(index, codec, [*first[-50:], *second[:50]], least=30)
    assert [(repeat.start, repeat.stop) for repeat in repeats] == [(0, 50), (50, 100)]
    assert [repeat.places[0].source for repeat in repeats] == [files[0][0], files[1][0]]


def test_licences_are_refused_as_the_policy_says(index: Index, files: list[File], codec: Codec) -> None:
    copyleft = codec.encode(files[11][1])[200:260]
    repeats = attribute(index, codec, [*copyleft, *codec.encode(OWN), *codec.encode(files[8][1])[200:260]], least=40)
    assert [repeat.licences for repeat in repeats] == [{"GPL-3.0-only"}, {"MIT"}]
    assert refusals(repeats, is_permissive) == repeats[:1]


def test_what_stands_under_two_licences_is_refused_for_either(
    index_folder: Path, files: list[File], codec: Codec, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(index_folder, tmp_path / "index"))
    update(folder, [document(codec, source("copied.py", "copyleft", "GPL-2.0-only"), files[8][1])])
    ids = codec.encode(files[8][1])[200:260]
    (repeat,) = attribute(open_index(folder), codec, ids, least=40)
    assert repeat.files == 2 and repeat.licences == {"MIT", "GPL-2.0-only"}
    assert refusals([repeat], is_permissive) == [repeat]
    besides = {("copyleft", "copied.py")}
    (repeat,) = attribute(open_index(folder), codec, ids, least=40, besides=besides)
    assert repeat.licences == {"MIT"}


def test_a_removed_file_is_repeated_by_nobody(
    index_folder: Path, files: list[File], codec: Codec, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(index_folder, tmp_path / "index"))
    ids = codec.encode(files[8][1])[200:260]
    update(folder, [], removed=[files[8][0].name])
    assert attribute(open_index(folder), codec, ids, least=40) == []


ids_ = st.lists(st.integers(10, 12), max_size=90)


@given(st.lists(ids_, min_size=1, max_size=4), ids_, st.integers(1, 40))
def test_repeats_are_as_long_as_they_can_be_and_none_is_missed(
    tmp_path_factory: pytest.TempPathFactory, codec: Codec, documents: list[list[int]], ids: list[int], least: int
) -> None:
    def stands(part: list[int]) -> int:
        return sum(
            any(document[n : n + len(part)] == part for n in range(len(document) - len(part) + 1))
            for document in documents
        )

    repeats = attribute(small_index(tmp_path_factory.mktemp("index"), documents, "uint16"), codec, ids, least)
    ends = 0
    for repeat in repeats:
        assert repeat.start >= ends and stands(ids[repeat.start : repeat.stop])
        assert repeat.start == 0 or not stands(ids[repeat.start - 1 : repeat.stop])
        assert repeat.files == stands(ids[repeat.stop - least : repeat.stop])
        assert not any(stands(ids[n : n + least]) for n in range(ends, repeat.start) if n + least <= repeat.start)
        ends = repeat.stop
    assert not any(stands(ids[n : n + least]) for n in range(ends, len(ids) - least + 1))
