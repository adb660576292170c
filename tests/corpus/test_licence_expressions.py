from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repotune.corpus.licences.expressions import conjunction, ids, known_id, parse, satisfied


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("MIT", "MIT"),
        ("mit", "MIT"),
        ("apache-2.0 or mit", "Apache-2.0 OR MIT"),
        ("MIT OR Apache-2.0", "Apache-2.0 OR MIT"),
        ("(MIT OR (Apache-2.0))", "Apache-2.0 OR MIT"),
        ("MIT OR MIT", "MIT"),
        ("Zlib AND (MIT OR Apache-2.0)", "(Apache-2.0 OR MIT) AND Zlib"),
        ("MIT AND Zlib OR ISC", "ISC OR MIT AND Zlib"),
        ("GPL-2.0", "GPL-2.0-only"),
        ("GPL-2.0+", "GPL-2.0-or-later"),
        ("LGPL-2.1-or-later", "LGPL-2.1-or-later"),
        ("Apache-2.0 WITH LLVM-exception", "Apache-2.0 WITH LLVM-exception"),
        ("(GPL-2.0-only WITH Linux-syscall-note) OR MIT", "GPL-2.0-only WITH Linux-syscall-note OR MIT"),
        ("LicenseRef-Acme", "LicenseRef-Acme"),
        ("Acme-1.0", "Acme-1.0"),
        ("", None),
        ("MIT OR", None),
        ("OR MIT", None),
        ("(MIT", None),
        ("MIT)", None),
        ("MIT Apache-2.0", None),
        ("MIT, Apache", None),
        ("MIT WITH", None),
        ("(" * 5000 + "MIT" + ")" * 5000, None),
    ],
)
def test_expressions_have_one_canonical_form(text, canonical):
    assert parse(text) == canonical


@pytest.mark.parametrize(
    ("expression", "answer"),
    [
        ("MIT", True),
        ("Zlib", False),
        ("MIT AND Zlib", False),
        ("MIT OR Zlib", True),
        ("(Zlib OR MIT) AND ISC", True),
        ("(Zlib OR MIT) AND Zlib", False),
        ("MIT WITH Anything-exception", True),
        ("unknown", False),
    ],
)
def test_all_of_an_and_and_one_of_an_or_have_to_be_allowed(expression, answer):
    assert satisfied(expression, {"MIT", "ISC"}.__contains__) is answer


def test_what_is_found_together_is_joined_once_and_in_order():
    assert conjunction(["Zlib", "MIT", "Zlib AND ISC"]) == "ISC AND MIT AND Zlib"
    assert conjunction(["MIT", "Apache-2.0 OR MIT"]) == "(Apache-2.0 OR MIT) AND MIT"
    assert conjunction(["unknown", "MIT"]) == "MIT AND unknown"
    assert conjunction([]) == "unknown"


def test_exceptions_are_no_licences():
    assert ids("(GPL-2.0-only WITH GCC-exception-2.0 OR MIT) AND unknown") == {"GPL-2.0-only", "MIT", "unknown"}


@pytest.mark.parametrize(("name", "listed"), [("mit", "MIT"), ("MIT+", "MIT"), ("BSD", None), ("UNKNOWN", "unknown")])
def test_ids_are_known_in_any_case(name, listed):
    assert known_id(name) == listed


leaves = st.sampled_from(["MIT", "Apache-2.0", "GPL-2.0-only", "unknown", "Zlib WITH X-exception"])
trees = st.recursive(
    leaves, lambda inner: st.tuples(inner, st.sampled_from(["AND", "OR"]), inner).map(lambda t: f"({' '.join(t)})")
)


@settings(deadline=None)  # the first call reads the texts of all licences
@given(trees)
def test_the_canonical_form_is_its_own(expression):
    canonical = parse(expression)
    assert canonical is not None and parse(canonical) == canonical
    assert ids(canonical) == ids(expression)


@settings(deadline=None)  # the first call reads the texts of all licences
@given(st.text() | st.text(alphabet="MIT ()ANDORWITH+-:"))
def test_any_text_is_an_expression_or_none(text):
    canonical = parse(text)
    assert canonical is None or parse(canonical) == canonical


@settings(deadline=None)  # the first call reads the texts of all licences
@given(trees)
def test_the_parser_agrees_with_packagings(expression):
    from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

    plain = expression.replace("unknown", "LicenseRef-unknown").replace(" WITH X-exception", "")
    try:
        canonicalize_license_expression(plain)
    except InvalidLicenseExpression:
        assert parse(plain) is None
    else:
        assert parse(plain) is not None
