from __future__ import annotations

import os
from pathlib import Path

import pytest

from repotune.core.errors import UserError
from repotune.corpus.exclusion import Exclusion
from repotune.corpus.rows import Listed
from repotune.corpus.sources import list_source, open_sources, state_of
from repotune.corpus.sources.folder import Folder, read_file


def listed(folder: Path | str, tmp_path: Path) -> dict[str, str]:
    """Path → date of each file, or the rule that drops it."""
    listing = list_source(open_sources([str(folder)], tmp_path / "clones")[0])
    return {file.path: file.committed for file in listing.files} | {row.path: row.rule for row in listing.dropped}


def test_a_commit_is_read_and_not_the_work_tree(repository, write, tmp_path):
    repository.commit({"a.py": "one"}, "2024-01-01T00:00:00Z")
    write(repository.folder, {"new.py": "not committed"})
    assert listed(repository.folder, tmp_path) == {"a.py": "2024-01-01T00:00:00Z"}


def test_dates_are_those_of_each_paths_last_change_in_utc(repository, tmp_path):
    repository.commit({"old.py": "1", "both.py": "1", "with\nline end.py": "1"}, "2023-01-01T00:00:00Z")
    repository.commit({"both.py": "2"}, "2024-06-01T02:00:00+02:00")
    assert listed(repository.folder, tmp_path) == {
        "old.py": "2023-01-01T00:00:00Z",
        "both.py": "2024-06-01T00:00:00Z",
        "with\nline end.py": "2023-01-01T00:00:00Z",
    }


def test_a_merge_dates_what_it_brought(repository, tmp_path):
    repository.commit({"a.py": "1"}, "2024-01-01T00:00:00Z")
    repository.git("checkout", "-q", "-b", "side")
    repository.commit({"side.py": "1"}, "2024-01-02T00:00:00Z")
    repository.git("checkout", "-q", "main")
    repository.commit({"main.py": "1"}, "2024-01-03T00:00:00Z")
    repository.git("merge", "-q", "--no-ff", "-m", "merge", "side", date="2024-01-04T00:00:00Z")
    assert listed(repository.folder, tmp_path)["side.py"] == "2024-01-04T00:00:00Z"


def test_a_folder_of_a_repository_stands_for_what_the_commit_holds_of_it(repository, tmp_path):
    repository.commit({"web/a.py": "1", "website/c.py": "1", "b.py": "1"})
    assert list(listed(repository.folder / "web", tmp_path)) == ["a.py"]


def test_an_untracked_folder_of_a_repository_is_read_from_the_disk(repository, write, tmp_path):
    repository.commit({"a.py": "1"})
    write(repository.folder, {"untracked/b.py": "1"})
    assert listed(repository.folder / "untracked", tmp_path) == {"b.py": ""}


def test_links_and_submodules_of_a_commit_are_dropped(repository, tmp_path):
    (repository.folder / "link.py").symlink_to("a.py")
    repository.commit({"a.py": "1"})
    commit = repository.git("rev-parse", "HEAD").strip()
    repository.git("update-index", "--add", "--cacheinfo", f"160000,{commit},module")
    repository.git("commit", "-q", "-m", "module")
    found = listed(repository.folder, tmp_path)
    assert (found["link.py"], found["module"]) == ("symbolic_link", "submodule")


def test_a_url_is_cloned_with_its_history(repository, tmp_path):
    repository.commit({"a.py": "1"}, "2023-01-01T00:00:00Z")
    repository.commit({"b.py": "1"}, "2024-01-01T00:00:00Z")
    url = f"file://{repository.folder}"
    assert listed(url, tmp_path) == {"a.py": "2023-01-01T00:00:00Z", "b.py": "2024-01-01T00:00:00Z"}
    assert state_of([url])[0]["state"] == repository.git("rev-parse", "HEAD").strip()


def test_a_bare_repository_and_a_bundle_are_repositories(repository, tmp_path):
    repository.commit({"a.py": "1"})
    repository.git("clone", "-q", "--bare", ".", str(tmp_path / "bare.git"))
    repository.git("bundle", "create", "-q", str(tmp_path / "team.bundle"), "HEAD", "main")
    assert list(listed(tmp_path / "bare.git", tmp_path / "1")) == ["a.py"]
    assert list(listed(tmp_path / "team.bundle", tmp_path / "2")) == ["a.py"]


def test_what_is_no_file_in_a_folder_is_dropped_with_its_kind(write, tmp_path):
    folder = tmp_path / "plain"
    write(folder, {"a.py": "1", "__pycache__/a.pyc": b"\0", "sub/b.py": "2"})
    (folder / "dangling.py").symlink_to("nowhere")
    (folder / "loop").symlink_to(folder, target_is_directory=True)
    os.mkfifo(folder / "pipe.py")
    Path(os.fsdecode(bytes(folder) + b"/\xff.py")).write_text("x")
    assert listed(folder, tmp_path) == {
        "a.py": "",
        "sub/b.py": "",
        "dangling.py": "symbolic_link",
        "loop": "symbolic_link",
        "pipe.py": "special_file",
        "\\xff.py": "path_encoding",
    }


