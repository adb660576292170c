from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repotune.corpus.licences.detection import licences_of_text
from repotune.corpus.licences.texts import _shipped, catalogue, identify, words_of

TEXTS = {licence: row["texts"][0] for licence, row in _shipped().items() if row["texts"]}
APACHE = Path(__file__).parents[2].joinpath("LICENSE").read_text()
MIT = TEXTS["MIT"].replace("<year> <copyright holders>", "2024 Acme & Söhne GmbH")
# Texts of the list whose optional parts make them a sibling: chosen words of HPND are those of a variant.
SIBLINGS = {"HPND": "HPND-sell-variant", "QPL-1.0-INRIA-2004": "QPL-1.0", "zlib-acknowledgement": "Nunit"}
COMMON = [
    "0BSD", "AGPL-3.0-only", "Apache-2.0", "Artistic-2.0", "BSD-2-Clause", "BSD-3-Clause", "BSD-4-Clause", "BSL-1.0",
    "BUSL-1.1", "CC-BY-4.0", "CC-BY-NC-4.0", "CC-BY-SA-4.0", "CC0-1.0", "CDDL-1.0", "EPL-1.0", "EPL-2.0",
    "Elastic-2.0", "GPL-2.0-only", "GPL-3.0-only", "ISC", "LGPL-2.1-only", "LGPL-3.0-only", "MIT", "MIT-0", "MPL-1.1",
    "MPL-2.0", "OpenSSL", "PSF-2.0", "PolyForm-Noncommercial-1.0.0", "PostgreSQL", "SSPL-1.0", "UPL-1.0", "Unlicense",
    "WTFPL", "Zlib",
]  # fmt: skip
BRITISH = {"license": "licence", "organization": "organisation", "authorized": "authorised", "favor": "favour"}


@pytest.mark.parametrize("licence", TEXTS)
def test_every_text_is_its_licence_and_a_third_of_it_is_not(licence):
    text = TEXTS[licence]
    assert identify(text).licences[0] == SIBLINGS.get(licence, licence)
    words = text.split()
    if licence != "Net-SNMP":  # three licences in one text, the first of which is a third
        assert licence not in identify(" ".join(words[: len(words) // 3])).licences


def british(text: str) -> str:
    return re.sub("|".join(BRITISH), lambda match: BRITISH[match[0]], text)


def commented(text: str) -> str:
    lines = textwrap.fill(" ".join(text.split()), 50).splitlines()
    return "/*\n" + "\n".join(f" * {line}" for line in lines) + "\n */"


def edited(text: str) -> str:
    """A word of every sixty is another."""
    words = text.split()
    return " ".join("Acme" if place % 60 == 30 else word for place, word in enumerate(words))


def bulleted(text: str) -> str:
    return re.sub(r"\n\n", "\n\n  2) ", text)


@pytest.mark.parametrize("change", [british, commented, edited, bulleted, str.upper, str.lower])
@pytest.mark.parametrize("licence", COMMON)
def test_layout_names_spelling_and_small_edits_change_nothing(licence, change):
    assert identify(change(TEXTS[licence])).licences == (licence,)


@pytest.mark.parametrize("folder", [Path("/usr/share/common-licenses")])
def test_debians_common_licences_are_known(folder):
    expected = {
        "Apache-2.0": "Apache-2.0", "Artistic": "Artistic-1.0-Perl", "BSD": "BSD-3-Clause", "CC0-1.0": "CC0-1.0",
        "GFDL-1.2": "GFDL-1.2-only", "GFDL-1.3": "GFDL-1.3-only", "GPL-1": "GPL-1.0-only", "GPL-2": "GPL-2.0-only",
        "GPL-3": "GPL-3.0-only", "LGPL-2": "LGPL-2.0-only", "LGPL-2.1": "LGPL-2.1-only", "LGPL-3": "LGPL-3.0-only",
        "MPL-1.1": "MPL-1.1", "MPL-2.0": "MPL-2.0",
    }  # fmt: skip
    present = {name: licence for name, licence in expected.items() if (folder / name).is_file()}
    if not present:
        pytest.skip("not a Debian")
    found = {name: identify((folder / name).read_text(errors="replace")).licences for name in present}
    assert found == {name: (licence,) for name, licence in present.items()}


@pytest.mark.parametrize(
    ("text", "licences"),
    [
        (MIT, {"MIT"}),
        (MIT + APACHE, {"MIT", "Apache-2.0"}),
        (TEXTS["GPL-2.0-only"] + MIT, {"GPL-2.0-only", "MIT"}),
        (APACHE.partition("APPENDIX")[0], {"Apache-2.0"}),
        ("“Commons Clause” License Condition v1.0\n" + APACHE, {"Apache-2.0", "LicenseRef-Commons-Clause"}),
        (MIT + "\nThe Software shall be used for Good, not Evil.", {"JSON"}),
        (MIT + "\nThe Software must not be used for the training of language models.", {"MIT", "unknown"}),
        (MIT + "\nFor non-commercial purposes only.", {"MIT", "unknown"}),
        ("PolyForm Shield License 1.0.0\n\nAcceptance\n\nIn order to get any license…", {"LicenseRef-PolyForm"}),
        (
            MIT + "\nLicensed under the Apache License, Version 2.0; you may not use this file except in\n"
            "compliance with the License.",
            {"MIT", "Apache-2.0"},
        ),
        (
            TEXTS["BSD-3-Clause"].replace(
                "Neither the name of the copyright holder nor the names of its contributors may",
                "The name of the author may not",
            ),
            {"BSD-3-Clause"},
        ),
        (
            TEXTS["GPL-2.0-only"] + "use the GNU Library General Public License instead of this License.",
            {"GPL-2.0-only"},
        ),
        ("Copyright Acme. All rights reserved.", {"unknown"}),
        ("Licensed under the MIT license.", {"MIT"}),
        ("SPDX-License-Identifier: MIT OR Apache-2.0\n", {"Apache-2.0 OR MIT"}),
        ("", {"unknown"}),
    ],
)
def test_what_lies_beside_a_text_counts_as_well(text, licences):
    assert licences_of_text(text) == licences


def test_the_rest_is_what_no_licence_explains():
    assert identify(f"Before it all.\n\n{MIT}\n\nUnless the moon is blue.").rest.endswith("unless the moon is blue")
    assert identify("nothing known here").licences == ()


def test_words_are_compared_without_labels_tags_and_spelling():
    text = "1. The <b>Licence</b>, (a) of\n# the Organisation; GPL-2+"
    assert " ".join(words_of(text)) == "the license of the organization gpl 2 or later"


def test_ids_are_those_of_the_spdx_list():
    from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

    def is_listed(licence: str) -> bool:
        try:
            return canonicalize_license_expression(licence) == licence
        except InvalidLicenseExpression:
            return False

    # The two lists are of different months.
    assert sum(map(is_listed, catalogue())) > 0.95 * len(catalogue())


@settings(deadline=None)  # the first call reads the texts of all licences
@given(st.text() | st.text(alphabet="the license (a) 1. <x> \n").map(lambda text: text * 9))
def test_any_text_has_an_answer(text):
    assert licences_of_text(text)
