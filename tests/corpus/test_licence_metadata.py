from __future__ import annotations

import importlib.metadata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repotune.corpus.licences.expressions import parse
from repotune.corpus.licences.metadata import is_metadata, listed_licences, stated, understood
from repotune.corpus.licences.reuse import is_annotations, read_annotations

MIT = frozenset({"MIT"})
POM = """<project><name>Acme</name><licenses><license>
  <name> Apache License, Version 2.0 </name><url>x</url></license></licenses></project>"""


@pytest.mark.parametrize(
    ("path", "text", "licences"),
    [
        ("pyproject.toml", '[project]\nlicense = "MIT"', {"MIT"}),
        ("pyproject.toml", '[project]\nlicense = {text = "MIT License"}', {"MIT"}),
        ("pyproject.toml", '[project]\nlicense = {file = "LICENSE"}', set()),
        ("pyproject.toml", '[project]\nclassifiers = ["License :: OSI Approved :: MIT License"]', {"MIT"}),
        ("pyproject.toml", '[tool.poetry]\nlicense = "GPL-3.0-or-later"', {"GPL-3.0-or-later"}),
        ("pyproject.toml", "[tool.ruff]\nline-length = 120", set()),
        ("pyproject.toml", "[[[", set()),
        ("setup.cfg", "[metadata]\nlicense = Apache Software License 2.0", {"Apache-2.0"}),
        ("setup.cfg", "[metadata]\nclassifiers =\n  License :: OSI Approved :: ISC License (ISCL)", {"ISC"}),
        ("setup.cfg", "no section", set()),
        ("web/package.json", '{"license": "(MIT OR Apache-2.0)"}', {"Apache-2.0 OR MIT"}),
        ("package.json", '{"license": {"type": "BSD-3-Clause", "url": "x"}}', {"BSD-3-Clause"}),
        ("package.json", '{"licenses": [{"type": "MIT"}, {"type": "ISC"}]}', {"MIT", "ISC"}),
        ("package.json", '{"license": "UNLICENSED"}', {"LicenseRef-proprietary"}),
        ("package.json", '{"license": "SEE LICENSE IN LICENSE.md"}', set()),
        ("package.json", "[1]", set()),
        ("package.json", "[" * 100_000, set()),
        ("Cargo.toml", '[package]\nlicense = "MIT/Apache-2.0"', {"Apache-2.0 OR MIT"}),
        ("Cargo.toml", '[workspace.package]\nlicense = "MPL-2.0"', {"MPL-2.0"}),
        ("a.dist-info/METADATA", "Name: a\nLicense-Expression: MIT AND ISC\nLicense: GPL\n\nBody", {"ISC AND MIT"}),
        ("PKG-INFO", "License: Own\nClassifier: License :: OSI Approved :: MIT License\n", {"MIT", "unknown"}),
        ("composer.json", '{"license": ["LGPL-2.1-only", "GPL-3.0-or-later"]}', {"GPL-3.0-or-later OR LGPL-2.1-only"}),
        ("acme.gemspec", "Gem::Specification.new do |s|\n  s.license = 'MIT'\nend", {"MIT"}),
        ("acme.gemspec", 's.licenses = ["Ruby", "BSD-2-Clause"]', {"BSD-2-Clause"}),
        ("pom.xml", POM, {"Apache-2.0"}),
        ("pom.xml", "<project><name>MIT</name></project>", set()),
        ("setup.py", "license='MIT'", set()),
    ],
)  # fmt: skip
def test_each_kind_of_package_states_its_licence(path, text, licences):
    assert stated(path, text).licences == licences
    assert is_metadata(path) is (path != "setup.py")


@pytest.mark.parametrize(
    ("statement", "licences"),
    [
        ("MIT License", {"MIT"}),
        ("The MIT License (MIT)", {"MIT"}),
        ("Apache License, Version 2.0", {"Apache-2.0"}),
        ("Apache 2.0", {"Apache-2.0"}),
        ("BSD 3-Clause", {"BSD-3-Clause"}),
        ("New BSD License", {"BSD-3-Clause"}),
        ("GNU General Public License v3 or later (GPLv3+)", {"GPL-3.0-or-later"}),
        ("GNU Lesser General Public License v2.1 only", {"LGPL-2.1-only"}),
        ("GNU Affero General Public License v3", {"AGPL-3.0-only"}),
        ("Mozilla Public License 2.0 (MPL 2.0)", {"MPL-2.0"}),
        ("Mozilla Public License 2.0", {"MPL-2.0"}),
        ("Python Software Foundation License", {"PSF-2.0"}),
        ("Public Domain", {"LicenseRef-public-domain"}),
        ("Other/Proprietary License", {"LicenseRef-proprietary"}),
        ("European Union Public Licence 1.2", {"EUPL-1.2"}),
        ("see LICENSE", set()),
        ("LICENSE.txt", set()),
        ("", set()),
        ("Acme's own", {"unknown"}),
        ("Acme-1.0", {"unknown"}),
    ],
)
def test_names_are_understood(statement, licences):
    assert understood(statement).licences == licences


