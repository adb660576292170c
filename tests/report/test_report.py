"""The page and the Markdown say the same, stand alone, and let nothing from a repository become markup."""

from __future__ import annotations

import copy
import doctest
import re

import pytest

from repotune.core.errors import UserError
from repotune.core.flow import Work
from repotune.report import markdown, numbers
from repotune.report.build import build_report
from repotune.report.samples import SHOWN, choose_samples


@pytest.fixture
def report(build_work, files: dict) -> Work:
    work = build_work(files)
    build_report(work, "acme")
    return work


def read(work: Work) -> tuple[str, str]:
    return (work.folder / "report.html").read_text("utf-8"), (work.folder / "report.md").read_text("utf-8")


def test_the_page_stands_alone(report: Work, read_page) -> None:
    html, _ = read(report)
    page = read_page(html)
    assert page.open == []
    assert not {"script", "link", "img", "iframe", "object"} & set(page.tags)
    leading = [value for name, value in page.attributes if name in ("href", "src") and value]
    assert [value for value in leading if not value.startswith("#")] == ["corpus.html"]
    assert (report.folder / "corpus.html").is_file()
    assert "url(" not in html and "@import" not in html
    targets = {value for name, value in page.attributes if name == "id"}
    assert {value[1:] for value in leading if value.startswith("#")} <= targets


def test_every_drawing_has_a_name_or_is_hidden(report: Work) -> None:
    html, _ = read(report)
    drawings = re.findall(r"<svg class[^>]*>(?:<title)?", html)
    assert len(drawings) > 20
    assert all(
        "aria-hidden" in drawing or ('role="img"' in drawing and drawing.endswith("<title")) for drawing in drawings
    )


