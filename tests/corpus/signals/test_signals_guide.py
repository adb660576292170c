"""The table of docs/guides/signals.md is what the code measures."""

from __future__ import annotations

from pathlib import Path

from repotune.corpus.profiles import BUILT_IN, load_profile
from repotune.corpus.signals.annotate import ALL

GUIDE = (Path(__file__).parents[3] / "docs" / "guides" / "signals.md").read_text(encoding="utf-8")
WHAT = {"share": "share", "mean": "number", "count": "whole number", "text": "text", "yes": "yes or no"}


def test_the_guide_lists_every_signal_as_the_code_defines_it():
    rows = [
        f"| `{signal.name}` | {f'{WHAT[signal.kind]} {signal.unit}'.strip()} | {signal.definition} | {signal.source} |"
        for signal in ALL
    ]
    table = GUIDE[GUIDE.index("| signal |") :].splitlines()[2:]
    assert table == rows


def test_the_guide_names_every_profile_and_its_example_is_one(tmp_path):
    assert all(f'| `"{name}"` |' in GUIDE for name in BUILT_IN)
    example = GUIDE.split("```toml\n")[1].split("```")[0]
    (tmp_path / "own.toml").write_text(example, encoding="utf-8")
    rules = {rule.name: rule for rule in load_profile("own.toml", tmp_path).rules}
    assert rules["mean_line"].threshold == 140 and "generated" not in rules and "hardly_documented" in rules
