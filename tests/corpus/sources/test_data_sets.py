from __future__ import annotations

import bz2
import datetime
import gzip
import io
import json
import pickle
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from repotune.core.errors import UserError
from repotune.corpus.exclusion import Exclusion
from repotune.corpus.rows import Dropped, Listed
from repotune.corpus.sources import open_sources, state_of
from repotune.corpus.sources.columnar import Parquet
from repotune.corpus.sources.columns import listed
from repotune.corpus.sources.jsonlines import JsonLines

STACK_1 = {
    "content": "def f(): pass\n",
    "lang": "Python",
    "max_stars_repo_path": "src/a.py",
    "max_stars_repo_name": "team/api",
    "max_stars_repo_head_hexsha": "ab" * 20,
    "max_stars_repo_licenses": ["MIT", "Apache-2.0"],
}
STACK_2 = {
    "content": "x = 1\n",
    "language": "Python",
    "path": "/src/b.py",
    "repository": "team/web",
    "detected_licenses": [],
    "license": "BSD-3-Clause",
}


def lines(*records: object) -> bytes:
    return "".join(json.dumps(record) + "\n" for record in records).encode()


@pytest.mark.parametrize(
    ("suffix", "pack"),
    [
        ("jsonl", bytes),
        ("jsonl.gz", gzip.compress),
        ("jsonl.bz2", bz2.compress),
        ("ndjson.zst", lambda data: pa.Codec("zstd").compress(data).to_pybytes()),
    ],
)
def test_json_lines_state_what_the_stack_states(suffix, pack, tmp_path, rows, contents):
    path = tmp_path / f"code.{suffix}"
    path.write_bytes(pack(lines(STACK_1, STACK_2)))
    found = rows(path)
    first, second = found["src/a.py"], found["src/b.py"]
    assert (first.repository, first.language, first.commit) == ("team/api", "Python", "ab" * 20)
    assert first.licences == ("Apache-2.0", "MIT")
    assert (second.repository, second.licences) == ("team/web", ("BSD-3-Clause",))
    assert contents(path) == {"src/a.py": b"def f(): pass\n", "src/b.py": b"x = 1\n"}
    assert [first.size, second.size] == [14, 6]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.binary(), pa.dictionary(pa.int32(), pa.string())])
def test_parquet_is_read_at_random_whatever_holds_the_text(kind, tmp_path):
    texts = [f"x = {number}\n" * 40 for number in range(1500)]
    table = pa.table({"content": pa.array(texts).cast(kind), "path": [f"{n}.py" for n in range(1500)]})
    pq.write_table(table, tmp_path / "code.parquet", row_group_size=700)
    source = open_sources([str(tmp_path / "code.parquet")], tmp_path)[0]
    files = list(source.listing(Exclusion(())))
    assert [file.size for file in files] == [len(text) for text in texts]
    for places in ([3, 4, 699, 700, 1499], [1499, 0, 800, 10], []):
        read = pickle.loads(pickle.dumps(source)).read([files[place] for place in places])
        assert read == [texts[place].encode() for place in places]


def test_parquet_states_what_the_stack_states_and_a_null_is_dropped(tmp_path, rows):
    pq.write_table(pa.Table.from_pylist([STACK_1, {"content": None}]), tmp_path / "code.parquet")
    found = rows(tmp_path / "code.parquet")
    assert found["src/a.py"].licences == ("Apache-2.0", "MIT") and found["src/a.py"].repository == "team/api"
    assert found["code/2"].rule == "malformed"


def test_a_folder_of_data_files_is_one_data_set(tmp_path, rows, contents):
    top = tmp_path / "the-stack"
    for language in ("go", "python"):
        (top / "data" / language).mkdir(parents=True)
        pq.write_table(pa.table({"content": [f"// {language}"]}), top / "data" / language / "train-00000.parquet")
    (top / "more.jsonl").write_bytes(lines({"content": "x"}))
    (top / "README.md").write_text("# The Stack")
    (top / ".gitattributes").write_text("* lfs")
    sources = open_sources([str(top)], tmp_path / "scratch")
    assert [source.name for source in sources] == ["the-stack"] * 3
    assert contents(top) == {
        "data/go/train-00000/1": b"// go",
        "data/python/train-00000/1": b"// python",
        "more/1": b"x",
    }
    before = state_of([str(top)])
    assert before[0]["kind"] == "data set"
    (top / "more.jsonl").write_bytes(lines({"content": "xy"}))
    assert state_of([str(top)]) != before


def test_a_folder_with_code_beside_data_is_a_folder(tmp_path, write):
    write(tmp_path / "api", {"data.jsonl": lines({"content": "x"}), "main.py": "x"})
    write(tmp_path / "logs", {"log.jsonl": lines({"event": "x"}), "README.md": "x"})
    assert [state["kind"] for state in state_of([str(tmp_path / "api"), str(tmp_path / "logs")])] == ["folder"] * 2


def test_a_corpus_that_was_built_is_a_data_set(tmp_path, module, write, build):
    write(tmp_path / "api", {f"m{number}.py": module(number) for number in range(9)})
    first = build(tmp_path / "api")
    second = build(first.folder / "train-00000.parquet", name="again")
    assert {row["text"] for row in second.kept.values()} <= {row["text"] for row in first.split("train")}
    assert all(row["repository"] == "api" and row["language"] == "Python" for row in second.kept.values())


