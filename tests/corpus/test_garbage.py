"""Folders of garbage: whatever lies there, every file is kept or dropped with a reason, and nothing raises."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

_PIECES = (
    b"def f(x):\n    return x\n",
    b"\xff\xfe",
    b"\0",
    b"\xef\xbb\xbf",
    b"<script",
    b"#!",
    b"\r",
    b"\xc3",
    b"\\u0041",
    b"9" * 70,
)
_ENDS = (b".py", b".html", b".json", b".txt", b"", b".", b".PY", b".lock", b".\xff", b"\n.py", b".py.c")
_STEMS = (
    b"a",
    b"LICENSE",
    b"COPYING",
    b"Makefile",
    b"\xf0\x9f\x90\x8d",
    b"\xed\xa0\x80",
    b" ",
    b"-rf",
    b"%s",
    b"\x01123",
)


def garbage(folder: Path, draw: random.Random, depth: int = 0) -> None:
    folder.mkdir()
    for _ in range(draw.randint(4, 12)):
        name = draw.choice(_STEMS) + str(draw.randint(0, 99)).encode() * draw.randint(0, 1) + draw.choice(_ENDS)
        path = folder / os.fsdecode(name)
        kind = draw.choice("fffffflpd")
        if os.path.lexists(path):
            continue
        if kind == "f":
            path.write_bytes(b"".join(draw.choices(_PIECES, k=draw.choice((0, 1, 5, 200)))))
        elif kind == "l":
            path.symlink_to(draw.choice(("nowhere", ".", "..", path, "/dev/zero")))
        elif kind == "p":
            os.mkfifo(path)
        elif depth < 3:
            garbage(path, draw, depth + 1)


def balanced(corpus, files: int) -> bool:
    kept = sum(split["files"] for split in corpus.summary["splits"].values())
    dropped = sum(rule["files"] for rule in corpus.summary["dropped"].values())
    funnel = [stage["files"] for stage in corpus.summary["funnel"]]
    return kept + dropped == funnel[0] == files and funnel[-1] == kept


@pytest.mark.parametrize("seed", range(8))
def test_every_file_of_a_garbage_folder_is_accounted_for(build, write, module, tmp_path, seed):
    garbage(tmp_path / "api", random.Random(seed))
    write(tmp_path / "api", {f"good/{number}.py": module(number) for number in range(3)})
    files = sum(1 for path in (tmp_path / "api").rglob("*") if path.is_symlink() or not path.is_dir())
    assert balanced(build(tmp_path / "api"), files)


@pytest.mark.parametrize("seed", range(8))
def test_every_file_of_a_garbage_commit_is_accounted_for(build, repository, module, seed):
    garbage(repository.folder / "garbage", random.Random(seed))
    repository.commit({f"good/{number}.py": module(number) for number in range(3)})
    assert balanced(build(repository.folder), repository.git("ls-files", "-z").count("\0"))
