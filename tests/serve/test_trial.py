"""The trial against a real server in its own process."""

from __future__ import annotations

import json
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from repotune.core.console import Console
from repotune.core.errors import UserError
from repotune.core.flow import Work
from repotune.core.settings import ServeSettings
from repotune.serve.trial import QUESTIONS, build_trial, choose_questions


def work_in(folder: Path, release: Path, corpus: Path) -> Work:
    folder.mkdir()
    return Work(folder, {"release": release, "corpus": corpus}, Console(quiet=True), seed=1)


def test_the_trial_writes_latencies_counters_and_examples(tmp_path: Path, release: Path, corpus: Path) -> None:
    before = set(psutil.Process().children())
    build_trial(work_in(tmp_path / "trial", release, corpus), ServeSettings(port=0, engine="ours"))
    assert set(psutil.Process().children()) <= before
    trial = json.loads((tmp_path / "trial" / "trial.json").read_text())
    assert (tmp_path / "trial" / "log.txt").is_file()
    assert trial["questions"] == QUESTIONS
    for kind in ("cold", "keystroke"):
        assert 0 < trial[kind]["total_ms"]["p50"] <= trial[kind]["total_ms"]["p95"]
        assert trial[kind]["first_text_ms"]["p50"] > 0
        assert trial[kind]["tokens"] > 0
    assert trial["keystroke"]["cached_share"] > trial["cold"]["cached_share"]
    assert trial["server"]["generation_tokens"] >= trial["cold"]["tokens"] + trial["keystroke"]["tokens"]
    assert trial["server"]["cached_prompt_tokens"] > 0
    rows = pq.read_table(corpus / "test-00000.parquet", columns=["path", "text"]).to_pylist()
    texts = {row["path"]: row["text"] for row in rows}
    assert len(trial["examples"]) == 3
    for example in trial["examples"]:
        assert example["prefix_tail"] + example["expected"] in texts[example["path"]]
        assert example["got"]


def test_questions_depend_on_corpus_and_seed_alone(corpus: Path) -> None:
    files = [corpus / "test-00000.parquet"]
    first = list(choose_questions(files, seed=1))
    assert first == list(choose_questions(files, seed=1)) != list(choose_questions(files, seed=2))
    assert len(first) == QUESTIONS
    for question in first:
        assert len(question.expected) >= 4
        assert "\n" not in question.expected
        assert question.suffix.startswith("\n")
        later = question.after_keystroke()
        assert later.prefix + later.expected == question.prefix + question.expected


@pytest.mark.parametrize("texts", [[], [""], ["\n\n  \n", "x = 1\n"]])
def test_a_corpus_without_a_line_to_ask_about_is_told(tmp_path: Path, release: Path, texts: list[str]) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    columns = {"text": texts, "path": ["a.py"] * len(texts), "language": ["Python"] * len(texts)}
    schema = pa.schema([(name, pa.string()) for name in columns])
    pq.write_table(pa.table(columns, schema=schema), corpus / "test-00000.parquet")
    with pytest.raises(UserError, match="held-out"):
        build_trial(work_in(tmp_path / "trial", release, corpus), ServeSettings(port=0, engine="ours"))


def test_a_server_that_does_not_start_fails_the_trial_and_its_log_is_kept(tmp_path: Path, corpus: Path) -> None:
    with pytest.raises(UserError, match="did not start"):
        build_trial(work_in(tmp_path / "trial", tmp_path, corpus), ServeSettings(port=0, engine="ours"))
    assert "holds no release" in (tmp_path / "trial" / "log.txt").read_text()