def test_nothing_from_a_repository_becomes_markup(report: Work, hostile: str, read_page) -> None:
    html, text = read(report)
    page = read_page(html)
    assert hostile in page.text  # it is there, as text
    assert not {"script", "img"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    outside = re.sub(r"^(`{3,})text\n.*?^\1$", "", text, flags=re.S | re.M)  # fenced code is code
    assert "alert" in outside  # in a path
    assert not re.search(r"(?<!\\)<|(?<!\\)\[a", outside)


def test_page_and_markdown_hold_the_same_numbers(report: Work, files: dict, read_page) -> None:
    html, text = read(report)
    page = " ".join(read_page(html).text.split())
    results = files["results"]["results.json"]
    found = ("9.8 MB", "TypeScript", "near duplicate", "4.10", "2.619", "4,915,200", "muon")
    scored = ("1.142", "1.092 to 1.192", "17.5 to 25.5 %", "−0.350 to −0.290 better", "−0.5 to 10.5 % ·", "worse")
    scored += ("24.3 %", "3.3 to 5.3 % better", "77 holes in 9 files lie in lines later than 2026-02-03")
    for said in (results["verdict"], *found, *scored, "84 ms", "143 ms", "5.21 M"):
        assert said in page, said
        assert said in text.replace("\\", ""), said


def test_what_is_served_stands_beside_the_model_alone(report: Work) -> None:
    _, text = read(report)
    for said in (
        "As served minus model alone",
        "Rest of a line: Model alone",
        "The model alone, with the most relevant",
    ):
        assert said in text, said
    rest = next(line for line in text.splitlines() if line.startswith("| Rest of a line |"))
    assert "21.5 %" in rest  # what is served comes first, and is in the headline
    assert "21.5 %" in text.partition("## ")[0] and "1.142" in text.partition("## ")[0]
    assert "What an editor gets is the model with the index" in text


def test_without_an_index_the_model_is_judged(build_work, files: dict) -> None:
    results = files["results"]["results.json"]
    results["judged"] = "model"
    for of in (results["likelihood"], results["differences"], *results["infilling"].values()):
        of.pop("served", None)
    results["differences"].pop("model")
    for sample in files["results"]["samples.jsonl"]:
        del sample["answers"]["served"], sample["scores"]["served"]
    work = build_work(files)
    build_report(work, "acme")
    _, text = read(work)
    assert "served" not in text.partition("## What was run")[0].replace(results["verdict"], "")
    assert "Model minus n-gram" in text and "1.352" in text.partition("## ")[0]


def test_the_order_is_verdict_corpus_vocabulary_training_scores_samples_latency_run(report: Work) -> None:
    html, text = read(report)
    order = ["corpus", "vocabulary", "training", "scores", "samples", "latency", "run"]
    assert re.findall(r'<section id="(\w+)"', html) == order
    assert html.index("On 36 held-out files") < html.index('<section id="corpus"')
    assert len(re.findall(r"^## ", text, flags=re.M)) == len(order)


def test_samples_are_chosen_without_a_look_at_the_answers(files: dict) -> None:
    samples = files["results"]["samples.jsonl"]
    chosen = choose_samples(samples)
    assert len(chosen) == sum(exact + missed for _, exact, missed in SHOWN)
    assert choose_samples(list(reversed(samples))) == chosen
    other = copy.deepcopy(samples)
    for sample in other:
        sample["answers"]["ngram"] = "something else"
    assert [(one.title, one.expected) for one in choose_samples(other)] == [(one.title, one.expected) for one in chosen]


def test_an_answer_is_marked_from_where_it_departs(files: dict) -> None:
    for sample in choose_samples(files["results"]["samples.jsonl"]):
        for answer in sample.answers:
            assert sample.expected.startswith(answer.same)
            assert (answer.rest == "") == (answer.score == "exact")


def test_other_files_are_shown_where_they_changed_the_answer(files: dict) -> None:
    for sample in choose_samples(files["results"]["samples.jsonl"]):
        answers = {answer.who: answer for answer in sample.answers}
        changed = answers.get("model, with other files")
        assert (changed is None) == (answers["model"].rest == "")
        assert changed is None or changed.same == sample.expected


def test_too_few_files_are_said_to_be_too_few(build_work, files: dict) -> None:
    results = files["results"]["results.json"]
    for of in results["likelihood"].values():
        of["bits_per_byte"] |= {"low": None, "high": None}
    results["differences"]["ngram"]["likelihood"]["bits_per_byte"] |= {"low": None, "high": None}
    work = build_work(files)
    build_report(work, "acme")
    assert all("too few files" in text for text in read(work))


def test_a_small_run_has_a_report_too(build_work, files: dict) -> None:
    """One training step, no items of some kinds, no dates, a mute server, an empty validation split."""
    files["run"]["metrics.jsonl"] = files["run"]["metrics.jsonl"][:1]
    results = files["results"]["results.json"]
    kinds = (
        results["infilling"],
        results["other_files"],
        *results["languages"].values(),
        *results["differences"].values(),
    )
    for of in kinds:
        for kind in ("block", "body", "imports"):
            of.pop(kind)
    results["later"] = {"after": None, "items": 0, "files": 0, "infilling": {}}
    trial = files["trial"]["trial.json"]
    for key in ("cold", "keystroke"):
        trial[key] |= {"total_ms": None, "first_text_ms": None}
    del files["corpus"]["summary.json"]["splits"]["validation"]
    files["results"]["samples.jsonl"] = []
    work = build_work(files)
    build_report(work, "acme")
    html, text = read(work)
    assert "It wrote nothing." in html and "It wrote nothing." in text


def test_the_same_inputs_give_the_same_bytes(report: Work) -> None:
    before = read(report)
    build_report(report, "acme")
    assert read(report) == before


@pytest.mark.parametrize(
    ("step", "name"),
    [("corpus", "examples.json"), ("results", "results.json"), ("trial", "trial.json"), ("run", "metrics.jsonl")],
)
def test_a_damaged_input_is_named(report: Work, step: str, name: str) -> None:
    (report.inputs[step] / name).write_text("{")
    with pytest.raises(UserError, match=name.replace(".", r"\.")):
        build_report(report, "acme")
    (report.inputs[step] / name).unlink()
    with pytest.raises(UserError, match=name.replace(".", r"\.")):
        build_report(report, "acme")


def test_an_input_of_another_version_is_no_traceback(build_work, files: dict) -> None:
    del files["results"]["results.json"]["likelihood"]["ngram"]
    with pytest.raises(UserError, match="does not fit together"):
        build_report(build_work(files), "acme")


@pytest.mark.parametrize("module", [markdown, numbers])
def test_examples_in_docstrings_hold(module) -> None:
    assert doctest.testmod(module).failed == 0


def test_a_fence_is_longer_than_any_within() -> None:
    assert markdown.code_block("a\n````\nb").startswith("`````text\n")
