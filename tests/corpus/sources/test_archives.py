from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import pickle
import stat
import tarfile
import zipfile
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from repotune.core.errors import UserError
from repotune.corpus.exclusion import Exclusion
from repotune.corpus.rows import Listed
from repotune.corpus.sources import open_sources, state_of
from repotune.corpus.sources.archive import Tar, Zip
from repotune.corpus.sources.compression import refuse_bomb


def tar_of(members: dict[str, bytes | tarfile.TarInfo], **options) -> bytes:
    """A tar; a TarInfo stands for itself, without content."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", **options) as archive:
        for name, content in members.items():
            if isinstance(content, tarfile.TarInfo):
                content.name = name
                archive.addfile(content)
            else:
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def zip_of(members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def special(kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo()
    info.type, info.linkname = kind, target
    return info


PACKED = {
    "tar": lambda data: data,
    "tar.gz": gzip.compress,
    "tgz": gzip.compress,
    "tar.bz2": bz2.compress,
    "tar.xz": lzma.compress,
    "tar.zst": lambda data: pa.Codec("zstd").compress(data).to_pybytes(),
}


@pytest.mark.parametrize("suffix", PACKED)
def test_a_tar_is_read_in_any_compression(suffix, tmp_path, contents, rows):
    path = tmp_path / f"team-1.0.{suffix}"
    path.write_bytes(PACKED[suffix](tar_of({"b.py": b"two", "src/a.py": b"one", "empty.py": b""})))
    assert contents(path) == {"b.py": b"two", "empty.py": b"", "src/a.py": b"one"}
    assert list(rows(path)) == ["b.py", "empty.py", "src/a.py"]
    assert rows(path)["b.py"].repository == "team-1.0"


def test_compression_is_told_by_content_and_not_by_name(tmp_path, contents):
    (tmp_path / "download").write_bytes(gzip.compress(tar_of({"a.py": b"1"})))
    assert contents(tmp_path / "download") == {"a.py": b"1"}


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_is_read_in_any_compression(method, tmp_path, contents):
    (tmp_path / "x.zip").write_bytes(zip_of({"a.py": b"one" * 99, "deep/b.py": b"two", "folder/": b""}, method))
    assert contents(tmp_path / "x.zip") == {"a.py": b"one" * 99, "deep/b.py": b"two"}


def test_the_one_folder_that_holds_an_sdist_is_no_part_of_its_paths(tmp_path, contents):
    (tmp_path / "tool-1.0.tar.gz").write_bytes(
        gzip.compress(tar_of({"./tool-1.0/LICENSE": b"MIT", "./tool-1.0/tool/a.py": b"1"}))
    )
    assert contents(tmp_path / "tool-1.0.tar.gz") == {"LICENSE": b"MIT", "tool/a.py": b"1"}
    (tmp_path / "tool-1.0-py3-none-any.whl").write_bytes(
        zip_of({"tool/a.py": b"1", "tool-1.0.dist-info/METADATA": b"Name: tool"})
    )
    assert "tool/a.py" in contents(tmp_path / "tool-1.0-py3-none-any.whl")


def test_what_git_archives_says_its_commit(repository, tmp_path, rows):
    repository.commit({"a.py": "1"})
    commit = repository.git("rev-parse", "HEAD").strip()
    for name in ("out.tar", "out.tar.gz", "out.zip"):
        repository.git("archive", "-o", str(tmp_path / name), "--prefix=api/", "HEAD")
        assert {path: row.commit for path, row in rows(tmp_path / name).items()} == {"a.py": commit}


def test_hostile_members_of_a_tar_are_dropped_and_nothing_is_written(tmp_path, contents):
    (tmp_path / "evil.tar.gz").write_bytes(
        gzip.compress(
            tar_of(
                {
                    "../escape.py": b"1",
                    "/etc/absolute.py": b"1",
                    "a/../../b.py": b"1",
                    "C:\\win.py": b"1",
                    "link.py": special(tarfile.SYMTYPE, "/etc/passwd"),
                    "hard.py": special(tarfile.LNKTYPE, "good.py"),
                    "device.py": special(tarfile.CHRTYPE),
                    "pipe.py": special(tarfile.FIFOTYPE),
                    "good.py": b"good",
                }
            )
        )
    )
    assert contents(tmp_path / "evil.tar.gz") == {
        "../escape.py": "dropped: unsafe_path",
        "/etc/absolute.py": "dropped: unsafe_path",
        "a/../../b.py": "dropped: unsafe_path",
        "C:\\win.py": "dropped: unsafe_path",
        "link.py": "dropped: symbolic_link",
        "hard.py": "dropped: hard_link",
        "device.py": "dropped: special_file",
        "pipe.py": "dropped: special_file",
        "good.py": b"good",
    }
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["evil.tar.gz", "unpacked"]


def test_hostile_members_of_a_zip_are_dropped(tmp_path, contents):
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        archive.writestr("../escape.py", "1")
        link = zipfile.ZipInfo("link.py")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("good.py", "good")
    assert contents(tmp_path / "evil.zip") == {
        "../escape.py": "dropped: unsafe_path",
        "link.py": "dropped: symbolic_link",
        "good.py": b"good",
    }


def test_the_last_of_members_with_one_path_is_the_file(tmp_path):
    (tmp_path / "x.tar").write_bytes(tar_of({"a.py": b"old"}).rstrip(b"\0"))
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        for content in (b"old", b"new!"):
            info = tarfile.TarInfo("a.py")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    source = open_sources([str(tmp_path / "x.tar")], tmp_path)[0]
    dropped, file = source.listing(Exclusion(()))
    assert (dropped.rule, dropped.size) == ("repeated_path", 3)
    assert isinstance(file, Listed) and source.read([file]) == [b"new!"]


def test_a_name_that_is_not_utf8_is_dropped(tmp_path, contents):
    (tmp_path / "x.tar").write_bytes(tar_of({"caf\udce9.py": b"1", "a.py": b"1"}, format=tarfile.GNU_FORMAT))
    assert contents(tmp_path / "x.tar") == {"caf\\xe9.py": "dropped: path_encoding", "a.py": b"1"}


@pytest.mark.parametrize("suffix", ["tar.gz", "tar.bz2", "tar.xz", "tar", "zip"])
def test_a_truncated_archive_is_refused_by_its_name(suffix, tmp_path):
    content = {f"f{number}.py": os.urandom(3000) for number in range(9)}
    whole = zip_of(content) if suffix == "zip" else PACKED[suffix](tar_of(content))
    (tmp_path / f"cut.{suffix}").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=rf"cut\.{suffix} is damaged") as caught:
        for source in open_sources([str(tmp_path / f"cut.{suffix}")], tmp_path / "scratch"):
            list(source.listing(Exclusion(())))
    assert caught.value.hint


def test_a_damaged_member_of_a_zip_is_told_and_the_others_are_read(tmp_path, contents):
    data = bytearray(zip_of({"bad.py": b"x = 1\n" * 500, "good.py": b"y = 2\n"}))
    data[40:50] = b"\xff" * 10
    (tmp_path / "x.zip").write_bytes(data)
    found = contents(tmp_path / "x.zip")
    assert str(found["bad.py"]).startswith("damaged: ") and found["good.py"] == b"y = 2\n"


def test_a_zip_that_lies_about_a_size_gives_no_more_than_it_stated(tmp_path, contents):
    data = bytearray(zip_of({"bomb.py": b"0" * 1_000_000}))
    directory = data.index(b"PK\1\2")
    data[directory + 24 : directory + 28] = (10).to_bytes(4, "little")
    (tmp_path / "x.zip").write_bytes(data)
    assert isinstance(contents(tmp_path / "x.zip")["bomb.py"], str)


def test_a_bomb_is_refused_and_ordinary_text_is_not(tmp_path, monkeypatch):
    refuse_bomb(Path("x"), 1000, 200_000)
    refuse_bomb(Path("x"), 1, 1 << 30)
    with pytest.raises(UserError, match=r"x\.gz holds more than"):
        refuse_bomb(Path("x.gz"), 1 << 20, 1 << 31)
    monkeypatch.setattr("repotune.corpus.sources.compression._ALWAYS", 1 << 20)
    (tmp_path / "bomb.tar.gz").write_bytes(gzip.compress(tar_of({"a.py": b"0" * 8_000_000})))
    (tmp_path / "bomb.zip").write_bytes(zip_of({"a.py": b"0" * 8_000_000}))
    for name in ("bomb.tar.gz", "bomb.zip"):
        with pytest.raises(UserError, match="decompression bomb"):
            for source in open_sources([str(tmp_path / name)], tmp_path / "scratch"):
                list(source.listing(Exclusion(())))
    unpacked = sum(path.stat().st_size for path in (tmp_path / "scratch").rglob("*") if path.is_file())
    assert unpacked <= 4_000_000


def test_an_open_archive_can_be_read_by_another_process(tmp_path):
    (tmp_path / "x.zip").write_bytes(zip_of({"a.py": b"1"}))
    (tmp_path / "x.tar.gz").write_bytes(gzip.compress(tar_of({"a.py": b"1"})))
    for source in open_sources([str(tmp_path / "x.zip"), str(tmp_path / "x.tar.gz")], tmp_path / "scratch"):
        files = list(source.listing(Exclusion(())))
        assert pickle.loads(pickle.dumps(source)).read(files) == [b"1"]


def test_the_state_of_an_archive_changes_with_it_and_names_no_machine(tmp_path):
    path = tmp_path / "team.tar"
    path.write_bytes(tar_of({"a.py": b"1"}))
    before = state_of([str(path)])
    assert before == state_of([str(path)])
    assert before[0] | {"state": ""} == {"name": "team", "kind": "tar", "state": ""}
    path.write_bytes(tar_of({"a.py": b"1", "b.py": b"1"}) + bytes(10240))
    assert state_of([str(path)]) != before and str(tmp_path) not in str(before)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_no_bytes_crash_a_tar_or_a_zip(tmp_path, data):
    """Archives with some bytes changed, or cut, or made of nothing but noise: rows, or a UserError."""
    whole = data.draw(
        st.sampled_from(
            [
                tar_of({"a.py": b"1" * 700, "l": special(tarfile.SYMTYPE, "a"), "é" * 90: b"x"}),
                tar_of({"a" * 120: b"1", "b": b"2"}, format=tarfile.GNU_FORMAT),
                zip_of({"a.py": b"1" * 700, "b/c.py": b"22"}),
                b"",
            ]
        )
    )
    changed = bytearray(whole + data.draw(st.binary(max_size=600)))
    for place, value in data.draw(
        st.lists(st.tuples(st.integers(0, max(0, len(changed) - 1)), st.integers(0, 255)), max_size=12)
    ):
        if changed:
            changed[place] = value
    path = tmp_path / "noise"
    path.write_bytes(changed[: data.draw(st.integers(0, len(changed)))])
    for source in (Tar("noise", path, "noise"), Zip("noise", path, "noise")):
        try:
            files = [row for row in source.listing(Exclusion(())) if isinstance(row, Listed)]
        except UserError:
            continue
        for content in source.read(files):
            assert isinstance(content, bytes | str)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    content=st.binary(max_size=300),
    magic=st.sampled_from([b"", b"\x1f\x8b", b"BZh9", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd"]),
)
def test_any_file_is_a_source_or_refused(tmp_path, content, magic):
    path = tmp_path / "any"
    path.write_bytes(magic + content)
    try:
        sources = open_sources([str(path)], tmp_path / "scratch")
        for source in sources:
            list(source.listing(Exclusion(())))
    except UserError:
        pass