@pytest.mark.parametrize("family", ["BSD", "BSD License", "Apache", "GPL", "GNU General Public License (GPL)", "LGPL"])
def test_a_familys_name_is_a_hint_and_no_more(family):
    found = understood(family)
    assert found.hints and not found.licences


def test_a_data_sets_column_is_read_by_names_and_ids():
    assert listed_licences(["mit", "BSD"]) == ("BSD-3-Clause", "MIT")
    assert listed_licences([]) == () and listed_licences(["what"]) == ("unknown",)


def test_installed_packages_are_understood_as_they_state_themselves():
    for distribution in importlib.metadata.distributions():
        expression = distribution.metadata.get("License-Expression")
        if expression:
            text = f"License-Expression: {expression}\n"
            assert stated("x.dist-info/METADATA", text).licences == {parse(expression)}


TOML = """
version = 1
[[annotations]]
path = ["docs/**", "*.png"]
SPDX-License-Identifier = "CC-BY-4.0"
[[annotations]]
path = "docs/code/*.py"
SPDX-License-Identifier = ["MIT", "ISC"]
[[annotations]]
path = "broken/**"
SPDX-License-Identifier = "((("
[[annotations]]
path = "nothing"
"""
DEP5 = """Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/

Files: docs/* *.png
 more/file?.txt
Copyright: 2024 Acme
License: CC0-1.0

Files: x
License: MIT or
 text
"""


@pytest.mark.parametrize(
    ("path", "licence"),
    [
        ("docs/a/b.md", "CC-BY-4.0"),
        ("a.png", "CC-BY-4.0"),
        ("img/a.png", None),
        ("docs/code/a.py", "ISC AND MIT"),
        ("docs/code/deep/a.py", "CC-BY-4.0"),
        ("broken/x", "unknown"),
        ("nothing", None),
    ],
)
def test_annotations_of_reuse_toml(path, licence):
    found = [each.licence for each in read_annotations("REUSE.toml", TOML) if each.covers(path)]
    assert (found[-1] if found else None) == licence
    within = read_annotations("sub/REUSE.toml", TOML)
    assert not any(each.covers(path) for each in within)
    assert any(each.covers(f"sub/{path}") for each in within) is bool(licence)


def test_annotations_of_dep5():
    found = read_annotations("a/.reuse/dep5", DEP5)
    assert [each.licence for each in found] == ["CC0-1.0", "unknown"]
    assert found[0].covers("a/docs/deep/x.md") and found[0].covers("a/deep/x.png") and not found[0].covers("docs/x.md")
    assert is_annotations("a/.reuse/dep5") and is_annotations("REUSE.toml") and not is_annotations("dep5")


NAMES = [
    "pyproject.toml",
    "setup.cfg",
    "package.json",
    "METADATA",
    "composer.json",
    "pom.xml",
    "a.gemspec",
    "Cargo.toml",
]


@settings(deadline=None)  # the first call reads the texts of all licences
@given(st.sampled_from(NAMES), st.text() | st.recursive(st.text(), lambda x: st.lists(x)).map(str))
def test_any_text_states_something_or_nothing(path, text):
    assert stated(path, text).licences is not None
    read_annotations("REUSE.toml", text)
    for each in read_annotations(".reuse/dep5", text):
        each.covers("a")


@settings(deadline=None)  # the first call reads the texts of all licences
@given(
    st.recursive(
        st.none() | st.text() | st.integers(),
        lambda x: st.lists(x) | st.dictionaries(st.sampled_from(["license", "licenses", "type", "x"]), x),
    )
)
def test_any_json_is_taken_for_what_it_is(value):
    import json

    stated("package.json", json.dumps(value))
    stated("composer.json", json.dumps(value))
