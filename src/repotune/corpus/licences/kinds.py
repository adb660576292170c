"""What kind of licence an expression grants: permissive, copyleft, another known one, or unknown."""

from __future__ import annotations

import re

from repotune.corpus.licences.expressions import UNKNOWN, ids, satisfied
from repotune.corpus.licences.policy import PERMISSIVE

KINDS = ("permissive", "copyleft", "other", "unknown")
"""From the one that asks least. `other` are those that are neither, and ids that are not on the SPDX list."""

# The families of Blue Oak Council's copyleft list (https://blueoakcouncil.org/copyleft), from weak to network ones, and
# the share-alike licences of Creative Commons and Open Data Commons that do not forbid commercial use.
_COPYLEFT = re.compile(
    r"(?:(?:A|L)?GPL|APSL|BitTorrent|CAL|CC-(?:BY-)?SA|CDDL|CDLA-Sharing|CECILL-[12C]|CERN-OHL-[SW]|CPAL|CPL|D-FSL|EPL|EUPL"
    r"|ErlPL|Frameworx|GFDL|IPL|LGPLLR|LiLiQ-R(?:plus)?|MPL|MS-RL|NGPL|NOSL|NPL|NPOSL|Nokia|OCLC|ODbL|OSL|Parity|QPL|RPL|RPSL"
    r"|SISSL|SMAIL-GPL|SPL|SSPL|SimPL|Sleepycat|SugarCRM|TGPPL|Watcom|YPL|copyleft-next|eCos|wxWindows)(?:$|[-.\d])"
)


def kind_of(expression: str) -> str:
    """The kind of a canonical expression. Of a choice the side that asks least counts, of what is found together the
    one that asks most.

    >>> kind_of("GPL-2.0-only OR MIT"), kind_of("GPL-2.0-only AND MIT"), kind_of("LicenseRef-Acme"), kind_of("unknown")
    ('permissive', 'copyleft', 'other', 'unknown')
    """
    if UNKNOWN in ids(expression):
        return "unknown"
    if satisfied(expression, PERMISSIVE.__contains__):
        return "permissive"
    return "copyleft" if satisfied(expression, lambda name: name in PERMISSIVE or is_copyleft(name)) else "other"


def is_copyleft(name: str) -> bool:
    """Whether a licence, by its SPDX id, asks that what is made from the work be passed on under its own terms."""
    return _COPYLEFT.match(name) is not None
