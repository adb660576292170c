from __future__ import annotations

import pytest

from repotune.core.errors import UserError
from repotune.corpus.exclusion import Exclusion


@pytest.mark.parametrize(
    ("pattern", "path", "excluded"),
    [
        ("test/**", "test/a/b.py", True),
        ("test/**", "src/test/a.py", False),
        ("**/tests/**", "tests/a.py", True),
        ("**/tests/**", "a/b/tests/c.py", True),
        ("**/tests/**", "a/contests/c.py", False),
        ("*.min.js", "web/deep/x.min.js", True),
        ("*.min.js", "web/x.js", False),
        ("docs", "docs/a.md", True),
        ("docs", "a/docs/b.md", True),
        ("docs/", "a/docs/b.md", True),
        ("/docs", "a/docs/b.md", False),
        ("a/*/c.py", "a/b/c.py", True),
        ("a/*/c.py", "a/b/b/c.py", False),
        ("a?.py", "ab.py", True),
        ("[!a]b.py", "ab.py", False),
        ("[!a]b.py", "cb.py", True),
        ("a[b", "a[b", True),
        ("a.b", "axb", False),
        ("**", "any/thing", True),
        ("other", "web/node_modules/x.js", True),
    ],
)
def test_patterns_read_as_in_gitignore(pattern, path, excluded):
    assert (Exclusion((pattern,)).reason(path) is not None) is excluded


def test_a_pattern_that_cannot_be_read_is_an_error():
    with pytest.raises(UserError, match=r"corpus\.exclude"):
        Exclusion(("[z-a].py",)).reason("a.py")
