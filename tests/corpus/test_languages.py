from __future__ import annotations

import re
import time
from importlib.resources import files

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from repotune.core.errors import UserError
from repotune.corpus.languages import (
    _AMBIGUOUS,
    _HEAD,
    _TABLE,
    LANGUAGES,
    language_of,
    language_of_path,
    language_of_shebang,
    likely_language,
    possible_languages,
    wanted_languages,
)

REPLIT = (
    "Markdown Java JavaScript Python TypeScript PHP SQL JSX reStructuredText Rust C CSS Go C++ HTML Vue Ruby R Shell "
    "C# Swift Scala Lua Perl Haskell Julia Common_Lisp OCaml Solidity Scheme Zig Racket D Kotlin Dart Fortran"
)

# What each rule of ambiguous.toml is there for: an extension, its language, and a file of that kind.
SAMPLES = [
    (".1", "Roff", ".TH LS 1\n.SH NAME\nls"),
    (".cl", "Common Lisp", "(defun f (x) x)"),
    (".cls", "TeX", "% a class\n\\NeedsTeXFormat{LaTeX2e}"),
    (".cls", "Visual Basic", "VERSION 1.0 CLASS\nBEGIN\nEND\nAttribute VB_Name = \"A\""),
    (".cls", "ABL", "USING Progress.Lang.*.\nCLASS Acme.Thing INHERITS Base:\n"),
    (".cls", "Apex", "public with sharing class Thing {\n  Integer n;\n}"),
    (".d", "D", "module acme.thing;\nimport std.stdio : writeln;\n"),
    (".d", "DTrace", "#pragma D option quiet\nsyscall::open*:entry\n{\n}"),
    (".d", "Makefile", "build/main.o: src/main.c \\\n  src/main.h\n"),
    (".f", "Forth", ": square dup * ;"),
    (".f", "Fortran", "      SUBROUTINE F(X)\n      END"),
    (".for", "Forth", ": square dup * ;"),
    (".fs", "Forth", ": square dup * ;"),
    (".fs", "F#", "module Acme\nopen System\nlet x = 1"),
    (".fs", "GLSL", "#version 330\nuniform vec3 light;\nvoid main() {}"),
    (".gd", "GAP", "DeclareOperation(\"Size\", [IsList]);"),
    (".h", "Objective-C", "#import <Foundation/Foundation.h>\n@interface A : NSObject\n@end"),
    (".h", "C++", "#pragma once\n#include <vector>\nnamespace acme {\nclass Thing;\n}"),
    (".h", "C++", "template <typename T>\nT f(T x);"),
    (".h", "C++", "struct A : public B {\n};"),
    (".inc", "PHP", "<?php\nfunction f() {}"),
    (".inc", "Pascal", "{$IFDEF FPC}\nprocedure F;\nbegin\nend;"),
    (".inc", "Assembly", "BUFFER equ 4096\n    mov ax, bx"),
    (".inc", "C++", "#ifdef WIN32\ntemplate <class T> T f();\n#endif"),
    (".inc", "Makefile", "CFLAGS += -O2\n"),
    (".inc", "SQL", "CREATE TABLE a (b int);"),
    (".l", "Common Lisp", "(defun f (x) x)"),
    (".l", "Roff", ".TH LS 1"),
    (".m", "Objective-C", "#import \"A.h\"\n@implementation A\n@end"),
    (".m", "Mercury", ":- module hello.\n:- interface."),
    (".m", "Wolfram Language", "(* a package *)\nf[x_] := Module[{y}, y]"),
    (".m", "MATLAB", "function y = f(x)\n% squares\ny = x.^2;\nend"),
    (".md", "GCC Machine Description", ";; the machine\n(define_insn \"add\")"),
    (".ml", "OCaml", "open List\nlet rec f x = x"),
    (".ml", "Standard ML", "structure A = struct\n  fun f x = x\nend"),
    (".mod", "XML", "<!ENTITY % inline \"a\">"),
    (".mod", "Modula-2", "IMPLEMENTATION MODULE A;\nEND A."),
    (".mod", "AMPL", "param n;\nvar x >= 0;\nminimize cost: x;"),
    (".mod", "Go Module", "module example.org/a\n\ngo 1.22"),
    (".php", "Hack", "<?hh // strict\nfunction f(): int {}"),
    (".pl", "Perl", "#!/usr/bin/perl\nuse strict;\nmy $x = 1;"),
    (".pl", "Raku", "use v6;\nsay 1"),
    (".pl", "Prolog", "parent(a, b).\nancestor(X, Y) :- parent(X, Y)."),
    (".pm", "Perl", "package A;\nuse strict;\n=head1\n\nclass A of things\n"),
    (".pm", "Raku", "unit module Acme;\n"),
    (".pm", "X PixMap", "/* XPM */\nstatic char *a[] = {"),
    (".pp", "Pascal", "unit Acme;\ninterface\nuses Classes;"),
    (".pro", "Proguard", "-keep class a.b.C { *; }"),
    (".pro", "Prolog", "ancestor(X, Y) :- parent(X, Y)."),
    (".pro", "INI", "[last]\nlast_client=a"),
    (".pro", "QMake", "QT += core\nSOURCES += main.cpp"),
    (".pro", "IDL", "pro hello\n  print, 'a'\nend"),
    (".props", "XML", "<?xml version=\"1.0\"?>\n<Project/>"),
    (".r", "Rebol", "REBOL [Title: \"a\"]"),
    (".rs", "XML", "<?xml version=\"1.0\"?>\n<rs/>"),
    (".rs", "RenderScript", "#pragma version(1)\n#pragma rs java_package_name(a)"),
    (".sc", "SuperCollider", "SynthDef(\\a, { |freq| Out.ar(0, SinOsc.ar(freq)) })"),
    (".sol", "Gerber Image", "%FSLAX24Y24*%\nG04 a*"),
    (".sql", "PLpgSQL", "CREATE FUNCTION f() RETURNS trigger AS $$ BEGIN END $$ LANGUAGE plpgsql;"),
    (".sql", "PLSQL", "CREATE OR REPLACE PACKAGE a AS\n  x VARCHAR2(10);\nEND;"),
    (".sql", "TSQL", "SET NOCOUNT ON\nGO\nSELECT 1"),
    (".t", "Raku", "use v6;\nok 1"),
    (".t", "Turing", "var x : int\nput \"a\""),
    (".t", "Terra", "terra f(x : int) return x end"),
    (".ts", "XML", "<?xml version=\"1.0\"?>\n<!DOCTYPE TS>\n<TS version=\"2.1\">"),
    (".tsx", "XML", "<?xml version=\"1.0\"?>\n<tileset name=\"a\">"),
    (".v", "Rocq Prover", "Require Import List.\nTheorem a : True.\nProof. trivial. Qed."),
    (".v", "V", "module main\n\nfn main() {\n\tprintln('a')\n}"),
    (".v", "Verilog", "module a(input clk, output q);\nendmodule"),
    (".yy", "JSON", "{\"resourceType\": 1}"),
]  # fmt: skip
# The usual language of each extension, by a file of its kind that no rule may take for another.
USUAL = {
    ".1": "1.1 changes nothing", ".cl": "__kernel void f(__global int *x) {}", ".cls": "some text",
    ".d": "void main() {}", ".f": "! a comment", ".for": "      END", ".fs": "printfn \"a\"",
    ".gd": "extends Node\nfunc _ready():\n\tpass",
    ".h": "#include <stdio.h>\n#define C(x) static_cast<int>(x)\nextern \"C\" int g;",
    ".inc": "static const int x = 1;", ".l": "%{\n#include \"a.h\"\n%}\n%%\n[0-9]+ return N;",
    ".m": "int main(void) { return 0; }", ".md": "# Title\n\nSome *text* on: things.", ".ml": "f x", ".mod": "\x01",
    ".php": "<?php echo 1;", ".pl": "print 1;", ".pm": "package A;\n1;", ".pp": "class a { file { 'b': } }",
    ".pro": "a", ".props": "key = value", ".r": "f <- function(x) x + 1", ".rs": "use std::io;\nfn main() {}",
    ".sc": "object A extends App {\n  println(1)\n}", ".sol": "pragma solidity ^0.8.0;\ncontract A {}",
    ".sql": "SELECT a FROM b WHERE c = 1;", ".t": "use Test::More;\nok(1);",
    ".ts": "const x: number = 1;\nexport function f<T>(a: T): T { return a }",
    ".tsx": "export const A = () => <div/>;", ".v": "// nothing that tells", ".yy": "%token A\n%%\n",
}  # fmt: skip


