from __future__ import annotations

import sysconfig
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from repotune.core.errors import UserError
from repotune.corpus.writing import KEPT

STDLIB = Path(sysconfig.get_paths()["stdlib"])


def test_bytes_depend_neither_on_the_workers_nor_on_the_order_of_the_repositories(build):
    folders = [STDLIB / name for name in ("json", "email", "encodings")]
    one = build(*folders, workers=1, name="one")
    three = build(*reversed(folders), workers=3, name="three")
    names = sorted(path.name for path in one.folder.iterdir())
    assert names == sorted(path.name for path in three.folder.iterdir())
    assert all((one.folder / name).read_bytes() == (three.folder / name).read_bytes() for name in names)


def test_every_file_is_kept_once_or_dropped_with_a_reason(build, write, module, tmp_path):
    folder = tmp_path / "api"
    files = {f"src/m{number}.py": module(number) for number in range(6)}
    write(folder, files | {"logo.png": b"\x89PNG\0", "binary.py": b"\0\1", "empty.py": "", "tests/t.py": module(99)})
    corpus = build(folder, exclude=("tests/**",))
    assert set(corpus.kept) == set(files)
    assert {path: row["rule"] for path, row in corpus.dropped.items()} == {
        "binary.py": "binary",
        "empty.py": "empty",
        "logo.png": "language",
        "tests/": "excluded",
    }
    assert [stage["files"] for stage in corpus.summary["funnel"]] == [10, 8, 6, 6, 6, 6, 6, 6, 6, 6]
    assert corpus.summary["languages"]["Python"]["files"] == 6
    assert sum(split["files"] for split in corpus.summary["splits"].values()) == 6


def test_rows_hold_what_the_contract_names(build, repository, module):
    source = b"\xef\xbb\xbf" + module(1).encode()
    repository.commit({"a.py": source, "b.py": module(2), "c.py": module(3)}, "2024-05-06T07:08:09Z")
    corpus = build(repository.folder)
    row = corpus.kept["a.py"]
    assert pq.read_schema(corpus.folder / "train-00000.parquet").names == KEPT.names
    assert row["text"] == module(1) and row["size"] == len(module(1))
    assert (row["repository"], row["language"], row["licence"]) == ("api", "Python", "unknown")
    assert row["commit"] == repository.git("rev-parse", "HEAD").strip() and row["committed"] == "2024-05-06T07:08:09Z"
    assert row["signals"]["lines"] == module(1).count("\n")


def test_a_script_is_known_by_its_first_line(build, write, module, tmp_path):
    files = {
        "bin/tool": "#!/usr/bin/env python3\n" + module(1),
        "bin/data": "no script at all",
        "bin/x": "#!/bin/sh\nls",
    }
    write(tmp_path / "api", files | {f"{number}.py": module(number) for number in (2, 3)})
    corpus = build(tmp_path / "api", languages=("python",))
    assert corpus.kept["bin/tool"]["language"] == "Python"
    assert {path: row["value"] for path, row in corpus.dropped.items()} == {"bin/data": "unknown", "bin/x": "Shell"}


def test_permissive_keeps_only_what_is_known_to_be(build, write, module, tmp_path):
    write(
        tmp_path / "api",
        {
            "LICENSE": "Released under the Unlicense.",
            "vendor/COPYING": "GNU GENERAL PUBLIC LICENSE Version 2, June 1991",
            "vendor/a.py": module(1),
            "tagged.py": "# SPDX-License-Identifier: AGPL-3.0-only\n" + module(2),
            "vague/LICENSE": "Ask us.",
            "vague/a.py": module(3),
        }
        | {f"{number}.py": module(number) for number in (4, 5, 6)},
    )
    corpus = build(tmp_path / "api", licences="permissive")
    assert {row["licence"] for row in corpus.kept.values()} == {"Unlicense"}
    lost = {path: row["value"] for path, row in corpus.dropped.items() if row["rule"] == "licence"}
    assert lost == {"vendor/a.py": "GPL-2.0-only", "tagged.py": "AGPL-3.0-only AND Unlicense", "vague/a.py": "unknown"}


def test_too_few_files_are_an_error_that_says_what_was_dropped(build, write, tmp_path):
    write(tmp_path / "api", {"a.py": "value = other\n", "b.bin": b"\0", "c.bin": b"\1"})
    with pytest.raises(UserError, match=r"Only 1 files are left.*2 are dropped \(language 2\)") as caught:
        build(tmp_path / "api")
    assert caught.value.hint


def test_an_empty_folder_is_an_error(build, tmp_path):
    (tmp_path / "api").mkdir()
    with pytest.raises(UserError, match="none are dropped"):
        build(tmp_path / "api")


def test_nothing_but_the_corpus_is_left_in_its_folder(build, repository, module):
    repository.commit({f"{number}.py": module(number) for number in range(3)})
    corpus = build(f"file://{repository.folder}")
    assert sorted(path.name for path in corpus.folder.iterdir()) == [
        "dropped.parquet",
        "examples.json",
        "summary.json",
        "test-00000.parquet",
        "train-00000.parquet",
        "validation-00000.parquet",
    ]
