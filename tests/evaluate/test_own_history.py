"""Lines later than everything trained on, told by real histories."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from repotune.core.errors import UserError
from repotune.corpus.sources import git
from repotune.evaluate.own_code.held_out import HeldOut, learnt_until
from repotune.evaluate.own_code.history import later_lines, local_histories

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="there is no git here")

OLD = "".join(f"old_{line} = {line}\n" for line in range(8))
BEFORE, AFTER = "2024-01-01T00:00:00Z", "2024-03-01T00:00:00Z"


def held_out(repository, name: str, commit: str, text: str | None = None) -> HeldOut:
    path = f"{name}.py"
    dates = git.changes(git.Place(repository.folder / ".git", ""), commit, {path.encode()})[path.encode()]
    text = (repository.folder / path).read_text() if text is None else text
    return HeldOut(text, path, "Python", repository.folder.name, commit, dates.created, dates.committed)


@pytest.fixture
def repository(make_repository, tmp_path: Path):
    found = make_repository(tmp_path / "books")
    found.commit("2023-06-01T00:00:00Z", changed=OLD, moved=OLD.replace("old", "was"), quiet=OLD.replace("old", "is"))
    return found


def numbers(found: dict[str, frozenset[int]]) -> dict[str, list[int]]:
    return {name.removeprefix("books/"): sorted(lines) for name, lines in found.items()}


def test_added_lines_are_later_and_moved_ones_are_not(repository) -> None:
    lines = OLD.split("\n")
    changed = "\n".join([*lines[:2], "new_a = 1", "new_b = 2", *lines[2:5], "changed = 5", *lines[6:]])
    moved = OLD.replace("old", "was")
    commit = repository.commit(
        AFTER, changed=changed, moved=None, elsewhere=moved + "more = 1\n", fresh="a = 1\nb = 2\n"
    )
    files = [held_out(repository, name, commit) for name in ("changed", "elsewhere", "fresh", "quiet")]
    found = later_lines(files, BEFORE, local_histories([str(repository.folder)]))
    assert numbers(found) == {"changed.py": [2, 3, 7], "elsewhere.py": [8], "fresh.py": [0, 1, 2]}


def test_lines_are_found_again_where_the_corpus_left_some_out(repository) -> None:
    commit = repository.commit(AFTER, changed="# notice\n" + OLD + "key = 'secret'\nnew = 1\n")
    file = held_out(repository, "changed", commit, text=OLD + "key = '<secret>'\nnew = 1\n")
    found = later_lines([file], BEFORE, local_histories([str(repository.folder)]))
    assert numbers(found) == {"changed.py": [9]}


def test_without_a_history_only_files_made_later_are_later(repository) -> None:
    commit = repository.commit(AFTER, changed=OLD + "new = 1\n", fresh="a = 1\n")
    files = [held_out(repository, name, commit) for name in ("changed", "fresh", "quiet")]
    assert numbers(later_lines(files, BEFORE, {})) == {"fresh.py": [0, 1]}


def test_a_folder_within_a_repository_has_a_history_too(make_repository, tmp_path: Path) -> None:
    repository = make_repository(tmp_path / "whole")
    repository.commit("2023-06-01T00:00:00Z", **{"part/a": OLD})
    commit = repository.commit(AFTER, **{"part/a": OLD + "new = 1\n"})
    text = (repository.folder / "part" / "a.py").read_text()
    file = HeldOut(text, "a.py", "Python", "part", commit, "2023-06-01T00:00:00Z", AFTER)
    found = later_lines([file], BEFORE, local_histories([str(repository.folder / "part")]))
    assert {name: sorted(lines) for name, lines in found.items()} == {"part/a.py": [8]}


def test_nothing_is_later_where_a_date_is_unknown(repository) -> None:
    commit = repository.commit(AFTER, fresh="a = 1\n")
    files = [held_out(repository, "fresh", commit)]
    assert later_lines(files, None, local_histories([str(repository.folder)])) == {}


def test_a_commit_that_is_gone_is_named(repository) -> None:
    commit = repository.commit(AFTER, changed=OLD + "new = 1\n")
    file = held_out(repository, "changed", commit)
    gone = HeldOut(file.text, file.path, file.language, file.repository, "0" * 40, file.created, file.committed)
    with pytest.raises(UserError, match="lacks the commit 000000000000"):
        later_lines([gone], BEFORE, local_histories([str(repository.folder)]))


def test_the_newest_date_trained_on_needs_all_dates(tmp_path: Path, write_dated_corpus) -> None:
    assert learnt_until(write_dated_corpus(tmp_path / "a", ["2023-01-02T00:00:00Z", "2023-01-01T00:00:00Z"])) == (
        "2023-01-02T00:00:00Z"
    )
    assert learnt_until(write_dated_corpus(tmp_path / "b", ["2023-01-02T00:00:00Z", ""])) is None
