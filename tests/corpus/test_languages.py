from __future__ import annotations

import pytest

from repotune.core.errors import UserError
from repotune.corpus.languages import (
    LANGUAGES,
    language_of_path,
    language_of_shebang,
    may_have_shebang,
    wanted_languages,
)


@pytest.mark.parametrize(
    ("path", "language"),
    [
        ("a/b.py", "Python"),
        ("B.PY", "Python"),
        ("x.test.tsx", "TSX"),
        ("Dockerfile", "Dockerfile"),
        ("sub/CMakeLists.txt", "CMake"),
        (".py", ""),
        ("LICENSE", ""),
        ("image.png", ""),
    ],
)
def test_a_name_or_an_extension_tells(path, language):
    assert language_of_path(path) == language


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
    assert language_of_shebang(line) == language


def test_only_a_name_without_extension_may_be_a_script():
    assert may_have_shebang("bin/.profile") and may_have_shebang("bin/run") and not may_have_shebang("a.bin")


def test_languages_are_chosen_whatever_their_case_and_none_means_all():
    assert wanted_languages(("python", "C++")) == {"Python", "C++"}
    assert wanted_languages(None) == set(LANGUAGES)
    with pytest.raises(UserError, match="Pyton") as caught:
        wanted_languages(("Pyton",))
    assert caught.value.hint == "did you mean Python?"
