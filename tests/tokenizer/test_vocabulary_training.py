"""build_tokenizer: its size, its determinism, its report and what it says of bad input."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from repotune.core.console import Console
from repotune.core.errors import UserError
from repotune.core.flow import Work
from repotune.tokenizer import vocabulary
from repotune.tokenizer.encoding import load_codec
from repotune.tokenizer.layout import SPECIAL_TOKENS
from repotune.tokenizer.vocabulary import build_tokenizer, train_bpe

MakeWork = Callable[..., Work]


def test_the_size_counts_special_tokens_and_they_come_first(built: dict[str, Path]) -> None:
    content = json.loads((built["tokenizer"] / "tokenizer.json").read_text())
    assert len(content["model"]["vocab"]) == 4096
    assert [content["model"]["vocab"][text] for text in SPECIAL_TOKENS] == list(range(7))


def test_a_small_corpus_gives_a_smaller_vocabulary_and_says_so(
    work_on: MakeWork, capfd: pytest.CaptureFixture[str]
) -> None:
    work = work_on({"train": [("hello hello world\n", "a", "Text")]})
    build_tokenizer(work, 1000)
    size = load_codec(work.folder).size
    assert 263 < size < 300
    assert f"the corpus fills {size} of 1,000 entries" in capfd.readouterr().err
    report = json.loads((work.folder / "compression.json").read_text())
    assert (report["size"], report["requested"]) == (size, 1000)


def test_the_result_depends_on_neither_threads_nor_order(
    tmp_path: Path, splits: dict[str, list[tuple[str, str, str]]]
) -> None:
    script = (
        "import sys, json, hashlib; from repotune.tokenizer.vocabulary import train_bpe\n"
        "texts = json.load(open(sys.argv[1]))\n"
        "texts = texts[::-1] if sys.argv[2] == 'reversed' else texts\n"
        "sys.stdout.write(hashlib.sha256(repr(train_bpe(iter(texts), 3000)).encode()).hexdigest())"
    )
    (tmp_path / "texts.json").write_text(json.dumps([text for text, _, _ in splits["train"]]))
    results = set()
    for threads, order in (("1", "forward"), ("3", "reversed")):
        command = [sys.executable, "-c", script, str(tmp_path / "texts.json"), order]
        environment = {**os.environ, "RAYON_NUM_THREADS": threads}
        results.add(subprocess.run(command, env=environment, check=True, capture_output=True).stdout)
    assert len(results) == 1


def test_a_large_corpus_is_sampled_by_content(
    built: dict[str, Path],
    splits: dict[str, list[tuple[str, str, str]]],
    corpus_of: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(vocabulary, "_MOST_TEXT", 400_000.0)
    drawn = []
    for corpus in (built["corpus"], corpus_of({"train": splits["train"][::-1]})):
        with Console(quiet=True).progress("reading", 1, "files") as progress:
            drawn.append(sorted(vocabulary._pieces(corpus, progress)))
    assert drawn[0] == drawn[1]
    assert set(drawn[0]) < {text for text, _, _ in splits["train"]}
    assert 200_000 < sum(map(len, drawn[0])) < 800_000


def test_compression_counts_every_byte_and_token(
    built: dict[str, Path], splits: dict[str, list[tuple[str, str, str]]]
) -> None:
    report = json.loads((built["tokenizer"] / "compression.json").read_text())
    index = json.loads((built["tokens"] / "index.json").read_text())
    for split in ("train", "validation"):
        figures = report["splits"][split]
        assert figures["bytes"] == sum(len(text.encode()) for text, _, _ in splits[split])
        assert figures["tokens"] == index["splits"][split]["tokens"]
        assert figures["bytes"] == sum(language["bytes"] for language in figures["languages"].values())
    assert report["splits"]["validation"]["bytes_per_token"] > 3


def test_a_run_of_white_space_beyond_the_engine_is_no_obstacle(work_on: MakeWork) -> None:
    text = "x" + " " * 1_200_000 + "y"
    work = work_on({"train": [(text, "a", "Text")]})
    build_tokenizer(work, 300)
    codec = load_codec(work.folder)
    assert codec.decode(codec.encode(text)) == text


def test_no_token_is_longer_than_128_bytes() -> None:
    lengths = [len(token) for token in train_bpe(iter(["=" * 5000 + "\n" + "x" * 700]), 400)]
    assert max(lengths) == 128


def test_a_size_without_room_for_every_byte_is_refused(work_on: MakeWork) -> None:
    with pytest.raises(UserError, match="no room") as caught:
        build_tokenizer(work_on({"train": [("x", "a", "Text")]}), 262)
    assert "263" in (caught.value.hint or "")


def test_an_empty_train_split_is_refused(work_on: MakeWork) -> None:
    with pytest.raises(UserError, match="no training text"):
        build_tokenizer(work_on({}), 512)


@pytest.mark.parametrize("damage", ["absent", "cut", "text"])
def test_a_damaged_corpus_is_named(work_on: MakeWork, damage: str) -> None:
    work = work_on({"train": [("some text\n" * 1000, "a", "Text")]})
    path = work.inputs["corpus"] / "train-00000.parquet"
    if damage == "absent":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-20] if damage == "cut" else b"not parquet")
    with pytest.raises(UserError, match="train-00000"):
        build_tokenizer(work, 512)


def test_a_corpus_without_text_is_named(work_on: MakeWork) -> None:
    work = work_on({})
    pq.write_table(pa.table({"path": ["a.py"]}), work.inputs["corpus"] / "train-00000.parquet")
    with pytest.raises(UserError, match="is damaged"):
        build_tokenizer(work, 512)


def test_a_fault_met_while_reading_reaches_the_user(work_on: MakeWork) -> None:
    work = work_on({"train": [("some text\n" * 1000, "a", "Text")]})
    path = work.inputs["corpus"] / "train-00000.parquet"
    pq.write_table(pa.table({"text": ["x" * 100_000]}), path, compression="none", use_dictionary=False)
    data = bytearray(path.read_bytes())
    data[4:60] = b"\xff" * 56  # the first page's header
    path.write_bytes(data)
    with pytest.raises(UserError, match="is damaged"):
        build_tokenizer(work, 512)
