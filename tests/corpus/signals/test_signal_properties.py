"""What holds of every text: no crash, shares within bounds, and nothing of a document's neighbours in its signals."""

from __future__ import annotations

import re

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repotune.corpus.languages import LANGUAGES
from repotune.corpus.signals.annotate import ALL, SIGNALS, Annotate
from repotune.corpus.signals.encoded import _BASE64, _ESCAPES, _HEX
from repotune.corpus.signals.scanning import scan
from repotune.corpus.signals.texts import Texts

ANY_LANGUAGE = st.sampled_from([*LANGUAGES, "", "unheard of"])
# Text made of what the measures look for, which plain random text hardly ever holds.
MARKS = [
    '"',
    "'",
    '"""',
    "'''",
    "`",
    "\\",
    "#",
    "//",
    "/*",
    "*/",
    "--",
    "--[[",
    "]]",
    "{-",
    "-}",
    "<!--",
    "-->",
    "=begin",
]
WORDS = [
    "\n",
    "\r\n",
    " ",
    "\t",
    "def ",
    "pass",
    "import",
    "print",
    "0x1f, ",
    "ab,",
    "\\x41",
    "\\u00e9",
    "QUJD" * 9,
    "(",
    ":",
]
SIGNS = ["<script>", "</script>", "data:image/png;base64,", "漢", "é", "😀", "\ufffd", "\0", "TODO", "a"]
PIECES = st.sampled_from([*MARKS, *WORDS, *SIGNS])
TEXT = st.one_of(st.text(max_size=60), st.lists(PIECES, max_size=40).map("".join))
DOCUMENT = st.tuples(TEXT, st.sampled_from(["a.py", "tests/b.min.js", "vendor/README.txt", "Pods/x"]), ANY_LANGUAGE)


def annotated(documents: list[tuple[str, str, str]]) -> list[dict[str, object]]:
    columns = zip(*documents, strict=True) if documents else ((), (), ())
    named = dict(zip(("text", "path", "language"), columns, strict=True))
    batch = pa.RecordBatch.from_pydict({name: pa.array(values, pa.string()) for name, values in named.items()})
    return Annotate()(batch).column("signals").to_pylist()


@settings(deadline=None)  # the first call reads tables, and machines are shared
@given(st.lists(DOCUMENT, max_size=5))
def test_a_document_is_measured_alike_alone_and_among_others(documents):
    assert annotated(documents) == [annotated([document])[0] for document in documents]


@settings(deadline=None)
@given(DOCUMENT)
def test_shares_are_within_nought_and_one(document):
    (found,) = annotated([document])
    shares = {signal.name: found[signal.name] for signal in ALL if signal.kind == "share"}
    assert {name: value for name, value in shares.items() if value is not None and not 0 <= value <= 1} == {}


@settings(deadline=None)
@given(st.text(max_size=200))
def test_characters_are_counted_as_str_counts_them(text):
    (found,) = annotated([(text, "a.py", "Python")])
    lines = text.removesuffix("\n").split("\n") if text else []
    assert (found["characters"], found["bytes"]) == (len(text), len(text.encode()))
    assert (found["lines"], found["longest_line"]) == (len(lines), max(map(len, lines), default=0))
    kinds = {"alphabetic": str.isalpha, "alphanumeric": str.isalnum, "uppercase": str.isupper, "digit": str.isdecimal}
    for name, holds in (kinds | {"space": str.isspace}).items():
        assert found[f"{name}_share"] == sum(map(holds, text)) / max(1, len(text))


@settings(deadline=None)
@given(
    st.lists(
        st.sampled_from(["ab", "0x1f", "\\x41", ",", ", ", " ", "\n", "z", "0", "QUJD" * 8, "\\u00e9" * 4]), max_size=60
    )
)
def test_encoded_data_is_what_the_patterns_find_in_the_whole_text(pieces):
    text = "".join(pieces)
    runs = [len(match[0]) for pattern in (_BASE64, _HEX, _ESCAPES) for match in pattern.finditer(text.encode())]
    (found,) = annotated([(text, "a.c", "C")])
    assert found["longest_encoded"] == max(runs, default=0)
    assert found["encoded_share"] == min(sum(runs), len(text)) / max(1, len(text))


@settings(deadline=None)
@given(st.lists(DOCUMENT, max_size=4))
def test_comments_and_strings_lie_within_their_document_in_order(documents):
    texts = Texts(
        pa.array([text for text, _, _ in documents], pa.string()), ["a"] * len(documents), [row[2] for row in documents]
    )
    spans = scan(texts.documents, texts.languages, texts.starts).spans
    assert all(spans.starts < spans.ends) and all(spans.ends[:-1] <= spans.starts[1:])
    assert all(spans.ends <= texts.ends[spans.documents]) and all(spans.starts >= texts.starts[spans.documents])


# Openers that never close, runs that nearly match, and lines without end: time has to stay linear.
HOSTILE = [
    '"',
    "'",
    '"""',
    '"\\',
    "/*",
    "/**",
    "--[[",
    "<!--",
    "<script",
    "<",
    "0x",
    "\\u00",
    "ab ",
    "ab\t",
    "ab\n",
    "0xab,",
]
HOSTILE += [" ", "\t", "#", "a", "a ", "\n", "QUJD\n", "\n=pod", "{-", "'''\\", '# "', "(", "é", "a" * 70 + " "]


@pytest.mark.timeout(20)
@pytest.mark.parametrize("piece", HOSTILE)
def test_hostile_repetition_takes_no_longer(piece):
    text = piece * (1_000_000 // len(piece))
    languages = ("Python", "C", "Rust", "Shell", "Lua", "Perl", "Haskell", "HTML", "JavaScript")
    annotated([(text[:300_000], "a", language) for language in languages])


def test_the_columns_are_those_of_the_schema():
    batch = pa.RecordBatch.from_pydict({"text": ["x"], "path": ["a.py"], "language": ["Python"]})
    assert Annotate()(batch).column("signals").type == SIGNALS
    assert re.fullmatch(r"[a-z0-9_]+", "".join(signal.name for signal in ALL))
