"""An index is built, updated, replaced and opened whole, whatever happens meanwhile."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from repotune.core.errors import UserError
from repotune.core.flow import locked
from repotune.infer.index import building
from repotune.infer.index.building import build, refresh, update
from repotune.infer.index.cursor import Cursor
from repotune.infer.index.folder import INDEX_NAME, SEGMENTS, Index, check_index, open_index
from repotune.infer.index.segment import Document
from repotune.tokenizer.encoding import Codec

from .conftest import File, MakeWorkspace, document, source

NEW = "def entirely_new_function(marmalade):\n    return marmalade + 41\n"
OTHER = "def entirely_new_function(marmalade):\n    return marmalade - 17\n"


def what_follows(index: Index, codec: Codec, text: str) -> dict[str, float]:
    cursor = Cursor(index, codec.special)
    cursor.move_to(codec.encode(text))
    said = cursor.indexed()
    return {codec.decode([one]): share for one, share in zip(said.ids.tolist(), said.shares.tolist(), strict=True)}


def same_answers(one: Index, other: Index, codec: Codec, texts: Sequence[str]) -> bool:
    cursors = [Cursor(index, codec.special) for index in (one, other)]
    for text in texts:
        for token in codec.encode(text)[:600]:
            said = []
            for cursor in cursors:
                cursor.push(token)
                answer = cursor.indexed()
                said.append((answer.length, answer.ids.tolist(), answer.shares.round(9).tolist()))
            if said[0] != said[1]:
                return False
    return True


@pytest.fixture
def folder(index_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(index_folder, tmp_path / "index"))


def test_the_same_corpus_makes_the_same_bytes(workspace: dict[str, Path], index_folder: Path, tmp_path: Path) -> None:
    build(workspace["tokens"], workspace["corpus"], tmp_path / "again")
    (one,), (other,) = ((folder / SEGMENTS).iterdir() for folder in (index_folder, tmp_path / "again"))
    for path in one.iterdir():
        assert path.read_bytes() == (other / path.name).read_bytes(), path.name
    assert (index_folder / INDEX_NAME).read_bytes() == (tmp_path / "again" / INDEX_NAME).read_bytes()


def test_an_index_that_is_built_again_leaves_what_is_open(
    workspace: dict[str, Path], folder: Path, files: list[File], codec: Codec
) -> None:
    was = open_index(folder)
    before = what_follows(was, codec, files[0][1][:400])
    build(workspace["tokens"], workspace["corpus"], folder)
    assert len(list((folder / SEGMENTS).iterdir())) == 1
    assert (
        what_follows(was, codec, files[0][1][:400])
        == before
        == what_follows(open_index(folder), codec, files[0][1][:400])
    )


def test_a_changed_file_is_found_as_it_is_now_and_no_more_as_it_was(
    folder: Path, files: list[File], codec: Codec
) -> None:
    was = open_index(folder)
    of, text = files[4]
    update(folder, [document(codec, of, NEW * 3)])
    now = open_index(folder)
    assert len(now.segments) == 2 and now.documents == was.documents
    assert what_follows(now, codec, NEW[: NEW.index("41")]) == {"4": 1.0}
    assert not same_answers(was, now, codec, [text])
    check_index(folder)


def test_updates_answer_as_a_new_index_would(
    folder: Path, files: list[File], codec: Codec, make_workspace: MakeWorkspace, tmp_path: Path
) -> None:
    update(folder, [document(codec, files[2][0], NEW)], removed=[files[5][0].name])
    update(folder, [document(codec, source("package/new.py"), OTHER)], removed=[("nowhere", "none.py")])
    update(folder, [document(codec, files[2][0], NEW * 2)])
    left = [(of, NEW * 2 if n == 2 else text) for n, (of, text) in enumerate(files) if n != 5]
    anew = make_workspace([*left, (source("package/new.py"), OTHER)])
    build(anew["tokens"], anew["corpus"], tmp_path / "anew")
    updated, fresh = open_index(folder), open_index(tmp_path / "anew")
    assert (len(updated.segments), updated.documents) == (2, fresh.documents)
    texts = [NEW, OTHER, files[0][1], files[7][1]]
    assert same_answers(updated, fresh, codec, texts)


def test_many_changes_are_sorted_into_one_again(
    folder: Path, files: list[File], codec: Codec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(building, "MERGE_SHARE", 10_000_000)
    update(folder, [document(codec, files[0][0], NEW)], removed=[files[1][0].name])
    index = open_index(folder)
    assert len(index.segments) == 1 and not index.segments[0].removed and index.documents == len(files) - 1
    assert len(list((folder / SEGMENTS).iterdir())) == 1


def test_refreshing_takes_over_what_differs_alone(
    folder: Path, files: list[File], make_workspace: MakeWorkspace, codec: Codec
) -> None:
    later = [(of, text) for of, text in files if of.path != "package/3.py"]
    later[6] = (later[6][0], NEW)
    newer = make_workspace([*later, (source("package/new.py"), OTHER)])
    assert refresh(folder, newer["tokens"], newer["corpus"]) == (2, 1)
    assert refresh(folder, newer["tokens"], newer["corpus"]) == (0, 0)
    assert open_index(folder).documents == len(files)
    assert what_follows(open_index(folder), codec, OTHER[: OTHER.index("-")])


def test_who_has_it_open_keeps_what_was_opened(folder: Path, files: list[File], codec: Codec) -> None:
    was = open_index(folder)
    before = what_follows(was, codec, files[0][1][:400])
    update(folder, [document(codec, of, NEW) for of, _ in files])
    assert what_follows(was, codec, files[0][1][:400]) == before


def test_who_opens_it_meanwhile_sees_an_old_state_or_a_new_one(folder: Path, codec: Codec) -> None:
    states = [NEW.replace("41", str(number)) for number in range(50, 62)]
    asked = NEW[: NEW.index("41")]

    def write() -> None:
        for state in states:
            update(folder, [document(codec, source("package/new.py"), state)])

    update(folder, [document(codec, source("package/new.py"), states[0])])
    with ThreadPoolExecutor(1) as pool:
        writing, opened = pool.submit(write), 0
        while not writing.done() or not opened:
            (said,) = what_follows(open_index(folder), codec, asked)
            assert said.strip() in {"5", "6", *(str(number) for number in range(50, 62))}
            opened += 1
        writing.result()


def test_a_kill_leaves_the_index_as_it_was(folder: Path, files: list[File], codec: Codec) -> None:
    program = """
