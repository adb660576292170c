from __future__ import annotations

import pyarrow.parquet as pq
import pytest

from repotune.corpus.split import Draw, split_files
from repotune.tokenizer.documents import count_documents, read_columns


def test_a_dated_repository_is_tested_on_what_changed_last(build, repository, module):
    for day in range(1, 21):
        repository.commit({f"m{day}.py": module(day)}, f"2024-01-{day:02}T00:00:00Z")
    corpus = build(repository.folder, test_share=0.2)
    assert {row["path"] for row in corpus.split("test")} == {"m17.py", "m18.py", "m19.py", "m20.py"}


def test_without_history_the_seed_draws(build, write, module, tmp_path):
    write(tmp_path / "api", {f"m{number}.py": module(number) for number in range(30)})
    splits = [
        {row["path"] for row in build(tmp_path / "api", seed=seed, name=name, test_share=0.2).split("test")}
        for seed, name in ((1, "a"), (1, "b"), (2, "c"))
    ]
    assert splits[0] == splits[1] != splits[2]
    assert len(splits[0]) == len(splits[2]) == 6


def test_small_repositories_give_their_share_of_test_files_too(build, tmp_path, write, module):
    for number in range(20):
        write(tmp_path / f"r{number}", {f"m{number}_{place}.py": module(100 * number + place, 6) for place in range(5)})
    corpus = build(*(tmp_path / f"r{number}" for number in range(20)), test_share=0.2)
    assert len(corpus.split("test")) == 20
    assert len({row["repository"] for row in corpus.split("test")}) > 8


@pytest.mark.parametrize("files", [3, 4, 5, 7])
@pytest.mark.parametrize("share", [0.001, 0.49])
def test_no_split_is_empty(build, write, module, tmp_path, files, share):
    write(tmp_path / "api", {f"m{number}.py": module(number) for number in range(files)})
    corpus = build(tmp_path / "api", test_share=share, validation_share=share)
    sizes = [len(corpus.split(name)) for name in ("train", "validation", "test")]
    assert all(sizes) and sum(sizes) == files


def test_a_draw_depends_on_repository_path_and_seed():
    draws = {Draw(seed).number(*name) for seed in (1, 2) for name in (("a", "b"), ("b", "a"), ("a", "c"))}
    assert len(draws) == 6 and all(0 <= draw < 1 for draw in draws)


def test_a_large_split_lies_in_several_files_that_all_are_read(build, write, module, tmp_path, monkeypatch):
    write(tmp_path / "api", {f"m{number:02}.py": module(number) for number in range(40)})
    whole = build(tmp_path / "api", name="whole")
    monkeypatch.setattr("repotune.corpus.split.SHARD_BYTES", 8_000)
    parts = [build(tmp_path / "api", name=f"{workers}", workers=workers).folder for workers in (1, 2)]
    files = [split_files(folder, "train") for folder in parts]
    assert len(files[0]) > 3
    assert [path.read_bytes() for path in files[0]] == [path.read_bytes() for path in files[1]]
    rows = [row for path in files[0] for row in pq.read_table(path).to_pylist()]
    assert rows == whole.split("train")
    read = [path for (paths,) in read_columns(parts[0], "train", "path") for path in paths]
    assert read == [row["path"] for row in rows]
    assert count_documents(parts[0], "train") == len(rows)