@pytest.mark.parametrize(("extension", "language", "text"), SAMPLES)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_each_rule_knows_its_language(extension, language, text, end):
    assert language_of(f"src/a{extension}", text.replace("\n", end).encode()) == language


@pytest.mark.parametrize(("extension", "text"), USUAL.items())
def test_what_no_rule_takes_is_in_the_usual_language(extension, text):
    path = f"a{extension}"
    assert language_of(path, text.encode()) == likely_language(path) == _AMBIGUOUS[extension].otherwise
    assert language_of(path, b"") == likely_language(path)


def test_every_rule_has_a_sample():
    assert {(extension, language) for extension, language, _ in SAMPLES} == {
        (extension, language) for extension, row in _AMBIGUOUS.items() for language, _ in row.rules
    }
    assert set(USUAL) == set(_AMBIGUOUS)


def test_the_tables_do_not_contradict_each_other():
    extensions = [end for row in _TABLE.values() for end in row.get("extensions", ())]
    assert len(set(extensions)) == len(extensions) and not set(extensions) & set(_AMBIGUOUS)
    told_apart = {language for row in _AMBIGUOUS.values() for language in row.languages}
    assert told_apart - set(LANGUAGES) == {"Gerber Image", "X PixMap"}  # drawings, not code
    assert set(REPLIT.replace("_", " ").split()) - {"Common", "Lisp"} <= set(LANGUAGES)


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_row_is_found_by_all_that_it_lists(language):
    row = _TABLE[language]
    for extension in row.get("extensions", ()):
        assert language_of_path(f"a/B{extension.upper()}") == language
    for name in row.get("names", ()):
        assert language_of_path(f"a/{name.title()}") == language
    for name in row.get("interpreters", ()):
        assert language_of_shebang(f"#!/usr/bin/env {name}\n".encode()) == language
    for mode in row.get("modes", ()):
        assert language_of("a", f"# -*- mode: {mode} -*-".encode()) == language
    assert row or any(language in other.languages for other in _AMBIGUOUS.values())


