from __future__ import annotations

import pytest

from repotune.corpus.reading import declared_encoding, text_of


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("é = 1".encode(), "é = 1"),
        (b"\xef\xbb\xbfx = 1", "x = 1"),
        ("x = 'é'".encode("utf-16"), "x = 'é'"),
        (b"\xfe\xff" + "x = 1".encode("utf-16-be"), "x = 1"),
        ("x = 1".encode("utf-32"), "x = 1"),
        (
            b"#!/usr/bin/python\n# -*- coding: latin-1 -*-\nx = '\xe9'",
            "#!/usr/bin/python\n# -*- coding: latin-1 -*-\nx = 'é'",
        ),
        (b"a\r\nb", "a\r\nb"),
    ],
)
def test_text_is_decoded_without_its_byte_order_mark(data, text):
    assert text_of(data) == (text, None)


@pytest.mark.parametrize(
    ("data", "rule"),
    [
        (b"", "empty"),
        (b" \n\t\n", "empty"),
        (b"\xef\xbb\xbf", "empty"),
        (b"\x7fELF\0\0\xff", "binary"),
        (b"text with \0 in it", "binary"),
        (b"caf\xe9", "encoding"),
        (b"# coding: koi8-r\n\xc1", "encoding"),
        (b"# coding: rot13\n\xc1", "encoding"),
        (b"# coding: \xff\n\xc1", "encoding"),
        (b"\xff\xfex", "encoding"),
        (b"\xed\xa0\x80", "encoding"),
    ],
)
def test_what_is_no_text_is_told_apart(data, rule):
    text, reason = text_of(data)
    assert text == "" and reason is not None and reason[0] == rule


def test_an_encoding_is_declared_in_the_first_two_lines_only():
    assert declared_encoding(b"# vim: set fileencoding=Latin-1 :") == "iso8859-1"
    assert declared_encoding(b"a\nb\n# coding: latin-1") == ""
    assert declared_encoding(b"x = 1 # coding: latin-1") == ""
