"""A small real release, random weights under a trained vocabulary, and servers that serve it."""

from __future__ import annotations

import json
import shutil
import sysconfig
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from repotune.core.console import Console
from repotune.core.flow import Work
from repotune.core.settings import ServeSettings
from repotune.model.configuration import ModelConfig
from repotune.model.network import Network
from repotune.model.weights import save_model
from repotune.serve.run import BoundServer, open_server
from repotune.tokenizer.vocabulary import build_tokenizer

VOCABULARY = 1024
CONTEXT = 256
ENDLESS = 200_000


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of the standard library, as the corpus step writes them."""
    folder = tmp_path_factory.mktemp("corpus")
    files = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))[:24]
    for split, chosen in (("train", files[:16]), ("validation", files[16:18]), ("test", files[18:])):
        table = pa.table(
            {
                "text": [file.read_text(encoding="utf-8") for file in chosen],
                "path": [file.name for file in chosen],
                "language": ["Python"] * len(chosen),
            }
        )
        pq.write_table(table, folder / f"{split}-00000.parquet")
    return folder


@pytest.fixture(scope="session")
def release(tmp_path_factory: pytest.TempPathFactory, corpus: Path) -> Path:
    folder = tmp_path_factory.mktemp("release")
    tokenizer = tmp_path_factory.mktemp("tokenizer")
    build_tokenizer(Work(tokenizer, {"corpus": corpus}, Console(quiet=True), seed=1), VOCABULARY)
    torch.manual_seed(1)
    config = ModelConfig(vocabulary=VOCABULARY, width=64, layers=2, heads=2, kv_heads=1, hidden=128, context=CONTEXT)
    save_model(folder, Network(config), tokenizer)
    facts = {
        "name": "acme",
        "parameters": config.parameters(),
        "context": CONTEXT,
        "licences": {"MIT": {"files": 3, "bytes": 300}, "unknown": {"files": 1, "bytes": 100}},
        "languages": {"Python": {"files": 4, "bytes": 400}},
        "verdict": "Better than chance on 16 of 16 files & <not> a guess.",
    }
    (folder / "release.json").write_text(json.dumps(facts))
    return folder


@pytest.fixture(scope="session")
def endless_release(release: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with a context so long that a completion goes on until it is cancelled."""
    folder = tmp_path_factory.mktemp("endless")
    shutil.copytree(release, folder, dirs_exist_ok=True)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "max_position_embeddings": ENDLESS}))
    return folder


@pytest.fixture(scope="session")
def other_release(release: Path, tmp_path_factory: pytest.TempPathFactory, corpus: Path) -> Path:
    """A release of the same shape under a smaller vocabulary of its own."""
    folder, tokenizer = tmp_path_factory.mktemp("other-release"), tmp_path_factory.mktemp("other-tokenizer")
    build_tokenizer(Work(tokenizer, {"corpus": corpus}, Console(quiet=True), seed=1), VOCABULARY - 300)
    config = ModelConfig(
        vocabulary=VOCABULARY - 300, width=64, layers=2, heads=2, kv_heads=1, hidden=128, context=CONTEXT
    )
    save_model(folder, Network(config), tokenizer)
    shutil.copy(release / "release.json", folder)
    return folder


Serving = Callable[[BoundServer], AbstractContextManager[str]]


@pytest.fixture(scope="session")
def serving() -> Serving:
    """Runs a bound server in a thread until the block ends; gives its address."""
    return _serving


@contextmanager
def _serving(bound: BoundServer) -> Iterator[str]:
    thread = threading.Thread(target=bound.run)
    thread.start()
    try:
        yield bound.url
    finally:
        bound.server.should_exit = True
        thread.join()


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text("<!doctype html><title>The report</title>")
    path.with_name("corpus.html").write_text("<!doctype html><title>The corpus</title>")
    return path


@pytest.fixture(scope="session")
def url(release: Path, report: Path, serving: Serving) -> Iterator[str]:
    """The address of a server of the release."""
    with serving(open_server(release, ServeSettings(port=0, engine="ours"), report)) as url:
        yield url


@pytest.fixture
def client(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, timeout=30, trust_env=False) as client:
        yield client


@pytest.fixture
def counter(client: httpx.Client) -> Callable[[str], float]:
    """Reads a counter from /metrics; 0 before it was first counted."""

    def read(name: str) -> float:
        for line in client.get("/metrics").text.splitlines():
            if line.startswith(name + " "):
                return float(line.rpartition(" ")[2])
        return 0.0

    return read
