"""Which licences ask for nothing but attribution, which for the same terms again, and which are not known."""

from __future__ import annotations

import doctest

import pytest

from repotune.corpus.licences import kinds
from repotune.corpus.licences.expressions import UNKNOWN
from repotune.corpus.licences.kinds import KINDS, is_copyleft, kind_of
from repotune.corpus.licences.policy import PERMISSIVE
from repotune.corpus.licences.texts import catalogue


@pytest.mark.parametrize(
    ("expression", "kind"),
    [
        ("MIT", "permissive"),
        ("Apache-2.0 WITH LLVM-exception", "permissive"),
        ("MPL-2.0", "copyleft"),
        ("LGPL-2.1-or-later", "copyleft"),
        ("GPL-2.0-only WITH Classpath-exception-2.0", "copyleft"),
        ("AGPL-3.0-only AND MIT", "copyleft"),
        ("AGPL-3.0-only OR MIT", "permissive"),
        ("CECILL-B", "permissive"),
        ("CECILL-C", "copyleft"),
        ("CC-BY-NC-4.0", "other"),
        ("CC-BY-NC-SA-4.0", "other"),
        ("BUSL-1.1", "other"),
        ("LicenseRef-Acme AND MIT", "other"),
        (UNKNOWN, "unknown"),
    ],
)
def test_an_expression_has_the_kind_of_what_it_asks(expression: str, kind: str) -> None:
    assert kind_of(expression) == kind


def test_every_listed_licence_has_one_kind() -> None:
    assert {kind_of(name) for name in catalogue()} == set(KINDS) - {"unknown"}
    assert not [name for name in PERMISSIVE if is_copyleft(name)]


def test_examples_in_docstrings_hold() -> None:
    assert doctest.testmod(kinds).failed == 0
