from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repotune.core.errors import UserError
from repotune.core.settings import OptOutSettings
from repotune.corpus.opt_out import OptOut, add_to_opt_out, literal, merged, read_opt_out
from repotune.corpus.rows import Listed

LIST = OptOutSettings(
    repositories=("legacy",),
    paths=("api/src/partner/**", "*.key", "web/a.js"),
    authors=("Jane@Example.org", "John  Doe"),
)


@pytest.mark.parametrize(
    ("repository", "path", "authors", "line"),
    [
        ("legacy", "any/thing.py", (), "repository: legacy"),
        ("legacy2", "any/thing.py", (), None),
        ("api", "src/partner/deep/a.py", (), "path: api/src/partner/**"),
        ("api", "src/partners/a.py", (), None),
        ("web", "src/partner/a.py", (), None),
        ("web", "deep/x.key", (), "path: *.key"),
        ("web", "a.js", (), "path: web/a.js"),
        ("web", "b/a.js", (), None),
        ("web", "b.js", ("Someone <s@x>", "Jane Roe <jane@example.org>"), "author: Jane@Example.org"),
        ("web", "b.js", ("john doe <j@x>",), "author: John  Doe"),
        ("web", "b.js", ("jane@example.org",), "author: Jane@Example.org"),
        ("web", "b.js", ("Jane <jane@example.org.uk>",), None),
        ("web", "b.js", (), None),
    ],
)
def test_repositories_paths_and_authors_are_opted_out(repository, path, authors, line):
    assert OptOut(LIST).reason(Listed(repository, path, 1, authors=authors)) == line


def test_a_list_is_read_line_by_line_and_added_to_without_losing_any(tmp_path):
    path = tmp_path / "opt-out.txt"
    assert read_opt_out(path) == OptOutSettings()
    add_to_opt_out(path, ["repository: legacy", "path: a/b"])
    path.write_text(path.read_text() + "\n# asked for in May\n  author: jane@example.org  \n")
    add_to_opt_out(path, ["path: a/b", "path: c:d/e"])
    assert read_opt_out(path) == OptOutSettings(
        repositories=("legacy",), paths=("a/b", "c:d/e"), authors=("jane@example.org",)
    )
    assert "# asked for in May" in path.read_text()
    assert path.read_text().count("a/b") == 1


@pytest.mark.parametrize("line", ["legacy", "repo: legacy", "path:", ": x"])
def test_a_line_that_says_nothing_is_an_error_that_names_it(tmp_path, line):
    path = tmp_path / "opt-out.txt"
    path.write_text(f"# first\n{line}\n")
    with pytest.raises(UserError, match=r"opt-out.txt, line 2"):
        read_opt_out(path)
    with pytest.raises(UserError):
        add_to_opt_out(path, ["path: a"])
    assert path.read_text() == f"# first\n{line}\n"


def test_a_pattern_that_cannot_be_read_is_an_error_that_names_its_key():
    with pytest.raises(UserError, match=r"corpus.opt_out.paths"):
        OptOut(OptOutSettings(paths=("[z-a]",))).reason(Listed("a", "b", 1))


def test_lists_are_merged_in_order_and_once():
    both = merged(OptOutSettings(paths=("b", "a")), OptOutSettings(paths=("a", "c"), repositories=("r",)))
    assert both == OptOutSettings(paths=("b", "a", "c"), repositories=("r",))


names = st.text(st.characters(blacklist_characters="/\0", blacklist_categories=("Cs",)), min_size=1, max_size=8)


@given(names.filter(lambda name: name.strip(".")), st.lists(names, min_size=1, max_size=3))
def test_a_path_by_its_name_opts_out_itself_whatever_it_holds(repository, parts):
    path = "/".join(parts)
    with tempfile.TemporaryDirectory() as folder:
        add_to_opt_out(Path(folder, "opt-out.txt"), [f"path: {literal(f'{repository}/{path}')}"])
        opted = OptOut(read_opt_out(Path(folder, "opt-out.txt")))
    assert opted.reason(Listed(repository, path, 1))
    assert opted.reason(Listed(repository, path + "/within", 1))
    assert not opted.reason(Listed(repository, path + "2", 1))


def test_the_build_leaves_out_what_is_opted_out(build, repository, module):
    repository.commit({f"src/m{number}.py": module(number) for number in range(6)})
    repository.git("-c", "user.name=x", "commit", "-q", "--allow-empty", "-m", "no change")
    corpus = build(repository.folder, opt_out=OptOutSettings(paths=("api/src/m1.py",)))
    assert corpus.dropped["src/m1.py"]["rule"] == "opted_out"
    assert corpus.dropped["src/m1.py"]["value"] == "path: api/src/m1.py"
    assert corpus.summary["dropped"]["opted_out"]["files"] == 1
    assert corpus.summary["funnel"][-1]["files"] == len(corpus.kept) == 5


def test_the_build_asks_who_wrote_what_where_authors_opt_out(build, repository, module):
    repository.commit({f"{number}.py": module(number) for number in range(5)})
    repository.folder.joinpath("0.py").write_text(module(0) + "# changed\n")
    repository.git("commit", "-q", "-a", "--author", "Jane Roe <jane@example.org>", "-m", "hers")
    corpus = build(repository.folder, opt_out=OptOutSettings(authors=("jane@example.org",)))
    assert {path: row["value"] for path, row in corpus.dropped.items()} == {"0.py": "author: jane@example.org"}
