from __future__ import annotations

import pyarrow as pa
import pytest

from repotune.core.config import parse_config
from repotune.core.errors import UserError
from repotune.core.settings import CorpusSettings
from repotune.corpus.licences.expressions import conjunction
from repotune.corpus.licences.policy import PERMISSIVE, policy
from repotune.corpus.licences.step import Licence
from repotune.corpus.licences.texts import catalogue

NEVER = (
    "AGPL-3.0-only AGPL-3.0-or-later BUSL-1.1 CC-BY-NC-4.0 CC-BY-NC-ND-4.0 CC-BY-NC-SA-4.0 CC-BY-ND-4.0 CC-BY-SA-3.0 "
    "CC-BY-SA-4.0 CDDL-1.0 CDDL-1.1 Elastic-2.0 EPL-1.0 EPL-2.0 EUPL-1.2 FSL-1.1-ALv2 FSL-1.1-MIT GPL-1.0-or-later "
    "GPL-2.0-only GPL-2.0-or-later GPL-3.0-only GPL-3.0-or-later JSON LGPL-2.0-or-later LGPL-2.1-only LGPL-3.0-only "
    "LicenseRef-Commons-Clause LicenseRef-proprietary MPL-1.1 MPL-2.0 ODbL-1.0 OSL-3.0 PolyForm-Noncommercial-1.0.0 "
    "PolyForm-Small-Business-1.0.0 LicenseRef-PolyForm SSPL-1.0 unknown Acme-1.0"
)


@pytest.mark.parametrize("licence", NEVER.split())
def test_copyleft_and_source_available_are_never_permissive_alone_or_beside_mit(licence):
    permissive = policy(CorpusSettings(licences="permissive"))
    assert permissive.refusal(licence)
    assert permissive.refusal(conjunction(["MIT", licence]))


@pytest.mark.parametrize("licence", sorted(PERMISSIVE))
def test_every_permissive_id_is_on_the_spdx_list(licence):
    assert licence in catalogue() or licence == "LicenseRef-public-domain"
    assert policy(CorpusSettings(licences="permissive")).refusal(licence) is None


@pytest.mark.parametrize(
    ("settings", "expression", "refusal"),
    [
        ({}, "GPL-2.0-only AND unknown", None),
        ({"unknown_licences": "drop"}, "unknown", "a known licence"),
        ({"unknown_licences": "drop"}, "GPL-2.0-only", None),
        ({"denied_licences": ("AGPL-3.0-only",)}, "AGPL-3.0-only AND MIT", "none of AGPL-3.0-only"),
        ({"denied_licences": ("AGPL-3.0-only",)}, "AGPL-3.0-or-later", None),
        ({"licences": "permissive"}, "MIT AND unknown", "a known licence"),
        ({"licences": "permissive"}, "GPL-2.0-only AND unknown", "permissive"),
        ({"licences": "permissive"}, "GPL-2.0-only OR MIT", None),
        ({"licences": "permissive"}, "Apache-2.0 WITH LLVM-exception", None),
        ({"licences": "permissive", "unknown_licences": "keep"}, "MIT AND unknown", None),
        ({"licences": "permissive", "unknown_licences": "keep"}, "GPL-2.0-only AND unknown", "permissive"),
        ({"licences": "permissive", "denied_licences": ("mit",)}, "MIT", "none of MIT"),
        ({"licences": ("MIT", "ISC")}, "ISC AND MIT", None),
        ({"licences": ("MIT", "ISC")}, "Zlib", "one of ISC, MIT"),
        ({"licences": ("gpl-2.0",)}, "GPL-2.0-only", None),
        ({"licences": ("LicenseRef-Acme",)}, "LicenseRef-Acme", None),
    ],
)
def test_what_a_project_learns_from(settings, expression, refusal):
    assert policy(CorpusSettings(**settings)).refusal(expression) == refusal


@pytest.mark.parametrize(
    ("key", "name", "near"), [("licences", "Apache2.0", "Apache-2.0"), ("denied_licences", "qqq", "")]
)
def test_an_id_that_is_not_listed_is_an_error_that_names_the_nearest(key, name, near):
    with pytest.raises(UserError, match=f"corpus.{key} .*{name}") as caught:
        policy(CorpusSettings(**{key: (name,)}))
    assert near in caught.value.hint


def test_a_word_that_is_no_policy_is_an_error_that_says_what_is():
    with pytest.raises(UserError, match=r"corpus.licences: .*'any' or 'permissive'"):
        parse_config({"project": {"name": "a", "repositories": ["b"]}, "corpus": {"licences": "mit"}}, "repotune.toml")


def test_the_step_joins_what_repository_and_file_say_and_drops_what_is_refused():
    batch = pa.RecordBatch.from_pydict(
        {
            "text": ["x = 1", "# SPDX-License-Identifier: GPL-2.0-only", "# SPDX-License-Identifier: ISC", "y"],
            "folder_licences": pa.array([["MIT"], ["MIT"], [], []], pa.list_(pa.string())),
        }
    )
    found = Licence(policy(CorpusSettings(licences="permissive")))(batch).to_pydict()
    assert found["licence"] == ["MIT", "GPL-2.0-only AND MIT", "ISC", "unknown"]
    assert found["rule"] == [None, "licence", None, "licence"]
    assert found["threshold"] == [None, "permissive", None, "a known licence"]
