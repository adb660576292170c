"""Infilling judged by tests, where the hole is a part of the syntax, after SAFIM (arXiv 2403.04814).

From problems in Python with a checked reference, which need no new tests: `block` (the body of a loop or a branch),
`control` (the condition or iterable that decides what runs) and `call` (a call with its arguments). A hole is a
problem as any other: what is written there must make the tests pass, not look like what stood there.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import accumulate

from repotune.evaluate.benchmarks.problem import PYTHON, Problem

KINDS = ("block", "control", "call")
_Hole = tuple[str, int, int]


def syntax_holes(problems: Sequence[Problem]) -> list[Problem]:
    """All holes of the problems' references, each a problem of its own; none of a program that does not parse."""
    return [
        replace(
            problem,
            id=f"{problem.id}/{kind}/{number}",
            prompt=program[:start],
            suffix=program[stop:],
            reference=program[start:stop],
            stop=(),
            kind=kind,
            origin=problem.id,
        )
        for problem in problems
        if problem.language == PYTHON and problem.suffix is None and problem.reference_is_checked
        for program in [problem.candidate(problem.reference or "")]
        for number, (kind, start, stop) in enumerate(_holes(program, len(problem.prompt)))
    ]


def _holes(program: str, answer_begins: int) -> Iterator[_Hole]:
    """Kind, start and stop of the holes that lie within the answer, in the order of the text."""
    try:
        tree = ast.parse(program)
    except SyntaxError:
        return
    at = _Places(program)
    found = sorted({hole for node in ast.walk(tree) for hole in _of(node, at)}, key=lambda hole: (hole[1:], hole[0]))
    yield from (hole for hole in found if hole[1] >= answer_begins)


def _of(node: ast.AST, at: _Places) -> Iterator[_Hole]:
    match node:
        case ast.If(test=decides, body=body) | ast.While(test=decides, body=body) | ast.For(iter=decides, body=body):
            yield ("control", *at.span(decides, decides))
            if body[0].lineno > decides.lineno:
                yield ("block", *at.span(body[0], body[-1]))
        case ast.Call(args=arguments, keywords=keywords) if arguments or keywords:
            yield ("call", *at.span(node, node))


class _Places:
    """Where a node lies in the text, in characters: ast counts lines, and bytes within them."""

    def __init__(self, text: str) -> None:
        self._lines = [f"{line}\n" for line in text.split("\n")]  # str.splitlines also cuts at form feeds
        self._starts = [0, *accumulate(map(len, self._lines))]

    def span(self, first: ast.expr | ast.stmt, last: ast.expr | ast.stmt) -> tuple[int, int]:
        assert last.end_lineno is not None
        assert last.end_col_offset is not None
        return self._place(first.lineno, first.col_offset), self._place(last.end_lineno, last.end_col_offset)

    def _place(self, line: int, byte: int) -> int:
        return self._starts[line - 1] + len(self._lines[line - 1].encode()[:byte].decode())
