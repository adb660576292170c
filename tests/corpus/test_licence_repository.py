from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repotune.corpus.licences.repository import is_licence_file, licences_of_repository, of_readme, states_licences
from repotune.corpus.licences.texts import _shipped

APACHE = Path(__file__).parents[2].joinpath("LICENSE").read_text()
MIT, GPL, BSD = (_shipped()[name]["texts"][0] for name in ("MIT", "GPL-2.0-only", "BSD-2-Clause"))


def found(files: Mapping[str, str], path: str) -> tuple[str, ...]:
    def read(paths: Sequence[str]) -> list[str]:
        return [files[path] for path in paths]

    return licences_of_repository(files, read).of(path)


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("LICENSE", True),
        ("a/LICENCE.md", True),
        ("LICENSE.rst", True),
        ("COPYING.LESSER", True),
        ("LICENSE-MIT", True),
        ("MIT-LICENSE.txt", True),
        ("UNLICENSE", True),
        ("UNLICENSE.txt", True),
        ("COPYRIGHT", True),
        ("EULA.txt", True),
        ("LICENSES/MIT.txt", True),
        ("COMMONS-CLAUSE-LICENSE", True),
        ("license.py", False),
        ("licenses.json", False),
        ("licensing.md", False),
        ("third-party-licenses.txt", False),
        ("LICENSES/tool.py", False),
    ],
)
def test_licence_files_are_known_by_name(path, answer):
    assert is_licence_file(path) is answer


@pytest.mark.parametrize("path", ["NOTICE", "a/NOTICE.txt", "README", "readme.md", "web/package.json", ".reuse/dep5"])
def test_other_files_state_licences_too(path):
    assert states_licences(path) and not is_licence_file(path)


@pytest.mark.parametrize("path", ["main.py", "README.fr.md", "noticeboard.md", "package-lock.json"])
def test_most_files_state_none(path):
    assert not states_licences(path)


def test_the_nearest_folder_holds():
    files = {"LICENSE": MIT, "vendor/x/COPYING": GPL}
    assert found(files, "vendor/x/deep/a.c") == ("GPL-2.0-only",)
    assert found(files, "vendor/xy/a.c") == ("MIT",)
    assert found({}, "a.c") == ()


def test_all_that_one_folder_states_holds_together():
    assert found({"LICENSE": MIT, "LICENSE.APACHE": APACHE}, "a.py") == ("Apache-2.0", "MIT")
    assert found({"LICENSE": MIT, "package.json": '{"license": "AGPL-3.0-only"}'}, "a.js") == ("AGPL-3.0-only", "MIT")
    assert found({"LICENSE": MIT, "COMMONS-CLAUSE-LICENSE": "“Commons Clause” License Condition"}, "a.js") == (
        "LicenseRef-Commons-Clause",
        "MIT",
    )


def test_a_licence_that_nobody_knows_is_unknown_and_a_notice_without_one_is_not():
    assert found({"LICENSE": "Ask us."}, "a.py") == ("unknown",)
    assert found({"LICENSE": ""}, "a.py") == ("unknown",)
    assert found({"LICENSE": MIT, "NOTICE": "Made by Acme."}, "a.py") == ("MIT",)
    assert found({"LICENSE": MIT, "NOTICE": GPL}, "a.py") == ("GPL-2.0-only", "MIT")


def test_a_licence_file_that_only_points_at_others_states_nothing():
    pointer = "This software is made available under the terms of *either* of LICENSE.APACHE or LICENSE.BSD."
    files = {"LICENSE": pointer, "LICENSE.APACHE": APACHE, "LICENSE.BSD": BSD}
    assert found(files, "a.py") == ("Apache-2.0", "BSD-2-Clause")


def test_a_familys_name_counts_only_where_no_licence_file_tells_more():
    metadata = '[project]\nclassifiers = ["License :: OSI Approved :: BSD License"]'
    assert found({"LICENSE": BSD, "pyproject.toml": metadata}, "a.py") == ("BSD-2-Clause",)
    assert found({"pyproject.toml": metadata}, "a.py") == ("BSD-3-Clause",)


def test_a_readme_counts_only_where_nothing_firmer_is_stated_in_its_folder_or_above():
    readme = "# Acme\n\n## License\n\nMIT\n"
    assert found({"README.md": readme}, "a.py") == ("MIT",)
    assert found({"README.md": readme, "COPYING": GPL}, "a.py") == ("GPL-2.0-only",)
    assert found({"sub/README.md": readme, "COPYING": GPL}, "sub/a.py") == ("GPL-2.0-only",)


def test_reuse_says_by_annotations_what_its_store_does_not():
    store = {"LICENSES/MIT.txt": MIT, "LICENSES/Apache-2.0.txt": APACHE}
    annotated = '[[annotations]]\npath = "docs/**"\nSPDX-License-Identifier = "CC0-1.0"'
    assert found({"LICENSES/MIT.txt": MIT}, "a.py") == ("MIT",)
    assert found(store, "a.py") == ()
    assert found(store | {"REUSE.toml": annotated}, "docs/a.md") == ("CC0-1.0",)
    assert found({"LICENSE": MIT, "REUSE.toml": annotated}, "docs/a.md") == ("CC0-1.0",)
    inner = '[[annotations]]\npath = "*.md"\nSPDX-License-Identifier = "ISC"'
    assert found({"REUSE.toml": annotated, "docs/REUSE.toml": inner}, "docs/a.md") == ("ISC",)


@pytest.mark.parametrize(
    ("readme", "licences"),
    [
        (
            "# A\n\n## License\n\nThis project is licensed under the MIT License, see LICENSE.\n\n## More\n\nGPL",
            {"MIT"},
        ),
        ("A\n=\n\nLicence\n-------\n\nApache License 2.0\n", {"Apache-2.0"}),
        ("== License\n\nDual: GPLv2 or later.\n\n== Next\n", {"GPL-2.0-or-later"}),
        ("## Licensing\n**BSD-3-Clause**\n", {"BSD-3-Clause"}),
        ("## License\n\nAsk Bob.\n", set()),
        ("Our license is MIT.", set()),
        ("", set()),
    ],
)
def test_readmes_name_licences_in_a_section_of_their_own(readme, licences):
    assert of_readme(readme) == licences


@settings(deadline=None)  # the first call reads the texts of all licences
@given(st.text() | st.lists(st.sampled_from(["## License\n", "MIT\n", "===\n", "# A\n", "\n", "x "])).map("".join))
def test_any_readme_names_some_or_none(text):
    assert isinstance(of_readme(text), frozenset)
