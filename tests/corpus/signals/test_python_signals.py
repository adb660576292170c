"""Python's signals against Python itself, on real files of the standard library."""

from __future__ import annotations

import ast
import io
import sysconfig
import tokenize
from pathlib import Path

import pytest

FILES = [
    "argparse",
    "ast",
    "dataclasses",
    "decimal",
    "enum",
    "inspect",
    "json/decoder",
    "re/_parser",
    "textwrap",
    "turtle",
]
FOLDER = Path(sysconfig.get_paths()["stdlib"])


@pytest.fixture(params=[name for name in FILES if (FOLDER / f"{name}.py").is_file()])
def source(request) -> str:
    return (FOLDER / f"{request.param}.py").read_text(encoding="utf-8")


def test_comments_are_those_of_the_tokenizer(measure, source):
    comments = [
        token for token in tokenize.generate_tokens(io.StringIO(source).readline) if token.type == tokenize.COMMENT
    ]
    assert measure(source)["comment_share"] == sum(len(token.string) for token in comments) / len(source)


def test_statements_are_those_of_the_syntax_tree(measure, source):
    kinds = {
        "assert_share": ast.Assert,
        "import_share": (ast.Import, ast.ImportFrom),
        "pass_share": ast.Pass,
    }
    found, nodes = measure(source), list(ast.walk(ast.parse(source)))
    for name, kind in kinds.items():
        lines = {node.lineno for node in nodes if isinstance(node, kind)}
        assert found[name] == pytest.approx(len(lines) / found["lines"])


def test_docstrings_are_those_of_the_syntax_tree(measure, source):
    owners = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    lengths = [
        len(ast.get_source_segment(source, node.body[0].value) or "")
        for node in ast.walk(ast.parse(source))
        if isinstance(node, owners) and ast.get_docstring(node, clean=False) is not None
    ]
    assert measure(source)["docstring_share"] == pytest.approx(sum(lengths) / len(source), abs=0.01)


@pytest.mark.parametrize(
    ("text", "documentation"),
    [
        ('"""doc"""\n', '"""doc"""'),
        ('# licence\n\n"""doc"""\nx = 1\n', '"""doc"""'),
        ("def f():\n    r'''doc'''\n", "'''doc'''"),
        ('class A:  # comment\n    """doc"""\n', '"""doc"""'),
        ('x = """text"""\n', ""),
        ('f(a, """text""")\n', ""),
        ('x = {"a": """text"""}\n', ""),
        ('x = 1\n"""text"""\n', ""),
        ("def f():\n    'doc'\n", ""),
        ('"""doc"""\n"""text"""\n', '"""doc"""'),
    ],
)
def test_a_docstring_stands_alone_after_a_colon_or_before_all_code(measure, text, documentation):
    assert measure(text)["docstring_share"] == pytest.approx(len(documentation) / len(text))


@pytest.mark.parametrize(
    ("text", "share"),
    [("x = 1\n", 0), ("print 'two'\n", 1), ("def f(:\n", 1), ("x = '\\d'\n", 0), ("x = \0\n", 1), ("(" * 5000, 1)],
)
def test_python_is_parsed_by_this_python(measure, text, share):
    assert measure(text, parse=True)["parse_error_share"] == share
