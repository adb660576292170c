"""Examples are named as files, folders and globs; each text counts once, and a change is noticed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from repotune.core.errors import UserError
from repotune.core.settings import CorpusSettings
from repotune.corpus.samples import Samples, named_samples


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    for name, text in {
        "good/a.py": "a = 1\n",
        "good/deep/b.py": "b = 2\n",
        "good/.git/config": "[core]\n",
        "good/deep/copy.py": "a = 1\n",
        "bad/c.js": "c=3\n",
        "bad/d.py": "d=4\n",
    }.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (root / "bad" / "e.bin").write_bytes(b"\0\1\2")
    (root / "bad" / "large.txt").write_bytes(b"x" * 1_000_001)
    return root


def texts(root: Path, *entries: str) -> list[str]:
    return sorted(text.decode() for text in Samples("corpus.quality.good", entries, root).texts())


def test_files_folders_and_globs_are_taken(root: Path) -> None:
    assert texts(root, "good/a.py") == ["a = 1\n"]
    assert texts(root, "good") == ["a = 1\n", "b = 2\n"]
    assert texts(root, "*/*.py") == ["a = 1\n", "d=4\n"]
    assert texts(root, "goo?/**/*.py", str(root / "bad" / "c.js")) == ["a = 1\n", "b = 2\n", "c=3\n"]


def test_what_is_no_text_or_too_large_is_no_example(root: Path) -> None:
    assert texts(root, "bad") == ["c=3\n", "d=4\n"]
    with pytest.raises(UserError, match=r"corpus\.quality\.good: none of its files holds text"):
        texts(root, "bad/e.bin")


@pytest.mark.parametrize("entry", ["gone", "good/*.rs", "good/[", "/nowhere/at/all"])
def test_an_entry_that_names_nothing_is_refused(root: Path, entry: str) -> None:
    with pytest.raises(UserError, match=r"corpus\.quality\.good: there is no file at"):
        texts(root, "good", entry)


def test_an_empty_folder_names_nothing(root: Path) -> None:
    (root / "empty").mkdir()
    with pytest.raises(UserError, match="there is no file at empty"):
        texts(root, "empty")


def test_the_order_of_entries_changes_nothing(root: Path) -> None:
    one, other = (Samples("key", entries, root) for entries in (("good", "bad"), ("bad", "good", "good/a.py")))
    assert one.texts() == other.texts() and one.state() == other.state()


def test_a_change_is_noticed_and_a_move_is_none(root: Path) -> None:
    samples = Samples("key", ("good",), root)
    before = samples.state()
    moved = root.rename(root.with_name("elsewhere"))
    assert Samples("key", ("good",), moved).state() == before
    (moved / "good" / "a.py").write_text("a = 5\n")
    os.utime(moved / "good" / "a.py", ns=(1, 1))
    assert Samples("key", ("good",), moved).state() != before


def test_examples_stop_where_more_teach_no_more(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("repotune.corpus.samples.MOST_BYTES", 7)
    assert len(Samples("key", ("good",), root).texts()) == 1


def test_only_what_a_project_names_is_named(root: Path) -> None:
    assert named_samples(CorpusSettings(), root) == {}
    settings = CorpusSettings.model_validate({"importance": {"target": ["good"]}})
    assert list(named_samples(settings, root)) == ["corpus.importance.target"]
