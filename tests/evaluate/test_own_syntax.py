"""Holes in the syntax trees of other languages, wherever their grammars are installed."""

from __future__ import annotations

import pytest

from repotune.evaluate.own_code.held_out import HeldOut
from repotune.evaluate.own_code.items import draw_items

pytest.importorskip("tree_sitter_language_pack", reason="repotune[parsers] is not installed")

FILES = {
    "JavaScript": ('import fs from "fs";\n\nfunction f(a) {\n    g(a, 1);\n}\n', 'import fs from "fs";', "a, 1"),
    "TypeScript": ('import fs from "fs";\n\nconst f = (a: A) => {\n    g(a, 1);\n};\n', 'import fs from "fs";', "a, 1"),
    "Java": ("import a.b;\n\nclass A {\n    void f(int a) {\n        g(a, 1);\n    }\n}\n", "import a.b;", "a, 1"),
    "C": ("#include <a.h>\n\nint f(int a) {\n    g(a, 1);\n}\n", "#include <a.h>", "a, 1"),
    "C++": ("#include <a.h>\n\nint A::f(int a) {\n    g(a, 1);\n}\n", "#include <a.h>", "a, 1"),
    "C#": ("using A.B;\n\nclass A {\n    void F(int a) {\n        G(a, 1);\n    }\n}\n", "using A.B;", "a, 1"),
    "Go": ('package a\n\nimport "fmt"\n\nfunc f(a int) {\n    g(a, 1)\n}\n', 'import "fmt"', "a, 1"),
    "Rust": ("use a::b;\n\nfn f(a: i32) {\n    g(a, 1);\n}\n", "use a::b;", "a, 1"),
    "PHP": ("<?php\nuse A\\B;\n\nfunction f($a) {\n    g($a, 1);\n}\n", "use A\\B;", "$a, 1"),
    "Ruby": ("def f(a)\n  g(a, 1)\nend\n", None, "a, 1"),
    "Lua": ("function f(a)\n    g(a, 1)\nend\n", None, "a, 1"),
    "Kotlin": ("import a.b\n\nfun f(a: Int) {\n    g(a, 1)\n}\n", "import a.b", "a, 1"),
    "Scala": ("import a.b\n\ndef f(a: Int) = {\n    g(a, 1)\n}\n", "import a.b", "a, 1"),
    "Swift": ("import A\n\nfunc f(a: Int) {\n    g(a, 1)\n}\n", "import A", "a, 1"),
}


@pytest.mark.parametrize("language", FILES)
def test_each_kind_is_found(language: str) -> None:
    text, imported, arguments = FILES[language]
    items = draw_items([HeldOut(text, "a", language, "r")], ["body", "arguments", "imports"], 5, seed=1)
    found = {item.kind: item.expected for item in items}
    assert found.get("imports") == imported
    assert found["arguments"] == arguments
    assert found["body"].strip().rstrip(";").casefold() == f"g({arguments})"
    for item in items:
        assert item.prefix + item.expected + item.suffix == text


def test_bytes_and_characters_are_told_apart() -> None:
    text = "naïve = 'ü'\n\n\ndef f(é):\n    return g(é, 'ß')\n"
    items = draw_items([HeldOut(text, "a.py", "Python", "r")], ["body", "arguments"], 5, seed=1)
    assert [item.expected for item in items] == ["    return g(é, 'ß')", "é, 'ß'"]


def test_a_function_that_does_not_parse_is_no_hole() -> None:
    text = "def f(a):\n    return ((a\n\n\ndef g(a):\n    return a\n"
    items = draw_items([HeldOut(text, "a.py", "Python", "r")], ["body"], 5, seed=1)
    assert "((" not in "".join(item.expected for item in items)
