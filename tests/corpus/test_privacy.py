"""Secrets on their way through the corpus: replaced, counted, and told nowhere. None stands here as text."""

from __future__ import annotations

import json
import os
import random
import string
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from repotune.core.settings import CorpusSettings
from repotune.corpus.privacy import COUNTS, redaction
from repotune.corpus.redaction import Span, redact
from repotune.report.content import corpus_section


def drawn(length: int, seed: int) -> str:
    return "".join(random.Random(seed).choices(string.ascii_letters + string.digits, k=length))


SECRETS = {
    "aws": "AKIA" + "".join(random.Random(1).choices(string.ascii_uppercase + string.digits, k=16)),
    "github": "ghp_" + drawn(36, 2),
    "password": "kR7" + "%mZ" + drawn(6, 3),
    "pem": drawn(64, 4),
    "random": drawn(40, 5),
    "mail": "joan.roe" + "@" + "widgetworks.io",
    "address": ".".join(["93", "184", "216", "34"]),
    "phone": "+49 30" + " 901820-55",
}


def leaky(module: str) -> str:
    return (
        f"# written by {SECRETS['mail']}, {SECRETS['phone']}\n{module}\n"
        f"KEY = '{SECRETS['aws']}'\nTOKEN = '{SECRETS['github']}'\npassword = '{SECRETS['password']}'\n"
        f"HOST = '{SECRETS['address']}'\nvalue = '{SECRETS['random']}'\n"
        f"PEM = '''-----BEGIN RSA PRIVATE KEY-----\n{SECRETS['pem']}\n-----END RSA PRIVATE KEY-----'''\n"
    )


COUNTED = {
    "AWS_ACCESS_KEY": 1,
    "EMAIL": 1,
    "GITHUB_TOKEN": 1,
    "IP_ADDRESS": 1,
    "PASSWORD": 1,
    "PHONE": 1,
    "PRIVATE_KEY": 1,
    "SECRET_KEY": 1,
}


def cli(folder: Path, *arguments: str) -> str:
    """What `repotune` says on both streams."""
    command = [sys.executable, "-m", "repotune.cli.main", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=os.environ, timeout=120, check=False)
    return done.stdout + done.stderr


def told(folder: Path) -> str:
    """Every byte of the files below `folder`, tables as the rows that they hold, and every file's name."""
    pieces = []
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            pieces += [str(path), path.read_bytes().decode("latin-1")]
            if path.suffix == ".parquet":
                pieces.append(repr(pq.read_table(path).to_pylist()))
    return "\n".join(pieces)


@pytest.mark.parametrize("action", ["replace", "drop"])
def test_no_secret_is_in_any_file_in_the_log_or_in_the_report(
    tmp_path: Path, write: Callable[..., None], module: Callable[..., str], action: str
) -> None:
    write(tmp_path / "api", {f"m{number}.py": module(number) for number in range(4)} | {"leaky.py": leaky(module(9))})
    settings = f'[corpus]\nsecrets = "{action}"\npersonal_data = "{action}"\n'
    (tmp_path / "repotune.toml").write_text(f'[project]\nname = "a"\nrepositories = ["api"]\n{settings}')
    said = cli(tmp_path, "corpus") + cli(tmp_path, "corpus", "why", "leaky.py")
    summary = json.loads((tmp_path / "work/corpus/summary.json").read_text())
    said += repr(corpus_section(summary)) + told(tmp_path / "work")
    assert [name for name, secret in SECRETS.items() if secret in said] == []
    assert all(part not in said for part in (SECRETS["mail"].partition("@")[0], SECRETS["github"][8:24]))
    if action == "replace":
        assert "leaky.py is kept" in said
        assert summary["replaced"] == {kind: {"files": 1, "count": 1} for kind in COUNTED}
    else:
        assert "leaky.py is dropped by secret: AWS_ACCESS_KEY 1, GITHUB_TOKEN 1," in said
        assert summary["dropped"]["secret"]["files"] == 1 and summary["replaced"] == {}


def test_no_secret_is_in_an_error(tmp_path: Path, write: Callable[..., None], module: Callable[..., str]) -> None:
    write(tmp_path / "api", {"leaky.py": leaky(module(9))})
    (tmp_path / "repotune.toml").write_text('[project]\nname = "a"\nrepositories = ["api"]\n[corpus]\nsecrets = "drop"')
    said = cli(tmp_path, "corpus")
    assert "Only 0 files are left" in said
    assert [name for name, secret in SECRETS.items() if secret in said + told(tmp_path / "work")] == []


def batch(*texts: str) -> pa.RecordBatch:
    paths = [f"{number}.py" for number in range(len(texts))]
    return pa.RecordBatch.from_pydict({"text": list(texts), "path": paths, "language": ["Python"] * len(texts)})


def test_the_step_counts_by_document_and_leaves_other_texts_as_they_are() -> None:
    out = redaction(CorpusSettings())(batch("x = 1\n", leaky("y = 2"), "ü = 3\n"))
    assert out.column("replaced").type == COUNTS
    assert [dict(row) for row in out.column("replaced").to_pylist()] == [{}, COUNTED, {}]
    texts = out.column("text").to_pylist()
    assert (texts[0], texts[2]) == ("x = 1\n", "ü = 3\n")
    assert "KEY = '<AWS_ACCESS_KEY>'" in texts[1] and out.column("rule").null_count == 3
    compile(texts[1], "leaky.py", "exec")


def test_what_is_kept_by_the_settings_is_not_looked_for() -> None:
    text = leaky("y = 2")
    out = redaction(CorpusSettings(secrets="keep", personal_data="keep"))(batch(text))
    assert out.column("text").to_pylist() == [text] and out.column("replaced").to_pylist() == [[]]
    out = redaction(CorpusSettings(secrets="keep"))(batch(text))
    assert dict(out.column("replaced").to_pylist()[0]).keys() == {"EMAIL", "PHONE", "IP_ADDRESS"}


def test_a_slice_of_a_batch_is_read_at_its_own_offset() -> None:
    out = redaction(CorpusSettings())(batch("a = 1", leaky("y = 2"), "c = 3").slice(1, 2))
    assert [bool(row) for row in out.column("replaced").to_pylist()] == [True, False]


def test_a_span_shows_nothing_of_the_text() -> None:
    assert repr(Span(3, 9, "PASSWORD")) == "Span(start=3, end=9, kind='PASSWORD')"


def test_spans_that_overlap_become_one_of_the_kind_that_tells_more() -> None:
    def find(data: bytes, path: str, language: str) -> list[Span]:
        at = data.find(b"abcdef")
        return [Span(at, at + 4, "PASSWORD"), Span(at + 2, at + 6, "JWT")] if at >= 0 else []

    assert redact(b"x abcdef y", find) == (b"x <JWT> y", {"JWT": 1})
    assert redact(b"x <abcdef> y", find) == (b"x <JWT> y", {"JWT": 1})


@given(st.lists(st.text(max_size=200), min_size=1, max_size=4))
def test_no_text_crashes_the_step_and_twice_is_once(texts: list[str]) -> None:
    step = redaction(CorpusSettings())
    once = step(batch(*texts))
    again = step(batch(*once.column("text").to_pylist()))
    assert once.column("text") == again.column("text")
