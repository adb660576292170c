"""The quality model tells the standard library from tables and minified code, and says how well."""

from __future__ import annotations

import ast
import json
import pickle
import sysconfig
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repotune.core.errors import UserError
from repotune.corpus.quality import LEAST_SAMPLES, Held, QualityModel, Score, read_model, train_quality, write_model

LIBRARY = Path(sysconfig.get_paths()["stdlib"])


def modules() -> list[bytes]:
    return [data for path in sorted(LIBRARY.glob("*.py")) if 1_000 < len(data := path.read_bytes()) < 100_000]


def minified(source: bytes) -> bytes:
    """The same program with neither comments nor docstrings nor telling names."""
    tree = ast.parse(source)
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        for field in ("name", "id", "arg", "attr"):
            if isinstance(name := getattr(node, field, None), str) and not name.startswith("__"):
                setattr(node, field, names.setdefault(name, f"_0x{7919 * len(names) + 1000:x}"))
        body = getattr(node, "body", None)
        if isinstance(body, list) and len(body) > 1 and isinstance(body[0], ast.Expr):
            del body[0]
    return ast.unparse(tree).encode()


def tables() -> list[bytes]:
    return [path.read_bytes() for path in sorted((LIBRARY / "encodings").glob("cp*.py"))]


@pytest.fixture(scope="module")
def learnt() -> tuple[QualityModel, Held]:
    files = modules()
    bad = [*map(minified, files[1:100:2]), *tables()[::2]]
    return train_quality(files[0:140:2], bad)


def test_junk_that_was_not_seen_scores_below_modules_that_were_not_seen(learnt: tuple[QualityModel, Held]) -> None:
    model, _ = learnt
    files = modules()
    good = [model.score(text) for text in files[140:170]]
    bad = [model.score(text) for text in [*map(minified, files[101:140:2]), *tables()[1::2]]]
    assert np.mean(np.less.outer(bad, good)) > 0.97
    assert np.mean(good) > 0.8 and np.mean(bad) < 0.2


def test_held_out_figures_are_those_of_samples_that_are_easily_told_apart(learnt: tuple[QualityModel, Held]) -> None:
    _, held = learnt
    assert held.auc > 0.98 and held.accuracy > 0.93 and held.brier < 0.06
    assert (held.good, held.bad) == (70, 50 + len(tables()[::2]))


def test_what_cannot_be_told_apart_is_reported_as_chance() -> None:
    files = modules()
    _, held = train_quality(files[0:120:2], files[1:120:2])
    assert 0.3 < held.auc < 0.7 and held.brier > 0.2


def test_the_same_samples_give_the_same_model_bit_for_bit() -> None:
    files = modules()[:60]
    one, other = (train_quality(files[:30], files[30:]) for _ in range(2))
    assert one[1] == other[1] and np.array_equal(one[0].weights, other[0].weights)
    assert one[0].score(files[3]) == other[0].score(files[3])


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_have_a_score(learnt: tuple[QualityModel, Held], data: bytes) -> None:
    assert 0 <= learnt[0].score(data) <= 1


def test_a_score_depends_on_its_document_alone(learnt: tuple[QualityModel, Held]) -> None:
    texts = [text.decode() for text in modules()[:40]] + ["", "x"]
    step = pickle.loads(pickle.dumps(Score(learnt[0])))
    whole = step(pa.RecordBatch.from_pydict({"text": texts})).column("quality").to_pylist()
    single = [step(pa.RecordBatch.from_pydict({"text": [text]})).column("quality")[0].as_py() for text in texts]
    assert whole == single == [learnt[0].score(text.encode()) for text in texts]


def test_a_threshold_drops_what_is_below_and_says_so(learnt: tuple[QualityModel, Held]) -> None:
    good, bad = modules()[150].decode(), tables()[1].decode()
    batch = pa.RecordBatch.from_pydict({"text": [good, bad]})
    kept, dropped = Score(learnt[0], threshold=0.5)(batch).select(["rule", "value", "threshold"]).to_pylist()
    assert kept == {"rule": None, "value": None, "threshold": None}
    assert dropped == {"rule": "quality", "value": f"{learnt[0].score(bad.encode()):.4f}", "threshold": "at least 0.5"}
    assert "rule" not in Score(learnt[0])(batch).schema.names


def test_a_model_comes_back_as_it_was_written(learnt: tuple[QualityModel, Held], tmp_path: Path) -> None:
    write_model(tmp_path, *learnt)
    text = modules()[5]
    assert read_model(tmp_path).score(text) == learnt[0].score(text)
    assert json.loads((tmp_path / "quality.json").read_text())["held_out"]["auc"] == learnt[1].auc
    assert (tmp_path / "quality.npz").stat().st_size < 1_500_000
    before = (tmp_path / "quality.npz").read_bytes()
    write_model(tmp_path, *learnt)
    assert (tmp_path / "quality.npz").read_bytes() == before


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "quality.npz").write_bytes(b"not a zip"),
        lambda folder: (folder / "quality.json").write_text("{"),
        lambda folder: (folder / "quality.npz").unlink(),
    ],
)
def test_a_damaged_model_is_named(
    learnt: tuple[QualityModel, Held], tmp_path: Path, damage: Callable[[Path], object]
) -> None:
    write_model(tmp_path, *learnt)
    damage(tmp_path)
    with pytest.raises(UserError, match="no whole quality model"):
        read_model(tmp_path)


def test_too_few_samples_are_refused() -> None:
    files = modules()
    with pytest.raises(UserError, match=r"corpus\.quality\.bad holds 3 texts"):
        train_quality(files[:LEAST_SAMPLES], files[:3])
