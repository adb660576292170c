"""The whole step over a small workspace: files as the contract says, an honest verdict, the same bytes again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from repotune.core.config import EvaluateSettings
from repotune.core.errors import UserError
from repotune.evaluate.baseline import train_ngram
from repotune.evaluate.completions import NgramCompleter, complete_by_engine, cut, lines_of
from repotune.evaluate.run import UNTRAINED_ITEMS, build_results
from repotune.evaluate.scores import Score
from repotune.evaluate.tasks import HeldOut, Item, draw_items
from repotune.evaluate.verdict import verdict
from repotune.infer.decoder import open_engine
from repotune.tokenizer.packing import TokenStore

SETTINGS = EvaluateSettings(items=16, likelihood_bytes=20_000)


@pytest.fixture(scope="module")
def results_folder(workspace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    build_results(workspace.work(folder), SETTINGS)
    return folder


def read(folder: Path) -> tuple[dict, list[dict]]:
    samples = [json.loads(line) for line in (folder / "samples.jsonl").read_text("utf-8").splitlines()]
    return json.loads((folder / "results.json").read_text("utf-8")), samples


def test_every_contestant_has_every_score_with_an_interval(results_folder: Path) -> None:
    results, _ = read(results_folder)
    assert results["schema"] == 1
    for model in ("model", "untrained", "ngram"):
        likelihood = results["likelihood"][model]
        assert likelihood["files"] == 11
        assert 15_000 < likelihood["bytes"] <= 20_000
        scores = [likelihood["bits_per_byte"]]
        for kind in ("line", "block"):
            infilling = results["infilling"][kind][model]
            assert infilling["items"] == min(16, UNTRAINED_ITEMS)
            scores += [infilling["exact_match"], infilling["edit_similarity"]]
        for score in scores:
            assert score["low"] <= score["value"] <= score["high"]


def test_training_shows(results_folder: Path) -> None:
    """Sixty steps are far better than none in bits per byte, and the sentence says so."""
    results, _ = read(results_folder)
    bits = {name: of["bits_per_byte"]["value"] for name, of in results["likelihood"].items()}
    assert bits["model"] < bits["untrained"] - 0.5
    assert bits["ngram"] < bits["untrained"]
    assert results["differences"]["untrained"]["likelihood"]["bits_per_byte"]["high"] < 0
    assert results["verdict"].startswith("On 11 held-out files the model is ")
    assert "better than the untrained model in bits per byte" in results["verdict"]


def test_samples_bear_the_scores(results_folder: Path) -> None:
    results, samples = read(results_folder)
    assert len(samples) == 32
    for kind in ("line", "block"):
        of_kind = [sample for sample in samples if sample["kind"] == kind]
        for model in ("model", "ngram"):
            similarity = [sample["scores"][model]["edit_similarity"] for sample in of_kind]
            stated = results["infilling"][kind][model]["edit_similarity"]["value"]
            assert sum(similarity) / len(similarity) == pytest.approx(stated, abs=1e-5)
        for sample in of_kind:
            assert {"path", "repository", "language", "prefix", "suffix", "expected"} <= sample.keys()
            assert all(text.count("\n") <= sample["expected"].count("\n") for text in sample["answers"].values())


def test_the_same_again_is_the_same_bytes(workspace, results_folder: Path, tmp_path: Path) -> None:
    build_results(workspace.work(tmp_path), SETTINGS)
    for name in ("results.json", "samples.jsonl"):
        assert (tmp_path / name).read_bytes() == (results_folder / name).read_bytes()


def test_without_held_out_files_it_says_what_to_do(emptied, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No file is held out") as error:
        build_results(emptied.work(tmp_path / "results"), SETTINGS)
    assert error.value.hint is not None


def test_the_ngram_knows_what_it_has_read(workspace) -> None:
    """Lines of a training file are found again by what stands before them; most held-out lines cannot be."""
    store = TokenStore(workspace.folders["tokens"], "train")
    text = workspace.codec.decode(store.document(5).tolist())
    model = train_ngram(workspace.folders["tokens"], workspace.codec, 256)
    completer = NgramCompleter(model, workspace.codec, 256)
    items = draw_items([HeldOut(text, store.path(5), "Python", "")], "line", 20, seed=1)
    assert sum(completer.complete(item) == item.expected for item in items) >= 8


def test_a_context_too_short_for_the_longest_answer_still_serves(workspace, held_out: list[HeldOut]) -> None:
    engine = open_engine(workspace.folders["run"] / "initial", weights="f32")
    item = Item("block", held_out[0], held_out[0].text[:9000], held_out[0].text[9100:], "a\nb\nc")
    answer = complete_by_engine(engine, workspace.codec, item)
    assert answer.count("\n") < lines_of(item)


def test_a_cut_keeps_whole_lines() -> None:
    assert cut("a\nb\nc", 2) == "a\nb"
    assert cut("a", 2) == "a"
    assert cut("\na", 1) == ""


@pytest.mark.parametrize(
    ("bits", "exact", "similarity", "expected"),
    [
        (
            -1,
            1,
            1,
            "better than the n-gram in bits per byte, in exact rests of a line and in the edit similarity of blocks",
        ),
        (
            -1,
            0,
            -1,
            "better than the n-gram in bits per byte, not distinguishable from it in exact rests of a line "
            "and worse than it in the edit similarity of blocks",
        ),
        (1, 0, 0, "not distinguishable from the n-gram in exact rests of a line and in the edit similarity of blocks"),
    ],
)
def test_the_verdict_says_what_the_intervals_allow(bits: int, exact: int, similarity: int, expected: str) -> None:
    def score(sign: int) -> Score:
        return Score(sign / 10, sign / 10 - 0.05, sign / 10 + 0.05)

    found = {
        "likelihood": {"bits_per_byte": score(bits)},
        "line": {"exact_match": score(exact), "edit_similarity": score(1)},
        "block": {"exact_match": score(0), "edit_similarity": score(similarity)},
    }
    said = verdict({"ngram": found}, 7)
    assert said.startswith("On 7 held-out files the model is ") and said.endswith(".")
    assert expected in said
