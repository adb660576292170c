from __future__ import annotations

import sysconfig
import textwrap
from pathlib import Path

import pytest

from repotune.corpus.licences import (
    combine,
    identify,
    is_licence_file,
    is_permissive,
    nearest,
    own_licences,
    tagged,
)

MIT = """Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files (the "Software"), to deal in the Software without restriction, subject to the following conditions:
The above copyright notice and this permission notice shall be included in all copies or substantial portions."""
BSD_2 = """Redistribution and use in source and binary forms are permitted provided that the following are met:
1. Redistributions of source code must retain the above copyright notice.
2. Redistributions in binary form must reproduce the above copyright notice."""
BSD_3 = BSD_2 + "\n3. Neither the name of X nor its contributors may be used to endorse or promote products."
ISC = """Permission to use, copy, modify, and/or distribute this software for any purpose with or without fee is hereby
granted, provided that the above copyright notice and this permission notice appear in all copies."""
ZERO_BSD = ISC.split(", provided")[0] + "."
APACHE = Path(__file__).parents[2].joinpath("LICENSE").read_text()
STDLIB = Path(sysconfig.get_paths()["stdlib"])


@pytest.mark.parametrize(
    ("text", "licences"),
    [
        (MIT, {"MIT"}),
        (MIT.split("The above")[0], {"MIT-0"}),
        (BSD_2, {"BSD-2-Clause"}),
        (BSD_3, {"BSD-3-Clause"}),
        (ISC, {"ISC"}),
        (ZERO_BSD, {"0BSD"}),
        (APACHE, {"Apache-2.0"}),
        ("GNU GENERAL PUBLIC LICENSE\n Version 2, June 1991", {"GPL-2.0"}),
        ("GNU GENERAL PUBLIC LICENSE\n Version 3, 29 June 2007\n… the GNU Affero General Public License", {"GPL-3.0"}),
        ("GNU AFFERO GENERAL PUBLIC LICENSE\nVersion 3, 19 November 2007", {"AGPL-3.0"}),
        ("GNU LESSER GENERAL PUBLIC LICENSE\nVersion 3, 29 June 2007", {"LGPL-3.0"}),
        ("Mozilla Public License Version 2.0\n1.4. “Covered Software” means", {"MPL-2.0"}),
        ("This is free and unencumbered software released into the public domain.", {"Unlicense"}),
        ("CC0 1.0 Universal", {"CC0-1.0"}),
        ("Business Source License 1.1", {"BUSL-1.1"}),
        ("“Commons Clause” License Condition v1.0\n" + APACHE, {"Apache-2.0", "LicenseRef-Commons-Clause"}),
        (MIT + APACHE, {"MIT", "Apache-2.0"}),
        ("All rights reserved.", {"unknown"}),
        ("", {"unknown"}),
    ],
)
def test_licences_are_known_by_their_words(text, licences):
    assert identify(text) == licences


@pytest.mark.parametrize("text", [MIT, BSD_3, ISC, APACHE])
def test_reflowing_quoting_and_comment_marks_change_nothing(text):
    wrapped = textwrap.fill(" ".join(text.upper().split()), 40)
    assert identify("\n".join(f" * {line}" for line in wrapped.splitlines())) == identify(text)


@pytest.mark.skipif(not (STDLIB / "LICENSE.txt").is_file(), reason="this Python ships no licence")
def test_pythons_own_stack_of_licences_is_the_psf_licence():
    assert identify((STDLIB / "LICENSE.txt").read_text()) == {"PSF-2.0"}


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("LICENSE", True),
        ("a/LICENCE.md", True),
        ("COPYING.LESSER", True),
        ("LICENSE-MIT", True),
        ("MIT-LICENSE.txt", True),
        ("UNLICENSE", True),
        ("license.py", False),
        ("licenses.json", False),
        ("licensing.md", False),
        ("third-party-licenses.txt", False),
    ],
)
def test_licence_files_are_known_by_name(path, answer):
    assert is_licence_file(path) is answer


def test_the_nearest_folder_wins():
    by_folder = {".": frozenset({"MIT"}), "vendor/x": frozenset({"GPL-2.0"})}
    assert nearest("vendor/x/deep/a.c", by_folder) == {"GPL-2.0"}
    assert nearest("vendor/xy/a.c", by_folder) == {"MIT"}
    assert nearest("a.c", {}) == frozenset()


@pytest.mark.parametrize(
    ("tag", "licences"),
    [
        ("// SPDX-License-Identifier: MIT", {"MIT"}),
        ("/* SPDX-License-Identifier: (GPL-2.0-only WITH Linux-syscall-note) OR MIT */", {"GPL-2.0", "MIT"}),
        ("# SPDX-License-Identifier: GPL-3.0+", {"GPL-3.0"}),
        ("# SPDX-License-Identifier: apache-2.0", {"Apache-2.0"}),
        ("# SPDX-License-Identifier: CDDL-1.1", {"CDDL-1.1"}),
        ("<!-- SPDX-License-Identifier: MIT -->", {"MIT"}),
        ("# SPDX-License-Identifier: MIT Copyright 2020 the authors", {"MIT"}),
        ("# SPDX-License-Identifier: PSF-2.0 AND (MIT OR Apache-2.0)", {"PSF-2.0", "MIT", "Apache-2.0"}),
        ("SPDX-License-Identifier:", set()),
        ("# no tag", set()),
        ("x" * 5000 + "SPDX-License-Identifier: MIT", set()),
    ],
)
def test_a_files_own_tag_is_read(tag, licences):
    assert tagged(tag) == licences


def test_a_notice_at_the_head_of_a_file_counts_where_there_is_no_tag():
    notice = """/*
     * This program is free software; you can redistribute it and/or modify it under the terms of the GNU General
     * Public License as published by the Free Software Foundation; either version 2 of the License, or later.
     */"""
    assert own_licences(notice) == {"GPL-2.0"}
    assert own_licences("// SPDX-License-Identifier: MIT\n" + notice) == {"MIT"}
    assert own_licences("x = 1") == own_licences("x = 1\n" * 2000 + notice) == frozenset()


def test_permissive_means_all_that_was_found_is():
    assert is_permissive(combine({"MIT"}, {"Apache-2.0"}))
    assert not is_permissive(combine({"MIT"}, {"GPL-2.0"}))
    assert not is_permissive(combine({"Apache-2.0", "LicenseRef-Commons-Clause"}))
    assert combine({"MIT"}, {"unknown"}) == combine() == "unknown"
    assert not is_permissive("unknown") and not is_permissive("CDDL-1.1")
