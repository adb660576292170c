"""Spark makes the corpus that one machine makes, byte for byte, whatever the cluster and whoever of it dies."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from repotune.core.console import Console
from repotune.core.errors import UserError
from repotune.core.flow import Work
from repotune.core.settings import CorpusSettings
from repotune.corpus.build import build_corpus
from repotune.corpus.engines.java import find_java, java_version
from repotune.corpus.engines.local import LocalEngine
from repotune.corpus.engines.spark_tasks import See

try:
    find_java()
    from repotune.corpus.engines import spark
    from repotune.corpus.engines.spark import SparkEngine
except (UserError, ImportError) as reason:
    pytest.skip(f"Spark is not tested: {reason}", allow_module_level=True)

REPOTUNE = [sys.executable, "-m", "repotune.cli.main"]
STDLIB = Path(sysconfig.get_paths()["stdlib"])
FOLDERS = [STDLIB / name for name in ("encodings", "json", "email")]
# pyspark's own, about its own use of pandas and of sockets.
pytestmark = pytest.mark.filterwarnings(
    "ignore::FutureWarning", "ignore::ResourceWarning", "ignore::DeprecationWarning"
)


@pytest.fixture(autouse=True)
def loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARK_LOCAL_IP", "127.0.0.1")


@pytest.fixture
def expected(tmp_path: Path) -> dict[str, bytes]:
    return corpus_of(tmp_path / "local")


def corpus_of(folder: Path, master: str = "") -> dict[str, bytes]:
    folder.mkdir()
    work = Work(folder, {}, Console(quiet=True), 1)
    engine = partial(SparkEngine, master) if master else partial(LocalEngine, 1)
    build_corpus(work, [str(path) for path in FOLDERS], CorpusSettings(), engine)
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_a_cluster_makes_the_same_corpus_with_the_same_manifest(cluster: Any, tmp_path: Path) -> None:
    subprocess.run([*REPOTUNE, "init", *map(str, FOLDERS)], cwd=tmp_path, check=True, capture_output=True)
    command = [*REPOTUNE, "corpus", "--engine", "spark", "--master", cluster.master]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    ours = json.loads((tmp_path / "work" / "corpus" / "manifest.json").read_text())
    (tmp_path / "work" / "corpus").rename(tmp_path / "by_spark")
    subprocess.run([*REPOTUNE, "corpus"], cwd=tmp_path, check=True, capture_output=True)
    alone = json.loads((tmp_path / "work" / "corpus" / "manifest.json").read_text())
    assert ours["files"] == alone["files"]
    assert (ours["fingerprint"], ours["contents"]) == (alone["fingerprint"], alone["contents"])


def test_the_number_of_partitions_changes_nothing(
    expected: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spark, "_TASKS_PER_CORE", 7)
    monkeypatch.setattr(spark, "_LEAST_TASKS", 1)
    assert corpus_of(tmp_path / "alone", "local[1]") == expected


# The last that uses the cluster: it is a worker short afterwards.
def test_a_worker_that_is_killed_changes_nothing(cluster: Any, expected: dict[str, bytes], tmp_path: Path) -> None:
    killed = threading.Thread(
        target=when_seen,
        args=(tmp_path / "killed", ".scratch-*/tables/documents_all/_temporary", lambda: cluster.kill_worker(0)),
    )
    killed.start()
    found = corpus_of(tmp_path / "killed", cluster.master)
    killed.join(timeout=1)
    assert cluster.workers[0].poll() is not None
    assert found == expected


def when_seen(folder: Path, pattern: str, act: Callable[[], None]) -> None:
    """Acts as soon as `pattern` is there, for two minutes at most."""
    for _ in range(12_000):
        if folder.exists() and next(folder.glob(pattern), None):
            act()
            return
        time.sleep(0.01)


def test_a_step_says_what_is_wrong_in_its_own_words(tmp_path: Path) -> None:
    def step(batch: pa.RecordBatch) -> pa.RecordBatch:
        if batch.num_rows:
            raise UserError("The archive is damaged.", "fetch it again")
        return batch

    with SparkEngine("local[1]", tmp_path, Console(quiet=True)) as engine:
        engine.start("sources", pa.table({"source": [1]}))
        with pytest.raises(UserError, match=r"^The archive is damaged\.$"):
            engine.map("listed", "sources", [step], "listing")


def test_a_master_that_is_not_there_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"spark://127\.0\.0\.1:9"):
        SparkEngine("spark://127.0.0.1:9", tmp_path, Console(quiet=True))


def test_a_worker_that_does_not_see_the_folder_says_so(tmp_path: Path) -> None:
    batch = pa.RecordBatch.from_pydict({"id": [1, 2]})
    (seen,) = See(str(tmp_path / "mark"))([batch])
    assert all("does not see" in text for text in seen["seen"].to_pylist())


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('java version "1.8.0_401"', 8),
        ('openjdk version "25" 2025-09-16', 25),
        ("no such thing", 0),
    ],
)
def test_the_version_of_java_is_its_major_one(said: str, version: int) -> None:
    assert java_version(said) == version


def test_a_java_that_is_too_old_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bin").mkdir()
    java = tmp_path / "bin" / "java"
    java.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\"' >&2\n")
    java.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(UserError, match="is Java 11"):
        find_java()
