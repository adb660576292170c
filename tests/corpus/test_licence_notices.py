from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repotune.corpus.licences.detection import HEAD, own_licences, tagged
from repotune.corpus.licences.notices import _TABLE, has_conditions, named
from repotune.corpus.licences.texts import words_of

GNU = """This {what} is free software; you can redistribute it and/or modify it under the terms of the GNU {family}
Public License as published by the Free Software Foundation; {version}."""


@pytest.mark.parametrize(
    ("licence", "phrase"), [(key, phrase) for key, all_ in _TABLE["named"].items() for phrase in all_]
)
def test_every_phrase_names_its_licence_and_not_without_its_last_word(licence, phrase):
    assert phrase == " ".join(words_of(phrase)), "phrases are written as texts are compared"
    assert licence in named(f"this is {phrase} for all")
    shorter = phrase.rpartition(" ")[0]
    if not any(f" {other} " in f" {shorter} " for other in _TABLE["named"][licence]):
        assert licence not in named(f"this is {shorter}x for all")


@pytest.mark.parametrize("phrase", _TABLE["conditions"]["phrases"])
def test_every_condition_is_seen(phrase):
    assert phrase == " ".join(words_of(phrase))
    assert has_conditions(f"it is {phrase} that") and not has_conditions(f"it is x{phrase} that")


@pytest.mark.parametrize(
    ("family", "version", "licence"),
    [
        ("General", "either version 2 of the License, or (at your option) any later version", "GPL-2.0-or-later"),
        ("General", "version 2 only", "GPL-2.0-only"),
        ("General", "version 3 of the License", "GPL-3.0-only"),
        ("Lesser General", "either version 2.1 of the License, or (at your option) any later", "LGPL-2.1-or-later"),
        ("Library General", "either version 2 of the License, or any later version", "LGPL-2.0-or-later"),
        ("Affero General", "either version 3 of the License, or (at your option) any later", "AGPL-3.0-or-later"),
        ("General", "see the file COPYING", "GPL-1.0-or-later"),
    ],
)
def test_gnu_notices_tell_family_version_and_what_is_later(family, version, licence):
    notice = GNU.format(what="program", family=family, version=version)
    assert own_licences("\n".join(f"# {line}" for line in notice.splitlines())) == {licence}


@pytest.mark.parametrize(
    ("text", "licences"),
    [
        ('Licensed under the Apache License, Version 2.0 (the "License")', {"Apache-2.0"}),
        (
            "Use of this source code is governed by a BSD-style\nlicense that can be found in the LICENSE file",
            {"BSD-3-Clause"},
        ),
        ("This Source Code Form is subject to the terms of the Mozilla Public License, v. 2.0.", {"MPL-2.0"}),
        ("License: CC BY-SA 4.0", {"CC-BY-SA-4.0"}),
        ("Licensed as Creative Commons Attribution-NonCommercial-NoDerivatives 4.0", {"CC-BY-NC-ND-4.0"}),
        ("license: https://creativecommons.org/licenses/by-nc/3.0/", {"CC-BY-NC-3.0"}),
        ("license: https://creativecommons.org/publicdomain/zero/1.0/", {"CC0-1.0"}),
        ("GPLv3+ licensed", {"GPL-3.0-or-later"}),
        ("licensed under GPL v2 or later", {"GPL-2.0-or-later"}),
        ("This code is in the public domain; no licence.", {"LicenseRef-public-domain"}),
        ("Proprietary and confidential. Unauthorized copying is prohibited.", {"LicenseRef-proprietary"}),
        ("Use is governed by the Business Source License included in the file LICENSE", {"BUSL-1.1"}),
        ("This file is licensed under the Elastic License 2.0", {"Elastic-2.0"}),
        ("licensed under the Server Side Public License, version 1", {"SSPL-1.0"}),
        ("licensed under the LGPL 2.1", {"LGPL-2.1-only"}),
        ("the licence of a fishing boat", set()),
        ("a car's public license plates, in general", set()),
        ("x = 1", set()),
    ],
)
def test_a_notice_at_the_head_of_a_file_is_read(text, licences):
    assert own_licences(f"/* {text} */\nint main;") == licences


@pytest.mark.parametrize(
    ("tag", "licences"),
    [
        ("// SPDX-License-Identifier: MIT", {"MIT"}),
        (
            "/* SPDX-License-Identifier: (GPL-2.0-only WITH Linux-syscall-note) OR MIT */",
            {"GPL-2.0-only WITH Linux-syscall-note OR MIT"},
        ),
        ("# SPDX-License-Identifier: GPL-3.0+", {"GPL-3.0-or-later"}),
        ("# SPDX-License-Identifier: apache-2.0", {"Apache-2.0"}),
        ("# SPDX-License-Identifier: CDDL-1.1", {"CDDL-1.1"}),
        ("<!-- SPDX-License-Identifier: MIT -->", {"MIT"}),
        ("# SPDX-License-Identifier: MIT Copyright 2020 the authors", {"MIT"}),
        ("# SPDX-License-Identifier: PSF-2.0 AND (MIT OR Apache-2.0)", {"(Apache-2.0 OR MIT) AND PSF-2.0"}),
        ("# SPDX-License-Identifier: MIT\n# SPDX-License-Identifier: ISC", {"MIT", "ISC"}),
        ("# SPDX-License-Identifier: !!!", {"unknown"}),
        ("# SPDX-License-Identifier: MIT OR", {"MIT"}),
        ("SPDX-License-Identifier:", set()),
        ("# no tag", set()),
        ("x" * HEAD + "SPDX-License-Identifier: MIT", set()),
    ],
)
def test_a_files_own_tag_is_read(tag, licences):
    assert tagged(tag) == licences


def test_a_tag_says_more_than_the_notice_below_it():
    notice = GNU.format(what="file", family="General", version="version 2 only")
    assert own_licences("// SPDX-License-Identifier: MIT\n" + notice) == {"MIT"}
    assert own_licences("x = 1\n" * 2000 + notice) == frozenset()


@settings(deadline=None)  # the first call reads the texts of all licences
@given(st.text() | st.text(alphabet="SPDX-License-Identifier: MIT()OR\n# gpl"))
def test_any_head_has_an_answer(text):
    assert isinstance(own_licences(text), frozenset)