@pytest.mark.parametrize(
    ("path", "language"),
    [
        ("a/b.py", "Python"),
        ("B.PY", "Python"),
        ("Dockerfile", "Dockerfile"),
        ("sub/CMakeLists.txt", "CMake"),
        (".py", ""),
        ("LICENSE", ""),
        ("image.png", ""),
        ("a.h", ""),
    ],
)
def test_a_name_or_an_extension_tells(path, language):
    assert language_of_path(path) == language


@pytest.mark.parametrize(
    ("path", "possible"),
    [
        ("a.py", {"Python"}),
        ("a.h", {"C", "C++", "Objective-C"}),
        ("a.png", set()),
        ("bin/run", set(LANGUAGES)),
        (".profile", {"Shell"}),
        (".py", set(LANGUAGES)),
    ],
)
def test_a_path_says_which_languages_to_expect(path, possible):
    assert possible_languages(path) == possible


@pytest.mark.parametrize(
    ("line", "language"),
    [
        (b"#!/usr/bin/env python3.11\n", "Python"),
        (b"#! /usr/bin/env -S FOO=1 node --harmony", "JavaScript"),
        (b"#!/bin/sh -e\n", "Shell"),
        (b"#!/usr/local/bin/perl5\n", "Perl"),
        (b"#!/opt/unheard-of\n", ""),
        (b"\xff\xfe", ""),
        (b"#!", ""),
    ],
)
def test_a_first_line_tells(line, language):
    assert language_of_shebang(line) == language_of("bin/run", line) == language


@pytest.mark.parametrize(
    ("path", "text", "language"),
    [
        ("vector", "// The vector -*- C++ -*-\n", "C++"),
        ("a.h", "/* -*- mode: C++; tab-width: 4 -*- */\nint x;", "C++"),
        ("a.pl", "% nothing\n% vim: set ft=prolog:\n", "Prolog"),
        ("a.pl", "print 1;\n" * 5000 + "# vim: ft=perl\n", "Perl"),
        ("run", "x\n# -*- coding: utf-8 -*-\n", ""),
        ("a.h", "// -*- python -*-\nint x;", "C"),
        ("a.py", "# -*- C++ -*-\n", "Python"),
        ("run", "x\n" * 6 + "# -*- C++ -*-\n" + "x\n" * 6, ""),
        ("a.png", "# -*- C++ -*-", ""),
    ],
)
def test_an_editors_line_tells_where_the_name_does_not(path, text, language):
    assert language_of(path, text.encode()) == language


def test_only_the_head_of_a_file_is_looked_at():
    assert language_of("a.h", b"int x;\n" * _HEAD + b"class A {};\n") == "C"


@pytest.mark.parametrize("extension", _AMBIGUOUS)
def test_patterns_take_linear_time(extension):
    hostile = [
        b" " * _HEAD,
        b"\t\n" * _HEAD,
        b"a" * _HEAD,
        b"a " * _HEAD,
        b"(" * _HEAD,
        b"a[" * _HEAD,
        b":= " * _HEAD,
        b"if\n" * _HEAD,
    ]
    for text in hostile:
        started = time.process_time()
        language_of(f"a{extension}", text)
        assert time.process_time() - started < 0.2


@given(st.sampled_from([*_AMBIGUOUS, "", ".py", ".x", "."]), st.binary() | st.text().map(str.encode))
@example("", b"-*- -*-")
@example("", b"vim:ft=\xff")
@settings(max_examples=500)
def test_any_bytes_have_a_language_or_none(extension, data):
    language = language_of(f"a{extension}", data)
    assert not language or language in possible_languages(f"a{extension}")


def test_tables_are_written_in_order():
    text = (files("repotune.corpus") / "languages.toml").read_text(encoding="utf-8")
    rows = [row.strip('"') for row in re.findall(r"^\[(.+)\]$", text, re.MULTILINE)]
    assert rows == sorted(rows, key=str.lower)


def test_languages_are_chosen_whatever_their_case_and_none_means_all():
    assert wanted_languages(("python", "C++")) == {"Python", "C++"}
    assert wanted_languages(None) == set(LANGUAGES)
    with pytest.raises(UserError, match="Pyton") as caught:
        wanted_languages(("Pyton",))
    assert caught.value.hint == "did you mean Python?"
