"""The whole step over a small workspace: files as the contract says, an honest verdict, the same bytes again."""

from __future__ import annotations

import doctest
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from repotune.core.errors import UserError
from repotune.core.settings import EvaluateSettings
from repotune.evaluate import completions
from repotune.evaluate.baseline import train_ngram
from repotune.evaluate.completions import NgramCompleter, complete_by_engine, cut, item_prompt
from repotune.evaluate.own_code import identifiers
from repotune.evaluate.own_code.held_out import HeldOut
from repotune.evaluate.own_code.items import KINDS, Item, Kind, draw_items
from repotune.evaluate.own_code.retrieval import Piece
from repotune.evaluate.run import build_results
from repotune.evaluate.scores import Score
from repotune.evaluate.verdict import verdict
from repotune.infer.opening import open_engine
from repotune.infer.served import served_weights
from repotune.model.weights import read_config
from repotune.tokenizer.packing import TokenStore
from repotune.train.state import best_checkpoint

ITEMS = 12
SETTINGS = EvaluateSettings(items=ITEMS, likelihood_bytes=20_000)
NAMED = {"exact_match", "edit_similarity", "identifier_f1", "bits_per_byte"}


ADDED = "added_first = 1\nadded_second = added_first + 2\nprint(added_second)\nadded_third = 3"


