"""comparison.html of what a comparison writes: it stands alone, says what was told, and hostile code stays text."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from repotune.core.errors import UserError
from repotune.report.comparison_page import build_comparison_page

HOSTILE = "</code></pre><script>alert(1)</script><img src=x onerror=alert(2)>\"'&|`*[a](b)"
SCORE = {"value": 2.5, "low": 2.25, "high": 2.75}


def difference(value: float, told: str, bits: bool = False) -> dict[str, Any]:
    ends = {"value": value, "low": value - 0.05, "high": value + 0.05}
    return {**ends, "better": 0.9, "told": told, "items": 40, "fewer_is_better": bits}


def sample(path: str, kind: str, old: float, new: float) -> dict[str, Any]:
    def scores(of: float) -> dict[str, float]:
        return {"exact_match": float(of == 1), "edit_similarity": of}

    return {
        "kind": kind, "path": path, "language": "Python", "prefix": "a = (\n", "suffix": ")\n", "expected": HOSTILE,
        "answers": {"old": "x" * 9, "<b>new": HOSTILE}, "scores": {"old": scores(old), "<b>new": scores(new)},
    }  # fmt: skip


@pytest.fixture
def comparison(tmp_path: Path) -> Path:
    """Of two models, with hostile names and answers."""
    parts = {
        "likelihood": {"bits_per_byte": difference(-0.3, "better", bits=True)},
        "line": {"exact_match": difference(0.02, "not told apart"), "edit_similarity": difference(-0.2, "worse")},
    }
    model = {"contents": "ab" * 32, "parameters": 1_200_000, "context": 256, "vocabulary": 4096, "index": None}
    record = {
        "verdict": f"On 9 held-out files <b>new is better than old {HOSTILE}.",
        "first": "old",
        "models": {"old": model, "<b>new": {**model, "index": {"indexed_files": 1234}}},
        "likelihood": {name: {"bits_per_byte": SCORE} for name in ("old", "<b>new")},
        "differences": {"<b>new": parts},
        "by_language": {
            "<b>new": {name: {"likelihood": parts["likelihood"]["bits_per_byte"]} for name in ("Go", "Python")}
        },
        "data": {"items": 4, "bytes": 9000, "files": 9, "left_out": 2},
        "seed": 1,
        "resamples": 10_000,
    }
    samples = [
        sample("same.py", "line", 0.4, 0.4),
        sample("near.py", "line", 0.4, 0.5),
        sample("far.py", "line", 0.1, 1.0),
        sample("third.py", "line", 0.1, 0.15),
    ]
    (tmp_path / "comparison.json").write_text(json.dumps(record))
    (tmp_path / "samples.jsonl").write_text("".join(json.dumps(each, ensure_ascii=False) + "\n" for each in samples))
    return tmp_path


def test_the_page_stands_alone_and_hostile_code_stays_text(comparison: Path, read_page: Callable[[str], Any]) -> None:
    build_comparison_page(comparison, comparison)
    html = (comparison / "comparison.html").read_text("utf-8")
    read = read_page(html)
    assert read.open == []
    assert not {"script", "link", "img", "iframe", "object", "b"} & set(read.tags)
    assert not [name for name, _ in read.attributes if name.startswith("on")]
    assert {value for name, value in read.attributes if name == "href"} <= {
        f"#{value}" for name, value in read.attributes if name == "id"
    }
    assert HOSTILE in read.text and "<b>new beside old" in read.text


def test_differences_are_drawn_and_said(comparison: Path) -> None:
    build_comparison_page(comparison, comparison)
    html, text = ((comparison / f"comparison.{ending}").read_text("utf-8") for ending in ("html", "md"))
    for said in (
        "−0.300",
        "−0.350 to −0.250",
        "+2.0 %",
        "−3.0 to 7.0 %",
        "10,000 resamples",
        "2 more were left out",
        "1,234 files",
    ):
        assert said in html and said in text, said
    assert html.count('class="strip strong"') == 4 and html.count('class="strip"') == 1


def test_those_that_differ_most_are_shown_and_the_same_never(comparison: Path) -> None:
    build_comparison_page(comparison, comparison)
    text = (comparison / "comparison.md").read_text("utf-8")
    assert text.index("far.py") < text.index("near.py")
    assert "same.py" not in text and "third.py" not in text


def test_a_benchmark_has_a_page_too(comparison: Path) -> None:
    record = json.loads((comparison / "comparison.json").read_text())
    for key in ("likelihood", "by_language", "data"):
        del record[key]
    record |= {"benchmark": "humaneval", "pass_at_k": {"old": {"1": SCORE}, "<b>new": {"1": SCORE}}}
    record["differences"] = {"<b>new": {"all": {"pass@1": difference(0.3, "better")}}}
    (comparison / "comparison.json").write_text(json.dumps(record))
    build_comparison_page(comparison, comparison)
    text = (comparison / "comparison.md").read_text("utf-8")
    assert "pass@1 of humaneval" in text and "+30.0 %" in text and "far.py" not in text


def test_what_is_absent_or_of_another_version_is_an_error(comparison: Path) -> None:
    record = json.loads((comparison / "comparison.json").read_text())
    (comparison / "comparison.json").write_text(json.dumps({**record, "differences": 3}))
    with pytest.raises(UserError, match="does not fit together"):
        build_comparison_page(comparison, comparison)
    (comparison / "samples.jsonl").unlink()
    with pytest.raises(UserError, match="no whole comparison"):
        build_comparison_page(comparison, comparison)
