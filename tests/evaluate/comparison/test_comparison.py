"""Real models of different vocabularies on the same bytes: scores, verdict, going on after a kill."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from repotune.core.artefact import MANIFEST_NAME
from repotune.core.console import Console
from repotune.core.errors import UserError
from repotune.core.flow import Step, Work, locked, run_flow
from repotune.core.settings import EvaluateSettings
from repotune.evaluate.comparison.asking import Questions
from repotune.evaluate.comparison.contestants import distinct_names, open_contestants
from repotune.evaluate.comparison.gate import Gate, judge
from repotune.evaluate.comparison.run import Comparison, compare
from repotune.evaluate.comparison.same_bytes import cut_stretches, hole_passage, shared_hole, stretch_passage
from repotune.evaluate.comparison.unseen import read_unseen
from repotune.evaluate.own_code.held_out import HeldOut
from repotune.evaluate.own_code.items import KINDS, Item, draw_items

QUIET = Console(quiet=True)
SETTINGS = EvaluateSettings(items=6, likelihood_bytes=12_000)


def read(comparison: Comparison) -> tuple[dict, list[dict]]:
    lines = (comparison.folder / "samples.jsonl").read_text("utf-8").splitlines()
    return json.loads((comparison.folder / "comparison.json").read_text("utf-8")), [json.loads(line) for line in lines]


def test_the_trained_model_is_told_better_in_one_sentence(compared: Comparison) -> None:
    record, _ = read(compared)
    _, name = record["models"]
    assert compared.verdict.startswith(f"On 11 held-out files {name} is better than untrained in bits per byte (−")
    assert compared.differences[name]["likelihood"]["bits_per_byte"].told == 1
    assert record["differences"][name]["likelihood"]["bits_per_byte"]["told"] == "better"


def test_every_part_is_there_with_both_intervals(compared: Comparison) -> None:
    record, samples = read(compared)
    (parts,) = record["differences"].values()
    kinds = {sample["kind"] for sample in samples}
    assert set(parts) == {"likelihood", "all", *kinds} and len(kinds) == len(KINDS)
    for measures in parts.values():
        for one in measures.values():
            assert one["low"] <= one["value"] <= one["high"]
            assert one["analytic"]["value"] == pytest.approx(one["value"], abs=1e-5)
    (by_language,) = record["by_language"].values()
    assert {"Python", "Shell"} == set(record["languages"]) == set(by_language)


def test_differences_are_those_of_the_scores(compared: Comparison) -> None:
    record, samples = read(compared)
    first, other = record["models"]
    bits = {name: of["bits_per_byte"]["value"] for name, of in record["likelihood"].items()}
    assert record["differences"][other]["likelihood"]["bits_per_byte"]["value"] == pytest.approx(
        bits[other] - bits[first], abs=1e-5
    )
    gains = [s["scores"][other]["exact_match"] - s["scores"][first]["exact_match"] for s in samples]
    assert record["differences"][other]["all"]["exact_match"]["value"] == pytest.approx(
        sum(gains) / len(gains), abs=1e-5
    )


def test_everyone_predicts_the_same_bytes(models, held_out: list[HeldOut]) -> None:
    contestants = open_contestants([models.untrained, models.trained])
    for stretch in cut_stretches(held_out, 12_000, 1):
        text = stretch.file.text[stretch.start : stretch.stop]
        assert text and (stretch.start == 0 or stretch.file.text[stretch.start - 1] == "\n")
        for contestant in contestants:
            passage, _ = stretch_passage(contestant, stretch)
            scored = passage.ids[passage.start : passage.stop].tolist()
            assert contestant.codec.decode_bytes(scored) == text.encode()
    for item in draw_items(held_out, KINDS, 8, 1):
        hole = shared_hole(contestants, item)
        assert item.expected.startswith(hole) and bool(hole) == bool(item.expected)
        for contestant in contestants:
            passage, _ = hole_passage(contestant, item, hole)
            assert contestant.codec.decode_bytes(passage.ids[passage.start :].tolist()) == hole.encode()


def test_a_long_hole_is_cut_where_the_shortest_context_must(models, held_out: list[HeldOut]) -> None:
    contestants = open_contestants([models.untrained, models.trained])
    text = held_out[0].text[:900]
    item = Item("body", held_out[0], "", "", text)
    hole = shared_hole(contestants, item)
    assert text.startswith(hole) and 0 < len(hole) < len(text)
    assert all(len(each.codec.encode(hole)) <= each.context // 2 for each in contestants)
    assert any(len(each.codec.encode(text[: len(hole) + 12])) > each.context // 2 for each in contestants)


@pytest.mark.parametrize("text", ["x" * 5000, "é" * 3000, "a\n" * 4000, "ab\n" + "y" * 4000 + "\nz"])
@pytest.mark.parametrize("seed", range(4))
def test_any_text_can_be_cut(text: str, seed: int) -> None:
    (stretch,) = cut_stretches([HeldOut(text, "a.py", "Python", "r")], 200, seed)
    assert 0 <= stretch.start < stretch.stop <= len(text)
    assert stretch.bytes <= 210


def test_a_killed_comparison_goes_on_and_ends_the_same(models, compared: Comparison, tmp_path: Path) -> None:
    results = tmp_path / "results"
    shutil.copytree(compared.folder.parent, results)
    shutil.rmtree(results / compared.folder.name)
    for path in (results / "answers").iterdir():
        lines = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(b"".join(lines[: len(lines) // 2]) + lines[len(lines) // 2][:5])
    again = compare([models.untrained, models.trained], models.corpus, results, SETTINGS, QUIET)
    for name in ("comparison.json", "samples.jsonl"):
        assert (again.folder / name).read_bytes() == (compared.folder / name).read_bytes()


def test_what_is_kept_is_not_asked_again(models, compared: Comparison, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("asked again")

    monkeypatch.setattr("repotune.evaluate.comparison.asking.load_model", refuse)
    monkeypatch.setattr("repotune.evaluate.comparison.asking.open_engine", refuse)
    again = compare([models.untrained, models.trained], models.corpus, compared.folder.parent, SETTINGS, QUIET)
    assert again.verdict == compared.verdict
    turned = compare([models.trained, models.untrained], models.corpus, compared.folder.parent, SETTINGS, QUIET)
    assert "worse than" in turned.verdict and turned.folder != compared.folder


def test_a_second_one_at_once_is_refused(models, tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(UserError, match="Another repotune"):
        compare([models.untrained, models.trained], models.corpus, tmp_path, SETTINGS, QUIET)


def test_a_model_and_its_copy_are_said_to_be_one(models, compared: Comparison) -> None:
    # The folder's other answers serve: a copy has the same contents.
    few = EvaluateSettings(items=1, likelihood_bytes=3000)
    found = compare([models.trained, models.twin], models.corpus, compared.folder.parent, few, QUIET)
    assert "weights and vocabulary are the same" in found.verdict
    assert all(one.told == 0 and one.low == 0 for of in found.differences["twin"].values() for one in of.values())


@pytest.fixture
def served(models, indexed, tmp_path: Path) -> Path:
    """A release in a workspace, as the flow leaves it: its index beside it, and the corpus that it is of."""

    def copied(name: str) -> Callable[[Work], None]:
        return lambda work: shutil.copytree(indexed.folders[name], work.folder, dirs_exist_ok=True)

    steps = [Step("corpus", "corpus", copied("corpus")), Step("index", "index", copied("index"), inputs=("corpus",))]
    run_flow(steps, tmp_path / "work", QUIET, seed=1)
    return Path(shutil.copytree(models.trained, tmp_path / "work" / "release"))


def test_a_model_is_compared_as_it_is_served(models, served: Path, tmp_path: Path) -> None:
    """The same weights with their index and without it are not the same to an editor, and the gate knows."""
    few = EvaluateSettings(items=4, likelihood_bytes=6000)
    found = compare([models.twin, served], models.corpus, tmp_path / "results", few, QUIET)
    record, samples = read(found)
    assert record["models"]["release"]["index"]["indexed_files"] == 42 and record["models"]["twin"]["index"] is None
    assert found.differences["release"]["likelihood"]["bits_per_byte"].told == 1
    assert found.differences["release"]["all"]["bits_per_byte"].told == 1
    assert judge(Gate(better=True), found).passed
    assert any(sample["answers"]["release"] != sample["answers"]["twin"] for sample in samples)


def test_an_index_of_another_corpus_is_not_served(served: Path, models) -> None:
    assert open_contestants([served, models.twin])[0].learnt == served.parent / "corpus"
    manifest = served.parent / "corpus" / MANIFEST_NAME
    manifest.write_text(manifest.read_text().replace('"contents": "', '"contents": "0'))
    one, twin = open_contestants([served, models.twin])
    assert one.served is None and one.contents == twin.contents


def test_files_that_another_corpus_trains_on_are_left_out(models, held_out: list[HeldOut], tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(models.corpus, other)
    test = pq.read_table(other / "test-00000.parquet")
    pq.write_table(test.slice(0, 3), other / "train-00000.parquet")
    unseen = read_unseen(models.corpus, [models.corpus, other])
    assert unseen.left_out == 3
    assert [file.name for file in unseen.files] == [file.name for file in held_out[3:]]
    pq.write_table(test, other / "train-00000.parquet")
    with pytest.raises(UserError, match="none is unseen"):
        read_unseen(models.corpus, [other])


def test_questions_of_other_bytes_are_other_questions(held_out: list[HeldOut]) -> None:
    stretches, items = cut_stretches(held_out, 9000, 1), draw_items(held_out, KINDS, 2, 1)
    holes = [item.expected for item in items]
    asked = Questions(stretches, items, holes)
    assert asked.contents() == Questions(stretches, items, holes).contents()
    assert asked.contents() != Questions(stretches, items, ["", *holes[1:]]).contents()
    assert asked.contents() != Questions(stretches[1:], items, holes).contents()


def test_what_cannot_be_compared_is_said(models, emptied, tmp_path: Path) -> None:
    def fails(*folders: Path, match: str, corpus: Path = models.corpus) -> None:
        with pytest.raises(UserError, match=match):
            compare(folders, corpus, tmp_path / "results", SETTINGS, QUIET)

    fails(models.trained, match="two models")
    fails(models.trained, models.trained, match="named twice")
    fails(models.trained, tmp_path, match="no model in")
    fails(models.trained, models.untrained, match="No file is held out", corpus=emptied.folders["corpus"])
    assert not (tmp_path / "results").exists()


def test_names_tell_folders_apart() -> None:
    assert distinct_names([Path("/a/x/release"), Path("/a/y/release")]) == ["x/release", "y/release"]
    assert distinct_names([Path("/a/old"), Path("/b/new")]) == ["old", "new"]
