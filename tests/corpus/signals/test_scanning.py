"""Comments and strings of every family of languages."""

from __future__ import annotations

import pytest

from repotune.corpus.languages import LANGUAGES
from repotune.corpus.signals.scanning import STRING_OPENERS, _patterns


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("Python", "x = 'a' # 'b'\n", ["'a'", "# 'b'"]),
        ("Python", "'''a\n# \"b\"'''", ["'''a\n# \"b\"'''"]),
        ("Python", r"'\'#' # a", [r"'\'#'", "# a"]),
        ("Python", "'open\nx # a", ["'open", "# a"]),
        ("Python", '"""open\\', ['"""open\\']),
        ("C", "a /* b // */ c // d\ne", ["/* b // */", "// d"]),
        ("C", 'a "/*" b', ['"/*"']),
        ("C", "/* open", ["/* open"]),
        ("C", "/**/a/***/b", ["/**/", "/***/"]),
        ("Java", 'a = """x\n"y" """;', ['"""x\n"y" """']),
        ("JavaScript", "`a\n${b}` + 'c'", ["`a\n${b}`", "'c'"]),
        ("Go", "`a\\` + `b`", ["`a\\`", "`b`"]),
        ("Rust", "fn f<'a>(x: &'a str) { \"y\n\" } // z", ['"y\n"', "// z"]),
        ("PHP", "# a\n// b\n'c\nd'", ["# a", "// b", "'c\nd'"]),
        ("Shell", "echo $# ${#a} 'b\\' # c", ["'b\\'", "# c"]),
        ("Shell", "#!/bin/sh\n", ["#!/bin/sh"]),
        ("Ruby", 'x\n=begin\na\n=end\n"#{b}"', ["\n=begin\na\n=end", '"#{b}"']),
        ("Perl", "$#a; # b\n=pod\n'\n=cut\n", ["# b", "\n=pod\n'\n=cut"]),
        ("SQL", "SELECT 'it''s' -- a\n/* b */", ["'it'", "'s'", "-- a", "/* b */"]),
        ("Lua", "--[[ a\n]] b -- c\n[[d\n]]", ["--[[ a\n]]", "-- c", "[[d\n]]"]),
        ("Haskell", "f' = {- a -} 'b' -- c", ["{- a -}", "-- c"]),
        ("OCaml", 'let a = (* b *) "c"', ["(* b *)", '"c"']),
        ("Common Lisp", "'(a) ; b\n#| c |#", ["; b", "#| c |#"]),
        ("Lean", "/- a -/ def b -- c", ["/- a -/", "-- c"]),
        ("Pascal", "{ a } x := 'b'; // c", ["{ a }", "'b'", "// c"]),
        ("CSS", "a { b: 'c' } /* d */", ["'c'", "/* d */"]),
        ("SCSS", "a: url(http://b) // c", ["// c"]),
        ("HTML", "it's <!-- a --> b", ["<!-- a -->"]),
        ("TeX", "50\\% a % b", ["% b"]),
        ("YAML", "a: b#c # d", ["# d"]),
        ("PowerShell", "<# a #> 'b`' # c", ["<# a #>", "'b`'", "# c"]),
        ("Roff", '.\\" a\n.B b', ['.\\" a']),
        ("JSON", '{"a": "b\\"c"}', ['"a"', '"b\\"c"']),
    ],
)
def test_comments_and_strings_are_found_whole(language, text, expected):
    assert [match[0].decode() for match in _patterns()[language].finditer(text.encode())] == expected


def test_every_family_is_of_languages_that_are_known():
    assert set(_patterns()) <= set(LANGUAGES) and len(_patterns()) > 100


@pytest.mark.parametrize("language", sorted(_patterns()))
def test_what_opens_a_string_opens_no_comment(measure, language):
    for opener in (b"#", b"//", b"--", b"/*", b"{-", b"(*", b";", b"%", b"<!--", b"!", b'.\\"'):
        assert opener[:1] not in STRING_OPENERS
    found = measure("plain words of no language\n", language=language)
    assert (found["comment_share"], found["string_share"]) == (0, 0)
