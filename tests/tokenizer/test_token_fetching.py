"""Tokens in an object store are fetched once, checked, and read as if they lay here; a real store on the loopback."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from repotune.core.errors import UserError
from repotune.corpus.sources.remote import _system
from repotune.tokenizer.fetching import fetch_tokens
from repotune.tokenizer.packing import TokenStore

FETCH = """
import sys
from pathlib import Path
from repotune.tokenizer.fetching import fetch_tokens
print(fetch_tokens(sys.argv[1], "train", Path(sys.argv[2])))
"""


@pytest.fixture(scope="module")
def object_store() -> Iterator[str]:
    """The address of an object store."""
    pytest.importorskip("s3fs", reason="the extra `remote`")
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def remote(object_store: str, built: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of a copy of tokens/ in the store."""
    import s3fs

    for name, value in {
        "AWS_ENDPOINT_URL": object_store,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    _system.cache_clear()
    s3fs.S3FileSystem.clear_instance_cache()
    system = s3fs.S3FileSystem()
    if system.exists("tokens"):
        system.rm("tokens", recursive=True)
    system.mkdir("tokens")
    for path in built["tokens"].iterdir():
        if path.is_file():
            system.put_file(str(path), f"tokens/run/{path.name}")
    system.invalidate_cache()
    return "s3://tokens/run"


@pytest.fixture
def copied(built: dict[str, Path], tmp_path: Path) -> Path:
    """A copy of tokens/ in a folder, to be read as a file:// URL and damaged."""
    return shutil.copytree(built["tokens"], tmp_path / "copied")


def _same(one: TokenStore, other: TokenStore) -> bool:
    return len(one) == len(other) and all(
        one.document(number).tolist() == other.document(number).tolist() and one.path(number) == other.path(number)
        for number in range(len(one))
    )


def test_a_split_in_an_object_store_is_the_same_split(remote: str, built: dict[str, Path], tmp_path: Path) -> None:
    folder = fetch_tokens(remote, "train", tmp_path / "cache")
    assert _same(TokenStore(folder, "train"), TokenStore(built["tokens"], "train"))
    assert not list(folder.glob("validation*"))


def test_what_was_fetched_is_not_fetched_again(copied: Path, tmp_path: Path) -> None:
    first = fetch_tokens(copied.as_uri(), "train", tmp_path / "cache")
    before = {path: path.stat().st_ino for path in first.iterdir() if path.name != "index.json"}
    assert fetch_tokens(copied.as_uri() + "/", "train", tmp_path / "cache") == first
    assert {path: path.stat().st_ino for path in first.iterdir() if path.name != "index.json"} == before


def test_other_tokens_at_the_same_place_get_another_folder(copied: Path, tmp_path: Path) -> None:
    first = fetch_tokens(copied.as_uri(), "validation", tmp_path / "cache")
    index = json.loads((copied / "index.json").read_text())
    (copied / "index.json").write_text(json.dumps(index | {"tokenizer": "another"}))
    assert fetch_tokens(copied.as_uri(), "validation", tmp_path / "cache") != first


def test_bytes_that_changed_on_the_way_are_refused(copied: Path, tmp_path: Path) -> None:
    path = copied / "train-00000.bin"
    ids = bytearray(path.read_bytes())
    ids[5] ^= 1
    path.write_bytes(ids)
    with pytest.raises(UserError, match="is not what its index"):
        fetch_tokens(copied.as_uri(), "train", tmp_path / "cache")
    ids[5] ^= 1
    path.write_bytes(ids)
    TokenStore(fetch_tokens(copied.as_uri(), "train", tmp_path / "cache"), "train")


def test_a_kill_while_fetching_leaves_nothing_that_is_taken_for_whole(copied: Path, tmp_path: Path) -> None:
    folder = fetch_tokens(copied.as_uri(), "train", tmp_path / "cache")
    (folder / "train-00000.bin").rename(folder / ".incoming")
    assert fetch_tokens(copied.as_uri(), "train", tmp_path / "cache") == folder
    assert len(TokenStore(folder, "train")) > 0


def test_processes_at_once_share_one_cache(copied: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", FETCH, copied.as_uri(), str(tmp_path / "cache")]
    processes = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
        for _ in range(3)
    ]
    answers = {process.communicate(timeout=60)[0].strip() for process in processes}
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert len(answers) == 1
    assert len(TokenStore(Path(answers.pop()), "train")) > 0


@pytest.mark.parametrize(
    "index",
    [
        '{"schema": 1, "dtype": "uint16", "splits": {"train": {}}}',
        '{"schema": 2, "dtype": "uint16", "splits": {"train": {"files": {"../away": {"sha256": ""}}}}}',
        '{"schema": 2, "dtype": "uint16", "splits": {"other": {}}}',
        "[]",
    ],
)
def test_a_place_that_holds_no_tokens_is_refused(tmp_path: Path, index: str) -> None:
    place = tmp_path / "place"
    place.mkdir()
    (place / "index.json").write_text(index)
    with pytest.raises(UserError, match="is no tokens folder"):
        fetch_tokens(place.as_uri(), "train", tmp_path / "cache")


def test_a_place_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="There is nothing at"):
        fetch_tokens((tmp_path / "nowhere").as_uri(), "train", tmp_path / "cache")
