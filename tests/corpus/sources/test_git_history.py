"""What is asked of git beyond the files: a revision, dates, authors, and mirrors of what lies elsewhere."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from repotune.core.errors import UserError
from repotune.corpus.exclusion import Exclusion
from repotune.corpus.rows import Listed
from repotune.corpus.sources import open_sources, state_of


def hash_of(repository, reference: str = "HEAD") -> str:
    return repository.git("rev-parse", f"{reference}^{{commit}}").strip()


@pytest.fixture
def tagged(repository):
    """A repository with a tag, a branch and a commit after both; on main there are old.py and new.py."""
    repository.commit({"old.py": "1"}, "2023-01-01T00:00:00Z")
    repository.git("tag", "-a", "-m", "release", "v1")
    repository.git("branch", "feature/x")
    repository.commit({"new.py": "2"}, "2024-01-01T00:00:00Z")
    repository.git("config", "uploadpack.allowFilter", "true")
    return repository


@pytest.mark.parametrize("elsewhere", [False, True])
@pytest.mark.parametrize("reference", ["v1", "feature/x", "refs/tags/v1", "hash"])
def test_a_revision_is_chosen_by_its_name(reference, elsewhere, tagged, rows):
    reference = hash_of(tagged, "v1") if reference == "hash" else reference
    place = f"file://{tagged.folder}" if elsewhere else str(tagged.folder)
    found = rows(f"{place}#{reference}")
    assert {path: (row.repository, row.commit) for path, row in found.items()} == {
        "old.py": ("api", hash_of(tagged, "v1"))
    }
    assert state_of([f"{place}#{reference}"])[0]["state"] == hash_of(tagged, "v1")


def test_a_folder_of_a_repository_is_read_as_it_was_at_a_revision(repository, rows):
    repository.commit({"web/a.py": "1", "b.py": "1"})
    repository.git("tag", "v1")
    repository.commit({"web/c.py": "1"})
    assert list(rows(f"{repository.folder / 'web'}#v1")) == ["a.py"]
    repository.commit({"later/d.py": "1"})
    with pytest.raises(UserError, match="is not in v1"):
        state_of([f"{repository.folder / 'later'}#v1"])


def test_a_revision_of_a_bundle_is_read(tagged, tmp_path, rows):
    tagged.git("bundle", "create", "-q", str(tmp_path / "team.bundle"), "--all")
    assert list(rows(f"{tmp_path / 'team.bundle'}#v1")) == ["old.py"]
    assert list(rows(f"{tmp_path / 'team.bundle'}#main")) == ["new.py", "old.py"]


@pytest.mark.parametrize("elsewhere", [False, True])
@pytest.mark.parametrize("reference", ["nothing", "v1^{tree}", "--upload-pack=touch", "1234567"])
def test_a_revision_that_is_not_there_is_told(reference, elsewhere, tagged):
    place = f"file://{tagged.folder}" if elsewhere else str(tagged.folder)
    with pytest.raises(UserError) as caught:
        state_of([f"{place}#{reference}"])
    assert caught.value.hint


def test_a_revision_of_what_has_none_is_refused(tmp_path, write):
    write(tmp_path / "plain", {"a.py": "1"})
    for place in (f"{tmp_path / 'plain'}#v1", "https://example.org/x.tar.gz#v1"):
        with pytest.raises(UserError, match="no git repository"):
            state_of([place])


def test_a_folder_whose_name_holds_the_sign_is_itself(tmp_path, write, rows):
    write(tmp_path / "c#sharp", {"a.py": "1"})
    assert list(rows(tmp_path / "c#sharp")) == ["a.py"]


def test_each_file_knows_its_first_and_last_change(repository, rows):
    repository.commit({"a.py": "1", "b.py": "1"}, "2022-01-01T00:00:00Z")
    repository.commit({"a.py": "2"}, "2023-01-01T00:00:00Z")
    repository.commit({"a.py": "3", "c.py": "1"}, "2024-01-01T00:00:00Z")
    dates = {path: (row.created[:4], row.committed[:4]) for path, row in rows(repository.folder).items()}
    assert dates == {"a.py": ("2022", "2024"), "b.py": ("2022", "2022"), "c.py": ("2024", "2024")}


def test_a_shallow_clone_does_not_pretend_to_know_the_first_change(repository, tmp_path, rows):
    for year in (2021, 2022, 2023):
        repository.commit({"a.py": str(year), f"{year}.py": "1"}, f"{year}-01-01T00:00:00Z")
    url = f"file://{repository.folder}"
    subprocess.run(["git", "clone", "-q", "--depth", "2", url, str(tmp_path / "shallow")], check=True)
    created = {path: row.created[:4] for path, row in rows(tmp_path / "shallow").items()}
    assert created == {"2021.py": "", "2022.py": "", "2023.py": "2023", "a.py": ""}


def test_a_date_beyond_the_calendar_is_none(repository, rows):
    repository.commit({"a.py": "1"}, "@99999999999999 +0000")
    assert rows(repository.folder)["a.py"].committed == ""


def test_authors_are_found_only_when_asked_and_after_the_mailmap(repository, tmp_path):
    repository.commit({"a.py": "1", "b.py": "1"})
    repository.git("commit", "-q", "--amend", "--no-edit", "--author", "Ann <ann@example.org>")
    repository.git("checkout", "-q", "-b", "side")
    repository.commit({"a.py": "2"})
    repository.git("commit", "-q", "--amend", "--no-edit", "--author", "Bob <bob@old.example.org>")
    repository.git("checkout", "-q", "main")
    repository.commit({".mailmap": "Bob <bob@example.org> <bob@old.example.org>\n"})
    repository.git("merge", "-q", "--no-ff", "-m", "merge", "side")

    def authors(**asked: bool) -> dict[str, tuple[str, ...]]:
        source = open_sources([str(repository.folder)], tmp_path, **asked)[0]
        return {row.path: row.authors for row in source.listing(Exclusion(())) if isinstance(row, Listed)}

    assert authors()["a.py"] == ()
    found = authors(authors=True)
    assert found["a.py"] == ("Ann <ann@example.org>", "Bob <bob@example.org>")
    assert found["b.py"] == ("Ann <ann@example.org>",)


def blobs_of(folder: Path) -> set[str]:
    command = ["git", "-C", str(folder), "cat-file", "--batch-all-objects", "--batch-check=%(objecttype) %(objectname)"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return {line.split()[1] for line in said.splitlines() if line.startswith("blob")}


def test_a_mirror_holds_all_dates_and_only_the_commits_own_text(repository, tmp_path):
    for year in (2021, 2022, 2023):
        repository.commit({"a.py": str(year)}, f"{year}-01-01T00:00:00Z")
    repository.git("config", "uploadpack.allowFilter", "true")
    source = open_sources([f"file://{repository.folder}"], tmp_path, mirrors=tmp_path / "mirrors")[0]
    (file,) = source.listing(Exclusion(()))
    assert (file.created[:4], file.committed[:4], source.read([file])) == ("2021", "2023", [b"2023"])
    (mirror,) = (tmp_path / "mirrors").iterdir()
    assert blobs_of(mirror) == {file.locator}
    assert not list(mirror.rglob("*.lock"))


def test_a_mirror_is_kept_and_brought_up_to_date(repository, tmp_path):
    def read() -> bytes | str:
        source = open_sources([f"file://{repository.folder}"], tmp_path / "scratch", mirrors=tmp_path / "mirrors")[0]
        return source.read(list(source.listing(Exclusion(()))))[0]

    repository.commit({"a.py": "1"})
    assert read() == b"1"
    (mirror,) = (tmp_path / "mirrors").iterdir()
    (mirror / "kept").touch()
    repository.commit({"a.py": "2"})
    repository.git("commit", "-q", "--amend", "-m", "history rewritten")
    assert read() == b"2" and (mirror / "kept").exists()
    # A kill leaves locks: the mirror is made again.
    (kept,) = (mirror / "refs" / "repotune").iterdir()
    kept.with_suffix(".lock").touch()
    repository.commit({"a.py": "3"})
    assert read() == b"3" and not (mirror / "kept").exists()


def test_a_server_that_cannot_filter_sends_all(repository, tmp_path):
    repository.commit({"a.py": "1"})
    repository.commit({"a.py": "2"})
    repository.git("config", "uploadpack.allowFilter", "false")
    source = open_sources([f"file://{repository.folder}"], tmp_path)[0]
    assert source.read(list(source.listing(Exclusion(())))) == [b"2"]
