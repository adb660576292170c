"""Which licences a project learns from: any, permissive ones, or those it names, and never those it denies."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files

from repotune.core.errors import UserError
from repotune.core.settings import CorpusSettings
from repotune.corpus.licences.expressions import UNKNOWN, ids, known_id, satisfied
from repotune.corpus.licences.texts import catalogue

_TABLE: dict[str, list[str]] = tomllib.loads(
    (files("repotune.corpus.licences") / "permissive.toml").read_text(encoding="utf-8")
)
PERMISSIVE = frozenset(licence for group in _TABLE.values() for licence in group)
"""Blue Oak Council's list, dedications to the public domain, and what The Stack v2 adds; see permissive.toml."""


@dataclass(frozen=True)
class Policy:
    """What may be learnt from. `allowed` is None for every known licence; `unknown` says whether files without one may.

    A choice (`GPL-2.0-only OR MIT`) is met by its allowed side; what is found together has to be allowed altogether.
    """

    allowed: frozenset[str] | None
    denied: frozenset[str]
    unknown: bool
    wanted: str

    def refusal(self, expression: str) -> str | None:
        """What is asked of a file that `expression` does not meet, or None where it may be learnt from."""
        if satisfied(expression, self._allows):
            return None
        refused = sorted(licence for licence in ids(expression) if not self._allows(licence))
        if refused == [UNKNOWN]:
            return "a known licence"
        return f"none of {', '.join(refused)}" if self.denied.intersection(refused) else self.wanted

    def _allows(self, licence: str) -> bool:
        if licence == UNKNOWN:
            return self.unknown
        return licence not in self.denied and (self.allowed is None or licence in self.allowed)


def policy(settings: CorpusSettings) -> Policy:
    """The policy of a project. Raises UserError for an id that is not on the SPDX list."""
    unknown = settings.unknown_licences
    denied = _checked("corpus.denied_licences", settings.denied_licences)
    if isinstance(settings.licences, str):
        permissive = settings.licences == "permissive"
        allowed = PERMISSIVE if permissive else None
        keep = unknown == "keep" if unknown else not permissive
        return Policy(allowed, denied, keep, "permissive")
    named = _checked("corpus.licences", settings.licences)
    return Policy(named, denied, unknown == "keep", f"one of {', '.join(sorted(named))}")


def _checked(key: str, names: Iterable[str]) -> frozenset[str]:
    found = set()
    for name in names:
        licence = known_id(name)
        if licence is None or licence == UNKNOWN:
            near = difflib.get_close_matches(name, catalogue(), n=1, cutoff=0.5)
            raise UserError(
                f"{key} names a licence that is not on the SPDX list: {name}.",
                f"did you mean {near[0]}?" if near else "ids are listed at https://spdx.org/licenses",
            )
        found.add(licence)
    return frozenset(found)
