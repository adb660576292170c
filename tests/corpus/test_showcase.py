"""examples.json: true to the corpus, small, and free of what must not be shown."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repotune.corpus.showcase.collection import forget
from repotune.corpus.showcase.excerpts import WIDEST, excerpt, first_line, longest_line, safe, safe_name, split_lines
from repotune.corpus.showcase.likeness import differing

KEY = "AKIA" + "Z7QW3RT5YP2LMK4N"
LARGEST = 300_000


def examples_of(built: Any) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((built.folder / "examples.json").read_text(encoding="utf-8"))
    return data


def by_rule(examples: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {reason["rule"]: reason for reason in examples["reasons"]}


@pytest.fixture
def files(module: Callable[..., str]) -> dict[str, str]:
    """Six files that are kept, one like another, and some that are dropped."""
    wide = f"mail = 'jane@corp-mail.com'\nkey = '{KEY}'\nx = '" + "a b" * 500 + "'\nend = 1\n"
    return {f"m{number}.py": module(number) for number in range(2, 8)} | {
        "near.py": module(1, 40),
        "nearly.py": module(1, 40).replace("return", "yield", 1),
        "wide.py": wide,
        "equal.py": module(2) + "\n",
        "gpl.py": "# SPDX-License-Identifier: GPL-3.0-only\n" + wide,
        "out.py": wide,
    }


@pytest.fixture
def built(build, write, files, tmp_path: Path) -> Any:
    write(tmp_path / "api", files)
    return build(tmp_path / "api", denied_licences=("GPL-3.0-only",), opt_out={"paths": ("api/out.py",)})


def test_a_dropped_file_shows_the_lines_that_its_rule_saw_without_secrets(built) -> None:
    (wide,) = by_rule(examples_of(built))["mean_line"]["examples"]
    assert (wide["path"], wide["value"], wide["threshold"]) == ("wide.py", "388.2", "at most 100")
    lines = wide["excerpt"]["text"].split("\n")
    assert lines[:2] == ["mail = '<EMAIL>'", "key = '<AWS_ACCESS_KEY>'"]
    assert lines[2].startswith("x = 'a ba b") and len(lines[2]) == WIDEST and lines[2].endswith("…")


def test_a_contaminated_file_shows_where_the_item_stands(build, write, module, tmp_path) -> None:
    item = [
        "def longest_plateau(heights: list[int]) -> int:",
        "    # Of the heights measured along a ridge, in the order walked, return the length of",
        "    # the longest stretch over which the height neither rises nor falls.",
    ]
    (tmp_path / "ridge.jsonl").write_text(json.dumps({"task_id": "ridge/0", "prompt": "\n".join(item)}) + "\n")
    files = {f"m{number}.py": module(number) for number in range(4)}
    write(tmp_path / "api", files | {"found.py": module(5, 30) + "\n".join(item) + "\n" + module(6, 30)})
    examples = examples_of(build(tmp_path / "api", contamination=(str(tmp_path / "ridge.jsonl"),)))
    (found,) = by_rule(examples)["contamination"]["examples"]
    assert found["value"] == '{"ridge": ["ridge/0"]}'
    assert set(item) <= set(found["excerpt"]["text"].split("\n"))


@pytest.mark.parametrize("action", ["replace", "drop", "keep"])
def test_no_secret_is_shown_whatever_becomes_of_secrets_in_the_corpus(action, build, write, files, tmp_path) -> None:
    near = {name: files[name] + f"\nkey = '{KEY}'\n" for name in ("near.py", "nearly.py")}
    write(tmp_path / "api", files | near)
    corpus = build(tmp_path / "api", secrets=action, personal_data=action)
    text = (corpus.folder / "examples.json").read_text()
    assert KEY not in text and "jane@corp-mail" not in text


def test_what_is_dropped_before_it_is_redacted_shows_no_text(built) -> None:
    reasons = by_rule(examples_of(built))
    for rule in ("licence", "opted_out"):
        assert [example["excerpt"] for example in reasons[rule]["examples"]] == [None]


def test_near_duplicates_show_the_lines_in_which_they_differ(built) -> None:
    alike = examples_of(built)["near_duplicates"]
    assert (alike["clusters"], alike["dropped"]) == (1, 1)
    (pair,) = alike["pairs"]
    assert (pair["kept"]["path"], pair["dropped"]["path"], pair["files"]) == ("near.py", "nearly.py", 2)
    assert 0.7 <= pair["similarity"] < 1
    unlike = [row for row in pair["rows"] if row["kept"]["text"] != row["dropped"]["text"]]
    assert [(row["kept"]["text"].split()[0], row["dropped"]["text"].split()[0]) for row in unlike] == [
        ("return", "yield")
    ]
    assert unlike[0]["kept"]["line"] == unlike[0]["dropped"]["line"] == 3


def test_distributions_count_every_file(built) -> None:
    examples = examples_of(built)
    kept = built.kept
    assert sum(examples["sizes"]["files"]) == len(kept)
    (python,) = examples["sizes"]["languages"]
    sizes = sorted(row["size"] for row in kept.values())
    assert (python["files"], python["low"], python["high"]) == (len(kept), sizes[0], sizes[-1])
    assert python["median"] == sizes[(len(sizes) + 1) // 2 - 1]
    mean_line = next(signal for signal in examples["signals"] if signal["rule"] == "mean_line")
    threshold = mean_line["edges"].index(100.0) + 1
    assert sum(mean_line["broken"][threshold:]) == sum(mean_line["broken"]) == 1
    assert not any(mean_line["passed"][threshold:])
    # Duplicates passed the profile too.
    assert sum(mean_line["passed"]) == len(kept) + 2


@pytest.mark.parametrize("limit", ["inf", "nan", "1e300", "0", "-5", "0.0"])
def test_any_threshold_has_a_distribution_or_none(limit, build, write, module, tmp_path) -> None:
    (tmp_path / "odd.toml").write_text(f"[rules.mean_line]\nabove = {limit}\nexcept = ['Python']\n")
    write(tmp_path / "api", {f"m{number}.py": module(number) for number in range(3)} | {"a.c": "int a;\n"})
    (signal,) = examples_of(build(tmp_path / "api", profile=str(tmp_path / "odd.toml")))["signals"] or [None]
    assert (signal is None) == (limit in ("inf", "nan", "1e300"))
    assert signal is None or sum(signal["passed"]) + sum(signal["broken"]) == 1


def test_weights_are_shown_where_there_are_some(build, write, files, tmp_path) -> None:
    write(tmp_path / "api", files)
    assert examples_of(build(tmp_path / "api", name="plain"))["mixture"] is None
    corpus = build(tmp_path / "api", name="mixed", mixture={"languages": {"Python": 2.5}})
    size = sum(row["size"] for row in corpus.split("train"))
    (python,) = examples_of(corpus)["mixture"]["languages"]
    assert (python["bytes"], python["epoch_bytes"]) == (size, round(2.5 * size))


def test_bytes_are_the_same_with_more_workers(build, write, files, tmp_path) -> None:
    write(tmp_path / "api", files | {f"more{number}.py": files["near.py"] + f"x = {number}\n" for number in range(30)})
    one, three = (build(tmp_path / "api", workers=workers, name=f"w{workers}") for workers in (1, 3))
    assert (one.folder / "examples.json").read_bytes() == (three.folder / "examples.json").read_bytes()


def test_it_stays_small_with_many_rules_and_the_widest_text(build, write, module, tmp_path) -> None:
    rules = [f'[rules."rule \'{number}\' \\\\ of 𝔪𝔞𝔫𝔶"]\nsignal = "lines"\nequals = {number}\n' for number in range(1)]
    rules = [
        f"[rules.\"rule '{number}' \\\\ 𝔪𝔞𝔫𝔶\"]\nsignal = 'todo_count'\nabove = {199 - number}\n"
        for number in range(200)
    ]
    (tmp_path / "many.toml").write_text("\n".join(rules), encoding="utf-8")
    wide = "𝔵" * 400

    def text(copy: int) -> str:
        lines = (f"v{number}{wide} = {number if number % 20 else copy}" for number in range(160))
        return "\n".join(lines) + "\n"

    broken = {f"b/{'𝔭' * 40}{number}/{'𝔮' * 60}.py": text(number) + "# TODO\n" * number for number in range(2, 200, 2)}
    near = {f"n{size}_{copy}.py": text(copy).replace("v", f"w{size}_") for size in range(6) for copy in range(3)}
    write(tmp_path / "api", {f"m{number}.py": module(number) for number in range(3)} | broken | near)
    corpus = build(tmp_path / "api", profile=str(tmp_path / "many.toml"))
    examples = examples_of(corpus)
    assert len(corpus.summary["dropped"]) > 50 and len(examples["reasons"]) == 10 and len(examples["signals"]) == 6
    assert all(any(signal["broken"]) for signal in examples["signals"])
    assert len(examples["near_duplicates"]["pairs"]) == 6
    assert LARGEST / 3 < (corpus.folder / "examples.json").stat().st_size < LARGEST


def test_what_is_taken_out_later_loses_its_text(built, tmp_path: Path) -> None:
    forget(
        built.folder, tmp_path, lambda repository, path: (repository, path) in {("api", "wide.py"), ("api", "near.py")}
    )
    left = json.loads((tmp_path / "examples.json").read_text(encoding="utf-8"))
    assert left["near_duplicates"]["pairs"] == []
    (wide,) = by_rule(left)["mean_line"]["examples"]
    assert wide["excerpt"] is None
    assert left["sizes"] == examples_of(built)["sizes"]


@given(st.text(), st.text(max_size=20))
def test_safe_text_is_printable_and_stays_as_it_is(text: str, path: str) -> None:
    shown = safe(text, path)
    assert safe(shown, path) == shown
    assert not [sign for sign in shown if ord(sign) < 32 and sign not in "\t\n"]
    assert not set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\x7f\x85") & set(shown)
    assert "\n" not in safe_name(text) and len(safe_name(text)) <= 2 * WIDEST


@given(st.text(st.characters(codec="utf-8"), min_size=1))
def test_an_excerpt_is_a_few_lines_of_the_text(text: str) -> None:
    lines = split_lines(text)
    for place in (first_line(lines), longest_line(lines)):
        shown = excerpt(lines, place)
        assert 1 <= shown.line <= len(lines) and len(shown.text) <= 8 * (WIDEST + 1)
        assert len(lines) > 8 or shown.line == 1


@given(st.lists(st.sampled_from("abcd"), max_size=60), st.lists(st.sampled_from("abcd"), max_size=60))
def test_what_differs_is_within_the_rows_until_these_are_full(kept: list[str], dropped: list[str]) -> None:
    rows = list(differing(kept, dropped))
    lines = [row for row in rows if row]
    assert len(lines) <= 24
    for side, texts in (("kept", kept), ("dropped", dropped)):
        assert all(texts[row[side]["line"] - 1] == row[side]["text"] for row in lines if row[side])
    assert (kept == dropped) or any(
        not row["kept"] or not row["dropped"] or row["kept"]["text"] != row["dropped"]["text"] for row in lines
    )
