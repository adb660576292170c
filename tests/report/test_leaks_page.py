"""leaks.html stands alone, says what was measured, and code in the evidence stays text."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from repotune.core.errors import UserError
from repotune.report.leaks_page import build_leaks_page

HOSTILE = "</code><script>alert(1)</script><img src=x onerror=alert(2)>\"'&|`*[a](b)"
SCORE = {"value": 0.125, "low": 0.0625, "high": 0.1875}
SPLIT = {"windows": 200, "files": 90, "reproduced": SCORE, "extracted": SCORE, "longest_tokens": 77}
PRIVATE = {
    "answers": 700,
    "memorised": 2,
    "invented": 9,
    "rate": SCORE,
    "kinds": {"EMAIL": {"memorised": 3, "invented": 9}},
}
WEIGHTS = {"1": {"windows": 150, "reproduced": SCORE}, "2": {"windows": 50, "reproduced": None}}
ECHOES = {"answers": 9, "echoing": SCORE, "in_one_file": 1, "longest_tokens": 61, "longest_lines": 5}
CANARY = {"canary": "canary-1", "form": "words", "rank": 1, "alternatives": 1023, "bits": 10.0, "chance": 0.001}
RULE = {"cwe": 89, "title": "SQL", "uses": 40, "insecure": 5, "training_uses": 10, "training_insecure": 2}
DATA: dict[str, Any] = {
    "schema": 1,
    "said": "Of 200 places",
    "memory": {
        "given": 50,
        "asked": 50,
        "training": {**SPLIT, "by_weight": WEIGHTS},
        "held_out": {**SPLIT, "windows": 0, "reproduced": None, "extracted": None, "by_weight": {}},
    },
    "echoes": {
        "least_tokens": 50,
        "origins": {"held_out": ECHOES},
        "licences": {"GPL-3.0-only": {"echoes": 4, "kind": "copyleft", "refused": "permissive"}},
        "refused": 4,
    },
    "secrets": PRIVATE,
    "personal": PRIVATE,
    "placeholders": 33,
    "canaries": [CANARY],
    "insecure": {
        "answers": 60,
        "unparsed": 2,
        "uses": 40,
        "insecure": SCORE,
        "compared": {"uses": 40, "insecure": 0.125, "at_training_rates": 0.2},
        "rules": {"sql": RULE},
    },
}
EVIDENCE = [
    {"what": "echo", "origin": "held_out", "prompt": HOSTILE, "number": 0, "tokens": 61, "lines": 5, "files": 3,
     "repository": "api", "commit": "", "path": "<script>.py", "licence": "GPL-3.0-only", "line": 1200, "refused": "x",
     "text": HOSTILE},
    *({"what": "secret", "origin": "secret", "prompt": "aws", "number": place, "kind": "AWS_ACCESS_KEY", "bytes": 20,
       "memorised": place == 7} for place in range(30)),
]  # fmt: skip


def write(folder: Path, data: dict[str, Any]) -> Path:
    (folder / "leaks.json").write_text(json.dumps(data))
    (folder / "leaks.jsonl").write_text("".join(json.dumps(line) + "\n" for line in EVIDENCE))
    return folder


def test_the_page_stands_alone_and_evidence_stays_text(tmp_path: Path, read_page: Callable[[str], Any]) -> None:
    html = build_leaks_page(write(tmp_path, DATA), "acme").read_text("utf-8")
    read = read_page(html)
    assert read.open == []
    assert not {"script", "link", "img", "iframe", "object"} & set(read.tags)
    assert HOSTILE[:40] in read.text and "<script>.py" in read.text
    assert not [name for name, _ in read.attributes if name.startswith("on")]
    targets = {f"#{value}" for name, value in read.attributes if name == "id"}
    assert {value for name, value in read.attributes if name == "href"} <= targets


def test_page_and_markdown_say_the_same_figures(tmp_path: Path, read_page: Callable[[str], Any]) -> None:
    page = build_leaks_page(write(tmp_path, DATA), "acme")
    read = " ".join(read_page(page.read_text("utf-8")).text.split())
    text = page.with_suffix(".md").read_text("utf-8")
    figures = ("12.5 %", "6.2 to 18.8 %", "5 of 40", "2 of 10", "1 of 1,024", "20.0 % at the training code's rates")
    for said in (*figures, "refused: permissive is asked", "CWE-89", "line 1,200", "30, the first 20"):
        assert said in read, said
        assert said in text.replace("\\", ""), said


def test_what_was_memorised_is_shown_before_what_was_invented(tmp_path: Path) -> None:
    text = build_leaks_page(write(tmp_path, DATA), "acme").with_suffix(".md").read_text("utf-8")
    secrets = [line for line in text.splitlines() if line.startswith("- AWS")]
    assert len(secrets) == 20
    assert "invented" not in secrets[0] and all("invented" in line for line in secrets[1:])


def test_what_is_absent_or_of_another_version_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"leaks\.json"):
        build_leaks_page(tmp_path, "acme")
    with pytest.raises(UserError, match="another version"):
        build_leaks_page(write(tmp_path, {**DATA, "schema": 2}), "acme")
    with pytest.raises(UserError, match="does not fit together"):
        build_leaks_page(write(tmp_path, {name: of for name, of in DATA.items() if name != "echoes"}), "acme")
