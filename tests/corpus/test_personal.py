from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repotune.corpus.personal import FindPersonal
from repotune.corpus.redaction import redact


def redacted(text: str, names: bool = True) -> str:
    return redact(text.encode(), FindPersonal(names))[0].decode()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("write to jane.doe@mail.niceplace.io.", "write to <EMAIL>."),
        ("Jane <jane@niceplace.org>", "Jane <EMAIL>"),
        ("'jane+lists@niceplace.co.uk',", "'<EMAIL>',"),
        ("mailto:j@niceplace.de?subject=x", "mailto:<EMAIL>?subject=x"),
        ("(müller@niceplace.de)", "(<EMAIL>)"),
        ("https://u@niceplace.com:1/x jane@niceplace.com", "https://u@niceplace.com:1/x <EMAIL>"),
    ],
)
def test_e_mail_addresses_go(text: str, expected: str) -> None:
    assert redacted(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "jane@example.com joe@sub.example.org you@example.co.uk me@host.test user@localhost",
        "foo@bar.com git@github.com:team/repo.git noreply@niceplace.com 12+joe@users.noreply.github.com",
        "@pytest.mark.parametrize",
        "c = a@b.weight + x@self.proj + a@b.to(device) + q@k.mT",
        "x = a @ b.com",
        "npm i left-pad@1.3.0",
        "@media.com",
    ],
)
def test_examples_roles_and_code_are_no_addresses(text: str) -> None:
    assert redacted(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("HOST = '93.184.216.34'", "HOST = '<IP_ADDRESS>'"),
        ("93.184.216.34:8080", "<IP_ADDRESS>:8080"),
        ("up at 93.184.216.34.", "up at <IP_ADDRESS>."),
        ("ip6 = '2a03:2880:f12f:83:face:b00c:0:25de'", "ip6 = '<IP_ADDRESS>'"),
        ("[2a03:2880::1]:80", "[<IP_ADDRESS>]:80"),
    ],
)
def test_public_addresses_go(text: str, expected: str) -> None:
    assert redacted(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "127.0.0.1 10.20.30.40 172.16.5.4 192.168.1.1 169.254.1.1 0.0.0.0 255.255.255.0 224.0.0.251",
        "192.0.2.77 198.51.100.23 203.0.113.99 2001:db8::42 fe80::1 ::1",
        "8.8.8.8 and 1.1.1.1",
        "version 12.34.56.78, v12.34.56.78, pkg==12.34.56.78, ^12.34.56.78",
        "1.2.3.4 5.6.7.8",
        "oid 1.3.6.1.4.1.311, 300.12.13.14, 12.34.56, 012.034.056.078",
        "52.0.0.0/8",
        "std::chrono::seconds a[1::2] 12:34:56",
    ],
)
def test_private_addresses_versions_and_numbers_stay(text: str) -> None:
    assert redacted(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("call +49 30 901820-55 now", "call <PHONE> now"),
        ("'+14155552671'", "'<PHONE>'"),
        ("tel:+31-641044153", "tel:<PHONE>"),
        ("(415) 867-2671", "<PHONE>"),
        ("415-867-2671 or 1-415-867-2671", "<PHONE> or <PHONE>"),
        ("415.867.2671", "<PHONE>"),
        ("phone: 0221 470 1234", "phone: <PHONE>"),
        ("'fax': '02214701234'", "'fax': '<PHONE>'"),
    ],
)
def test_telephone_numbers_go(text: str, expected: str) -> None:
    assert redacted(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "x = a +12345678901 + 3",
        "Decimal('+35236450.6')",
        "(415) 555-0142 and 212-555-0199",
        "2024-01-15 12:34:56 10000-20000 0000-0000",
        "id = 415-867-26713, 1415-867-2671x",
        "isbn 978-3-16-148410-0",
    ],
)
def test_fictional_numbers_and_sums_stay(text: str) -> None:
    assert redacted(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# Copyright (c) 2019 Jane Q. Doe", "# Copyright (c) 2019 <NAME>"),
        (
            "// Copyright 2001-2004, 2007 Jane Doe and Joe van der Berg.",
            "// Copyright 2001-2004, 2007 <NAME> and <NAME>.",
        ),
        ("__author__ = 'Jane Doe'", "__author__ = '<NAME>'"),
        (" * @author Jane Doe", " * @author <NAME>"),
        (":Author: Jörg Müller <joe@niceplace.de>", ":Author: <NAME> <EMAIL>"),
        ("authors = ['Jane Doe', 'x']", "authors = ['<NAME>', 'x']"),
    ],
)
def test_authors_go_or_stay_by_the_setting(text: str, expected: str) -> None:
    assert redacted(text) == expected
    kept = redacted(text, names=False)
    assert "<NAME>" not in kept and kept == text.replace("<joe@niceplace.de>", "<EMAIL>")


@pytest.mark.parametrize(
    "text",
    [
        "# Copyright (c) 2001-2023 Python Software Foundation",
        "# Copyright 2020 The Go Authors. All rights reserved.",
        "# Copyright 2020 Acme Widgets, Inc.",
        "# Copyright (c) Jane Doe Systems GmbH",
        "The copyright notice above",
        "author = get_author(book)",
        "class AuthorDetail(View):",
        "authors: List[str] = None",
    ],
)
def test_organisations_and_code_about_authors_stay(text: str) -> None:
    assert redacted(text) == text


_PIECES = [
    "@",
    "jane@niceplace.com",
    ".",
    "+",
    "4155552671",
    "12.34.56.78",
    "2a03:2880::1",
    "Copyright ",
    "Jane Doe",
    "author: ",
    "<",
    ">",
    "\n",
]


@given(st.lists(st.sampled_from(_PIECES) | st.text(max_size=12), max_size=15))
def test_replacing_twice_changes_nothing_more(pieces: list[str]) -> None:
    once, _ = redact("".join(pieces).encode(), FindPersonal())
    assert redact(once, FindPersonal()) == (once, {})
    once.decode()


@given(st.binary(max_size=300))
def test_no_bytes_crash_the_search(data: bytes) -> None:
    for span in FindPersonal()(data):
        assert 0 <= span.start < span.end <= len(data)
