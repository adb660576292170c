"""A language is judged only where its controls and references say that it can be."""

from __future__ import annotations

from dataclasses import replace

import pytest

from repotune.core.errors import UserError
from repotune.evaluate.languages.language import Proof, load_languages
from repotune.evaluate.languages.references import Unusable, Usable, check_language
from repotune.evaluate.sandbox.confinement import Level
from repotune.evaluate.sandbox.execution import Verdict
from repotune.evaluate.sandbox.probe import probe

LEVEL = probe().level
BASH = load_languages()["sh"]
RIGHT = BASH.control.texts()[Verdict.PASSED]
WRONG = BASH.control.texts()[Verdict.FAILED]
pytestmark = [
    pytest.mark.skipif(LEVEL < Level.CONFINED, reason=f"this machine only reaches {LEVEL.name}"),
    pytest.mark.skipif(BASH.version() is None, reason="this machine has no Bash with bc"),
]


def test_a_models_answers_need_a_quarter_and_no_more_are_run() -> None:
    references = [WRONG, RIGHT, RIGHT, *[WRONG] * 5]
    assert check_language(BASH, references, checked=False, level=LEVEL) == Usable(2, 3)


def test_checked_references_need_to_pass_nearly_all() -> None:
    found = check_language(BASH, [RIGHT, WRONG, RIGHT], checked=True, level=LEVEL)
    assert isinstance(found, Unusable)
    assert found.reason.startswith("2 of 3 reference solutions passed; 1 ended as failed: ")


def test_a_language_whose_references_all_fail_is_unusable_with_the_first_error() -> None:
    found = check_language(BASH, ["no_such_library\nexit 1\n"] * 3, checked=False, level=LEVEL)
    assert isinstance(found, Unusable)
    assert "0 of 3" in found.reason
    assert "no_such_library: command not found" in found.reason


def test_a_toolchain_that_passes_what_is_wrong_is_found_out() -> None:
    """As a C# does whose failed assertions only print."""
    gullible = replace(BASH, proof=Proof("printf '\\n%s\\n' {secret}", replace="set -e", by=""))
    found = check_language(gullible, [RIGHT] * 3, checked=True, level=LEVEL)
    assert isinstance(found, Unusable)
    assert "a control ended as" in found.reason


def test_a_missing_language_is_unusable_and_no_score_of_nothing() -> None:
    missing = replace(BASH, probe=("no-such-program",))
    assert check_language(missing, [RIGHT], checked=True, level=LEVEL) == Unusable("this machine has no Bash")


def test_without_references_nothing_can_be_said() -> None:
    with pytest.raises(UserError, match="no reference solution"):
        check_language(BASH, [], checked=True, level=LEVEL)
