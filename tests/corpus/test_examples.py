"""A corpus built with examples: what is bad goes, what is like the target stays or counts more, held-out text as is."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from repotune.core.errors import UserError
from repotune.corpus.quality import read_model


@pytest.fixture
def project(tmp_path: Path, write: Callable[..., None], module: Callable[..., str]) -> Path:
    """A repository of forty modules and ten tables, and examples of both beside it."""
    write(tmp_path / "api", {f"m{number:02}.py": module(number) for number in range(40)})
    write(tmp_path / "api", {f"t{number}.py": table(number) for number in range(10)})
    write(tmp_path / "good", {f"g{number}.py": module(1000 + number) for number in range(24)})
    write(tmp_path / "bad", {f"b{number}.py": table(1000 + number) for number in range(24)})
    return tmp_path


def table(number: int) -> str:
    """Names and values by the hundred, of letters enough to pass the profile's rules."""
    draw = random.Random(number)
    word = ["".join(draw.choices("abcdefghijklmnop", k=8)) for _ in range(80)]
    rows = "".join(
        f"    '{name}': ('{other}', '{name}{other}'),\n" for name, other in zip(word[::2], word[1::2], strict=True)
    )
    return f"NAMES_{number} = {{\n{rows}}}\n"


def quality(folder: Path, **settings: float) -> dict[str, object]:
    return {"good": [str(folder / "good")], "bad": [str(folder / "bad" / "*.py")], **settings}


def test_quality_is_a_signal_and_drops_nothing_of_itself(build: Callable[..., object], project: Path) -> None:
    corpus = build(project / "api", quality=quality(project))
    scores = {path: row["signals"]["quality"] for path, row in corpus.kept.items()}
    assert len(scores) == 50
    assert max(scores[f"t{number}.py"] for number in range(10)) < min(
        scores[f"m{number:02}.py"] for number in range(40)
    )
    model = read_model(corpus.folder)
    assert all(model.score(row["text"].encode()) == row["signals"]["quality"] for row in corpus.kept.values())


def test_without_examples_there_is_no_quality_and_every_weight_is_1(
    build: Callable[..., object], project: Path
) -> None:
    corpus = build(project / "api")
    for row in corpus.kept.values():
        assert row["signals"]["quality"] is None and row["signals"]["importance"] is None and row["weight"] == 1.0
    assert not (corpus.folder / "quality.json").exists()


def test_what_is_below_the_threshold_is_dropped(build: Callable[..., object], project: Path) -> None:
    corpus = build(project / "api", quality=quality(project, threshold=0.5))
    assert {path for path, row in corpus.dropped.items() if row["rule"] == "quality"} == {
        f"t{number}.py" for number in range(10)
    }
    assert corpus.dropped["t3.py"]["threshold"] == "at least 0.5"


def test_the_best_share_is_kept(build: Callable[..., object], project: Path) -> None:
    corpus = build(project / "api", quality=quality(project, keep=0.6))
    dropped = {path: row for path, row in corpus.dropped.items() if row["rule"] == "quality"}
    kept = [row["signals"]["quality"] for row in corpus.kept.values()]
    assert min(kept) > max(float(row["value"]) for row in dropped.values()) - 1e-4
    size = sum(row["size"] for row in corpus.kept.values())
    assert 0.55 < size / (size + sum(row["size"] for row in dropped.values())) < 0.7


def test_bytes_with_examples_do_not_depend_on_the_workers(build: Callable[..., object], project: Path) -> None:
    settings = {"quality": quality(project, keep=0.9), "importance": {"target": [str(project / "bad")], "keep": 0.5}}
    one, two = (build(project / "api", workers=workers, name=f"w{workers}", **settings) for workers in (1, 2))
    names = sorted(path.name for path in one.folder.iterdir())
    assert "quality.json" in names and "quality.npz" in names
    for name in names:
        assert (one.folder / name).read_bytes() == (two.folder / name).read_bytes()


def test_what_is_like_the_target_is_drawn_and_held_out_files_stay(build: Callable[..., object], project: Path) -> None:
    settings = {"validation_share": 0.1, "test_share": 0.1}
    plain = build(project / "api", name="plain", **settings)
    drawn = build(project / "api", name="drawn", importance={"target": [str(project / "bad")], "keep": 0.4}, **settings)
    for split in ("validation", "test"):
        assert drawn.split(split) == plain.split(split)
    lost = {path for path, row in drawn.dropped.items() if row["rule"] == "importance"}
    trained = {row["path"] for row in plain.split("train")}
    assert lost < trained and {row["path"] for row in drawn.split("train")} == trained - lost
    assert not any(path.startswith("t") for path in lost)


def test_what_is_like_the_target_is_seen_more_often(build: Callable[..., object], project: Path) -> None:
    corpus = build(project / "api", importance={"target": [str(project / "bad")], "most": 3.0}, test_share=0.1)
    tables = [row["weight"] for row in corpus.split("train") if row["path"].startswith("t")]
    others = [row["weight"] for row in corpus.split("train") if row["path"].startswith("m")]
    assert min(tables) > 1.5 > 1 > max(others) and max(tables) <= 3
    assert {row["weight"] for row in corpus.split("test")} == {1.0}
    size = sum(row["size"] for row in corpus.split("train"))
    assert sum(row["size"] * row["weight"] for row in corpus.split("train")) == pytest.approx(size, rel=1e-2)


def test_the_mixture_weighs_what_is_trained_on_alone(
    build: Callable[..., object], project: Path, write: Callable[..., None]
) -> None:
    write(
        project / "web", {f"p{number}.md": f"# Part {number}\n\n" + f"word{number} text\n" * 9 for number in range(9)}
    )
    mixture = {"languages": {"Markdown": 0.25}, "repositories": {"web": 2.0}}
    corpus = build(project / "api", project / "web", mixture=mixture, test_share=0.2)
    weights = {(row["repository"], row["weight"]) for row in corpus.split("train")}
    assert weights == {("api", 1.0), ("web", 0.5)}
    assert {row["weight"] for split in ("validation", "test") for row in corpus.split(split)} == {1.0}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"mixture": {"repositories": {"ap": 2.0}}}, "names ap"),
        ({"importance": {"target": ["/nowhere"]}}, r"corpus\.importance\.target: there is no file"),
        ({"quality": {"good": ["/nowhere"], "bad": ["/nowhere"]}}, r"corpus\.quality\.good: there is no file"),
    ],
)
def test_names_that_lead_nowhere_are_refused(
    build: Callable[..., object], project: Path, settings: dict[str, object], said: str
) -> None:
    with pytest.raises(UserError, match=said):
        build(project / "api", **settings)
