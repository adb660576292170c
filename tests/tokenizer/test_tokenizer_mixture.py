"""The index says what an epoch is made of, and a store how often it sees each document."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from repotune.core.console import Console
from repotune.core.errors import UserError
from repotune.core.flow import Work
from repotune.tokenizer.mixture import share_factors
from repotune.tokenizer.packing import TokenStore, build_tokens

Row = tuple[str, str, str, float]  # text, language, repository, weight
ROWS: Sequence[Row] = (
    ("alpha = 1\n" * 30, "Python", "api", 2.0),
    ("beta = 2\n" * 10, "Python", "web", 0.5),
    ("# gamma\n" * 20, "Markdown", "web", 0.25),
)


@pytest.fixture
def pack(tmp_path: Path, built: dict[str, Path]) -> Callable[[Mapping[str, Sequence[Row]]], Path]:
    """The tokens/ of rows of one's own."""

    def make(splits: Mapping[str, Sequence[Row]], shares: Mapping[str, float] | None = None) -> Path:
        folders = {"corpus": tmp_path / "corpus", "tokenizer": built["tokenizer"]}
        folders["corpus"].mkdir()
        (tmp_path / "tokens").mkdir()
        for split in ("train", "validation", "test"):
            rows = splits.get(split, ())
            columns = {
                name: pa.array([row[place] for row in rows], pa.float64() if name == "weight" else pa.string())
                for place, name in enumerate(("text", "language", "repository", "weight"))
            }
            columns["size"] = pa.array([len(row[0]) for row in rows], pa.int64())
            columns["path"] = pa.array([f"{number}.py" for number in range(len(rows))], pa.string())
            pq.write_table(pa.table(columns), folders["corpus"] / f"{split}-00000.parquet")
        build_tokens(Work(tmp_path / "tokens", folders, Console(), seed=1), shares)
        return tmp_path / "tokens"

    return make


def test_an_epoch_is_told_by_language_and_repository(
    pack: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    tokens = pack({"train": ROWS, "test": ROWS[:1]})
    store = TokenStore(tokens, "train")
    a, b, c = store.sizes.tolist()
    mixture = json.loads((tokens / "index.json").read_text())["mixture"]
    assert mixture["languages"] == {
        "Python": {"documents": 2, "tokens": a + b, "epoch_tokens": round(2 * a + b / 2)},
        "Markdown": {"documents": 1, "tokens": c, "epoch_tokens": round(c / 4)},
    }
    assert mixture["repositories"]["web"] == {
        "documents": 2, "tokens": b + c, "epoch_tokens": round(b / 2 + c / 4)
    }  # fmt: skip
    share = 100 * (2 * a + b / 2) / (2 * a + b / 2 + c / 4)
    assert f"languages: Python {share:.0f} %" in capsys.readouterr().err


def test_weights_are_those_of_the_rows(pack: Callable[..., Path]) -> None:
    tokens = pack({"train": ROWS})
    assert TokenStore(tokens, "train").weights.tolist() == [2.0, 0.5, 0.25]
    assert TokenStore(tokens, "test").weights.tolist() == []


def test_an_unweighted_corpus_is_packed_without_a_word_of_weights(
    pack: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    pack({"train": [(*row[:3], 1.0) for row in ROWS]})
    assert "an epoch sees" not in capsys.readouterr().err


def test_an_index_that_tells_of_fewer_documents_is_damaged(pack: Callable[..., Path]) -> None:
    path = pack({"train": ROWS}) / "index.json"
    index = json.loads(path.read_text())
    index["splits"]["train"]["documents"] -= 1
    path.write_text(json.dumps(index))
    with pytest.raises(UserError, match="damaged"):
        TokenStore(path.parent, "train")


def test_a_repository_makes_up_the_share_that_is_asked_for(pack: Callable[..., Path]) -> None:
    old = [("delta = 4\n" * 500, "Python", "old", 1.0), ("epsilon = 5\n" * 100, "Python", "old", 1.0)]
    tokens = pack({"train": [*ROWS, *old], "test": old}, {"old": 0.05, "gone": 0.1})
    weights = TokenStore(tokens, "train").weights.tolist()
    assert weights[:3] == [2.0, 0.5, 0.25]
    assert weights[3] == weights[4]
    sizes = [weight * len(row[0]) for weight, row in zip(weights, [*ROWS, *old], strict=True)]
    assert sum(sizes[3:]) / sum(sizes) == pytest.approx(0.05)
    assert TokenStore(tokens, "test").weights.tolist() == [1.0, 1.0]


def test_shares_hold_together() -> None:
    documents = [(["a", "b", "c"], [1.0, 2.0, 1.0], [100, 100, 700])]
    factors = share_factors(documents, {"a": 0.2, "b": 0.3})
    whole = 100 * factors["a"] + 200 * factors["b"] + 700
    assert 100 * factors["a"] / whole == pytest.approx(0.2)
    assert 200 * factors["b"] / whole == pytest.approx(0.3)
