"""What does not parse in languages that tree-sitter parses, and what is told where it is not installed."""

from __future__ import annotations

import importlib.util
import sys

import pytest

from repotune.core.errors import UserError
from repotune.corpus.languages import LANGUAGES
from repotune.corpus.signals.parsing import grammars, parsable, require_parsers

installed = pytest.mark.skipif(
    importlib.util.find_spec("tree_sitter_language_pack") is None, reason="needs repotune[parsers]"
)


@installed
@pytest.mark.parametrize(
    ("language", "good", "bad"),
    [
        ("JavaScript", "function f(a) { return a + 1 }\n", "function ( { ] ) = = {\n"),
        ("Go", "package a\n\nfunc f() int { return 1 }\n", "package 1 func ) ( {\n"),
        ("C", "int main(void) { return 0; }\n", "int ) main ( } { ;; @@\n"),
        ("Rust", "fn main() { let x = 1; }\n", "fn 12 ( { let = ; ]\n"),
    ],
)
def test_the_share_in_errors_tells_good_from_bad(measure, language, good, bad):
    assert measure(good, language=language, parse=True)["parse_error_share"] == 0
    assert 0.2 < measure(bad, language=language, parse=True)["parse_error_share"] <= 1


@installed
def test_an_error_is_no_larger_than_itself(measure):
    text = "function f(a) { return a + 1 }\n" * 20 + "@@@\n" + "function g() { return 2 }\n" * 20
    assert 0 < measure(text, language="JavaScript", parse=True)["parse_error_share"] < 0.1


@installed
@pytest.mark.parametrize("language", sorted(grammars()))
def test_every_grammar_there_is_loads_and_takes_any_text(measure, language):
    assert 0 <= measure("x = 1 \u6f22 \ufffd {\n", language=language, parse=True)["parse_error_share"] <= 1


@pytest.mark.parametrize("language", ["Text", "Markdown"])
def test_prose_is_not_parsed(measure, language):
    assert measure("x ) (", language=language, parse=True)["parse_error_share"] is None


def test_grammars_are_of_languages_that_are_known():
    assert set(grammars()) <= set(LANGUAGES) and "Python" in parsable()


def test_without_tree_sitter_other_languages_are_refused_with_a_hint(monkeypatch):
    monkeypatch.setitem(sys.modules, "tree_sitter_language_pack", None)
    with pytest.raises(UserError, match="tree-sitter") as caught:
        require_parsers({"Python", "Go"})
    assert "repotune[parsers]" in caught.value.hint
    require_parsers({"Python"})
