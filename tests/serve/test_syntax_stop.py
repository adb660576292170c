"""A completion ends where the statement at the cursor ends: after its block, not before, and never at nothing."""

from __future__ import annotations

import ast
import asyncio
import re
import subprocess
import sys
import sysconfig
from collections.abc import AsyncIterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repotune.infer.decoding import Piece, Sampling
from repotune.infer.statement import Statement, load_parser
from repotune.infer.trimming import Trimmer, trim
from repotune.serve.completion import Completer
from repotune.serve.metrics import Metrics
from repotune.serve.source import Ask
from repotune.serve.typed_through import Told


@dataclass(frozen=True)
class Case:
    """What is kept of a completion behind `prefix`; `further` is what it says beyond."""

    name: str
    path: str
    prefix: str
    kept: str
    further: str = ""


CASES = [
    Case(
        "a function at the margin", "a.py", "import os\n\n\ndef f(x", "):\n    return x", "\n\n\ndef g():\n    pass\n"
    ),
    Case(
        "a method", "a.py", "class A:\n    def f(self", "):\n        return 1", "\n\n    def g(self):\n        pass\n"
    ),
    Case("a class", "a.py", "class A", "(B):\n    x = 1\n\n    def f(self):\n        pass", "\n\n\nclass C:\n"),
    Case(
        "its clauses",
        "a.py",
        "def f():\n    if x",
        ":\n        a()\n    elif y:\n        b()\n    else:\n        c()",
        "\n    d()\n",
    ),
    Case(
        "a clause behind a comment",
        "a.py",
        "def f():\n    if x",
        ":\n        a()\n    # otherwise\n\n    # there is b\n    else:\n        b()",
        "\n    # and then\n    d()\n",
    ),
    Case("a comment of the body", "a.py", "def f():\n    x", " = 1\n    # two\n    y = 2\n    # three"),
    Case("its handlers", "a.py", "try", ":\n    a()\nexcept ValueError:\n    b()\nfinally:\n    c()", "\nd()\n"),
    Case("a list", "a.py", "x = [", "\n    1,\n    2,\n]", "\ny = [\n    3,\n]\n"),
    Case("a new function at the margin", "a.py", "", "def f():\n    return 1", "\n\n\ndef g():\n    return 2\n"),
    Case(
        "a new method",
        "a.py",
        "class A:\n    x = 1\n\n    ",
        "@cached\n    def f(self):\n        pass",
        "\n\n    def g(self):\n",
    ),
    Case("in an else", "a.py", "if a:\n    b()\nelse:\n    for x", " in y:\n        c()", "\n    d()\n"),
    Case(
        "behind a head of several lines",
        "a.py",
        "def f(\n    a,\n    b,\n):\n    with a",
        " as b:\n        c()",
        "\n    d()\n",
    ),
    Case("unparsable code before it", "a.py", "def f(:\n  ((( '''\n\ndef g(x", "):\n    return x", "\n\n\ndef h():\n"),
    Case(
        "the second half of a string before it",
        "a.py",
        'says\n"""\n\n\ndef g(x',
        "):\n    return x",
        "\n\n\ndef h():\n",
    ),
    Case("what is simple goes on", "a.py", "def f():\n    x", " = 1\n    for y in x:\n        a()\n    return x"),
    Case("statements of a body go on", "a.py", "def f():\n    ", "if x:\n        a()\n    return x"),
    Case("a function in a body goes on", "a.py", "def f():\n    ", "def g():\n        a()\n\n    return g"),
    Case("what is not closed goes on", "a.py", "x = foo(", "\n    1,\n    bar(\n    2\n    ),"),
    Case("Typescript", "a.ts", "export function f(x", "): number {\n  return x;\n}", "\n\nexport function g() {\n"),
    Case(
        "a method of Typescript", "a.ts", "class A {\n  f(x", ") {\n    return x;\n  }", "\n\n  g() {\n    a();\n  }\n"
    ),
    Case(
        "a new method of Typescript", "a.ts", "class A {\n  x = 1;\n\n  ", "f(x) {\n    return x;\n  }", "\n\n  g() {\n"
    ),
    Case("else behind a brace", "a.ts", "if (x", ") {\n  a();\n} else {\n  b();\n}", "\nc();\n"),
    Case("a chain", "a.ts", "const x = f(", "\n  1,\n)\n.then(g)\n.then(h);", "\nconst y = 2;\n"),
    Case("an arrow", "a.ts", "const f = (x", ") => {\n  return x;\n};", "\n\nconst g = 1;\n"),
    Case(
        "Java", "A.java", "class A {\n  int f(int x", ") {\n    return x;\n  }", "\n\n  int g() {\n    return 1;\n  }\n"
    ),
    Case(
        "a new method of Java",
        "A.java",
        "class A {\n  ",
        "@Override\n  int f() {\n    return 1;\n  }",
        "\n\n  int g() {\n",
    ),
    Case(
        "catch on a line of its own",
        "A.java",
        "class A {\n  void f() {\n    try",
        " {\n      a();\n    }\n    catch (E e) {\n    }",
        "\n    b();\n",
    ),
    Case("Go", "a.go", "package a\n\nfunc f(x", " int) int {\n\treturn x\n}", "\n\nfunc g() {\n}\n"),
    Case(
        "cases of Go", "a.go", "func f() {\n\tswitch x", " {\n\tcase 1:\n\t\ta()\n\tdefault:\n\t\tb()\n\t}", "\n\tc()\n"
    ),
    Case("a body of Go goes on", "a.go", "func f() {\n\t", "x := 1\n\tif x > 0 {\n\t\ta()\n\t}\n\treturn"),
]