@pytest.fixture(scope="module")
def results_folder(indexed, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    build_results(indexed.work(folder), SETTINGS)
    return folder


def read(folder: Path) -> tuple[dict, list[dict]]:
    samples = [json.loads(line) for line in (folder / "samples.jsonl").read_text("utf-8").splitlines()]
    return json.loads((folder / "results.json").read_text("utf-8")), samples


def test_every_contestant_has_every_score_with_an_interval(results_folder: Path) -> None:
    results, _ = read(results_folder)
    assert results["schema"] == 3
    assert list(results["infilling"]) == list(KINDS)
    for model in ("served", "model", "untrained", "ngram"):
        likelihood = results["likelihood"][model]
        assert likelihood["files"] == 11
        assert 15_000 < likelihood["bytes"] <= 20_000
        scores = [likelihood["bits_per_byte"]]
        for kind in KINDS:
            infilling = dict(results["infilling"][kind].get(model, {"items": ITEMS}))
            assert infilling.pop("items") == ITEMS
            named = {"bits_per_byte"} if model == "untrained" else NAMED
            assert infilling.keys() == (named if kind != "nothing" else named & {"exact_match", "edit_similarity"})
            scores += infilling.values()
        for score in scores:
            assert score["low"] <= score["value"] <= score["high"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="a server on a GPU reads bf16 by default")
def test_answers_are_those_of_what_a_server_reads(workspace, results_folder: Path) -> None:
    results, _ = read(results_folder)
    assert {name: results["contestants"][name]["weights"] for name in ("model", "untrained")} == {
        "model": "int8",
        "untrained": "f32",
    }
    folder = best_checkpoint(workspace.folders["run"])
    assert served_weights(read_config(folder)) == open_engine(folder).precision
    assert served_weights(replace(read_config(folder), heads=4)) == "f32"  # halves of a head of eight numbers


def test_what_other_files_change_is_told_item_by_item(results_folder: Path) -> None:
    results, samples = read(results_folder)
    told = results["other_files"]
    assert told.keys() == {"all", *KINDS}
    assert told["all"]["items"] == len(samples) == ITEMS * len(KINDS)
    gains = [
        sample["scores"]["model_with_files"]["exact_match"] - sample["scores"]["model"]["exact_match"]
        for sample in samples
    ]
    difference = told["all"]["exact_match"]["difference"]
    assert difference["value"] == pytest.approx(sum(gains) / len(gains), abs=1e-5)
    assert difference["low"] <= difference["value"] <= difference["high"]
    for sample in samples:
        assert not any(piece.startswith(f"{sample['path']}:") for piece in sample["pieces"])
    # The only file of its repository has no other files, and is asked the same twice.
    alone = [sample for sample in samples if sample["repository"] == "tools"]
    assert alone and all(sample["pieces"] == [] for sample in alone)
    assert all(sample["answers"]["model_with_files"] == sample["answers"]["model"] for sample in alone)
    assert any(sample["scores"]["model_with_files"] != sample["scores"]["model"] for sample in samples)


def test_without_dates_nothing_is_said_to_be_later(results_folder: Path) -> None:
    results, samples = read(results_folder)
    assert results["later"] == {"after": None, "items": 0, "files": 0, "infilling": {}}
    assert not any(sample["later"] for sample in samples)


@pytest.mark.skipif(shutil.which("git") is None, reason="there is no git here")
def test_lines_added_since_are_scored_apart(make_dated, tmp_path: Path) -> None:
    """Four test files grew after all that was learnt; the history of their repository tells by what."""
    workspace, repository = make_dated(ADDED)
    build_results(workspace.work(tmp_path / "results"), SETTINGS, [str(repository)])
    results, samples = read(tmp_path / "results")
    later = [sample for sample in samples if sample["later"]]
    assert {sample["expected"] for sample in later if sample["kind"] == "line"} <= set(ADDED.split("\n"))
    assert results["later"]["after"] == "2024-01-01T00:00:00Z"
    assert results["later"]["items"] == len(later) > 5
    assert results["later"]["files"] == len({sample["path"] for sample in later}) == 4
    line = results["later"]["infilling"]["line"]
    assert line.keys() == {"model", "ngram"} and results["judged"] == "model"  # there is no index
    assert results["differences"].keys() == {"ngram", "untrained"} and "untrained" in results["verdict"]
    assert " the model is " in results["verdict"]
    assert line["model"]["items"] == sum(sample["kind"] == "line" for sample in later)


def test_training_shows(results_folder: Path) -> None:
    """Sixty steps are far better than none in bits per byte, and the sentence says so."""
    results, _ = read(results_folder)
    bits = {name: of["bits_per_byte"]["value"] for name, of in results["likelihood"].items()}
    assert bits["model"] < bits["untrained"] - 0.5
    assert bits["ngram"] < bits["untrained"]
    assert results["differences"]["untrained"]["likelihood"]["bits_per_byte"]["high"] < 0
    assert results["verdict"].startswith("On 11 held-out files the model with its index, as it is served, is ")
    assert "better than the untrained model in bits per byte" in results["verdict"]


def test_what_is_served_is_judged_and_set_beside_the_model_alone(results_folder: Path) -> None:
    results, samples = read(results_folder)
    assert results["judged"] == "served"
    assert results["differences"].keys() == {"ngram", "untrained", "model"}
    bits = {name: of["bits_per_byte"]["value"] for name, of in results["likelihood"].items()}
    assert bits["served"] < bits["model"] - 0.3
    told = results["differences"]["model"]["likelihood"]["bits_per_byte"]
    assert told["value"] == pytest.approx(bits["served"] - bits["model"], abs=1e-5)
    assert "it is better than the model without the index in bits per byte" in results["verdict"]
    right = {
        name: sum(sample["answers"][name] == sample["expected"] for sample in samples) for name in ("served", "model")
    }
    assert right["served"] > right["model"]
    told = results["contestants"]["served"]
    assert told["indexed_files"] == 42 and told["nats_per_token"]["with"] < told["nats_per_token"]["without"]


def test_samples_bear_the_scores(results_folder: Path) -> None:
    results, samples = read(results_folder)
    for kind in KINDS:
        of_kind = [sample for sample in samples if sample["kind"] == kind]
        for model in ("served", "model", "ngram"):
            for measure in ("edit_similarity", "identifier_f1"):
                points = [of[measure] for sample in of_kind if measure in (of := sample["scores"][model])]
                if points:
                    stated = results["infilling"][kind][model][measure]["value"]
                    assert sum(points) / len(points) == pytest.approx(stated, abs=1e-5)
        for sample in of_kind:
            assert {"path", "repository", "language", "prefix", "suffix", "expected"} <= sample.keys()
            if kind != "nothing":
                assert all(text.count("\n") <= sample["expected"].count("\n") for text in sample["answers"].values())


def test_the_same_again_is_the_same_bytes(indexed, results_folder: Path, tmp_path: Path) -> None:
    build_results(indexed.work(tmp_path), SETTINGS)
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
    items = draw_items([HeldOut(text, store.path(5), "Python", "")], ["rest"], 20, seed=1)
    assert sum(completer.complete(item) == item.expected for item in items) >= 8


def test_an_answer_is_trimmed_as_the_server_trims_it(workspace) -> None:
    """What stands behind the cursor already is no answer, though it is what comes next."""
    store = TokenStore(workspace.folders["tokens"], "train")
    text = workspace.codec.decode(store.document(5).tolist())
    model = train_ngram(workspace.folders["tokens"], workspace.codec, 256)
    completer = NgramCompleter(model, workspace.codec, 256)
    items = draw_items([HeldOut(text, store.path(5), "Python", "")], ["rest"], 20, seed=1)
    right = [item for item in items if completer.complete(item) == item.expected]
    assert len(right) >= 8
    there = [replace(item, suffix=item.expected + item.suffix, expected="") for item in right]
    assert [completer.complete(item) for item in there] == [""] * len(right)


def test_the_ngram_needs_fewer_bits_for_what_it_has_read(workspace, held_out: list[HeldOut]) -> None:
    store = TokenStore(workspace.folders["tokens"], "train")
    text = workspace.codec.decode(store.document(5).tolist())
    completer = NgramCompleter(train_ngram(workspace.folders["tokens"], workspace.codec, 256), workspace.codec, 256)
    files = ([HeldOut(text, store.path(5), "Python", "")], held_out[:1])
    seen, unseen = (bits_per_byte(completer, draw_items(of, ["line", "nothing"], 20, seed=1)) for of in files)
    assert 0 < seen < 0.7 * unseen


def bits_per_byte(completer: NgramCompleter, items: list[Item]) -> float:
    return sum(completer.hole_bits(item) for item in items) / sum(len(item.expected.encode()) for item in items)


def test_a_context_too_short_for_the_longest_answer_still_serves(workspace, held_out: list[HeldOut]) -> None:
    engine = open_engine(workspace.folders["run"] / "initial", weights="f32")
    item = Item("block", held_out[0], held_out[0].text[:9000], held_out[0].text[9100:], "a\nb\nc")
    answer = complete_by_engine(engine, workspace.codec, item)
    assert answer.count("\n") < 3


def test_pieces_stand_in_front_as_documents_and_the_best_next_to_the_file(workspace) -> None:
    codec = workspace.codec
    item = Item("rest", HeldOut("a = b\n", "a.py", "Python", "r"), "a =", "\n", " b")
    pieces = [Piece("best.py", 1, "best = the_best_of_all_the_words_there_are\n"), Piece("next.py", 9, "x = y\n" * 400)]
    alone, beside = item_prompt(codec, item, 256), item_prompt(codec, item, 256, pieces)
    assert len(beside) <= 256 - 48
    assert beside[-len(alone) :] == alone
    documents = codec.decode(beside[: -len(alone)])
    assert beside.count(codec.file_sep) == 3
    assert documents.index("next.py") < documents.index("best.py")
    assert documents.endswith(pieces[0].text)
    assert item_prompt(codec, item, 256, []) == alone


def test_pieces_take_at_most_half_from_a_long_file(workspace, held_out: list[HeldOut]) -> None:
    codec, text = workspace.codec, held_out[0].text
    item = Item("rest", held_out[0], text[:9000], text[9004:], text[9000:9004])
    piece = Piece("other.py", 1, text[:4000])
    alone, beside = item_prompt(codec, item, 256), item_prompt(codec, item, 256, [piece])
    assert len(beside) <= 256 - 48
    own = beside[len(beside) - beside[::-1].index(codec.file_sep) - 1 :]
    assert len(alone) // 3 < len(own) < len(alone)


def item_of(kind: Kind, expected: str) -> Item:
    return Item(kind, HeldOut(expected, "a.py", "Python", "r"), "", "", expected)


@pytest.mark.parametrize(
    ("kind", "expected", "answer", "counts"),
    [
        ("block", "x\ny", "a\nb\nc", "a\nb"),
        ("rest", "x", "a", "a"),
        ("line", "x", "\na", ""),
        ("arguments", "x", "a, f(b), ')')\n", "a, f(b), ')'"),
        ("arguments", "x", "a] + b", "a"),
        ("arguments", "x", "a, (\nb", "a, ("),
        ("arguments", "\n  x\n", "\n  a,\n  b\n  c", "\n  a,\n  b"),
        ("nothing", "", "\n\n  ramble()\nmore", "\n\n  ramble()"),
        ("nothing", "", " \n\n", " \n\n"),
    ],
)
def test_an_answer_counts_as_far_as_the_hole_goes(kind: Kind, expected: str, answer: str, counts: str) -> None:
    assert cut(item_of(kind, expected), answer) == counts


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
        "rest": {"exact_match": score(exact), "edit_similarity": score(1)},
        "block": {"exact_match": score(0), "edit_similarity": score(similarity)},
    }
    said = verdict({"ngram": found}, 7)
    assert said.startswith("On 7 held-out files the model is ") and said.endswith(".")
    assert expected in said


