"""Holes in the syntax of references: the program around them is the reference's, and they lie in the answer."""

from __future__ import annotations

from dataclasses import replace

from repotune.evaluate.benchmarks.problem import Problem
from repotune.evaluate.benchmarks.syntax_holes import KINDS, syntax_holes

PROMPT = 'def total(värden):\n    """Äpplen (len(x))."""\n'
ANSWER = """    summe = 0  # größer
    for wert in sorted(värden, key=abs):
        if wert > 0:
            summe += int(wert)
            print("ß", wert)
        else: summe -= 1
    while False: pass
    return summe
"""
PROBLEM = Problem("p", "py", PROMPT, None, "assert total([1]) == 1", ANSWER, stop=("\ndef ",))


def test_each_hole_filled_with_its_reference_is_the_program() -> None:
    holes = syntax_holes([PROBLEM])
    assert {hole.kind for hole in holes} == set(KINDS)
    for hole in holes:
        assert hole.candidate(hole.reference or "") == PROMPT + ANSWER
        assert hole.prompt.startswith(PROMPT)
        assert hole.cluster == "p"
        assert not hole.stop


def test_holes_are_what_their_kind_says() -> None:
    by_kind = {kind: [hole.reference for hole in syntax_holes([PROBLEM]) if hole.kind == kind] for kind in KINDS}
    assert by_kind["control"] == ["sorted(värden, key=abs)", "wert > 0", "False"]
    assert by_kind["call"] == ["sorted(värden, key=abs)", "int(wert)", 'print("ß", wert)']
    assert [(text or "").splitlines()[0] for text in by_kind["block"]] == ["if wert > 0:", "summe += int(wert)"]


def test_form_feeds_are_no_line_ends() -> None:
    answer = "    x = '\x0c'\n    return max(x, 'a')\n"
    assert [hole.reference for hole in syntax_holes([replace(PROBLEM, reference=answer)])] == ["max(x, 'a')"]


def test_what_cannot_be_cut_gives_no_holes() -> None:
    broken = replace(PROBLEM, reference="    return (\n")
    unchecked = replace(PROBLEM, reference_is_checked=False)
    infilling, other = replace(PROBLEM, suffix="\n"), replace(PROBLEM, language="rs")
    assert not syntax_holes([broken, unchecked, infilling, other])
