"""A small corpus of real files with a tokenizer and tokens built from it by the real steps."""

from __future__ import annotations

import sysconfig
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from repotune.core.console import Console
from repotune.core.flow import Work
from repotune.tokenizer.encoding import Codec, load_codec
from repotune.tokenizer.packing import build_tokens
from repotune.tokenizer.vocabulary import build_tokenizer

Document = tuple[str, str, str]  # text, path, language

AWKWARD: Sequence[Document] = (
    ("", "empty.py", "Python"),
    ("x = 1\r\ny = 2\r\n\r\n\tz\r", "crlf.py", "Python"),
    ("# naïve café 日本語 🐍👩‍👩‍👧 \u202e\ufeff\n", "unicode.py", "Python"),
    (
        'END = "<|endoftext|>"  # <fim_prefix>a<fim_suffix>b<fim_middle>\n<file_sep><repo_name><fim_pad>',
        "s.py",
        "Python",
    ),
    ("\0\x01\x7f" + " " * 5000 + "\t" * 300, "control.txt", "Text"),
)


def write_corpus(folder: Path, splits: Mapping[str, Sequence[Document]]) -> Path:
    folder.mkdir(parents=True)
    for split in ("train", "validation", "test"):
        columns = list(zip(*splits.get(split, ()), strict=True)) or [(), (), ()]
        names = ("text", "path", "language")
        table = {name: pa.array(column, pa.string()) for name, column in zip(names, columns, strict=True)}
        count = len(columns[0])
        table |= {"repository": pa.array(["api"] * count, pa.string()), "weight": pa.array([1.0] * count, pa.float64())}
        pq.write_table(pa.table(table), folder / f"{split}-00000.parquet")
    return folder


def python_files(count: int) -> list[Document]:
    """`count` files of the standard library: ordinary code."""
    library = Path(sysconfig.get_paths()["stdlib"])
    return [(path.read_bytes().decode(), path.name, "Python") for path in sorted(library.glob("*.py"))[:count]]


@pytest.fixture(scope="session")
def splits() -> dict[str, list[Document]]:
    files = python_files(60)
    return {"train": files[:50] + list(AWKWARD), "validation": files[50:57], "test": files[57:]}


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory, splits: dict[str, list[Document]]) -> dict[str, Path]:
    """The folders corpus, tokenizer (4,096 entries) and tokens."""
    root = tmp_path_factory.mktemp("built")
    folders = {name: root / name for name in ("corpus", "tokenizer", "tokens")}
    write_corpus(folders["corpus"], splits)
    for name, step in (("tokenizer", lambda work: build_tokenizer(work, 4096)), ("tokens", build_tokens)):
        folders[name].mkdir()
        step(Work(folders[name], folders, Console(quiet=True), seed=1))
    return folders


@pytest.fixture(scope="session")
def codec(built: dict[str, Path]) -> Codec:
    return load_codec(built["tokenizer"])


@pytest.fixture
def corpus_of(tmp_path: Path) -> Callable[[Mapping[str, Sequence[Document]]], Path]:
    """Makes a corpus of one's own."""
    return lambda splits: write_corpus(tmp_path / "corpus", splits)


@pytest.fixture
def work_on(tmp_path: Path) -> Callable[[Mapping[str, Sequence[Document]]], Work]:
    """Makes the Work of a tokenizer step over a corpus of one's own."""

    def make(splits: Mapping[str, Sequence[Document]]) -> Work:
        folder = tmp_path / "tokenizer"
        folder.mkdir()
        return Work(folder, {"corpus": write_corpus(tmp_path / "corpus", splits)}, Console(), seed=1)

    return make