def statement(case: Case) -> Statement:
    if not case.path.endswith(".py") and find_spec("tree_sitter_language_pack") is None:
        pytest.skip("Other grammars are not installed: pip install 'repotune[parsers]'")
    parser = load_parser(case.path)
    assert parser is not None
    return Statement(parser, case.prefix)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_golden(case: Case) -> None:
    assert trim(case.prefix, "", case.kept + case.further, statement(case)) == case.kept
    if case.further:
        assert trim(case.prefix, "", case.kept + case.further) != case.kept


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_character_at_a_time_gives_the_same_and_ends_as_soon(case: Case) -> None:
    trimmer, shown = Trimmer(case.prefix, "", statement(case)), ""
    for place, character in enumerate(case.kept + case.further):
        shown += trimmer.feed(character)
        if trimmer.done:
            beyond = re.sub(r"#.*\n", "", case.further[: place + 1 - len(case.kept)]).split()
            assert len(beyond) == 1  # at the next statement's first word, or before its end
            break
    else:
        assert not case.further
    assert shown + trimmer.finish() == case.kept


_lines = st.sampled_from(
    [
        "def f(x):",
        "    return x",
        "    if x:",
        "        y()",
        "    else:",
        "x = [",
        "]",
        "}",
        "class A:",
        "# z",
        '"""',
        "",
        "f() {",
        "  }",
    ]
)


@given(before=st.lists(_lines, max_size=5), lines=st.lists(_lines, max_size=7), cut=st.integers(0, 12))
@pytest.mark.parametrize("path", ["a.py", "a.ts"])
def test_it_only_ever_cuts_more_and_never_all(path: str, before: list[str], lines: list[str], cut: int) -> None:
    if path == "a.ts" and find_spec("tree_sitter_language_pack") is None:
        pytest.skip("Other grammars are not installed: pip install 'repotune[parsers]'")
    parser = load_parser(path)
    assert parser is not None
    text = "\n".join([*before, *lines])
    prefix = text[: len("\n".join(before)) + cut]
    completion = text[len(prefix) :]
    old, new = trim(prefix, "", completion), trim(prefix, "", completion, Statement(parser, prefix))
    assert old.startswith(new)
    assert bool(new) == bool(old)
    trimmer = Trimmer(prefix, "", Statement(parser, prefix))
    assert "".join([trimmer.feed(character) for character in completion]) + trimmer.finish() == new


def test_functions_of_real_code_end_where_they_end() -> None:
    parser, found, right = load_parser("a.py"), 0, 0
    assert parser is not None
    for name in ("heapq", "textwrap", "shlex", "queue"):
        text = (Path(sysconfig.get_paths()["stdlib"]) / f"{name}.py").read_text(encoding="utf-8")
        lines = text.splitlines(keepends=True)
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.end_lineno is not None:
                cursor = sum(map(len, lines[: node.lineno - 1])) + node.col_offset + 5
                end = sum(map(len, lines[: node.end_lineno])) - 1
                kept = trim(text[:cursor], "", text[cursor : end + 500], Statement(parser, text[:cursor]))
                found, right = found + 1, right + (kept == text[cursor:end])
    assert found > 60
    assert right / found > 0.93


@pytest.mark.parametrize("path", ["", "notes.md", "Makefile", "a.nobody"])
def test_without_a_grammar_the_old_rules_hold(path: str) -> None:
    assert load_parser(path) is None


def test_a_start_does_not_wait_for_grammars() -> None:
    program = "import repotune.serve.run, sys; sys.exit('tree_sitter' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@dataclass
class GoodModel:
    """A source that writes what it is given."""

    text: str
    context: int = 256
    running: int = 0
    waiting: int = 0

    def start(self) -> None: ...

    async def close(self) -> None: ...

    async def reply(self, _ask: Ask) -> Reply:
        return Reply(self.text, "length", 1)


class Reply(Told):
    """A token at a time."""

    async def __aiter__(self) -> AsyncIterator[Piece]:
        for character in self.text:
            yield Piece(character, ())
        yield Piece("", (), self.finish)


@pytest.mark.parametrize(("path", "whole"), [("a.py", False), ("", True)])
def test_the_server_stops_a_file_whose_language_it_knows(path: str, whole: bool) -> None:
    case = CASES[0]

    async def completed() -> tuple[str, str | None]:
        source = GoodModel(case.kept + case.further)
        completer = Completer(source, Metrics(source), None)
        completion = await completer.begin(Ask(case.prefix, "", 64, Sampling(), path=path))
        return "".join([chunk.text async for chunk in completion]), completion.finish

    text, finish = asyncio.run(completed())
    assert text == ((case.kept + case.further).rstrip() if whole else case.kept)
    assert finish == ("length" if whole else "stop")
