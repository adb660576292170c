"""corpus.html of real corpora: it stands alone, holds what was built, and hostile files stay text."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from repotune.core.console import Console
from repotune.core.errors import UserError
from repotune.core.flow import Work
from repotune.core.settings import CorpusSettings
from repotune.corpus.build import build_corpus
from repotune.corpus.engines.local import LocalEngine
from repotune.report.corpus_examples import pairs
from repotune.report.corpus_page import build_corpus_page
from repotune.report.histogram import Bins, histogram

KEY = "AKIA" + "Z7QW3RT5YP2LMK4N"
HOSTILE = "</code></pre><script>alert(1)</script><img src=x onerror=alert(2)>\"'&|`*[a](b)"


def module(number: int, functions: int = 12) -> str:
    return "\n".join(
        f"def f{number}_{place}(alpha{number}, beta{place}):\n"
        f"    total{number * place} = alpha{number} + {number + place}\n"
        f"    return total{number * place} * beta{place} - gamma{number}_{place}\n"
        for place in range(functions)
    )


def build(root: Path, files: dict[str, str], **settings: Any) -> Path:
    for name, text in files.items():
        path = root / "api" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    folder = root / "corpus"
    folder.mkdir()
    work = Work(folder, {}, Console(quiet=True), 1)
    build_corpus(work, [str(root / "api")], CorpusSettings(**settings), partial(LocalEngine, 1))
    return folder


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Near-duplicates, dropped files and licences, with hostile names and lines among them."""
    near = module(1, 40)
    files = {f"src/m{number}.py": module(number) for number in range(2, 8)}
    return build(
        tmp_path,
        files
        | {
            "LICENSE": "Released under the Unlicense.",
            "src/near.py": near,
            "src/nearly the same.py": near.replace("total7 =", f"total7 =  # {HOSTILE}\n    ", 1),
            "src/<script>alert('x')<.py": "x = '" + "a b" * 500 + HOSTILE + "'",
            "src/keys.py": f"aws = '{KEY}'\nx = '" + "c d" * 500 + "'\n",
            "gpl/a.py": "# SPDX-License-Identifier: GPL-3.0-only\n" + module(9),
            "src/empty.py": "",
        },
    )


@pytest.fixture
def page(corpus: Path, tmp_path: Path) -> tuple[str, str]:
    build_corpus_page(corpus, tmp_path, "acme")
    return (tmp_path / "corpus.html").read_text("utf-8"), (tmp_path / "corpus.md").read_text("utf-8")


def test_the_page_stands_alone_and_its_tags_close(page: tuple[str, str], read_page: Callable[[str], Any]) -> None:
    html, _ = page
    read = read_page(html)
    assert read.open == []
    assert not {"script", "link", "img", "iframe", "object"} & set(read.tags)
    assert "url(" not in html and "@import" not in html
    targets = {f"#{value}" for name, value in read.attributes if name == "id"}
    assert {value for name, value in read.attributes if name == "href"} <= targets


def test_hostile_names_and_lines_stay_text(page: tuple[str, str], read_page: Callable[[str], Any]) -> None:
    html, text = page
    read = read_page(html)
    assert "<script>alert('x')<.py" in read.text and HOSTILE[:60] in read.text
    assert not [name for name, _ in read.attributes if name.startswith("on")]
    outside = re.sub(r"^(`{3,})text\n.*?^\1$", "", text, flags=re.S | re.M)  # fenced code is code
    assert "alert" in outside
    assert not re.search(r"(?<!\\)<s", outside)


def test_a_secret_is_in_neither(page: tuple[str, str], corpus: Path) -> None:
    assert "keys.py" in page[0] and "AWS_ACCESS_KEY" in page[0]
    assert not any(KEY in text for text in page)
    assert KEY not in (corpus / "examples.json").read_text()


def test_both_say_what_was_built(page: tuple[str, str], read_page: Callable[[str], Any]) -> None:
    html, text = page
    read = " ".join(read_page(html).text.split())
    for said in ("8 of 13 files are kept", "permissive", "copyleft", "mean line", "at most 100", "near duplicate"):
        assert said in read, said
        assert said in text.replace("\\", ""), said


def test_differing_lines_are_marked_where_they_differ(corpus: Path) -> None:
    examples = json.loads((corpus / "examples.json").read_text())
    (pair,) = pairs(examples)
    assert {row.kind for row in pair.rows} == {"same", "differs"}
    for row in pair.rows:
        if row.kind == "differs" and row.kept and row.dropped:
            assert row.kept.before == row.dropped.before and row.kept.after == row.dropped.after
            assert row.kept.changed != row.dropped.changed
    assert any(line.startswith(("-", "+")) for line in pair.as_diff.split("\n"))


def test_the_same_corpus_gives_the_same_bytes(page: tuple[str, str], corpus: Path, tmp_path: Path) -> None:
    build_corpus_page(corpus, tmp_path, "acme")
    assert ((tmp_path / "corpus.html").read_text("utf-8"), (tmp_path / "corpus.md").read_text("utf-8")) == page


def test_a_corpus_with_a_mixture_says_what_an_epoch_is_made_of(tmp_path: Path) -> None:
    files = {f"m{number}.py": module(number) for number in range(8)}
    corpus = build(tmp_path, files, mixture={"languages": {"Python": 2.0}})
    build_corpus_page(corpus, tmp_path, "acme")
    html = (tmp_path / "corpus.html").read_text("utf-8")
    assert "What an epoch is made of" in html and "2.00 ×" in html


def test_what_is_absent_or_of_another_version_is_an_error(corpus: Path, tmp_path: Path) -> None:
    examples = json.loads((corpus / "examples.json").read_text())
    del examples["sizes"]
    (corpus / "examples.json").write_text(json.dumps(examples))
    with pytest.raises(UserError, match="does not fit together"):
        build_corpus_page(corpus, tmp_path, "acme")
    (corpus / "examples.json").unlink()
    with pytest.raises(UserError, match=r"examples\.json"):
        build_corpus_page(corpus, tmp_path, "acme")


def test_a_bar_is_as_high_as_its_count_and_the_limit_stands_at_an_edge() -> None:
    bins = Bins([10.0, 100.0, 1000.0], [0, 4, 2, 0], [0, 0, 2, 0], linear=False)
    drawn = ElementTree.fromstring(histogram(bins, title="T", label=str, threshold=100.0, limit="at most 100"))
    bars = {(bar.get("class"), bar.get("x")): float(bar.get("height", "")) for bar in drawn.iter("rect")}
    assert bars[("kept", "0.0%")] == 2 * bars[("kept", "50.0%")] == 2 * bars[("dropped", "50.0%")]
    assert next(line.get("x1") for line in drawn.iter("line") if line.get("class") == "limit") == "50.0%"


@pytest.mark.parametrize("threshold", [None, 0.0, -1.0, 0.25, 3.0])
@pytest.mark.parametrize("counts", [[0, 0, 0], [1, 0, 0], [0, 0, 9]])
def test_any_counts_can_be_drawn(counts: list[int], threshold: float | None) -> None:
    for linear in (True, False):
        bins = Bins([0.25, 0.5], counts, [0, 0, 0], linear)
        ElementTree.fromstring(histogram(bins, title="<&>", label=str, threshold=threshold, limit="<&>"))
