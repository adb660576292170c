"""What is trimmed from a completion, by golden cases; and that streaming gives the same text as waiting."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repotune.infer.trimming import Trimmer, trim


@dataclass(frozen=True)
class Case:
    """prefix + completion + suffix, and what should be left of the completion."""

    name: str
    prefix: str
    suffix: str
    completion: str
    kept: str


BODY = "def area(r):\n    "
GOLDEN = [
    Case("what fits stays", BODY, "\n\nprint(area(2))\n", "return 3.14 * r * r", "return 3.14 * r * r"),
    Case("a repeated next line", BODY, "\n    return s\n", "s = 3.14 * r * r\n    return s", "s = 3.14 * r * r"),
    Case("a repeated next line after a gap", BODY, "\n\n\nprint(1)\n", "pass\n\n\nprint(1)\nprint(2)", "pass"),
    Case("nothing but the next line", BODY, "\n    return s\n", "return s", ""),
    Case("the next line, begun by hand", "x = 1\nretu", "\nreturn x\n", "rn x", ""),
    Case(
        "the next line deeper in is another",
        BODY,
        "\n    return 0",
        "if r:\n        return 0",
        "if r:\n        return 0",
    ),
    Case("a longer line than the next is another", BODY, "\n    s", "s2 = 1\n    s2 += 1", "s2 = 1\n    s2 += 1"),
    Case("windows line ends", "a = [\r\n    ", "\r\n]\r\n", "1,\r\n]\r\n", "1,"),
    Case("a bracket already there", "print(", ")\n", "area(2))", "area(2)"),
    Case("a bracket of its own", "print(", ")\n", "area(2)", "area(2)"),
    Case("some of the brackets already there", "if f(g(", ")):\n", "x)", "x"),
    Case("the rest of the line", 'say("', 'world")\n', 'hello world")', "hello "),
    Case("the rest of the line, then more", "if f(", "):\n    pass\n", "x):\n    return 1", "x"),
    Case("a letter that is there by chance", "item", "self.total\n", "s", "s"),
    Case("a comma already there", "f(a, ", ", c)\n", "b,", "b"),
    Case("left the block", BODY, "", "return r\n\n\ndef other():\n    pass", "return r"),
    Case("a closing bracket may leave it, no more", "f(\n    a", "", ",\n    b,\n)\nprint(1)", ",\n    b,\n)"),
    Case("at the margin there is no block to leave", "", "", "a = 1\nb = 2\n", "a = 1\nb = 2"),
    Case("a loop", "a = 0\n", "", "f()\nf()\nf()\nf()\n", "f()\nf()"),
    Case("a loop from the cursor's line", "    x = 0", "", "\n    f()\n    f()\n    f()", "\n    f()\n    f()"),
    Case("blanks at the end", BODY, "\nf()\n", "return r  \n\n", "return r"),
    Case("blanks before code stay", "a = ", "b\n", "c + ", "c + "),
    Case("a line end before code stays", "", "x = 1\n", "y = 2\n", "y = 2\n"),
    Case("nothing but blanks", BODY, "\n", "\n    \n", ""),
    Case("nothing but blanks before code", "a = ", "b\n", "  ", ""),
    Case("nothing", BODY, "\n", "", ""),
]


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: case.name)
def test_golden(case: Case) -> None:
    assert trim(case.prefix, case.suffix, case.completion) == case.kept


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: case.name)
def test_a_character_at_a_time_gives_the_same(case: Case) -> None:
    assert _stream(case.prefix, case.suffix, list(case.completion)) == case.kept


_code = st.text(alphabet=" \nab()[]:,}", max_size=40)


@given(prefix=_code, suffix=_code, pieces=st.lists(_code, max_size=6))
def test_streaming_gives_what_waiting_gives(prefix: str, suffix: str, pieces: list[str]) -> None:
    whole = trim(prefix, suffix, "".join(pieces))
    assert _stream(prefix, suffix, pieces) == whole
    assert _stream(prefix, suffix, list("".join(pieces))) == whole
    assert "".join(pieces).startswith(whole)


def test_certain_text_is_not_held_back() -> None:
    trimmer = Trimmer("x = ", "\nprint(x)\n")
    assert [trimmer.feed(piece) for piece in ("1", " +", " 2", "\n")] == ["1", " +", " 2", ""]
    assert [trimmer.feed(piece) for piece in ("y", " = 3", "\np")] == ["\ny", " = 3", ""]


def test_done_tells_when_the_model_need_not_go_on() -> None:
    trimmer = Trimmer("x = ", "\nprint(x)\n")
    assert trimmer.feed("1\nprint(x)") == "1"
    assert not trimmer.done
    trimmer.feed("\n")
    assert trimmer.done
    assert trimmer.feed("more") == trimmer.finish() == ""


def _stream(prefix: str, suffix: str, pieces: list[str]) -> str:
    trimmer = Trimmer(prefix, suffix)
    return "".join([trimmer.feed(piece) for piece in pieces]) + trimmer.finish()
