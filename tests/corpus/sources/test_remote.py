"""Object stores and web servers: real ones, on the loopback."""

from __future__ import annotations

import functools
import gzip
import http.server
import io
import json
import pickle
import sys
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from repotune.core.errors import UserError
from repotune.corpus.exclusion import Exclusion
from repotune.corpus.rows import Listed
from repotune.corpus.sources import open_sources, state_of
from repotune.corpus.sources.remote import RemoteFolder, _system

pytest.importorskip("aiohttp", reason="the extra `remote`")


@pytest.fixture
def web(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder, and the address under which it is served."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def store() -> Iterator[str]:
    """The address of an object store."""
    pytest.importorskip("s3fs", reason="the extra `remote`")
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(store: str, monkeypatch: pytest.MonkeyPatch):
    """The store's file system, with an empty bucket `team`."""
    import s3fs

    for name, value in {
        "AWS_ENDPOINT_URL": store,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    _system.cache_clear()
    s3fs.S3FileSystem.clear_instance_cache()
    system = s3fs.S3FileSystem()
    if system.exists("team"):
        system.rm("team", recursive=True)
    system.mkdir("team")
    system.invalidate_cache()
    return system


def packed(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def test_an_archive_on_a_web_server_is_fetched_and_its_change_is_seen(web, contents, rows):
    folder, url = web
    (folder / "team-1.0.tar.gz").write_bytes(packed({"team-1.0/a.py": b"one"}))
    assert contents(f"{url}/team-1.0.tar.gz") == {"a.py": b"one"}
    assert rows(f"{url}/team-1.0.tar.gz?token=secret")["a.py"].repository == "team-1.0"
    before = state_of([f"{url}/team-1.0.tar.gz"])
    (folder / "team-1.0.tar.gz").write_bytes(packed({"team-1.0/a.py": b"one", "team-1.0/b.py": b"two and more"}))
    assert state_of([f"{url}/team-1.0.tar.gz"]) != before
    assert before[0]["name"] == "team-1.0" and "127.0.0.1" not in json.dumps(before)


def test_data_sets_on_a_web_server_are_read(web, contents):
    folder, url = web
    (folder / "code.jsonl.gz").write_bytes(gzip.compress(b'{"content": "x = 1", "path": "a.py"}\n'))
    pq.write_table(pa.table({"content": ["y = 2"], "path": ["b.py"]}), folder / "code.parquet")
    assert contents(f"{url}/code.jsonl.gz") == {"a.py": b"x = 1"}
    assert contents(f"{url}/code.parquet") == {"b.py": b"y = 2"}


def test_what_is_not_on_a_web_server_is_told_without_the_password(web):
    _, url = web
    address = url.replace("http://", "http://user:hunter2@") + "/none.zip?signature=hunter2"
    for ask in (lambda: state_of([address]), lambda: open_sources([address], Path("unused"))):
        with pytest.raises(UserError) as caught:
            ask()
        assert "none.zip" in caught.value.message and "hunter2" not in f"{caught.value.message}{caught.value.hint}"


def test_a_prefix_of_an_object_store_is_a_folder(bucket, rows, contents, tmp_path):
    bucket.pipe({"team/code/a.py": b"one", "team/code/deep/b.py": b"two", "team/codex/c.py": b"other"})
    assert contents("s3://team/code") == {"a.py": b"one", "deep/b.py": b"two"}
    assert [row.repository for row in rows("s3://team/code/").values()] == ["code", "code"]
    source = open_sources(["s3://team/code"], tmp_path)[0]
    files = [row for row in source.listing(Exclusion(())) if isinstance(row, Listed)]
    bucket.pipe("team/code/a.py", b"longer")
    bucket.rm("team/code/deep/b.py")
    changed, gone = pickle.loads(pickle.dumps(source)).read(files)
    assert changed == "changed while it was read" and "the store does not give it" in gone


def test_the_state_of_a_prefix_follows_its_objects_but_not_excluded_ones(bucket):
    bucket.pipe({"team/code/a.py": b"one", "team/code/vendor/b.py": b"two"})
    exclusion = Exclusion(("vendor",))
    before = state_of(["s3://team/code"], exclusion)
    assert before[0] | {"state": ""} == {"name": "code", "kind": "remote folder", "state": ""}
    bucket.pipe("team/code/vendor/b.py", b"three")
    assert state_of(["s3://team/code"], exclusion) == before
    bucket.pipe("team/code/a.py", b"eno")  # of the same size
    assert state_of(["s3://team/code"], exclusion) != before


def test_archives_and_data_sets_in_an_object_store_are_read(bucket, contents):
    parquet = io.BytesIO()
    pq.write_table(pa.table({"content": ["z = 3"], "lang": ["Python"]}), parquet)
    bucket.pipe(
        {
            "team/api.tar.gz": packed({"api/a.py": b"one"}),
            "team/stack/python/0.parquet": parquet.getvalue(),
            "team/stack/1.jsonl": b'{"content": "w = 4"}\n',
            "team/stack/README.md": b"# data",
        }
    )
    assert contents("s3://team/api.tar.gz") == {"a.py": b"one"}
    assert contents("s3://team/stack") == {"python/0/1": b"z = 3", "1/1": b"w = 4"}
    assert state_of(["s3://team/stack"])[0]["kind"] == "data set"


def test_what_an_object_store_does_not_have_is_told(bucket):
    for address in ("s3://team/none", "s3://nobodys-bucket/x.tar"):
        with pytest.raises(UserError, match=address) as caught:
            state_of([address])
        assert caught.value.hint


def test_a_library_that_is_not_here_is_named_with_its_extra(monkeypatch):
    _system.cache_clear()
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(UserError, match="not here") as caught:
        state_of(["s3://team/code"])
    assert "repotune[remote]" in caught.value.hint
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(UserError, match="gcsfs") as caught:
        state_of(["gs://team/code"])
    assert "repotune[remote]" in caught.value.hint


def test_a_scheme_that_nothing_takes_is_told():
    with pytest.raises(UserError, match="nonsense"):
        state_of(["nonsense://team/code"])


def test_nothing_is_asked_of_a_store_for_no_files():
    assert RemoteFolder("x", "nonsense://x").read([]) == []