def test_a_licence_file_in_a_data_set_counts_for_its_own_repository_only(tmp_path, module, build):
    apache = (Path(__file__).parents[3] / "LICENSE").read_text()
    records = [
        {"content": module(number), "path": f"m{number}.py", "repository": name}
        for number, name in enumerate(["team/free"] * 6 + ["team/closed"] * 3)
    ]
    (tmp_path / "code.jsonl").write_bytes(
        lines({"content": apache, "path": "LICENSE", "repository": "team/free"}, *records)
    )
    kept = build(tmp_path / "code.jsonl").kept.values()
    assert {(row["repository"], row["licence"]) for row in kept if row["path"] != "LICENSE"} == {
        ("team/free", "Apache-2.0"),
        ("team/closed", "unknown"),
    }


def test_lines_that_hold_no_code_are_dropped_one_by_one(tmp_path, contents):
    bad = [b"{broken", b"[1]", b'{"content": 5}', b"{" * 100_000, b"\xff\xfe", b'{"n": 1' + b"0" * 5000 + b"}", b"NaN"]
    (tmp_path / "code.jsonl").write_bytes(lines({"content": "good"}) + b"\n".join(bad) + b"\n\n  \n" + lines(STACK_2))
    found = contents(tmp_path / "code.jsonl")
    assert found.pop("code/1") == b"good" and found.pop("src/b.py") == b"x = 1\n"
    assert list(found.values()) == ["dropped: malformed"] * len(bad)
    assert list(found) == [f"code/{number}" for number in range(2, 2 + len(bad))]


def test_a_line_without_end_is_passed_over_in_bounded_pieces(tmp_path, monkeypatch, contents):
    monkeypatch.setattr("repotune.corpus.sources.jsonlines._LONGEST_LINE", 1000)
    long = lines({"content": "x" * 5000})
    (tmp_path / "code.jsonl").write_bytes(lines({"content": "a"}) + long + lines({"content": "b"}))
    assert contents(tmp_path / "code.jsonl") == {"code/1": b"a", "code/2": "dropped: malformed", "code/3": b"b"}


def test_half_a_character_is_kept_for_decoding_to_refuse(tmp_path, contents):
    (tmp_path / "code.jsonl").write_bytes(b'{"content": "\\ud800", "path": "a\\udfff.py"}\n')
    assert contents(tmp_path / "code.jsonl") == {"a?.py": b"\xed\xa0\x80"}


@pytest.mark.parametrize("damage", ["cut", "no column"])
def test_a_parquet_file_that_cannot_be_read_is_refused_by_its_name(damage, tmp_path):
    path = tmp_path / "code.parquet"
    pq.write_table(pa.table({"content" if damage == "cut" else "tokens": ["x" * 1000]}), path)
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(UserError, match="code") as caught:
        for source in open_sources([str(path)], tmp_path / "scratch"):
            list(source.listing(Exclusion(())))
    assert caught.value.hint


@pytest.mark.parametrize(
    ("stated", "date"),
    [
        ("2023-05-01T02:00:00+02:00", "2023-05-01T00:00:00Z"),
        ("2023-05-01T00:00:00Z", "2023-05-01T00:00:00Z"),
        (datetime.datetime(2023, 5, 1), "2023-05-01T00:00:00Z"),
        ("last spring", ""),
        (5, ""),
        (None, ""),
    ],
)
def test_a_commits_time_is_a_date_in_utc_or_none(stated, date):
    assert listed({"committer_date": stated}, "x", "x/1", 1, "").committed == date


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_no_damage_crashes_parquet(tmp_path, data):
    whole = io.BytesIO()
    pq.write_table(pa.table({"content": ["x" * 50, "y", None], "path": ["a", "b", "c"]}), whole, compression="snappy")
    changed = bytearray(whole.getvalue())
    for place, value in data.draw(
        st.lists(st.tuples(st.integers(0, len(changed) - 1), st.integers(0, 255)), max_size=6)
    ):
        changed[place] = value
    path = tmp_path / "any.parquet"
    path.write_bytes(changed)
    try:
        source = Parquet("any", str(path), "any")
        files = [row for row in source.listing(Exclusion(())) if isinstance(row, Listed)]
    except UserError:
        return
    assert all(isinstance(content, bytes | str) for content in source.read(files))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
COLUMNS = ("content", "text", "path", "lang", "license", "licenses", "repository_name", "revision_id")
RECORD = st.fixed_dictionaries({}, optional=dict.fromkeys(COLUMNS, JSON))


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(records=st.lists(RECORD.map(json.dumps).map(str.encode) | st.binary(max_size=60), max_size=8))
def test_any_lines_are_files_or_drops_and_every_file_is_read(tmp_path, records):
    path = tmp_path / "any.jsonl"
    path.write_bytes(b"\n".join(records))
    source = JsonLines("any", path, "any")
    rows = list(source.listing(Exclusion(())))
    files = [row for row in rows if isinstance(row, Listed)]
    assert all(row.rule == "malformed" for row in rows if isinstance(row, Dropped))
    for file, content in zip(files, source.read(files), strict=True):
        assert isinstance(content, bytes) and len(content) == file.size
        pickle.dumps(file)
        pa.array([file.path, file.repository, file.language, file.commit, file.committed, *file.licences])
