"""`evaluate compare` as a build server calls it: the verdict on stdout, the gate as an exit status."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path

import pytest

from repotune.cli.comparing import ablate, compare
from repotune.core.errors import UserError


def results_of(folder: Path, passing: int) -> Path:
    """A benchmark's result folder of 60 problems, of which the first `passing` pass."""
    verdicts = ["passed" if number < passing else "failed" for number in range(60)]
    told = [{"problem": f"HumanEval/{number}", "number": 0, "verdict": of} for number, of in enumerate(verdicts)]
    answers = [{"problem": one["problem"], "number": 0, "text": "", "tokens": 1, "finish": "stop"} for one in told]
    score = {"value": passing / 60, "low": 0.0, "high": 1.0}
    results = {
        "benchmark": "humaneval", "model": folder.name, "verdicts": dict(Counter(verdicts)), "pass_at_k": {"1": score},
        "circumstances": {"problems": {"count": 60}, "drawing": {"temperature": 0}, "sandbox": {"level": "full"}},
    }  # fmt: skip
    folder.mkdir(parents=True)
    for name, lines in (("samples", answers), ("verdicts", told)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "results.json").write_text(json.dumps(results))
    return folder


def call(*models: Path, **more: object) -> int:
    given = {"corpus": None, "results": None, "learnt": [], "measure": None, "margin": None, "better": False}
    return compare(argparse.Namespace(models=list(models), config=Path("repotune.toml"), **{**given, **more}))


@pytest.mark.parametrize(
    ("gate", "status"),
    [
        ({}, 0),
        ({"better": True}, 3),
        ({"margin": 0.01}, 3),
        ({"margin": 0.6}, 0),
        ({"margin": 0.6, "measure": "all.pass@1"}, 0),
    ],
)
def test_the_gate_is_the_exit_status(
    gate: dict[str, object], status: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = results_of(tmp_path / "old", 30), results_of(tmp_path / "new", 12)
    assert call(old, new, **gate) == status
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith("On 60 problems of humaneval new is worse than old")
    assert len(out) == (2 if gate else 1)
    (page,) = tmp_path.glob("comparisons/*/comparison.html")
    assert "pass@1 of humaneval" in page.read_text()


def test_better_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(results_of(tmp_path / "old", 12), results_of(tmp_path / "new", 30), better=True) == 0
    assert capsys.readouterr().out.splitlines()[1].startswith("Passed: in pass@1 new minus old is +0.3000 [")


def test_results_and_models_do_not_mix(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be compared"):
        call(results_of(tmp_path / "old", 12), tmp_path)


def test_an_ablation_needs_variants(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        ablate(argparse.Namespace(variants=tmp_path / "absent.toml", size="1m", tokens=10, seeds=[1], folder=None))
