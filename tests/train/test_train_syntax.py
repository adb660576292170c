"""Holes that are nodes of the syntax tree: of every kind alike, in broken code too, none where there is no grammar."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repotune.train.syntax import draw_syntax_hole, has_grammar, nodes_by_kind

PYTHON = '''import os
from json import loads

def shown(path, *, width=80):
    """What is at a path."""
    if os.path.exists(path) and width > 0:
        text = loads(open(path, "r").read())
        return text[:width]
    else:
        return "nothing at " + path
'''
JAVASCRIPT = 'import x from "y";\nfunction f(a, b) {\n  if (a > b) { return g(a, "é"); }\n  let c = a + b;\n}\n'


def _holes(text: str, language: str, count: int = 400) -> set[str]:
    drawn = [draw_syntax_hole(np.random.default_rng(number), text, language) for number in range(count)]
    return {text[hole[0] : hole[1]] for hole in drawn if hole}


def test_holes_are_whole_nodes() -> None:
    holes = _holes(PYTHON, "Python")
    assert {
        "import os",
        "os.path.exists(path) and width > 0",
        "(path, *, width=80)",
        "path, *, width=80",  # as an editor leaves it that has closed the bracket
        "text[:width]",
        "nothing at ",
        'return "nothing at " + path',
    } <= holes
    assert not any(hole.isspace() or not hole for hole in holes)


def test_brackets_that_are_no_pair_stay() -> None:
    holes = _holes("if (a) or (b):\n    f((a), (b))\n", "Python")
    assert {"(a) or (b)", "(a), (b)"} <= holes
    assert "a) or (b" not in holes


def test_a_run_of_statements_is_a_hole() -> None:
    assert any(hole.startswith("text = loads") and hole.endswith("[:width]") for hole in _holes(PYTHON, "Python"))


def test_kinds_come_as_often_as_one_another() -> None:
    text = PYTHON + "".join(f"value_{number} = {number}\n" for number in range(200))
    drawn = Counter(
        text[slice(*hole)].startswith(("import", "from"))
        for hole in (draw_syntax_hole(np.random.default_rng(number), text, "Python") for number in range(900))
        if hole
    )
    assert len(nodes_by_kind(text.encode(), "Python")) == 9
    assert 0.07 < drawn[True] / drawn.total() < 0.16  # a ninth, though 2 of some 240 nodes are imports


def test_a_node_with_an_error_in_it_is_not_chosen() -> None:
    whole = nodes_by_kind(b"f(a, b)\ng(c)\n", "Python")["arguments"]
    broken = nodes_by_kind(b"f(a, = b)\ng(c)\n", "Python")["arguments"]
    assert [node.text for node in whole] == [b"(a, b)", b"(c)"]
    assert [node.text for node in broken] == [b"(c)"]


def test_most_of_what_a_cut_leaves_is_still_known() -> None:
    source = (Path(sysconfig.get_paths()["stdlib"]) / "heapq.py").read_bytes()
    whole = {(kind, node.byte_range) for kind, nodes in nodes_by_kind(source, "Python").items() for node in nodes}
    start, stop = len(source) // 3, len(source) * 2 // 3
    inside = {(kind, span) for kind, span in whole if span[0] >= start and span[1] <= stop}
    found = {
        (kind, (node.start_byte + start, node.end_byte + start))
        for kind, nodes in nodes_by_kind(source[start:stop], "Python").items()
        for node in nodes
    }
    assert len(found & inside) > 0.8 * len(found)
    assert len(found & inside) > 0.5 * len(inside)


def test_other_languages_have_their_grammars() -> None:
    pytest.importorskip("tree_sitter_language_pack", reason="the extra `parsers`")
    holes = _holes(JAVASCRIPT, "JavaScript")
    assert {'import x from "y";', "a > b", "a, b", "é", "let c = a + b;"} <= holes
    kinds = {
        language: set(nodes_by_kind(b"", language)) for language in ("C", "C++", "Go", "Java", "Rust", "TypeScript")
    }
    assert all(has_grammar(language) for language in kinds)


@pytest.mark.parametrize("language", ["Markdown", "Makefile", "no language", ""])
def test_a_language_without_a_grammar_has_no_such_hole(language: str) -> None:
    assert not has_grammar(language)
    assert draw_syntax_hole(np.random.default_rng(1), PYTHON, language) is None


@settings(deadline=None)
@given(st.text(max_size=300), st.integers(0, 2**31))
def test_any_text_is_taken(text: str, seed: int) -> None:
    text = text.encode(errors="ignore").decode()
    hole = draw_syntax_hole(np.random.default_rng(seed), text, "Python")
    assert hole is None or 0 <= hole[0] <= hole[1] <= len(text)
    assert hole == draw_syntax_hole(np.random.default_rng(seed), text, "Python")


def test_without_a_share_no_parser_is_loaded() -> None:
    program = (
        "import sys, numpy, repotune.train.infilling as infilling\n"
        "rendering = infilling.Rendering(None, 64, 1.0, 1)\n"
        "for seed in range(50): rendering._hole(numpy.random.default_rng(seed), 'f(a)', 'Python')\n"
        "sys.exit(any(name.startswith('tree_sitter') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