@pytest.mark.parametrize("module", [completions, identifiers])
def test_examples_in_docstrings_hold(module) -> None:
    found = doctest.testmod(module)
    assert found.attempted and not found.failed


def test_kinds_of_a_measure_are_named_together_and_silence_is_for_networks() -> None:
    better, level = Score(0.1, 0.05, 0.15), Score(0.0, -0.05, 0.05)
    found = {kind: {"exact_match": better, "edit_similarity": level} for kind in KINDS}
    against = verdict({"ngram": found, "base": found}, 1)
    exact = "in exact rests of a line, lines, call arguments and imports"
    alike = "in the edit similarity of blocks and function bodies"
    assert against == (
        f"On 1 held-out file the model is better than the n-gram {exact} and not distinguishable from it {alike}; "
        f"it is better than its base {exact} and in silence where nothing is needed and not distinguishable from it "
        f"{alike}."
    )


def test_what_nobody_can_tell_is_named_last_and_at_once_where_it_is_much() -> None:
    fewer, worse, level = (Score(value, value - 0.05, value + 0.05) for value in (-0.1, -0.1, 0.0))
    found = {kind: {"exact_match": level, "edit_similarity": level} for kind in KINDS if kind != "nothing"}
    measured = {"likelihood": {"bits_per_byte": fewer}, **found}
    assert verdict({"ngram": measured}, 9).endswith(
        "better than the n-gram in bits per byte and not distinguishable from it in all else."
    )
    measured["line"] = {"exact_match": worse, "edit_similarity": worse}
    assert verdict({"ngram": measured}, 9).endswith(
        "better than the n-gram in bits per byte, worse than it in exact lines and not distinguishable from it in all "
        "else."
    )
    assert "all else" not in verdict({"ngram": found}, 9)