import os, signal, sys
from pathlib import Path
import numpy as np
from repotune.infer.index import building
from repotune.infer.index.segment import Document, Source
building.write_head = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
changed = Document(Source("library", "", "package/1.py", "Python", "MIT"), np.arange(20, 60))
building.update(Path(sys.argv[1]), [changed])
"""
    was = (folder / INDEX_NAME).read_bytes()
    killed = subprocess.run([sys.executable, "-c", program, str(folder)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert (folder / INDEX_NAME).read_bytes() == was
    check_index(folder)
    assert len(list((folder / SEGMENTS).iterdir())) == 2  # what the kill left
    update(folder, [document(codec, files[0][0], NEW)])
    kept = {segment["name"] for segment in json.loads((folder / INDEX_NAME).read_text())["segments"]}
    assert {path.name for path in (folder / SEGMENTS).iterdir()} == kept
    check_index(folder)


def test_one_process_writes_at_a_time(folder: Path, codec: Codec) -> None:
    with locked(folder), pytest.raises(UserError, match=f"process {os.getpid()}"):
        update(folder, [document(codec, source("a.py"), NEW)])


def test_nothing_of_a_refused_update_stays(folder: Path, files: list[File]) -> None:
    was = (folder / INDEX_NAME).read_bytes()
    separator = json.loads(was)["separator"]
    for ids in ([5, separator, 6], [70_000]):
        with pytest.raises(UserError, match="cannot hold"):
            update(folder, [Document(source("bad.py"), np.array(ids))])
    with pytest.raises(UserError, match="nothing"):
        update(folder, [], removed=[of.name for of, _ in files])
    assert (folder / INDEX_NAME).read_bytes() == was
    check_index(folder)


@pytest.mark.parametrize("name", ["text.bin", "order.bin", "psi.bin", "following.bin", "lists.bin", "documents.arrow"])
@pytest.mark.parametrize("damage", ["gone", "cut", "garbage"])
def test_damage_is_said(folder: Path, name: str, damage: str) -> None:
    (path,) = folder.glob(f"{SEGMENTS}/*/{name}")
    if damage == "gone":
        path.unlink()
    elif damage == "cut":
        os.truncate(path, path.stat().st_size - 5)
    else:
        path.write_bytes(np.random.default_rng(1).bytes(path.stat().st_size))
    with pytest.raises(UserError, match="damaged") as caught:
        open_index(folder)
        check_index(folder)
    assert caught.value.hint


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"schema": 1}',
        '{"schema": 9, "dtype": "uint16", "tokenizer": "", "separator": 0, "segments": []}',
    ],
)
def test_a_head_that_is_none_is_refused(folder: Path, text: str) -> None:
    (folder / INDEX_NAME).write_text(text)
    with pytest.raises(UserError, match="damaged"):
        open_index(folder)


def test_a_head_that_leads_elsewhere_is_refused(folder: Path) -> None:
    head = json.loads((folder / INDEX_NAME).read_text())
    head["segments"][0]["name"] = "../../elsewhere"
    (folder / INDEX_NAME).write_text(json.dumps(head))
    with pytest.raises(UserError, match="damaged"):
        open_index(folder)


def test_no_index_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no index"):
        open_index(tmp_path / "nothing")


def test_a_corpus_and_tokens_that_are_not_of_each_other_are_refused(
    workspace: dict[str, Path], files: list[File], make_workspace: MakeWorkspace, tmp_path: Path
) -> None:
    other = make_workspace(files[:-1])
    renamed = make_workspace([(source("renamed.py"), files[0][1]), *files[1:]])
    for corpus in (other["corpus"], renamed["corpus"]):
        with pytest.raises(UserError, match="not those of"):
            build(workspace["tokens"], corpus, tmp_path / "index")
    assert not (tmp_path / "index" / INDEX_NAME).exists()