def test_a_folder_that_cannot_be_listed_is_dropped(tmp_path):
    # Deeper than a path may be long, so listing it fails for root as well.
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(25):
        os.mkdir("d" * 200, dir_fd=here)
        below = os.open("d" * 200, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    assert list(listed(tmp_path, tmp_path).values()) == ["unreadable"]


def test_the_state_of_a_folder_changes_with_a_file_and_not_with_byte_code(write, tmp_path):
    folder = tmp_path / "plain"
    write(folder, {"a.py": "1"})
    before = state_of([str(folder)])
    write(folder, {"__pycache__/a.pyc": b"\0"})
    assert state_of([str(folder)]) == before
    write(folder, {"a.py": "12"})
    assert state_of([str(folder)]) != before
    assert before[0]["name"] == "plain" and str(tmp_path) not in str(before)


def test_names_that_clash_are_numbered_in_the_order_given(write, tmp_path):
    for place in ("x/api", "y/api", "z/api-2"):
        write(tmp_path / place, {"a.py": "1"})
    folders = [str(tmp_path / place) for place in ("x/api", "y/api", "z/api-2")]
    assert [state["name"] for state in state_of(folders)] == ["api", "api-2", "api-2-2"]


def test_a_repository_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UserError, match="no repository nowhere/at/all") as caught:
        state_of(["nowhere/at/all"])
    assert caught.value.hint


def test_gits_own_reason_is_told(tmp_path):
    url = f"file://{tmp_path}/none.git"
    for ask in (lambda: state_of([url]), lambda: open_sources([url], tmp_path)):
        with pytest.raises(UserError, match=r"git cannot read file://.*none\.git"):
            ask()


def test_a_repository_without_a_commit_is_refused(repository):
    with pytest.raises(UserError, match="without a commit"):
        state_of([str(repository.folder)])


def test_an_option_is_never_taken_for_a_url(tmp_path):
    with pytest.raises(UserError):
        open_sources([f"--upload-pack=touch {tmp_path}/harm://x"], tmp_path)
    assert not (tmp_path / "harm").exists()


def test_a_blob_that_the_repository_lacks_is_dropped(repository, tmp_path):
    repository.commit({"a.py": "one", "b.py": "two"})
    blob = repository.git("rev-parse", "HEAD:a.py").strip()
    (repository.folder / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    assert listed(repository.folder, tmp_path) == {"a.py": "unreadable", "b.py": "2024-01-01T00:00:00Z"}


def test_a_second_work_tree_stands_for_its_own_commit(repository, tmp_path):
    repository.commit({"a.py": "one"})
    repository.git("worktree", "add", "-q", "-b", "side", str(tmp_path / "side"))
    repository.commit({"b.py": "two"})
    assert list(listed(tmp_path / "side", tmp_path)) == ["a.py"]


def test_a_folder_with_an_empty_git_folder_is_a_plain_one(write, tmp_path):
    write(tmp_path / "plain", {"a.py": "1"})
    (tmp_path / "plain" / ".git").mkdir()
    assert listed(tmp_path / "plain", tmp_path) == {"a.py": ""}


def test_an_excluded_folder_is_one_row_and_what_is_in_it_does_not_count(write, tmp_path):
    folder = tmp_path / "plain"
    write(folder, {"app.py": "a = 1\n", "vendor/lib.py": "b = 2\n", "deep/tests/test_app.py": "c = 3\n"})
    exclusion = Exclusion(("vendor/**", "**/tests/**"))
    listing = list_source(open_sources([str(folder)], tmp_path / "clones")[0], exclusion)
    assert [file.path for file in listing.files] == ["app.py"]
    assert sorted((row.path, row.rule, row.value) for row in listing.dropped) == [
        ("deep/tests/", "excluded", "**/tests/**"),
        ("vendor/", "excluded", "vendor/**"),
    ]
    before = state_of([str(folder)], exclusion)
    (folder / "vendor" / "more.py").write_text("d = 4\n")
    assert state_of([str(folder)], exclusion) == before


def test_a_file_is_read_as_it_was_listed_or_told_why_not(tmp_path):
    path = tmp_path / "a.py"
    path.write_bytes(b"1234")
    assert read_file(path, 4) == b"1234"
    assert read_file(path, 3) == read_file(path, 5) == "changed while it was read"
    assert read_file(tmp_path / "none", 1) == "No such file or directory"
    (tmp_path / "link").symlink_to(path)
    assert read_file(tmp_path / "link", 4) == "a symbolic link"
    os.mkfifo(tmp_path / "pipe")
    assert read_file(tmp_path / "pipe", 0) == "not a regular file"
    assert isinstance(read_file(tmp_path, 0), str)


def test_a_folder_that_is_gone_is_an_error_and_no_heap_of_unreadable_files(tmp_path):
    folder = Folder("api", tmp_path / "api")
    with pytest.raises(UserError, match="does not see the folder"):
        list(folder.listing(Exclusion(())))
    with pytest.raises(UserError, match="does not see the folder"):
        folder.read([Listed("api", "a.py", 3)])
