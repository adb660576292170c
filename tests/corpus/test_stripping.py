from __future__ import annotations

import html.parser

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repotune.corpus.stripping import LONG_BLOCK, LONG_DATA, strip, stripped

DATA = "QUJD" * (LONG_DATA // 4) + "Q"
CODE = "go();\n" * (LONG_BLOCK // 6 + 1)


@pytest.mark.parametrize(
    ("language", "text", "rest"),
    [
        ("HTML", f'<img src="data:image/png;base64,{DATA}">', '<img src="data:image/png;base64,">'),
        ("HTML", f'<img src="data:image/png;base64,{DATA[:LONG_DATA]}">', None),
        (
            "HTML",
            f"<img src='data:image/svg+xml;utf8,<svg x=\"1\">{DATA}</svg>' alt='x'>",
            "<img src='data:image/svg+xml;utf8,' alt='x'>",
        ),
        ("HTML", f"<script src='a.js'>{CODE}</script><p>x</p>", "<script src='a.js'></script><p>x</p>"),
        ("HTML", f"<SCRIPT>{CODE}</SCRIPT >", "<SCRIPT></SCRIPT >"),
        ("HTML", "<script>go();</script>", None),
        ("HTML", f"<style>{CODE}</style>b", "<style></style>b"),
        ("HTML", f"<script>{CODE}", None),
        ("HTML", f'<path fill="red" d="M0 0{"L1 1" * LONG_DATA}z"/>', '<path fill="red" d=""/>'),
        ("HTML", '<path d="M0 0L1 1z"/>', None),
        ("Vue", f"<template/><style>{CODE}</style>", "<template/><style></style>"),
        (
            "CSS",
            f"@font-face {{ src: url(data:font/woff2;base64,{DATA}) format('woff2') }}",
            "@font-face { src: url(data:font/woff2;base64,) format('woff2') }",
        ),
        (
            "CSS",
            f'a {{ background: url("data:image/png;base64,{DATA}") }}',
            'a { background: url("data:image/png;base64,") }',
        ),
        ("CSS", f"a {{ content: '{DATA}' }}", None),
        ("Python", f'x = "data:image/png;base64,{DATA}"', None),
    ],
)
def test_long_content_goes_and_the_rest_stays(language, text, rest):
    assert stripped(text, language) == (text if rest is None else rest)


def test_what_went_is_counted_and_null_where_nothing_was_looked_for():
    texts = [f"<script>{CODE}</script>", "<p>", "x = 1"]
    batch = pa.RecordBatch.from_pydict({"text": texts, "language": ["HTML", "HTML", "Python"]})
    found = strip(batch).to_pydict()
    assert found["stripped"] == [len(CODE), 0, None]
    assert found["text"] == ["<script></script>", "<p>", "x = 1"]


def test_a_page_has_the_same_tags_afterwards():
    shape = "M1 " * 200
    page = f'<body><p id="a">x</p><script>{CODE}</script><img src="data:a/b,{DATA}"><svg><path d="{shape}"/></svg>'

    def tags(text: str) -> list[tuple[str, list[str]]]:
        found = []
        parser = html.parser.HTMLParser()
        parser.handle_starttag = lambda tag, given: found.append((tag, [name for name, _ in given]))
        parser.feed(text)
        return found

    assert tags(stripped(page, "HTML")) == tags(page) and len(stripped(page, "HTML")) < 250


PIECES = st.sampled_from(
    ["<script>", "</script>", "<style", ">", '"', "'", "(", ")", "data:a/b;base64,", ' d="', "x", " ", "é"]
)


@settings(deadline=None)
@given(st.lists(PIECES, max_size=50).map("".join), st.sampled_from(["HTML", "CSS", "Vue", "Python"]))
def test_any_text_is_taken_and_short_content_stays(text, language):
    assert stripped(text, language) == text


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "piece", ["<script>", "<script", '"data:,', "(data:,", ' d="', " d='", "data:a/b;", '"data:x;y']
)
def test_hostile_repetition_takes_no_longer(piece):
    stripped(piece * (1_000_000 // len(piece)), "HTML")
