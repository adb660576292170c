"""The columns of data sets of code, under the names that The Stack, its offspring and repotune itself give them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from repotune.corpus.rows import Listed

CONTENT = ("content", "text", "code")
_REPOSITORY = ("max_stars_repo_name", "repository_name", "repo_name", "repository", "repo")
_PATH = ("max_stars_repo_path", "path", "file_path")
_COMMIT = ("max_stars_repo_head_hexsha", "revision_id", "commit")
_COMMITTED = ("committer_date", "committed")
_LANGUAGE = ("language", "lang")
_LICENCES = (
    "max_stars_repo_licenses",
    "detected_licenses",
    "licenses",
    "license",
    "licences",
    "licence",
)
ABOUT = (*_REPOSITORY, *_PATH, *_COMMIT, *_COMMITTED, *_LANGUAGE, *_LICENCES)


def listed(row: Mapping[str, Any], name: str, place: str, size: int, locator: str) -> Listed:
    """A row of a data set as a file. What it does not state of repository and path is `name` and `place`."""
    return Listed(
        repository=_text(row, _REPOSITORY) or name,
        path=_text(row, _PATH).lstrip("/") or place,
        size=size,
        locator=locator,
        commit=_text(row, _COMMIT),
        committed=_date(row),
        language=_text(row, _LANGUAGE),
        licences=_licences(row),
    )


def _text(row: Mapping[str, Any], names: tuple[str, ...]) -> str:
    """The first of `names` that holds a text; white space around it is not part of it, nor half a character."""
    found = next((value for name in names if isinstance(value := row.get(name), str) and value.strip()), "")
    return found.strip().encode(errors="replace").decode()


def _date(row: Mapping[str, Any]) -> str:
    """The time of the commit as other sources write it, where it is one; one without a zone is UTC."""
    value = next((value for name in _COMMITTED if (value := row.get(name))), "")
    try:
        time = value if isinstance(value, datetime) else datetime.fromisoformat(value)
        return (time.astimezone(UTC) if time.tzinfo else time).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (TypeError, ValueError, OverflowError):
        return ""


def _licences(row: Mapping[str, Any]) -> tuple[str, ...]:
    for name in _LICENCES:
        value = row.get(name)
        given = [value] if isinstance(value, str) else value if isinstance(value, list) else []
        stated = {each.strip().encode(errors="replace").decode() for each in given if isinstance(each, str)}
        if stated - {""}:
            return tuple(sorted(stated - {""}))
    return ()
